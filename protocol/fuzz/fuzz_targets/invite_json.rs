#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ssid_fuzz::run("invite_json", bytes));
