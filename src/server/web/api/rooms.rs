//! `/api/rooms…`: finding, making, joining and leaving rooms, and who is in them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;
use super::{Body, Caller, InRoom, Parameters, Refusing};
use crate::protocol::Slug;
use crate::protocol::api::{Members, NewRoom, Room, Rooms};
use crate::server::chat::{self, Chat};

const TAG: &str = "Rooms";

/// Which page of the rooms.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AfterRoom {
    /// Rooms after this one: `next` of the page before.
    after: Option<Slug>,
}

/// Which page of the members.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AfterMember {
    /// Members after this username: `next` of the page before.
    after: Option<String>,
}

/// List rooms
///
/// One's own, closed ones too, and the open ones that one could join: by slug, 100 on a page.
#[utoipa::path(get, path = "/api/rooms", tag = TAG, params(AfterRoom), responses((status = 200, description = "A page of them", body = Rooms)))]
pub async fn list(
    State(chat): State<Chat>,
    Caller(actor): Caller,
    Parameters(page): Parameters<AfterRoom>,
) -> Refusing<Json<Rooms>> {
    Ok(Json(chat.page_rooms(&actor, page.after.as_ref()).await?))
}

/// Make a room
///
/// Who makes it is its first member.
#[utoipa::path(
    post, path = "/api/rooms", tag = TAG, request_body = NewRoom,
    responses(
        (status = 201, description = "It is there", body = Room, headers(("Location" = String, description = "Its address"))),
        (status = 403, description = "`not_allowed`: the server's settings leave it to administrators", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`empty`, `too_long`, `bad_form`, each with its `field`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create(
    State(chat): State<Chat>,
    Caller(actor): Caller,
    Body(new): Body<NewRoom>,
) -> Refusing<(StatusCode, [(header::HeaderName, HeaderValue); 1], Json<Room>)> {
    let slug = chat.create_room(&actor, &new.name, &new.topic, new.idle).await?;
    let room = chat.show_room(&actor, &slug).await?;
    let location = HeaderValue::try_from(format!("/api/rooms/{slug}")).unwrap_or(HeaderValue::from_static("/api/rooms"));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(room)))
}

/// Look at a room
///
/// Who is no member sees what it is called and what it is about, not what is in it.
#[utoipa::path(
    get, path = "/api/rooms/{slug}", tag = TAG, params(InRoom),
    responses((status = 200, description = "The room", body = Room)),
)]
pub async fn show(State(chat): State<Chat>, Caller(actor): Caller, InRoom { slug }: InRoom) -> Refusing<Json<Room>> {
    Ok(Json(chat.show_room(&actor, &chat::slug(slug)?).await?))
}

/// Join a room
///
/// Who is a member already stays one.
#[utoipa::path(
    post, path = "/api/rooms/{slug}/join", tag = TAG, params(InRoom),
    responses(
        (status = 200, description = "The room, of which one is a member now", body = Room),
        (status = 409, description = "`closed`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn join(State(chat): State<Chat>, Caller(actor): Caller, InRoom { slug }: InRoom) -> Refusing<Json<Room>> {
    let slug = chat::slug(slug)?;
    chat.join(&actor, &slug).await?;
    Ok(Json(chat.show_room(&actor, &slug).await?))
}

/// Leave a room
///
/// Who is no member stays none.
#[utoipa::path(
    post, path = "/api/rooms/{slug}/leave", tag = TAG, params(InRoom),
    responses((status = 204, description = "One is no member any more")),
)]
pub async fn leave(State(chat): State<Chat>, Caller(actor): Caller, InRoom { slug }: InRoom) -> Refusing<StatusCode> {
    chat.leave(&actor, &chat::slug(slug)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Close a room
///
/// It takes no more messages and members, and stays as it is to read. For who made it, and for administrators; the first rooms
/// stay open.
#[utoipa::path(
    post, path = "/api/rooms/{slug}/close", tag = TAG, params(InRoom),
    responses(
        (status = 200, description = "The room, closed", body = Room),
        (status = 403, description = "`not_allowed`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn close(State(chat): State<Chat>, Caller(actor): Caller, InRoom { slug }: InRoom) -> Refusing<Json<Room>> {
    let slug = chat::slug(slug)?;
    chat.close_room(&actor, &slug).await?;
    Ok(Json(chat.show_room(&actor, &slug).await?))
}

/// Open a closed room again
///
/// For who made it, and for administrators.
#[utoipa::path(
    post, path = "/api/rooms/{slug}/reopen", tag = TAG, params(InRoom),
    responses(
        (status = 200, description = "The room, open", body = Room),
        (status = 403, description = "`not_allowed`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn reopen(State(chat): State<Chat>, Caller(actor): Caller, InRoom { slug }: InRoom) -> Refusing<Json<Room>> {
    let slug = chat::slug(slug)?;
    chat.reopen_room(&actor, &slug).await?;
    Ok(Json(chat.show_room(&actor, &slug).await?))
}

/// List a room's members
///
/// For members: by username, 100 on a page.
#[utoipa::path(
    get, path = "/api/rooms/{slug}/members", tag = TAG, params(InRoom, AfterMember),
    responses(
        (status = 200, description = "A page of them", body = Members),
        (status = 403, description = "`not_member`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn members(
    State(chat): State<Chat>,
    Caller(actor): Caller,
    InRoom { slug }: InRoom,
    Parameters(page): Parameters<AfterMember>,
) -> Refusing<Json<Members>> {
    Ok(Json(chat.list_members(&actor, &chat::slug(slug)?, page.after.as_deref()).await?))
}
