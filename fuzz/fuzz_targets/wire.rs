//! Frames between the daemon and a parse worker: what a worker reads, and what the daemon reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|frames: &[u8]| mailbridge::parser::fuzz::check(frames));
