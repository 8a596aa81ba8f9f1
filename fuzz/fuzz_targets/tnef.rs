//! A container of Outlook, as the only part of a mail.
#![no_main]

#[path = "../checks/tnef.rs"]
mod tnef;

libfuzzer_sys::fuzz_target!(|container: &[u8]| tnef::check(container));
