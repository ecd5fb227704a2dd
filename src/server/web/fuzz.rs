//! What `fuzz/` tries of the doors: each function takes whatever a stranger may send, and panics when what must hold does not.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Uri, header};

use super::actions::local;
use super::{Peer, auth, nearest, session, zone};
use crate::protocol::Micros;
use crate::server::chat::fuzz;
use crate::server::config::Networks;

/// Headers of one name, one for each line.
fn headers(name: header::HeaderName, lines: &[u8]) -> HeaderMap {
    let values = lines.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    let mut headers = HeaderMap::new();
    for value in values.take(100) {
        headers.append(&name, value);
    }
    headers
}

/// `Cookie`: the session's id, and the time zone.
pub fn cookies(lines: &[u8]) {
    let headers = headers(header::COOKIE, lines);
    if let Some(id) = session::id(&headers, "snug_session") {
        // It is written in one way.
        let again = HeaderValue::from_str(&format!("snug_session={id}")).expect("an id is ASCII");
        assert_eq!(session::id(&HeaderMap::from_iter([(header::COOKIE, again)]), "snug_session"), Some(id));
    }
    let zone = zone::Zone::of(&headers);
    for at in [i64::MIN, -1, 0, 1_795_360_000_000_000, i64::MAX] {
        let wall = zone.wall(Micros(at));
        assert!((1..=12).contains(&wall.month) && (1..=31).contains(&wall.day) && wall.hour < 24 && wall.minute < 60);
    }
}

/// `Authorization`, and what a token in it is worth.
pub fn authorization(lines: &[u8]) {
    if let Some(token) = auth::bearer(&headers(header::AUTHORIZATION, lines)) {
        fuzz::token(token);
    }
}

/// `X-Forwarded-For`: nobody but a trusted proxy says who someone is, and nobody is nobody.
pub fn forwarded(lines: &[u8]) {
    let headers = headers(header::HeaderName::from_static("x-forwarded-for"), lines);
    let peer: IpAddr = [10, 0, 0, 1].into();
    let trusted: Networks = "10.0.0.0/8, fd00::/8".parse().expect("networks");
    assert_eq!(nearest(Some(Peer((peer, 1).into())), &headers, &Networks::default()), peer);
    let stranger: IpAddr = [203, 0, 113, 7].into();
    assert_eq!(nearest(Some(Peer((stranger, 1).into())), &headers, &trusted), stranger);
    fuzz::source(nearest(Some(Peer((peer, 1).into())), &headers, &trusted));
}

/// What is after the `?` of an address, in a form, or in a JSON body.
pub fn requests(bytes: &[u8]) {
    super::api::fuzz(bytes);
    super::socket::fuzz(bytes);
    let text = String::from_utf8_lossy(bytes);
    let to = local(Some(&text));
    assert!(to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\") && to.parse::<Uri>().is_ok(), "{to:?}");
    for (name, value) in url::form_urlencoded::parse(bytes) {
        let _any = (super::actions::slug(name.into_owned()), super::actions::idle(Some(&value)));
    }
}
