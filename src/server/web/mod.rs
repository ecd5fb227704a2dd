//! The doors: pages, server functions, the socket's endpoint, assets, health, metrics. Each finds out who asks and hands over to
//! [`chat`](super::chat); none decides.

pub mod actions;
mod api;
mod assets;
mod auth;
mod document;
#[cfg(fuzzing)]
pub mod fuzz;
mod health;
mod metrics;
mod pages;
mod security;
mod session;
mod socket;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use leptos::config::LeptosOptions;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tracing::Instrument;

pub use self::assets::Assets;
pub use self::security::Security;
use super::chat::{Chat, Origin};
use super::config::{Networks, Settings};
use super::live::socket::Sockets;
use super::metrics::Metrics;
use super::store::sessions::Sessions;
use crate::protocol::Refusal;

/// What the handlers share. Each layer that a request goes through has it for itself: one count each, whatever is in it.
#[derive(Clone)]
pub struct App(Arc<Shared>);

pub struct Shared {
    pub chat: Chat,
    pub sessions: Sessions,
    pub sockets: Sockets,
    pub assets: Assets,
    /// Where pages hear that they are to be loaded again, under `cargo leptos watch`.
    pub reload: Option<LeptosOptions>,
    pub security: Security,
    pub settings: Settings,
    /// The server is stopping: it is not ready for more.
    pub stopping: CancellationToken,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The address of whoever opened the TCP connection; put into every request by the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Everything that the server answers.
pub fn router(shared: Shared) -> Router {
    let app = App(Arc::new(shared));
    let counting = app.chat.metrics().clone();
    // Sessions only where there is someone to know: not for assets, not for the socket, which looks its session up itself.
    let pages = Router::new()
        .route("/actions/{action}", post(actions::answer).get(actions::go_home))
        .fallback(get(pages::page))
        .layer(session::layer(&app));
    let compressible = DefaultPredicate::new().and(NotForContentType::const_new("application/wasm"));
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(compressible);
    Router::new()
        .merge(pages)
        .layer(compression)
        .merge(assets::router())
        .merge(api::router(&app))
        .route("/ws", get(socket::upgrade))
        .route("/ws/{room}", get(socket::upgrade_into))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .with_state(app.clone())
        // One after the other for each request, the first around all others. As one layer, of which a request needs one copy.
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn_with_state(counting, trace))
                .layer(middleware::from_fn(api::problem::shape))
                // Around everything that answers, so that no answer goes without its headers.
                .layer(middleware::from_fn_with_state(app.clone(), security::guard))
                .layer(CatchPanicLayer::custom(|_| refusal(&Refusal::Internal)))
                .layer(middleware::from_fn_with_state(app, bound_body)),
        )
}

/// A refusal as JSON, with its status; under `/api` it becomes a [problem](api::problem).
pub fn refusal(why: &Refusal) -> Response {
    let status = StatusCode::from_u16(why.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(why)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after(why) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response.extensions_mut().insert(api::problem::Refused(why.clone()));
    response
}

/// What goes into `Retry-After`: whole seconds.
fn retry_after(why: &Refusal) -> Option<HeaderValue> {
    match why {
        Refusal::TooFast { retry_after_ms } => Some(retry_after_ms.div_ceil(1000).max(1).into()),
        Refusal::Busy | Refusal::Unavailable => Some(HeaderValue::from_static("1")),
        // Someone has to make room.
        Refusal::Full => Some(HeaderValue::from_static("10")),
        _ => None,
    }
}

/// Reads a request's body whole: within its limit, and its time. Handlers get it in memory.
async fn bound_body(axum::extract::State(app): axum::extract::State<App>, request: Request, next: Next) -> Response {
    use http_body_util::{BodyExt, Limited};
    let (parts, body) = request.into_parts();
    let most = usize::try_from(app.settings.body_max).unwrap_or(usize::MAX);
    let patience = Duration::from_secs(app.settings.body_timeout.into());
    let body = match timeout(patience, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return closing(refusal(&Refusal::TooLarge)),
        Ok(Err(_)) => return closing(refusal(&Refusal::BadRequest)),
        Err(_) => return closing((StatusCode::REQUEST_TIMEOUT, "The request's body did not come in time.\n").into_response()),
    };
    let request = Request::from_parts(parts, body.into());
    if request.method().is_safe() {
        return next.run(request).await;
    }
    // What changes something is carried through, also where its client hangs up: a login that has ended takes its sockets with it.
    match app.sockets.tasks.spawn(next.run(request).in_current_span()).await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => refusal(&Refusal::Unavailable),
        },
    }
}

