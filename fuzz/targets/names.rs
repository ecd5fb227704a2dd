//! Usernames, e-mail addresses, names of rooms, slugs, and texts before they are kept.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| snug::server::chat::fuzz::names(text));
