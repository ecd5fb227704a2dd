//! What people are told of a fault of ours, and what the log has of it. What everyone meets at once until it is over (a database
//! that is away, a disk that is full) is said once in a while, not to everyone who met it.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::protocol::Refusal;
use crate::server::store::StoreError;

/// The time between two lines about the same trouble.
const SELDOM: Duration = Duration::from_secs(60);

/// Trouble that comes in crowds.
struct Trouble {
    turn: LazyLock<DefaultDirectRateLimiter>,
    /// How often it was met since it was said.
    unsaid: AtomicU64,
}

impl Trouble {
    const fn new() -> Self {
        Self { turn: LazyLock::new(|| RateLimiter::direct(often())), unsaid: AtomicU64::new(0) }
    }

    /// How often it was met before this since it was last said, if it is to be said again.
    fn met(&self) -> Option<u64> {
        let say = self.turn.check().is_ok();
        if !say {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
        }
        say.then(|| self.unsaid.swap(0, Ordering::Relaxed))
    }
}

fn often() -> Quota {
    Quota::with_period(SELDOM).unwrap_or(Quota::per_minute(NonZeroU32::MIN))
}

/// What people are told; the log has the rest.
pub fn fault(error: StoreError) -> Refusal {
    static FULL: Trouble = Trouble::new();
    if error.is_away() {
        return away(&error);
    }
    if error.is_full() {
        if let Some(before) = FULL.met() {
            tracing::error!(%error, before, "the disk is full: nothing new is kept until it has room, and what is there can be read");
        }
        return Refusal::Full;
    }
    tracing::error!(%error, "the store failed");
    Refusal::Internal
}

/// The same where it is known that the database was not reached.
pub fn away(error: &dyn Display) -> Refusal {
    static AWAY: Trouble = Trouble::new();
    if let Some(before) = AWAY.met() {
        tracing::error!(%error, before, "the database does not answer");
    }
    Refusal::Unavailable
}
