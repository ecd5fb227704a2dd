//! Sessions: which cookie, how long, and whose. A session says by which login it stands; who that is is looked up each time.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use tower_sessions::cookie::time::Duration;
use tower_sessions::cookie::{Cookie, SameSite};
use tower_sessions::session::Id;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use uuid::Uuid;

use super::App;
use crate::protocol::Refusal;
use crate::server::chat::{self, Actor, Chat, LOGIN_DAYS, TOUCH_AFTER, now};
use crate::server::config::Settings;
use crate::server::store::LoginId;
use crate::server::store::sessions::Sessions;

const LOGIN: &str = "login";
const TOUCHED: &str = "touched";

fn cookie_name(settings: &Settings) -> &'static str {
    // `__Host-`: set by this host alone, over HTTPS, for all of its paths (RFC 6265bis, section 4.1.3.2).
    if secure(settings) { "__Host-snug_session" } else { "snug_session" }
}

fn secure(settings: &Settings) -> bool {
    settings.public_url.as_ref().is_some_and(|url| url.secure)
}

/// Loads and saves the sessions of pages and server functions.
pub fn layer(app: &App) -> SessionManagerLayer<Sessions> {
    SessionManagerLayer::new(app.sessions.clone())
        .with_name(cookie_name(&app.settings))
        .with_secure(secure(&app.settings))
        .with_http_only(true)
        // A visitor who comes by a link is still logged in; writes of other sites are refused by their origin.
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(Duration::days(LOGIN_DAYS)))
}

/// The session of a request that did not come through [`layer`].
pub fn of_request(headers: &HeaderMap, settings: &Settings, sessions: &Sessions) -> Option<Session> {
    Some(Session::new(Some(id(headers, cookie_name(settings))?), Arc::new(sessions.clone()), None))
}

/// The session's id, in the cookie of this name.
pub(super) fn id(headers: &HeaderMap, name: &str) -> Option<Id> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .and_then(|cookie| cookie.value().parse::<Id>().ok())
}

fn away(error: tower_sessions::session::Error) -> Refusal {
    chat::away(&error)
}

/// The login that a session is of; who that is, [`auth`](super::auth) finds out.
///
/// # Errors
/// [`Refusal::Unavailable`].
pub async fn login(session: &Session) -> Result<Option<LoginId>, Refusal> {
    Ok(session.get::<Uuid>(LOGIN).await.map_err(away)?.map(LoginId))
}

/// Lets the session slide, once in a while. Where nothing can be written it stays as it is: a change that could not be saved would
/// cost what was asked for.
pub async fn touch(session: &Session, chat: &Chat, actor: &Actor) {
    if let Err(why) = try_touch(session, chat, actor).await {
        tracing::debug!(%why, "a session was not touched");
    }
}

async fn try_touch(session: &Session, chat: &Chat, actor: &Actor) -> Result<(), Refusal> {
    let touched = session.get::<i64>(TOUCHED).await.map_err(away)?.unwrap_or_default();
    let now = now().0;
    if now - touched > TOUCH_AFTER {
        chat.touch_login(actor.login).await?;
        session.insert(TOUCHED, now).await.map_err(away)?;
    }
    Ok(())
}

/// Makes the session one of `login`, under a new id: one that was known before the login is worth nothing after it.
///
/// # Errors
/// [`Refusal::Unavailable`].
pub async fn start(session: &Session, login: LoginId) -> Result<(), Refusal> {
    session.clear().await;
    session.insert(LOGIN, login.0).await.map_err(away)?;
    session.insert(TOUCHED, now().0).await.map_err(away)?;
    // One that is new gets its id when it is saved.
    if session.id().is_some() {
        session.cycle_id().await.map_err(away)?;
    }
    Ok(())
}

/// Ends the session.
///
/// # Errors
/// [`Refusal::Unavailable`].
pub async fn end(session: &Session) -> Result<(), Refusal> {
    if session.id().is_none() {
        return Ok(());
    }
    session.flush().await.map_err(away)
}
