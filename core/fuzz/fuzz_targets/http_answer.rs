#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| remqtt::fuzz::http_answer(input));
