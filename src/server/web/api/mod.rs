//! The API for programs: JSON under `/api`, each request by a token of its own. A handler is a few lines that call what pages and
//! sockets call.
//!
//! Cookies count for nothing here, so no site can make a browser act: what comes from another origin is refused none the less,
//! unless the settings name that origin.

mod accounts;
mod description;
mod messages;
mod page;
pub mod problem;
mod rooms;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::problem::Problem;
use super::{App, auth};
use crate::protocol::Refusal;
use crate::server::chat::{Actor, Allowance, BURST_SECONDS, Chat, Origin};
use crate::server::config::Settings;

/// What a handler says when it refuses.
type Refusing<T> = Result<T, Problem>;

/// Everything under `/api`.
pub fn router(app: &App) -> Router<App> {
    let open = OpenApiRouter::with_openapi(description::Description::openapi())
        .routes(routes!(accounts::register))
        .routes(routes!(accounts::log_in));
    let own = OpenApiRouter::new()
        .routes(routes!(accounts::log_out))
        .routes(routes!(accounts::me))
        .routes(routes!(accounts::ticket))
        .routes(routes!(rooms::list, rooms::create))
        .routes(routes!(rooms::show))
        .routes(routes!(rooms::join))
        .routes(routes!(rooms::leave))
        .routes(routes!(rooms::close))
        .routes(routes!(rooms::reopen))
        .routes(routes!(rooms::members))
        .routes(routes!(messages::read, messages::send))
        .routes(routes!(messages::mark_read))
        .layer(middleware::from_fn_with_state(app.clone(), authenticate));
    let (open, mut description) = open.split_for_parts();
    let (own, guarded) = own.split_for_parts();
    description::complete(&mut description, guarded);
    let router = open
        .merge(own)
        .merge(page::router(&description, &app.assets.root()))
        .route("/api/", axum::routing::any(not_found))
        .route("/api/{*rest}", axum::routing::any(not_found))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(middleware::map_response(keep_private));
    match cors(&app.settings) {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

async fn not_found() -> Problem {
    Problem::not_found()
}

/// Lets in who shows a token, as often as they may ask; the answer says how often that still is.
async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let token = auth::bearer(request.headers());
    let actor = match token {
        Some(token) => auth::actor(&app.chat, auth::Proof::Token(token)).await.and_then(|actor| actor.ok_or(Refusal::LogIn)),
        None => Err(Refusal::LogIn),
    };
    let actor = match actor {
        Ok(actor) => actor,
        Err(why) => return Problem::from(why).into_response(),
    };
    let (allowance, mut response) = match app.chat.allow_request(&actor) {
        Ok(allowance) => {
            request.extensions_mut().insert(Caller(actor));
            (allowance, next.run(request).await)
        }
        Err((allowance, why)) => (allowance, Problem::from(why).into_response()),
    };
    let [policy, left] = rate_limit(allowance);
    response.headers_mut().insert(HeaderName::from_static("ratelimit-policy"), policy);
    response.headers_mut().insert(HeaderName::from_static("ratelimit"), left);
    response
}

/// The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
fn rate_limit(Allowance { of, left }: Allowance) -> [HeaderValue; 2] {
    [format!("\"requests\";q={of};w={BURST_SECONDS}"), format!("\"requests\";r={left}")]
        .map(|value| HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("")))
}

/// Answers are of one person at one moment: nobody keeps them, but for what says otherwise.
async fn keep_private(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets scripts of the named origins in; they bring a token, never a cookie. None where no origin is named.
fn cors(settings: &Settings) -> Option<CorsLayer> {
    let origins: Vec<_> = settings.cors_origins.0.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let told = ["location", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"].map(HeaderName::from_static);
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers(told)
            .max_age(std::time::Duration::from_secs(3600))
    })
}

/// Who asks, as [`authenticate`] has found out.
#[derive(Clone, Debug)]
struct Caller(Actor);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Refusing<Self> {
        // There is always one behind `authenticate`.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::LogIn.into())
    }
}

/// From where a program asks.
struct From(Origin);

impl FromRequestParts<App> for From {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Refusing<Self> {
        Ok(Self(super::from(app, parts, true)))
    }
}

/// The chat is all that most handlers need.
impl FromRef<App> for Chat {
    fn from_ref(app: &App) -> Self {
        app.chat.clone()
    }
}

/// A JSON body.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Refusing<Self> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::no_json()),
            Err(JsonRejection::JsonDataError(why)) => Err(Problem::malformed(&cause(&why))),
            Err(JsonRejection::JsonSyntaxError(why)) => Err(Problem::malformed(&cause(&why))),
            Err(_) => Err(Refusal::BadRequest.into()),
        }
    }
}

/// The parameters after the `?`.
struct Parameters<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Refusing<Self> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(QueryRejection::FailedToDeserializeQueryString(why)) => Err(Problem::malformed(&cause(&why))),
            Err(_) => Err(Refusal::BadRequest.into()),
        }
    }
}

/// The room that an address names.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct InRoom {
    /// The room's slug.
    #[param(example = "general")]
    slug: String,
}

impl<S: Send + Sync> FromRequestParts<S> for InRoom {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Refusing<Self> {
        // Only what is no UTF-8 is no text, and no room's name either.
        Path::from_request_parts(parts, state).await.map(|Path(room)| room).map_err(|_| Refusal::NoRoom.into())
    }
}

/// What was wrong in the end: "unknown field `x`, expected `y`".
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// What is read from these bytes after the `?` of an address.
#[cfg(fuzzing)]
pub(super) fn query<T: DeserializeOwned>(bytes: &[u8]) -> Option<Query<T>> {
    let query: String = bytes.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_graphic).collect();
    Query::try_from_uri(&format!("/?{query}").parse().ok()?).ok()
}

/// Whatever may stand after the `?`, or in a body.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    use crate::protocol::api::{LogIn, NewMessage, NewRoom, ReadUpTo, Register};
    if let Some(Query(which)) = query::<messages::Which>(bytes) {
        let _any = crate::server::chat::Page::try_from(which);
    }
    let _any = (query::<rooms::AfterRoom>(bytes).is_some(), query::<rooms::AfterMember>(bytes).is_some());
    let why = |error: serde_json::Error| Problem::malformed(&cause(&error)).into_response();
    let _any = serde_json::from_slice::<LogIn>(bytes).map_err(why);
    let _any = serde_json::from_slice::<Register>(bytes).map_err(why);
    let _any = serde_json::from_slice::<NewRoom>(bytes).map_err(why);
    let _any = serde_json::from_slice::<NewMessage>(bytes).map_err(why);
    let _any = serde_json::from_slice::<ReadUpTo>(bytes).map_err(why);
}
