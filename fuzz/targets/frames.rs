//! Frames of the socket: what the server reads, what the browser's own writer makes of it, and what clients read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug::app::live::json;
use snug::protocol::{Command, Event};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(command) = serde_json::from_slice::<Command>(bytes) {
        let written = serde_json::to_string(&command).expect("a command is JSON");
        for written in [written, json::command(&command)] {
            assert_eq!(serde_json::from_str::<Command>(&written).ok().as_ref(), Some(&command), "{written}");
        }
    }
    if let Ok(event) = serde_json::from_slice::<Event>(bytes) {
        let written = serde_json::to_string(&event).expect("an event is JSON");
        assert!(serde_json::from_str::<Event>(&written).is_ok(), "{written}");
    }
});
