//! `GET /ws`: who may open a socket. Everything is checked before the upgrade.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use axum::{RequestExt, extract::FromRequestParts};

use super::{App, refusal, session};
use crate::protocol::Refusal;
use crate::server::web::security::Security;

/// Opens a socket for the login of the session cookie, from this server's own pages.
pub async fn upgrade(State(app): State<App>, mut request: Request) -> Response {
    match checked(&app, &mut request).await {
        Ok(response) => response,
        Err(why) => refusal(&why),
    }
}

async fn checked(app: &App, request: &mut Request) -> Result<Response, Refusal> {
    let headers = request.headers();
    // A cookie comes along from any site that opens a socket here, so the origin must be ours, and named.
    let security = Security::new(&app.settings, &app.leptos);
    let own = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).is_some_and(|o| security.is_own(o, headers));
    let session = session::of_request(headers, &app.settings, &app.sessions);
    if session.is_some() && !own {
        return Err(Refusal::CrossSite);
    }
    let session = session.ok_or(Refusal::LogIn)?;
    let actor = session::actor(&session, &app.chat).await?.ok_or(Refusal::LogIn)?;
    let mut parts = request.extract_parts::<axum::http::request::Parts>().await.map_err(|_| Refusal::BadRequest)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, app).await.map_err(|_| Refusal::BadRequest)?;
    app.sockets.upgrade(upgrade, actor)
}
