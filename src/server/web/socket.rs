//! `GET /ws`: who may open a socket. Everything is checked before the upgrade.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::auth::{self, Proof, bearer};
use super::{App, client_address, refusal, session};
use crate::protocol::Refusal;
use crate::server::chat::{self, Actor};
use crate::server::live::socket::Purpose;
use crate::server::store::rooms::NEWCOMERS;
use crate::server::stream::Outbound;

/// What a client that cannot set headers puts into the address. It stands in no log of ours; where a proxy writes one, a ticket
/// is worth nothing any more by then.
#[derive(Deserialize)]
struct Asked {
    token: Option<String>,
    ticket: Option<String>,
    /// The room to be in at once; none if it is empty.
    room: Option<String>,
}

/// Opens a socket for a program that shows a token or a ticket; or for the login of the session cookie, from this server's own
/// pages.
pub async fn upgrade(State(app): State<App>, request: Request) -> Response {
    open(&app, request, None).await
}

/// `GET /ws/{room}`: the same as `GET /ws?room=…`.
pub async fn upgrade_into(State(app): State<App>, Path(room): Path<String>, request: Request) -> Response {
    open(&app, request, Some(room)).await
}

async fn open(app: &App, request: Request, room: Option<String>) -> Response {
    let (mut parts, _) = request.into_parts();
    match checked(app, &mut parts, room).await {
        Ok(response) => response,
        Err(why) => refusal(&why),
    }
}

async fn checked(app: &App, parts: &mut Parts, room: Option<String>) -> Result<Response, Refusal> {
    let Query(asked) = Query::<Asked>::from_request_parts(parts, app).await.map_err(|_| Refusal::BadRequest)?;
    app.chat.allow_socket_from(client_address(parts, &app.settings))?;
    let (actor, program) = who(app, parts, &asked).await?;
    app.chat.allow_socket(&actor)?;
    let upgrade = WebSocketUpgrade::from_request_parts(parts, app).await.map_err(|_| Refusal::BadRequest)?;
    let room = match room.or(asked.room) {
        // In none: it says for itself which rooms it has, as pages do, and connecting makes nobody a member of anything.
        Some(room) if room.is_empty() => None,
        Some(room) => Some(chat::slug(room)?),
        None if program => Some(chat::slug(NEWCOMERS)?),
        // Pages say for themselves which rooms they have.
        None => None,
    };
    if let Some(room) = &room {
        app.chat.enter(&actor, room).await?;
    }
    let out = parts.extensions.remove::<Arc<Outbound>>().ok_or(Refusal::BadRequest)?;
    app.sockets.upgrade(upgrade, out, actor, Purpose { room, program })
}

/// Who asks, and whether that is a program. What was meant to be shown is what counts: a token that is worth nothing is not made up
/// for by a cookie.
async fn who(app: &App, parts: &Parts, asked: &Asked) -> Result<(Actor, bool), Refusal> {
    let headers = &parts.headers;
    let shown = bearer(headers).or(asked.token.as_deref()).map(Proof::Token).or(asked.ticket.as_deref().map(Proof::Ticket));
    if let Some(proof) = shown {
        return Ok((auth::actor(&app.chat, proof).await?.ok_or(Refusal::LogIn)?, true));
    }
    let session = session::of_request(headers, &app.settings, &app.sessions).ok_or(Refusal::LogIn)?;
    // A cookie comes along from any site that opens a socket here, so the origin must be ours, and named.
    if !headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).is_some_and(|o| app.security.is_own(o, headers)) {
        return Err(Refusal::CrossSite);
    }
    Ok((auth::actor(&app.chat, Proof::Session(&session)).await?.ok_or(Refusal::LogIn)?, false))
}

/// Whatever may stand after the `?`.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    if let Some(Query(asked)) = super::api::query::<Asked>(bytes) {
        let _any = asked.room.map(chat::slug);
    }
}
