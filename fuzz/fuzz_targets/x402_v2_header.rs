#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| compute_fuzz::targets::x402_v2_header(data));
