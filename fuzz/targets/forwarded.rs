//! `X-Forwarded-For`, from proxies and from those who would be one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| snug::server::web::fuzz::forwarded(bytes));
