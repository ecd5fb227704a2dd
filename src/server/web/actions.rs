//! Server functions: answering one that was posted, and what their bodies use.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use leptos::prelude::{provide_context, use_context};
use leptos_axum::ResponseOptions;
use tower_sessions::Session;

use super::pages::{ask, login_for, render, see_other};
use super::{App, refusal, retry_after, session};
use crate::app::form::{PAGE, Refused};
use crate::protocol::{Idle, Refusal, Slug};
use crate::server::chat::{self, Actor, Chat, Origin};
use crate::server::store::LoginId;

/// Who asks, in the context of a page that is rendered or a server function that runs.
#[derive(Clone)]
pub struct Asking {
    pub chat: Chat,
    pub session: Session,
    pub actor: Option<Actor>,
    pub from: Origin,
}

/// Answers a posted server function. A program, or a page's script, gets JSON. A plain form gets 303 when it is accepted;
/// refused, it gets its own page again with what was typed and the reason: see [`crate::app::form`].
pub async fn answer(State(app): State<App>, Path(action): Path<String>, session: Session, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let html = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|a| a.contains("text/html"));
    let asking = match ask(&app, session, &parts).await {
        Ok(asking) => asking,
        Err((why, asking)) if html => {
            let uri = Uri::from_static("/");
            return render(&app, *asking, &uri, &parts.headers, None, Some(why)).await;
        }
        Err((why, _)) => return refusal(&why),
    };
    // Within its bound already.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return refusal(&Refusal::BadRequest) };
    let headers = parts.headers.clone();
    // The server function answers a script in any case; what a form gets is made of that here.
    parts.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let context = {
        let asking = asking.clone();
        move || provide_context(asking.clone())
    };
    let inner = Request::from_parts(parts, Body::from(body.clone()));
    let known = leptos::server_fn::axum::server_fn_paths().any(|(path, _)| path == inner.uri().path());
    if !known {
        let uri = inner.uri().clone();
        return if html { render(&app, asking, &uri, &headers, None, None).await } else { refusal(&Refusal::BadRequest) };
    }
    // Who stays on one page uses their login, too.
    if let Some(actor) = &asking.actor {
        session::touch(&asking.session, &app.chat, actor).await;
    }
    let mut response = match asking.actor.as_ref().map_or(Ok(()), |actor| app.chat.allow_request(actor).map(drop)) {
        Ok(()) => run(context, inner).await,
        Err((_, why)) => refusal(&why),
    };
    let accepted = response.status().is_success();
    if accepted && !html {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return response;
    }
    let mut typed: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let page =
        typed.remove(PAGE).filter(|page| !page.starts_with("/actions")).map_or_else(|| "/".to_owned(), |page| local(Some(&page)));
    if accepted {
        let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or(&page);
        return see_other(to);
    }
    let why = match to_bytes(response.into_body(), usize::MAX).await {
        Ok(body) => serde_json::from_slice(&body).unwrap_or(Refusal::Internal),
        Err(_) => Refusal::Internal,
    };
    if !html {
        return refusal(&why);
    }
    let uri = page.parse().unwrap_or(Uri::from_static("/"));
    if why == Refusal::LogIn {
        return see_other(&login_for(&uri));
    }
    typed.retain(|name, _| !name.contains("password") && !matches!(name.as_str(), "current" | "new"));
    render(&app, asking, &uri, &headers, Some(Refused { action, why, typed }), None).await
}

async fn run(context: impl Fn() + Clone + Send + 'static, request: Request) -> Response {
    use axum::response::IntoResponse;
    leptos_axum::handle_server_fns_with_context(context, request).await.into_response()
}

/// A form's answer that is asked for again (the address bar of a refused form, by hand): home.
pub async fn go_home() -> Response {
    see_other("/")
}

/// The chat, and who acts.
///
/// # Errors
/// [`Refusal::LogIn`].
pub fn asking() -> Result<(Chat, Actor), Refusal> {
    let asking = use_context::<Asking>().ok_or(Refusal::Internal)?;
    let actor = asking.actor.ok_or(Refusal::LogIn)?;
    Ok((asking.chat, actor))
}

/// Gives a refusal its HTTP status, on the way out of a server function.
///
/// # Errors
/// `outcome`'s own.
pub fn refusing<T>(outcome: Result<T, Refusal>) -> Result<T, Refusal> {
    if let (Err(why), Some(options)) = (&outcome, use_context::<ResponseOptions>()) {
        options.set_status(StatusCode::from_u16(why.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        if let Some(seconds) = retry_after(why) {
            options.insert_header(header::RETRY_AFTER, seconds);
        }
    }
    outcome
}

/// Where to go next.
pub fn go(path: &str) {
    if let (Some(options), Ok(path)) = (use_context::<ResponseOptions>(), HeaderValue::from_str(path)) {
        options.insert_header(header::LOCATION, path);
    }
}

/// A path on this server, from one that anyone may have written: home where it leads elsewhere.
#[must_use]
pub fn local(path: Option<&str>) -> String {
    let path = path.unwrap_or("/");
    // `//host` and `/\host` are other hosts to a browser, which drops tabs and line ends before it looks.
    let elsewhere =
        !path.starts_with('/') || path[1..].starts_with(['/', '\\']) || path.chars().any(|c| c.is_control() || !c.is_ascii());
    if elsewhere || path.parse::<Uri>().is_err() { "/".to_owned() } else { path.to_owned() }
}

/// The slug that a form or a script sent.
///
/// # Errors
/// [`Refusal::NoRoom`].
pub fn slug(text: String) -> Result<Slug, Refusal> {
    chat::slug(text)
}

/// The choice of when a room closes that a form or a script sent.
///
/// # Errors
/// [`Refusal::BadForm`].
pub fn idle(text: Option<&str>) -> Result<Option<Idle>, Refusal> {
    chat::idle(text)
}

fn anyone() -> Result<Asking, Refusal> {
    use_context::<Asking>().ok_or(Refusal::Internal)
}

/// The session is one of `login` from now on. Another login that it was of before has ended.
async fn start(asking: &Asking, login: LoginId) -> Result<(), Refusal> {
    if let Some(actor) = &asking.actor {
        asking.chat.log_out(actor).await?;
    }
    session::start(&asking.session, login).await
}

/// Signs up and starts a session.
///
/// # Errors
/// [`Chat::sign_up`]'s.
pub async fn sign_up(email: &str, username: &str, password: &str) -> Result<(), Refusal> {
    let asking = anyone()?;
    let login = asking.chat.sign_up(email, username, password, &asking.from).await?;
    start(&asking, login).await
}

/// Logs in and starts a session.
///
/// # Errors
/// [`Chat::log_in`]'s.
pub async fn log_in(name: &str, password: &str) -> Result<(), Refusal> {
    let asking = anyone()?;
    let login = asking.chat.log_in(name, password, &asking.from).await?;
    start(&asking, login).await
}

/// Ends the login and its session. Who is logged out already stays so.
///
/// # Errors
/// A fault.
pub async fn log_out() -> Result<(), Refusal> {
    let asking = anyone()?;
    if let Some(actor) = &asking.actor {
        asking.chat.log_out(actor).await?;
    }
    session::end(&asking.session).await
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_paths_of_this_server_are_gone_to() {
        for good in ["/", "/room/general?before=5", "/room/a%20b"] {
            assert_eq!(local(Some(good)), good);
        }
        for bad in
            ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "", "/\t/evil", "room", "/ä"]
        {
            assert_eq!(local(Some(bad)), "/", "{bad:?}");
        }
    }
}
