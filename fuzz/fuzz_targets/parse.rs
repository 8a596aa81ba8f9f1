//! A raw mail through the parse ladder, in this process: nothing but the code itself protects it.
#![no_main]

#[path = "../checks/parse.rs"]
mod parse;

libfuzzer_sys::fuzz_target!(|raw: &[u8]| parse::check(raw));
