//! `/api/rooms/{slug}/messages` and `…/read`: what is said in a room, and how much of it one has read.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;
use super::{Body, Caller, InRoom, Parameters, Refusing};
use crate::protocol::api::{Messages, NewMessage, ReadUpTo, SentMessage};
use crate::protocol::{Refusal, Seq};
use crate::server::chat::{self, Chat, Page, Sent};

const TAG: &str = "Messages";

/// Which page of the log: the latest, where nothing is said.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// What comes right before this place: `before` of the page after it. Not together with `after`.
    before: Option<Seq>,
    /// What comes right after this place: `after` of the page before it, or the last event that one has.
    after: Option<Seq>,
}

impl TryFrom<Which> for Page {
    type Error = Refusal;

    fn try_from(which: Which) -> Result<Self, Refusal> {
        match (which.before, which.after) {
            (None, None) => Ok(Self::Latest),
            (Some(seq), None) => Ok(Self::Before(seq)),
            (None, Some(seq)) => Ok(Self::After(seq)),
            (Some(_), Some(_)) => Err(Refusal::BadRequest),
        }
    }
}

/// Read a room
///
/// For members: the latest page of its log, or the one before or after a place.
#[utoipa::path(
    get, path = "/api/rooms/{slug}/messages", tag = TAG, params(InRoom, Which),
    responses(
        (status = 200, description = "A page of the log", body = Messages),
        (status = 403, description = "`not_member`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read(
    State(chat): State<Chat>,
    Caller(actor): Caller,
    InRoom { slug }: InRoom,
    Parameters(which): Parameters<Which>,
) -> Refusing<Json<Messages>> {
    Ok(Json(chat.read_log(&actor, &chat::slug(slug)?, which.try_into()?).await?))
}

/// Send a message
///
/// Once, however often it is sent: the same `id` with the same room and text again is answered with the message that is there.
#[utoipa::path(
    post, path = "/api/rooms/{slug}/messages", tag = TAG, params(InRoom), request_body = NewMessage,
    responses(
        (status = 201, description = "It is kept, and on its way to everyone", body = SentMessage),
        (status = 200, description = "It had been sent before", body = SentMessage),
        (status = 403, description = "`not_member`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`closed`; `conflict`: the `id` is another message's", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`empty`, `too_long`, each with its `field`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn send(
    State(chat): State<Chat>,
    Caller(actor): Caller,
    InRoom { slug }: InRoom,
    Body(NewMessage { id, text }): Body<NewMessage>,
) -> Refusing<(StatusCode, Json<SentMessage>)> {
    let room = chat::slug(slug)?;
    let sent = chat.send(&actor, &room, id, text).await?;
    let status = if matches!(sent, Sent::New(..)) { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(SentMessage { room, id, seq: sent.seq() })))
}

/// Say what one has read
///
/// What is unread is counted from there, on all of one's devices.
#[utoipa::path(
    post, path = "/api/rooms/{slug}/read", tag = TAG, params(InRoom), request_body = ReadUpTo,
    responses(
        (status = 204, description = "It is noted"),
        (status = 403, description = "`not_member`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn mark_read(
    State(chat): State<Chat>,
    Caller(actor): Caller,
    InRoom { slug }: InRoom,
    Body(ReadUpTo { seq }): Body<ReadUpTo>,
) -> Refusing<StatusCode> {
    chat.mark_read(&actor, &chat::slug(slug)?, seq).await?;
    Ok(StatusCode::NO_CONTENT)
}
