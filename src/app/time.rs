//! Moments, as people read them. Which wall a moment is put on (the zone) is the caller's; the rest is the same on the
//! server and in the browser.

use std::cell::Cell;
use std::fmt::Write as _;

use super::request::WallTime;
use crate::protocol::Micros;

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const MICROS_A_MINUTE: i64 = 60_000_000;
const MICROS_A_DAY: i64 = 86_400_000_000;

/// The moment on a wall in UTC.
#[must_use]
pub fn utc(at: Micros) -> WallTime {
    let days = at.0.div_euclid(MICROS_A_DAY);
    let seconds = at.0.rem_euclid(MICROS_A_DAY) / 1_000_000;
    let (year, month, day) = civil(days);
    WallTime {
        year,
        month,
        day,
        weekday: small((days + 3).rem_euclid(7)),
        hour: small(seconds / 3600),
        minute: small(seconds % 3600 / 60),
    }
}

/// Year, month and day of the `days`th day after 1970-01-01, in the Gregorian calendar (Howard Hinnant's algorithm).
fn civil(days: i64) -> (i32, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = small(day_of_year - (153 * from_march + 2) / 5 + 1);
    let month = small(if from_march < 10 { from_march + 3 } else { from_march - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (i32::try_from(year).unwrap_or(i32::MAX), month, day)
}

/// The beginning of a day.
#[must_use]
pub fn day(year: i32, month: u8, day: u8) -> WallTime {
    // Sakamoto's method: the weekday of a date, from Sunday.
    const SHIFTS: [i32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let y = year - i32::from(month < 3);
    let shift = SHIFTS[usize::from(month.max(1) - 1) % 12];
    let from_sunday = (y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + shift + i32::from(day)).rem_euclid(7);
    WallTime { year, month, day, weekday: small(i64::from((from_sunday + 6) % 7)), hour: 0, minute: 0 }
}

/// A number that is known to be small.
fn small(number: i64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Writes `2026-11-20T09:03:07Z`, for machines.
pub fn push_iso(out: &mut String, at: Micros) {
    let wall = utc(at);
    push_date(out, &wall);
    out.push('T');
    push_two(out, wall.hour);
    out.push(':');
    push_two(out, wall.minute);
    out.push(':');
    push_two(out, small(at.0.rem_euclid(MICROS_A_MINUTE) / 1_000_000));
    out.push('Z');
}

/// Writes `2026-11-20`.
pub fn push_date(out: &mut String, wall: &WallTime) {
    match u8::try_from(wall.year / 100) {
        Ok(century) if wall.year < 10_000 => {
            push_two(out, century);
            push_two(out, small((wall.year % 100).into()));
        }
        // No year that a message can be of.
        _ => _ = write!(out, "{:04}", wall.year),
    }
    for number in [wall.month, wall.day] {
        out.push('-');
        push_two(out, number);
    }
}

/// Writes `9:03`.
pub fn push_clock(out: &mut String, wall: &WallTime) {
    if wall.hour > 9 {
        out.push(digit(wall.hour / 10));
    }
    out.push(digit(wall.hour));
    out.push(':');
    push_two(out, wall.minute);
}

/// The numbers below 100, with two digits each.
const TWO: &str = concat!(
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748",
    "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697",
    "9899"
);

/// Writes a number below 100 with two digits. (Formatting by `write!` took a twentieth of a page's time.)
fn push_two(out: &mut String, number: u8) {
    let at = usize::from(number % 100) * 2;
    out.push_str(&TWO[at..at + 2]);
}

/// The last digit of a number.
fn digit(number: u8) -> char {
    char::from(b'0' + number % 10)
}

/// Whether two moments are on the same day of the same wall.
#[must_use]
pub fn same_day(a: &WallTime, b: &WallTime) -> bool {
    (a.year, a.month, a.day) == (b.year, b.month, b.day)
}

/// What to call a day: "Today", "Yesterday", "Monday, 2 November", and the year with it where it is another.
#[must_use]
pub fn day_name(day: &WallTime, today: &WallTime, yesterday: &WallTime) -> String {
    if same_day(day, today) {
        return "Today".to_owned();
    }
    if same_day(day, yesterday) {
        return "Yesterday".to_owned();
    }
    let weekday = WEEKDAYS[usize::from(day.weekday) % 7];
    let month = MONTHS[usize::from(day.month.max(1) - 1) % 12];
    if day.year == today.year {
        format!("{weekday}, {} {month}", day.day)
    } else {
        format!("{weekday}, {} {month} {}", day.day, day.year)
    }
}

/// The moment on a wall in a zone, by the rules of the IANA database; what no calendar reaches is at 1970's beginning.
#[cfg(feature = "ssr")]
#[must_use]
pub fn in_zone(at: Micros, zone: &jiff::tz::TimeZone) -> WallTime {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default().to_zoned(zone.clone());
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

/// `wall`, which is asked again only for another minute: what zones are apart from UTC is whole minutes, in all of them since 1972.
pub fn by_the_minute(wall: impl Fn(Micros) -> WallTime) -> impl Fn(Micros) -> WallTime {
    let last = Cell::new(None);
    move |at| {
        let minute = at.0.div_euclid(MICROS_A_MINUTE);
        if let Some((_, wall)) = last.get().filter(|(last, _)| *last == minute) {
            return wall;
        }
        let wall = wall(at);
        last.set(Some((minute, wall)));
        wall
    }
}

/// The same moment a day before.
#[must_use]
pub fn day_before(at: Micros) -> Micros {
    Micros(at.0 - MICROS_A_DAY)
}

/// `iso` as a text of its own.
#[must_use]
pub fn iso(at: Micros) -> String {
    let mut out = String::with_capacity(20);
    push_iso(&mut out, at);
    out
}

/// "20 November 2026, 9:03"
#[must_use]
pub fn in_full(wall: &WallTime) -> String {
    let month = MONTHS[usize::from(wall.month.max(1) - 1) % 12];
    let mut out = format!("{} {month} {}, ", wall.day, wall.year);
    push_clock(&mut out, wall);
    out
}

/// The moment in as few letters as a list has room for: "9:03" today, "Mon" within six days, "2 Nov" within the year, "Nov 2025".
pub fn short(at: Micros, now: Micros, wall: impl Fn(Micros) -> WallTime) -> String {
    let (then, today) = (wall(at), wall(now));
    let mut out = String::with_capacity(8);
    let three = |name: &'static str| &name[..3];
    let month = three(MONTHS[usize::from(then.month.max(1) - 1) % 12]);
    if same_day(&then, &today) {
        push_clock(&mut out, &then);
    } else if (0..6 * MICROS_A_DAY).contains(&(now.0 - at.0)) {
        out.push_str(three(WEEKDAYS[usize::from(then.weekday) % 7]));
    } else if then.year == today.year {
        let _ = write!(out, "{} {month}", then.day);
    } else {
        let _ = write!(out, "{month} {}", then.year);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_put_on_the_right_wall() {
        assert_eq!(iso(Micros(0)), "1970-01-01T00:00:00Z");
        assert_eq!(utc(Micros(0)).weekday, 3, "a Thursday");
        assert_eq!(iso(Micros(1_795_167_787_000_000)), "2026-11-20T09:43:07Z");
        assert_eq!(utc(Micros(1_795_167_787_000_000)).weekday, 4, "a Friday");
        assert_eq!(iso(Micros(951_782_400_000_000)), "2000-02-29T00:00:00Z");
        assert_eq!(iso(Micros(-1)), "1969-12-31T23:59:59Z");
        assert_eq!(iso(Micros(-62_135_596_800_000_000)), "0001-01-01T00:00:00Z");
        assert_eq!(iso(Micros(253_402_300_800_000_000)), "10000-01-01T00:00:00Z");
        assert_eq!(in_full(&WallTime { hour: 0, ..day(2026, 11, 20) }), "20 November 2026, 0:00");
        assert_eq!(in_full(&WallTime { hour: 23, minute: 59, ..day(2026, 11, 20) }), "20 November 2026, 23:59");
    }

    #[test]
    fn a_date_has_the_weekday_of_its_moments() {
        for days in (0..40_000).step_by(17) {
            let wall = utc(Micros(days * MICROS_A_DAY));
            assert_eq!(day(wall.year, wall.month, wall.day), wall);
        }
    }

    #[test]
    fn days_are_called_by_what_is_nearest() {
        let now = Micros(1_795_167_787_000_000);
        let (today, yesterday) = (utc(now), utc(day_before(now)));
        let name = |days: i64| day_name(&utc(Micros(now.0 - days * MICROS_A_DAY)), &today, &yesterday);
        assert_eq!(name(0), "Today");
        assert_eq!(name(1), "Yesterday");
        assert_eq!(name(2), "Wednesday, 18 November");
        assert_eq!(name(365), "Thursday, 20 November 2025");
    }

    #[test]
    fn a_list_says_when_in_few_letters() {
        let now = 1_795_167_787_000_000;
        let short = |ago: i64| short(Micros(now - ago), Micros(now), utc);
        assert_eq!(short(0), "9:43");
        assert_eq!(short(MICROS_A_DAY), "Thu");
        assert_eq!(short(6 * MICROS_A_DAY - 1), "Sat", "and never the weekday of today");
        assert_eq!(short(7 * MICROS_A_DAY), "13 Nov");
        assert_eq!(short(365 * MICROS_A_DAY), "Nov 2025");
        assert_eq!(short(-60_000_000), "9:44", "a clock that is ahead of ours");
    }
}
