//! Pages: who may see which, and rendering one.

use std::sync::{Arc, PoisonError};

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use leptos::nonce::Nonce;
use leptos::prelude::provide_context;
use leptos_axum::ResponseOptions;
use tower_sessions::Session;

use super::actions::Asking;
use super::zone::Zone;
use super::{App, auth, document, from, retry_after, session};
use crate::app::form::Refused;
use crate::app::request::{self, Trouble};
use crate::protocol::Refusal;
use crate::server::chat::now;

/// Any page.
pub async fn page(State(app): State<App>, session: Session, request: Request) -> Response {
    let (request, _empty) = request.into_parts();
    let asking = match ask(&app, session, &request).await {
        Ok(asking) => asking,
        Err((why, asking)) => return render(&app, *asking, &request.uri, &request.headers, None, Some(why)).await,
    };
    let path = request.uri.path();
    match &asking.actor {
        None if needs_login(path) => see_other(&login_for(&request.uri)),
        Some(_) if matches!(path, "/login" | "/signup") => see_other("/"),
        Some(actor) => {
            session::touch(&asking.session, &app.chat, actor).await;
            render(&app, asking, &request.uri, &request.headers, None, None).await
        }
        None => render(&app, asking, &request.uri, &request.headers, None, None).await,
    }
}

fn needs_login(path: &str) -> bool {
    matches!(path, "/" | "/new-room" | "/settings" | "/shortcuts") || path.starts_with("/room/")
}

/// The login page, and back to `uri` after it.
pub(super) fn login_for(uri: &Uri) -> String {
    let to = uri.path_and_query().map_or("/", |path| path.as_str());
    if to == "/" {
        return "/login".to_owned();
    }
    let next: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    format!("/login?next={next}")
}

pub(super) fn see_other(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))])
        .into_response()
}

/// Who asks. When that cannot be found out, the error has someone unknown, to render the trouble for.
pub(super) async fn ask(app: &App, session: Session, request: &Parts) -> Result<Asking, (Refusal, Box<Asking>)> {
    let from = from(app, request, false);
    let actor = auth::actor(&app.chat, auth::Proof::Session(&session)).await;
    let asking = |actor| Asking { chat: app.chat.clone(), session, actor, from };
    match actor {
        Ok(actor) => Ok(asking(actor)),
        Err(why) => Err((why, Box::new(asking(None)))),
    }
}

/// Renders the page at `uri`. `refused` is a form on it that was not accepted; `trouble` replaces the page by what is wrong.
pub(super) async fn render(
    app: &App,
    asking: Asking,
    uri: &Uri,
    headers: &HeaderMap,
    refused: Option<Refused>,
    trouble: Option<Refusal>,
) -> Response {
    let why = refused.as_ref().map(|refused| &refused.why).or(trouble.as_ref());
    let (status, wait) = (why.map(Refusal::status), why.and_then(retry_after));
    let zone = Zone::of(headers);
    let nonce = Nonce::new();
    let options = ResponseOptions::default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mac = headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().windows(9).any(|word| word == b"Macintosh"));
    let html = document::render(path, |title| {
        provide_context(nonce.clone());
        provide_context(options.clone());
        if let Some(reload) = &app.reload {
            provide_context(reload.clone());
        }
        let options = options.clone();
        provide_context(Arc::new(request::Request {
            path: path.to_owned(),
            zone: zone.name.clone(),
            mac,
            now: now(),
            assets: app.assets.root(),
            text_max: app.settings.text_max,
            room_idle: app.settings.room_idle,
            makes_rooms: asking.actor.as_ref().is_some_and(|actor| app.chat.may_create(actor)),
            wall: Arc::new(move |at| zone.wall(at)),
            status: Arc::new(move |code| {
                if let Ok(code) = StatusCode::from_u16(code) {
                    options.set_status(code);
                }
            }),
            title,
        }));
        provide_context(asking);
        if let Some(refused) = refused {
            provide_context(refused);
        }
        if let Some(why) = trouble {
            provide_context(Trouble(why));
        }
    });
    let mut response = Html(html.await).into_response();
    {
        let mut said = options.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = said.status {
            *response.status_mut() = status;
        }
        response.headers_mut().extend(said.headers.drain());
    }
    if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
        *response.status_mut() = status;
    }
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response.extensions_mut().insert(nonce);
    // Pages are of one person at one moment: nobody keeps them.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
