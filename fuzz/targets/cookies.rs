//! `Cookie`: the session and the time zone.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| snug::server::web::fuzz::cookies(bytes));
