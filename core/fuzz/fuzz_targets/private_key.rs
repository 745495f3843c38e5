#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| remqtt::fuzz::private_key(input));
