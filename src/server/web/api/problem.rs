//! What the API says when it refuses: problem details (RFC 9457), made of the refusals that every door gives, and of the few
//! reasons that only HTTP has.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::protocol::Refusal;
use crate::server::web::retry_after;

/// Why a request was refused: `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says which it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Not Found")]
    title: &'static str,
    #[schema(example = 404)]
    status: u16,
    /// What happened and what to do, for people.
    #[schema(example = "There is no such room.")]
    detail: Cow<'static, str>,
    #[serde(flatten)]
    why: Why,
    #[serde(skip)]
    retry_after: Option<HeaderValue>,
}

/// The code of a problem, and what belongs to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
struct Why {
    /// What happened, for programs. Codes stay as they are; new ones may come.
    #[schema(example = "no_room")]
    code: Cow<'static, str>,
    /// What was wrong: one of the fields that were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// How many characters it may have, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max: Option<u32>,
    /// How many characters it must have, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    min: Option<u32>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_ms: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: detail.into(),
            why: Why { code: code.into(), ..Why::default() },
            retry_after: None,
        }
    }

    /// A body, or a parameter, that is not what is asked for: `why` says where.
    pub fn malformed(why: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", format!("The server could not make sense of that: {why}."))
    }

    /// A body that does not say that it is JSON.
    pub fn no_json() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address. GET /api says what there is.")
    }

    fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request's body did not come in time.")
    }

    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address takes other methods: see the header Allow.")
    }
}

impl From<&Refusal> for Problem {
    fn from(why: &Refusal) -> Self {
        let status = StatusCode::from_u16(why.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A refusal is its code, with what belongs to it beside.
        let parts = serde_json::to_value(why).and_then(serde_json::from_value);
        let problem = Self::new(status, "internal", why.to_string());
        Self { retry_after: retry_after(why), why: parts.unwrap_or_else(|_| problem.why.clone()), ..problem }
    }
}

impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Self {
        Self::from(&why)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// A refusal on its way out, for [`shape`].
#[derive(Clone, Debug)]
pub struct Refused(pub Refusal);

/// Gives what was refused before or around the API (a body too large, a write from another site, a panic) the API's shape.
pub async fn shape(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let ours = path == "/api" || path.starts_with("/api/") || path == "/ws" || path.starts_with("/ws/");
    let response = next.run(request).await;
    let problem = match response.extensions().get::<Refused>() {
        _ if !ours => return response,
        Some(Refused(why)) => Problem::from(why),
        None if response.status() == StatusCode::REQUEST_TIMEOUT => Problem::too_slow(),
        None => return response,
    };
    let (mut parts, _) = response.into_parts();
    let shaped = problem.into_response();
    parts.headers.remove(header::CONTENT_LENGTH);
    for (name, value) in shaped.headers() {
        parts.headers.insert(name, value.clone());
    }
    Response::from_parts(parts, shaped.into_body())
}
