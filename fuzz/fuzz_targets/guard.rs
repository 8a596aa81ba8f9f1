//! What a mail server says, through the guard, the framing, the library's parser and the command layer.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| mailbridge::imap::fuzz::check(script));
