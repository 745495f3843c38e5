#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| remqtt::fuzz::endpoint(input));
