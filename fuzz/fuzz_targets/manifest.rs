#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unscene_fuzz::manifest(data));
