//! `/api/auth/…`, `/api/me` and `/api/ws-ticket`: becoming someone, and who that is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::problem::Problem;
use super::{Body, Caller, From, Refusing};
use crate::protocol::api::{LogIn, Register, Ticket, Token};
use crate::protocol::{Me, Refusal};
use crate::server::chat::Chat;
use crate::server::store::LoginId;

const TAG: &str = "Accounts";

/// Sign up
///
/// Makes an account, a member of the newcomers' room, and a token for it. The first account is the administrator.
#[utoipa::path(
    post, path = "/api/auth/register", tag = TAG, request_body = Register,
    responses(
        (status = 201, description = "The account's first token", body = Token),
        (status = 409, description = "`taken_username`, `taken_email`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`empty`, `too_long`, `too_short`, `bad_form`, `common_password`, each with its `field`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`busy`: too many passwords wait to be hashed; `unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn register(State(chat): State<Chat>, from: From, Body(new): Body<Register>) -> Refusing<(StatusCode, Json<Token>)> {
    let login = chat.sign_up(&new.email, &new.username, &new.password, &from.0).await?;
    Ok((StatusCode::CREATED, Json(token(&chat, login).await?)))
}

/// Log in
///
/// Each token is a login of its own: it stands in the list under settings, where it can be ended.
#[utoipa::path(
    post, path = "/api/auth/login", tag = TAG, request_body = LogIn,
    responses(
        (status = 200, description = "A token of 24 hours", body = Token),
        (status = 401, description = "`wrong_password`, whether there is such an account or not", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`empty`, with its `field`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`busy`: too many passwords wait to be hashed; `unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn log_in(State(chat): State<Chat>, from: From, Body(LogIn { name, password }): Body<LogIn>) -> Refusing<Json<Token>> {
    let login = chat.log_in(&name, &password, &from.0).await?;
    Ok(Json(token(&chat, login).await?))
}

async fn token(chat: &Chat, login: LoginId) -> Result<Token, Refusal> {
    let actor = chat.actor(login).await?.ok_or(Refusal::LogIn)?;
    chat.token(&actor)
}

/// Log out
///
/// Ends the token's login: the token is worth nothing from now on, and its sockets are closed.
#[utoipa::path(post, path = "/api/auth/logout", tag = TAG, responses((status = 204, description = "It has ended")))]
pub async fn log_out(State(chat): State<Chat>, Caller(actor): Caller) -> Refusing<StatusCode> {
    chat.log_out(&actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who one is
#[utoipa::path(get, path = "/api/me", tag = TAG, responses((status = 200, description = "Whose token it is", body = Me)))]
pub async fn me(Caller(actor): Caller) -> Json<Me> {
    Json(actor.me())
}

/// Make a ticket for a socket
///
/// It opens one socket, once, within 30 seconds: for clients that cannot set headers, whose address would otherwise carry the
/// token.
#[utoipa::path(post, path = "/api/ws-ticket", tag = TAG, responses((status = 201, description = "The ticket", body = Ticket)))]
pub async fn ticket(State(chat): State<Chat>, Caller(actor): Caller) -> Refusing<(StatusCode, Json<Ticket>)> {
    Ok((StatusCode::CREATED, Json(chat.ticket(&actor).await?)))
}
