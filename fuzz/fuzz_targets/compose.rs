//! A raw mail to the JSON of its entity.
#![no_main]

#[path = "../checks/compose.rs"]
mod compose;

libfuzzer_sys::fuzz_target!(|raw: &[u8]| compose::check(raw));
