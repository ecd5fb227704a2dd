//! Moments on the wall of whoever sits at the terminal.

use jiff::tz::TimeZone;

use crate::app::request::WallTime;
use crate::app::time::{day_before, day_name, in_zone, push_date};
use crate::protocol::Micros;

/// The machine's zone, or `TZ`'s.
pub struct Clock(TimeZone);

impl Clock {
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self(TimeZone::system())
    }

    #[must_use]
    pub fn wall(&self, at: Micros) -> WallTime {
        in_zone(at, &self.0)
    }

    /// `2026-11-20 09:03`.
    #[must_use]
    pub fn moment(&self, at: Micros) -> String {
        let wall = self.wall(at);
        let mut out = String::new();
        push_date(&mut out, &wall);
        out.push(' ');
        out + &time(&wall)
    }

    /// "Today", "Yesterday", "Monday, 2 November".
    #[must_use]
    pub fn day(&self, day: &WallTime, now: Micros) -> String {
        day_name(day, &self.wall(now), &self.wall(day_before(now)))
    }
}

/// `09:03`.
#[must_use]
pub fn time(wall: &WallTime) -> String {
    format!("{:02}:{:02}", wall.hour, wall.minute)
}

/// The present moment.
#[must_use]
pub fn now() -> Micros {
    Micros(i64::try_from(super::session::now()).unwrap_or(i64::MAX).saturating_mul(1000))
}
