#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| unscene_fuzz::command_config(data));
