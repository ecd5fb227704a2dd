//! What every answer carries and every request must: security headers, and no writes from other sites.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use leptos::config::LeptosOptions;
use leptos::nonce::Nonce;

use super::App;
use crate::protocol::Refusal;
use crate::server::config::Settings;

#[derive(Debug)]
pub struct Security {
    /// The origin that people use, where it is set.
    origin: Option<String>,
    hsts: bool,
    /// Other origins from which programs may write to the API.
    others: Vec<String>,
    /// Another origin that pages may connect to: the reload socket under `cargo leptos watch`.
    reload: String,
}

impl Security {
    pub fn new(settings: &Settings, reload: Option<&LeptosOptions>) -> Self {
        let sockets = |port| format!(" ws://127.0.0.1:{port} ws://localhost:{port}");
        Self {
            origin: settings.public_url.as_ref().map(|url| url.origin.clone()),
            others: settings.cors_origins.0.clone(),
            hsts: settings.public_url.as_ref().is_some_and(|url| url.secure),
            reload: reload.map(|leptos| sockets(leptos.reload_port)).unwrap_or_default(),
        }
    }

    /// Whether `origin` is where this server's own pages come from: the public URL's origin, or without that setting the host
    /// that the request itself names.
    pub fn is_own(&self, origin: &str, headers: &HeaderMap) -> bool {
        match &self.origin {
            Some(own) => own == origin,
            None => {
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
                let named = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
                host.is_some() && named == host
            }
        }
    }

    /// A write comes from this server's own pages, or it is refused. Browsers say where from: by `Origin` on every write, or at
    /// least by `Sec-Fetch-Site`.
    fn allows_write(&self, headers: &HeaderMap) -> bool {
        let site = headers.get("sec-fetch-site");
        if site.is_some_and(|site| site != "same-origin") {
            return false;
        }
        match headers.get(header::ORIGIN) {
            Some(origin) => origin.to_str().is_ok_and(|origin| self.is_own(origin, headers)),
            None => site.is_some(),
        }
    }

    /// A write to the API. It shows a token, which no other site has, and programs that are no browsers say nothing of where they
    /// are from; a browser that does is believed, and comes from here or from an origin that the settings name.
    fn allows_call(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
            Some(Ok(origin)) => self.is_own(origin, headers) || self.others.iter().any(|other| other == origin),
            Some(Err(_)) => false,
            None => headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin"),
        }
    }

    /// Whether a browser takes the origin that a request came to for trustworthy: by https, or on the browser's own machine. On
    /// others it ignores what needs that, with a word in its console.
    fn is_trusted(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name =
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(name, _)| name);
        self.hsts || name == "localhost" || name == "[::1]" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
    }

    fn policy(&self, nonce: Option<&str>) -> String {
        let script = nonce.map(|nonce| format!(" 'nonce-{nonce}'")).unwrap_or_default();
        format!(
            "default-src 'none'; script-src 'self'{script} 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'{}; img-src 'self'; \
             font-src 'self'; manifest-src 'self'; form-action 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
            self.reload
        )
    }
}

/// Refuses writes of other sites, and dresses every answer.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let security = &app.security;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let trusted = security.is_trusted(request.headers());
    let api = request.uri().path().starts_with("/api/");
    let allowed = reads || if api { security.allows_call(request.headers()) } else { security.allows_write(request.headers()) };
    let mut response = if allowed { next.run(request).await } else { super::refusal(&Refusal::CrossSite) };
    // Of a page's own scripts: its handler has left it for the headers.
    let nonce = response.extensions().get::<Nonce>().cloned();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&security.policy(nonce.as_deref())) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if trusted {
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    }
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    );
    if security.hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}
