//! Who asks: found out in one way for pages, programs and sockets. Whatever is shown for it names a login, and who that is is
//! looked up each time.

use axum::http::{HeaderMap, header};
use tower_sessions::Session;

use super::session;
use crate::protocol::Refusal;
use crate::server::chat::{Actor, Chat};

/// What a request shows for it. (Without `Debug`: it would open a door.)
pub enum Proof<'a> {
    /// The session of the cookie. A cookie comes along from any site: who takes this has looked at the origin.
    Session(&'a Session),
    Token(&'a str),
    Ticket(&'a str),
}

/// Who asks; none when what they show is worth nothing: unknown, forged, over, or of a login that has ended.
///
/// # Errors
/// [`Refusal::Unavailable`] or [`Refusal::Internal`].
pub async fn actor(chat: &Chat, proof: Proof<'_>) -> Result<Option<Actor>, Refusal> {
    match proof {
        Proof::Session(session) => match session::login(session).await? {
            Some(login) => chat.actor(login).await,
            None => Ok(None),
        },
        Proof::Token(token) => chat.actor_of_token(token).await,
        Proof::Ticket(ticket) => chat.actor_of_ticket(ticket).await,
    }
}

/// The token in `Authorization: Bearer …`. Another scheme there is for someone else, such as a proxy in front.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
