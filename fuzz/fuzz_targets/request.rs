#![no_main]
libfuzzer_sys::fuzz_target!(init: unscene_fuzz::run_if_worker(), |data: &[u8]| unscene_fuzz::request(data));
