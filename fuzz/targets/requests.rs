//! Addresses, forms and JSON bodies.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| snug::server::web::fuzz::requests(bytes));
