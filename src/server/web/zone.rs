//! Times on someone's wall: the zone that the cookie `tz` names, with the rules of the IANA database built in.

use axum::http::{HeaderMap, header};
use jiff::tz::TimeZone;
use tower_sessions::cookie::Cookie;

use crate::app::request::WallTime;
use crate::app::time;
use crate::protocol::Micros;

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub struct Zone {
    pub name: String,
    zone: TimeZone,
}

impl Zone {
    /// The zone that the request's cookie names; UTC without one, or with a name that is none.
    pub fn of(headers: &HeaderMap) -> Self {
        let named = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(Cookie::split_parse_encoded)
            .filter_map(Result::ok)
            .find(|cookie| cookie.name() == "tz")
            .filter(|cookie| cookie.value().len() <= 64)
            .and_then(|cookie| TimeZone::get(cookie.value()).ok().map(|zone| Self { name: cookie.value().to_owned(), zone }));
        named.unwrap_or_else(|| Self { name: "UTC".to_owned(), zone: TimeZone::UTC })
    }

    pub fn wall(&self, at: Micros) -> WallTime {
        time::in_zone(at, &self.zone)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_cookie_names_the_zone_and_nonsense_is_utc() {
        let zone = |cookie: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
            Zone::of(&headers)
        };
        // 2026-07-01T22:30:00Z
        let at = Micros(1_782_945_000_000_000);
        let berlin = zone("a=b; tz=Europe%2FBerlin").wall(at);
        assert_eq!((berlin.month, berlin.day, berlin.weekday, berlin.hour, berlin.minute), (7, 2, 3, 0, 30));
        for nonsense in ["tz=Nowhere%2FAtAll", "x=1", "tz=%2e%2e%2fetc"] {
            let utc = zone(nonsense);
            assert_eq!((utc.name.as_str(), utc.wall(at).hour), ("UTC", 22));
        }
    }
}
