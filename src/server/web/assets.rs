//! What the build makes for browsers, embedded in the program: compressed beforehand, under a folder named by its content, so that it
//! may be kept for ever. (A debug build reads it from disk, and lets nobody keep it.)

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{Embed, EmbeddedFile};
use sha2::{Digest, Sha256};

use super::App;

#[derive(Embed)]
#[folder = "target/site"]
#[exclude = "*.d.ts"]
#[allow_missing = true]
struct Site;

/// Root-level files that browsers ask for by name. (The icons are drawn by `scripts/icons`.)
const NAMED: [&str; 9] = [
    "apple-touch-icon.png",
    "favicon.ico",
    "favicon.svg",
    "icon-192.png",
    "icon-512.png",
    "icon-maskable-192.png",
    "icon-maskable-512.png",
    "manifest.webmanifest",
    "robots.txt",
];

/// The embedded files, and the folder that they are served under.
#[derive(Clone, Debug)]
pub struct Assets {
    root: Arc<str>,
    build: Arc<str>,
}

impl Assets {
    /// Names the folder by a hash of everything in `pkg/`.
    #[must_use]
    pub fn new() -> Self {
        let build: Arc<str> = if cfg!(debug_assertions) {
            "dev".into()
        } else {
            let mut names: Vec<_> = Site::iter().filter(|name| name.starts_with("pkg/")).collect();
            names.sort();
            let mut digest = Sha256::new();
            for name in names {
                digest.update(name.as_bytes());
                digest.update(Site::get(&name).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
            }
            digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into()
        };
        Self { root: format!("/b/{build}").into(), build }
    }

    /// The folder, such as `/b/0123456789abcdef`.
    #[must_use]
    pub fn root(&self) -> Arc<str> {
        Arc::clone(&self.root)
    }

    /// Names this build of the browser's code.
    #[must_use]
    pub fn build(&self) -> Arc<str> {
        Arc::clone(&self.build)
    }
}

impl Default for Assets {
    fn default() -> Self {
        Self::new()
    }
}

pub fn router() -> Router<App> {
    let mut router = Router::new().route("/b/{build}/{*file}", get(hashed));
    for name in NAMED {
        router = router.route(&format!("/{name}"), get(named));
    }
    // Where `cargo leptos watch` has pages fetch a changed stylesheet.
    if cfg!(debug_assertions) { router.route("/pkg/{*file}", get(named)) } else { router }
}

async fn hashed(State(app): State<App>, Path((build, file)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let present = !cfg!(debug_assertions) && *build == *app.assets.build;
    serve(&file, &headers, if present { "public, max-age=31536000, immutable" } else { "no-cache" })
}

async fn named(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let cache = if cfg!(debug_assertions) { "no-cache" } else { "public, max-age=86400" };
    serve(uri.path().trim_start_matches('/'), &headers, cache)
}

fn serve(name: &str, headers: &HeaderMap, cache: &'static str) -> Response {
    let Some(plain) = Site::get(name) else { return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response() };
    let etag = format!("\"{}\"", plain.metadata.sha256_hash()[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut answer = HeaderMap::new();
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        answer.insert(header::ETAG, etag);
    }
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
        return (StatusCode::NOT_MODIFIED, answer).into_response();
    }
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (file, encoding) = encoded(name, plain, accepted);
    if let Some(encoding) = encoding {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        answer.insert(header::CONTENT_TYPE, kind);
    }
    let body = match file.data {
        Cow::Borrowed(bytes) => axum::body::Body::from(bytes),
        Cow::Owned(bytes) => axum::body::Body::from(bytes),
    };
    (answer, body).into_response()
}

/// The smallest form of a file that the client takes.
fn encoded(name: &str, plain: EmbeddedFile, accepted: &str) -> (EmbeddedFile, Option<&'static str>) {
    let takes = |coding: &str| {
        accepted.split(',').any(|part| {
            let mut part = part.split(';').map(str::trim);
            part.next() == Some(coding) && part.all(|parameter| !matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    for (coding, ending) in [("br", "br"), ("gzip", "gz")] {
        // The compressed files are the last release build's: a debug build's are newer.
        if !cfg!(debug_assertions)
            && takes(coding)
            && let Some(file) = Site::get(&format!("{name}.{ending}"))
        {
            return (file, Some(coding));
        }
    }
    (plain, None)
}
