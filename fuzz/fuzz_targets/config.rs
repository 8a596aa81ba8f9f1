//! A configuration: a file, and behind each NUL a variable of the environment.
#![no_main]

#[path = "../checks/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|text: &[u8]| config::check(text));
