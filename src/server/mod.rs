//! Only on the server: the rules ([`chat`]), what is kept ([`store`]), who is told ([`live`]), and the doors ([`web`]).

pub mod chat;
pub mod config;
pub mod health;
mod home;
pub mod live;
pub mod metrics;
pub mod operator;
mod serve;
pub mod store;
pub mod stream;
pub mod web;

pub use serve::{Running, StartError, start};
