//! What Snug does, seen from outside: over HTTP and sockets, on both engines. One program, so that PostgreSQL is started once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod admin;
mod api;
mod backup;
mod finding;
mod hostile;
mod idle;
mod limits;
mod log;
mod operating;
mod ordering;
mod pages;
mod program;
mod programs;
mod protocol;
mod rest;
mod room_socket;
mod rooms;
mod settings;
mod slow_reader;
mod snapshot;
mod socket;
mod strangers;
mod terminal;
mod throttles;
mod tokens;