/// What is left of the request is not read: the connection ends with this answer.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// One line for each request, with an id that the answer names too. Never the query, which may carry a token.
async fn trace(axum::extract::State(metrics): axum::extract::State<Metrics>, request: Request, next: Next) -> Response {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id);
    async move {
        let start = std::time::Instant::now();
        let mut response = next.run(request).await;
        let (status, time) = (response.status().as_u16(), start.elapsed());
        metrics.answered(status, time);
        let micros = time.as_micros();
        // What everyone meets for as long as it lasts (503) is said once, where it is met.
        if status >= 500 && status != 503 {
            tracing::warn!(%method, path, status, micros, "answered {status}");
        } else {
            tracing::debug!(%method, path, status, micros, "answered {status}");
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-request-id", id);
        }
        response
    }
    .instrument(span)
    .await
}

/// The most characters of a `User-Agent` that are kept with a login.
const AGENT_MAX: usize = 200;

/// From where a request comes, and whether it is a program's.
fn from(app: &App, request: &Parts, program: bool) -> Origin {
    let agent = request.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    Origin { program, address: client_address(request, &app.settings), agent: agent.chars().take(AGENT_MAX).collect() }
}

/// The client's address.
fn client_address(request: &Parts, settings: &Settings) -> IpAddr {
    let peer = request.extensions.get::<Peer>().copied();
    let address = nearest(peer, &request.headers, &settings.trusted_proxy);
    if settings.trusted_proxy.0.is_empty() && address.is_loopback() && request.headers.contains_key("x-forwarded-for") {
        // Said once: whoever is on this machine may send what they like.
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            tracing::warn!(
                %address,
                "a proxy at {address} is not in trusted_proxy, so everyone who comes by it counts as one address, for limits too"
            );
        });
    }
    address
}

/// The peer's address, or what the nearest proxy that is not ours to trust says it is.
fn nearest(peer: Option<Peer>, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut address = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip().to_canonical());
    // Hop by hop: a proxy puts the address that it knows behind whatever its client said.
    let forwarded = headers.get_all("x-forwarded-for").iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let hops: Vec<&[u8]> = forwarded.map(<[u8]>::trim_ascii).collect();
    // From the nearest hop outwards, as long as the one who says so is trusted.
    for hop in hops.into_iter().rev() {
        if !trusted.0.iter().any(|network| network.contains(address)) {
            break;
        }
        let Some(next) = str::from_utf8(hop).ok().and_then(|hop| hop.parse::<IpAddr>().ok()) else { break };
        address = next.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let peer = |ip: &str| Some(Peer(SocketAddr::new(ip.parse().expect("an address"), 1)));
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 9.9.9.9, 10.0.0.2"));
        let trusted: Networks = "10.0.0.0/8".parse().expect("networks");
        let of = |peer, trusted: &Networks| nearest(peer, &headers, trusted).to_string();
        assert_eq!(of(peer("10.0.0.1"), &trusted), "9.9.9.9", "the forged first hop is passed over");
        assert_eq!(of(peer("8.8.8.8"), &trusted), "8.8.8.8");
        assert_eq!(of(peer("10.0.0.1"), &Networks::default()), "10.0.0.1");
        let odd = HeaderValue::from_bytes(b"\xe9, 9.9.9.9").expect("a header's value");
        headers.insert("x-forwarded-for", odd);
        assert_eq!(nearest(peer("10.0.0.1"), &headers, &trusted).to_string(), "9.9.9.9", "whatever stands before it");
    }
}
