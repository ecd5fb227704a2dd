//! Moments on the wall of whoever sits at the terminal.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::app::request::WallTime;
use crate::app::time::{day_name, push_date};
use crate::protocol::Micros;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The machine's zone, or `TZ`'s.
pub struct Clock(TimeZone);

impl Clock {
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self(TimeZone::system())
    }

    #[must_use]
    pub fn wall(&self, at: Micros) -> WallTime {
        // What no calendar reaches is at its beginning.
        let at = Timestamp::from_microsecond(at.0).unwrap_or_default().to_zoned(self.0.clone());
        let small = |number: i8| u8::try_from(number).unwrap_or_default();
        WallTime {
            year: at.year().into(),
            month: small(at.month()),
            day: small(at.day()),
            weekday: small(at.weekday().to_monday_zero_offset()),
            hour: small(at.hour()),
            minute: small(at.minute()),
        }
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
        day_name(day, &self.wall(now), &self.wall(Micros(now.0 - DAY)))
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
