//! Whether the server lives, and whether it can be given work.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use crate::protocol::Refusal;

/// The process answers.
pub async fn alive() -> &'static str {
    "alive\n"
}

/// The process answers, its database too, and it is not stopping. With a full disk it is still to be given work, since who is sent
/// away could not even read; it says so.
pub async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match app.chat.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(Refusal::Full) => (StatusCode::OK, "ready to be read: the disk is full, and nothing new is kept\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}
