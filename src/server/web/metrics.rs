//! `GET /metrics`: what is counted, for who may know.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, http::HeaderValue};

use super::{App, Peer};
use crate::server::config::Secret;

/// What a proxy says of whom it speaks for. A request with one of these is not from this machine, whoever passed it on.
const FORWARDED: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
    header::FORWARDED,
];

/// The counters, in Prometheus' text format. To a stranger there is no such page.
pub async fn metrics(State(app): State<App>, peer: Option<Extension<Peer>>, headers: HeaderMap) -> Response {
    let peer = peer.map(|Extension(peer)| peer);
    match app.settings.metrics_token.as_ref() {
        Some(token) if !has(&headers, token) => {
            let ask = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
            return (StatusCode::UNAUTHORIZED, ask, "The metrics ask for their token.\n").into_response();
        }
        None if !is_local(peer, &headers) => return (StatusCode::NOT_FOUND, "There is no such page.\n").into_response(),
        _ => {}
    }
    let kind = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (kind, app.chat.metrics_text()).into_response()
}

fn has(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    given.and_then(|given| given.strip_prefix(b"Bearer ")).is_some_and(|given| token.is(given))
}

fn is_local(peer: Option<Peer>, headers: &HeaderMap) -> bool {
    let loopback = peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    loopback && FORWARDED.iter().all(|name| !headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_itself_is_local() {
        let peer = |address: &str| Some(Peer(address.parse().expect("an address")));
        let none = HeaderMap::new();
        assert!(is_local(peer("127.0.0.1:1"), &none) && is_local(peer("[::1]:1"), &none));
        assert!(is_local(peer("[::ffff:127.0.0.1]:1"), &none));
        assert!(!is_local(peer("192.168.0.7:1"), &none) && !is_local(None, &none));
        for name in FORWARDED {
            let forwarded = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("127.0.0.1"))]);
            assert!(!is_local(peer("127.0.0.1:1"), &forwarded), "{name}");
        }
    }
}
