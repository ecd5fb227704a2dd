//! Whether the server lives, and whether it can be given work.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;

/// The process answers.
pub async fn alive() -> &'static str {
    "alive\n"
}

/// The process answers, its database too, and it is not stopping.
pub async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match app.chat.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}
