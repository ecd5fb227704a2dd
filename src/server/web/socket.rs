//! `GET /ws`: who may open a socket. Everything is checked before the upgrade.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::auth::{self, Proof, bearer};
use super::{App, refusal, session};
use crate::protocol::Refusal;
use crate::server::chat::Actor;
use crate::server::web::security::Security;

/// What a client that cannot set headers puts into the address. It stands in no log of ours; where a proxy writes one, a ticket
/// is worth nothing any more by then.
#[derive(Deserialize)]
struct Asked {
    token: Option<String>,
    ticket: Option<String>,
}

/// Opens a socket for a program that shows a token or a ticket; or for the login of the session cookie, from this server's own
/// pages.
pub async fn upgrade(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match checked(&app, &mut parts).await {
        Ok(response) => response,
        Err(why) => refusal(&why),
    }
}

async fn checked(app: &App, parts: &mut Parts) -> Result<Response, Refusal> {
    let Query(asked) = Query::<Asked>::from_request_parts(parts, app).await.map_err(|_| Refusal::BadRequest)?;
    let actor = who(app, parts, &asked).await?;
    let upgrade = WebSocketUpgrade::from_request_parts(parts, app).await.map_err(|_| Refusal::BadRequest)?;
    app.sockets.upgrade(upgrade, actor)
}

/// Who asks. What was meant to be shown is what counts: a token that is worth nothing is not made up for by a cookie.
async fn who(app: &App, parts: &Parts, asked: &Asked) -> Result<Actor, Refusal> {
    let headers = &parts.headers;
    let shown = bearer(headers).or(asked.token.as_deref()).map(Proof::Token).or(asked.ticket.as_deref().map(Proof::Ticket));
    if let Some(proof) = shown {
        return auth::actor(&app.chat, proof).await?.ok_or(Refusal::LogIn);
    }
    let session = session::of_request(headers, &app.settings, &app.sessions).ok_or(Refusal::LogIn)?;
    // A cookie comes along from any site that opens a socket here, so the origin must be ours, and named.
    let security = Security::new(&app.settings, &app.leptos);
    if !headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).is_some_and(|o| security.is_own(o, headers)) {
        return Err(Refusal::CrossSite);
    }
    auth::actor(&app.chat, Proof::Session(&session)).await?.ok_or(Refusal::LogIn)
}
