#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| compute_fuzz::targets::verify_answer(data));
