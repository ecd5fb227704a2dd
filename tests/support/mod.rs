//! What the tests stand on: a server of their own with an empty database, people who use it over HTTP and sockets as a
//! browser would, and a PostgreSQL that lives as long as the test process.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses another part of this")]

mod app;
mod bot;
mod command;
mod log;
mod person;
mod postgres;
mod program;
mod socket;
mod terminal;
mod tool;
mod wait;

pub use app::{Engine, TestApp, World};
pub use bot::Bot;
pub use command::{Said, snug, snug_chat};
pub use log::{Secrets, said};
pub use person::{PASSWORD, Person, Reply, Visitor};
pub use postgres::{Postgres, Shutdown};
pub use program::Program;
pub use socket::{Closed, Hello, Socket};
pub use terminal::Terminal;
pub use tool::{Tool, programs};
pub use wait::{PATIENCE, eventually, within};

use snug::protocol::{Command, Seq, Slug};
use uuid::Uuid;

/// Defines each test for both engines: `name::sqlite` and `name::postgres` run the same body. The argument is a [`TestApp`]
/// with the usual settings, or an [`Engine`] for a test that starts its server itself.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: $kind:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn check($world: $kind) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                check(<$kind as crate::support::World>::on(crate::support::Engine::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                check(<$kind as crate::support::World>::on(crate::support::Engine::Postgres).await).await;
            }
        }
    )+};
}
pub(crate) use on_both;

#[must_use]
pub fn slug(text: &str) -> Slug {
    Slug::new(text).expect("a slug in a test is well-formed")
}

/// A new message to `room`, and its id.
#[must_use]
pub fn message(room: &str, text: &str) -> (Uuid, Command) {
    let id = new_id();
    (id, send(room, id, text))
}

#[must_use]
pub fn send(room: &str, id: Uuid, text: &str) -> Command {
    Command::Send { room: slug(room), id, text: text.to_owned() }
}

#[must_use]
pub fn read(room: &str, seq: Seq) -> Command {
    Command::Read { room: slug(room), seq }
}

/// A random (version 4) id, as a browser's `crypto.randomUUID` makes it.
#[must_use]
pub fn new_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
