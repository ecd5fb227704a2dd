//! What a server has to outlive: being killed, being stopped for a while, a disk that is full, a database that is away; each under
//! load, with the real program. Nothing that it acknowledged is lost, doubled or out of order.
//!
//! `make chaos` runs the long forms. `SNUG_DEV_CHAOS_ROUNDS` is how often each of it happens, `SNUG_DEV_CHAOS_STOP` for how many
//! seconds it is stopped, and `SNUG_DEV_CHAOS_SEED` repeats the choices of a run, which prints its seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod away;
mod full;
mod kill;
mod load;
mod place;
mod stop;

use std::str::FromStr;

/// A number that the environment may set.
fn given<T: FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number: {text:?}")))
}

/// How often something happens: `usual`, or as often as was asked for.
fn rounds(usual: usize) -> usize {
    given("SNUG_DEV_CHAOS_ROUNDS").unwrap_or(usual)
}
