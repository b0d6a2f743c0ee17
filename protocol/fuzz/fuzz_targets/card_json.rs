#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ssid_fuzz::run("card_json", bytes));
