//! What a page may ask of the request that it is rendered for. The server provides it as context; in the browser there is
//! none, and the defaults hold.

use std::sync::Arc;

use leptos::prelude::*;

use crate::protocol::{Idle, Micros, Refusal};

/// A moment on someone's wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 (Monday) to 6.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
}

/// The request that a page answers.
pub struct Request {
    /// Path and query, as asked for.
    pub path: String,
    /// The IANA time zone named by the cookie `tz`, or `UTC`.
    pub zone: String,
    /// Whether it comes from a Mac, where the command key is what the control key is elsewhere.
    pub mac: bool,
    /// The moment at which the request came.
    pub now: Micros,
    /// The folder that the hashed assets are under, such as `/b/0123456789abcdef`.
    pub assets: Arc<str>,
    /// The most characters in a message.
    pub text_max: u32,
    /// When a new room closes by itself, where that is not chosen.
    pub room_idle: Idle,
    /// Whether who asks may make rooms.
    pub makes_rooms: bool,
    /// Puts a moment on the wall of `zone`.
    pub wall: Arc<dyn Fn(Micros) -> WallTime + Send + Sync>,
    /// Sets the answer's status.
    pub status: Arc<dyn Fn(u16) + Send + Sync>,
    /// Sets what the page is called.
    pub title: Arc<dyn Fn(String) + Send + Sync>,
}

/// The request that this page answers; none in the browser and while routes are listed.
#[must_use]
pub fn request() -> Option<Arc<Request>> {
    use_context()
}

/// Whether who asks may make rooms: where not, no page leads there.
#[must_use]
pub fn makes_rooms() -> bool {
    request().is_some_and(|request| request.makes_rooms)
}

/// The server cannot show the page that was asked for; the page is this instead.
#[derive(Clone, Debug)]
pub struct Trouble(pub Refusal);

/// What is wrong, if the page asked for cannot be shown at all.
#[must_use]
pub fn trouble() -> Option<Refusal> {
    use_context::<Trouble>().map(|trouble| trouble.0)
}
