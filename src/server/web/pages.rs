//! Pages: who may see which, and rendering one.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use leptos::nonce::use_nonce;
use leptos::prelude::{expect_context, provide_context};
use leptos_axum::ResponseOptions;
use tower_sessions::Session;

use super::actions::Asking;
use super::security::Nonce;
use super::zone::Zone;
use super::{App, auth, from, retry_after, session};
use crate::app::form::Refused;
use crate::app::request::{self, Trouble};
use crate::app::shell;
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
            if let Err(why) = session::touch(&asking.session, &app.chat, actor).await {
                tracing::debug!(%why, "a session was not touched");
            }
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
    let nonce: Arc<Mutex<Option<Arc<str>>>> = Arc::default();
    let context = {
        let (leptos, nonce, assets) = (app.leptos.clone(), Arc::clone(&nonce), app.assets.root());
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let (name, text_max, room_idle) = (zone.name.clone(), app.settings.text_max, app.settings.room_idle);
        let makes_rooms = asking.actor.as_ref().is_some_and(|actor| app.chat.may_create(actor));
        let mac =
            headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().windows(9).any(|word| word == b"Macintosh"));
        let wall: Arc<dyn Fn(_) -> _ + Send + Sync> = Arc::new(move |at| zone.wall(at));
        move || {
            let options = expect_context::<ResponseOptions>();
            provide_context(leptos.clone());
            provide_context(asking.clone());
            provide_context(request::Request {
                path: path.clone(),
                zone: name.clone(),
                mac,
                now: now(),
                assets: Arc::clone(&assets),
                text_max,
                room_idle,
                makes_rooms,
                wall: Arc::clone(&wall),
                status: Arc::new(move |code| {
                    if let Ok(code) = StatusCode::from_u16(code) {
                        options.set_status(code);
                    }
                }),
            });
            if let Some(refused) = &refused {
                provide_context(refused.clone());
            }
            if let Some(why) = &trouble {
                provide_context(Trouble(why.clone()));
            }
            let fresh = use_nonce().map(|nonce| Arc::from(&*nonce));
            *nonce.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    };
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri.clone();
    let response = leptos_axum::render_app_async_with_context(context, shell)(request).await;
    let mut response = whole(response).await;
    if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
        *response.status_mut() = status;
    }
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if let Some(nonce) = nonce.lock().unwrap_or_else(PoisonError::into_inner).take() {
        response.extensions_mut().insert(Nonce(nonce));
    }
    // Pages are of one person at one moment: nobody keeps them.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer in one piece. It is there already, but comes as a stream, whose end nobody knows: sent as it is it would go in chunks.
async fn whole(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, body.to_bytes().into()),
        Err(error) => {
            tracing::error!(%error, "a page was not rendered to its end");
            super::refusal(&Refusal::Internal)
        }
    }
}
