//! `Authorization`, and the token in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| snug::server::web::fuzz::authorization(bytes));
