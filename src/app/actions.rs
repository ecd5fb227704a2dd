//! The server functions: the only door from a page to the server.
//!
//! Each is a few lines: who asks, one call into [`crate::server::chat`], where to go next. They are called in three ways:
//! while a page is rendered (in process), by a plain form (`application/x-www-form-urlencoded` to `/actions/…`; see
//! [`super::form`] for what a refused form does), and by an island (the same request with `Accept: application/json`).

use leptos::prelude::*;
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use uuid::Uuid;

use crate::protocol::{FoundRooms, LoginItem, Me, Refusal, RoomItem, RoomPage};

impl FromServerFnError for Refusal {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) | ServerFnErrorErr::Deserialization(_) => {
                Self::BadRequest
            }
            ServerFnErrorErr::Request(_) => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

/// Makes an account and logs in. On to `next`, or home.
#[server(prefix = "/actions", endpoint = "sign_up")]
pub async fn sign_up(email: String, username: String, password: String, next: Option<String>) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    web::refusing(web::sign_up(&email, &username, &password).await)?;
    web::go(&web::local(next.as_deref()));
    Ok(())
}

/// Logs in with an e-mail address or a username. On to `next`, or home.
#[server(prefix = "/actions", endpoint = "log_in")]
pub async fn log_in(name: String, password: String, next: Option<String>) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    web::refusing(web::log_in(&name, &password).await)?;
    web::go(&web::local(next.as_deref()));
    Ok(())
}

/// Ends this login.
#[server(prefix = "/actions", endpoint = "log_out")]
pub async fn log_out() -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    web::refusing(web::log_out().await)?;
    web::go("/login");
    Ok(())
}

/// A new password; ends every other login of the account.
#[server(prefix = "/actions", endpoint = "change_password")]
pub async fn change_password(current: String, new: String) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    web::refusing(chat.change_password(&actor, &current, &new).await)?;
    web::go("/settings?done=password");
    Ok(())
}

/// Ends one of one's own logins.
#[server(prefix = "/actions", endpoint = "end_login")]
pub async fn end_login(id: Uuid) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    web::refusing(chat.end_login(&actor, id).await)?;
    web::go("/settings?done=login");
    Ok(())
}

/// Makes a room with oneself as its first member, and goes there. `idle` is one of [`Idle`](crate::protocol::Idle)'s names; where
/// it is missing, the server's setting holds.
#[server(prefix = "/actions", endpoint = "create_room")]
pub async fn create_room(name: String, topic: Option<String>, idle: Option<String>) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let idle = web::refusing(web::idle(idle.as_deref()))?;
    let room = web::refusing(chat.create_room(&actor, &name, topic.as_deref().unwrap_or_default(), idle).await)?;
    web::go(&format!("/room/{room}"));
    Ok(())
}

/// Closes `room` (its slug), and goes there: it can still be read.
#[server(prefix = "/actions", endpoint = "close_room")]
pub async fn close_room(room: String) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let room = web::refusing(web::slug(room))?;
    web::refusing(chat.close_room(&actor, &room).await)?;
    web::go(&format!("/room/{room}"));
    Ok(())
}

/// Opens `room` again, and goes there.
#[server(prefix = "/actions", endpoint = "reopen_room")]
pub async fn reopen_room(room: String) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let room = web::refusing(web::slug(room))?;
    web::refusing(chat.reopen_room(&actor, &room).await)?;
    web::go(&format!("/room/{room}"));
    Ok(())
}

/// Becomes a member of `room` (its slug), and goes there.
#[server(prefix = "/actions", endpoint = "join_room")]
pub async fn join_room(room: String) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let room = web::refusing(web::slug(room))?;
    web::refusing(chat.join(&actor, &room).await)?;
    web::go(&format!("/room/{room}"));
    Ok(())
}

/// Ceases to be a member of `room`, and goes home.
#[server(prefix = "/actions", endpoint = "leave_room")]
pub async fn leave_room(room: String) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let room = web::refusing(web::slug(room))?;
    web::refusing(chat.leave(&actor, &room).await)?;
    web::go("/");
    Ok(())
}

/// Posts a message from a form. `nonce` is new for each form that is rendered: together with the text it makes the message's
/// id, so that the same form sent twice is one message, and going back to write something else is another. `seen` is
/// the last `seq` on the page, which its author has read by posting below it.
#[server(prefix = "/actions", endpoint = "post_message")]
pub async fn post_message(room: String, nonce: Uuid, text: String, seen: Option<i64>) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let room = web::refusing(web::slug(room))?;
    let text = text.replace("\r\n", "\n");
    let id = Uuid::new_v5(&nonce, text.as_bytes());
    web::refusing(chat.send(&actor, &room, id, text).await)?;
    if let Some(seen) = seen {
        web::refusing(chat.mark_read(&actor, &room, crate::protocol::Seq(seen)).await)?;
    }
    web::go(&format!("/room/{room}#end"));
    Ok(())
}

/// Everything in `room` up to `seq` has been read.
#[server(prefix = "/actions", endpoint = "mark_read")]
pub async fn mark_read(room: String, seq: i64) -> Result<(), Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let room = web::refusing(web::slug(room))?;
    web::refusing(chat.mark_read(&actor, &room, crate::protocol::Seq(seq)).await)?;
    web::go(&format!("/room/{room}#end"));
    Ok(())
}

/// Who is logged in, if anyone.
#[server(prefix = "/actions", endpoint = "whoami")]
pub async fn whoami() -> Result<Option<Me>, Refusal> {
    use crate::server::web::actions as web;
    Ok(web::asking().ok().map(|(_, actor)| actor.me()))
}

/// One's own rooms, then a few that one could join: those that are most active. Each group by name.
#[server(prefix = "/actions", endpoint = "list_rooms")]
pub async fn list_rooms() -> Result<Vec<RoomItem>, Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    web::refusing(chat.list_rooms(&actor).await)
}

/// Page `number` (from 1) of the rooms that one could join; with a `query`, of those and one's own that have it in name or topic.
#[server(prefix = "/actions", endpoint = "find_rooms")]
pub async fn find_rooms(query: Option<String>, number: Option<u32>) -> Result<FoundRooms, Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    web::refusing(chat.find_rooms(&actor, &query.unwrap_or_default(), number.unwrap_or(1)).await)
}

/// A page of a room's log: the latest, or what is before the `seq` `before`, after `after`, or around `at`.
#[server(prefix = "/actions", endpoint = "read_room")]
pub async fn read_room(room: String, before: Option<i64>, after: Option<i64>, at: Option<i64>) -> Result<RoomPage, Refusal> {
    use crate::protocol::Seq;
    use crate::server::chat::Page;
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    let room = web::refusing(web::slug(room))?;
    let page = match (before, after, at) {
        (Some(seq), ..) => Page::Before(Seq(seq)),
        (_, Some(seq), _) => Page::After(Seq(seq)),
        (.., Some(seq)) => Page::At(Seq(seq)),
        _ => Page::Latest,
    };
    web::refusing(chat.read_room(&actor, &room, page).await)
}

/// One's own logins that have not ended, the latest first.
#[server(prefix = "/actions", endpoint = "list_logins")]
pub async fn list_logins() -> Result<Vec<LoginItem>, Refusal> {
    use crate::server::web::actions as web;
    let (chat, actor) = web::refusing(web::asking())?;
    web::refusing(chat.list_logins(&actor).await)
}
