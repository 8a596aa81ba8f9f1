//! HTML through the sanitiser, as the body of a mail.
#![no_main]

#[path = "../checks/sanitise.rs"]
mod sanitise;

libfuzzer_sys::fuzz_target!(|html: &[u8]| sanitise::check(html));
