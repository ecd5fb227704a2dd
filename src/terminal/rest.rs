//! The REST half of the API, as far as a terminal needs it: one request, one connection. What is live comes by the socket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::safe;
use super::stream::{DialError, Dialer};
use crate::protocol::api::{LogIn, Members, Messages, Room, Token as Made};
use crate::protocol::{Me, Refusal, Seq, Slug};

/// How long an answer may take, once there is a connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The largest answer, in bytes: a page of the longest messages that a server can be set to take is smaller.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// What one is let in by. (Without `Debug`: it would open a door.)
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// None for what cannot be one.
    #[must_use]
    pub fn new(token: &str) -> Option<Self> {
        let token = token.trim();
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| !token.is_empty())?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The value of `Authorization`.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0} does not answer")]
    Late(String),
    #[error("the line to {0} broke")]
    Broken(String),
    #[error("{0} is not there just now (status {1})")]
    Away(String, u16),
    #[error("there is no Snug at {0}")]
    NoSnug(String),
    #[error("{0} sends one on to {1}: use that address")]
    Moved(String, String),
    /// The server's own sentence.
    #[error("{said}")]
    Refused { why: Refusal, said: String },
}

impl RestError {
    /// Whether the same request may be answered in a moment.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Dial(DialError::Late(_) | DialError::Unreachable(..)) => true,
            Self::Late(_) | Self::Broken(_) | Self::Away(..) => true,
            Self::Refused { why, .. } => why.passes(),
            Self::Dial(_) | Self::NoSnug(_) | Self::Moved(..) => false,
        }
    }

    /// Whether the server refused it for this.
    #[must_use]
    pub fn is(&self, refusal: &Refusal) -> bool {
        matches!(self, Self::Refused { why, .. } if why == refusal)
    }
}

/// Which part of a room's log to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Latest,
    Before(Seq),
    After(Seq),
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => Ok(()),
            Self::Before(seq) => write!(f, "?before={seq}"),
            Self::After(seq) => write!(f, "?after={seq}"),
        }
    }
}

/// Asks one server, as one person.
#[derive(Clone)]
pub struct Rest {
    dialer: Arc<Dialer>,
    token: Option<Token>,
}

/// What a refusal looks like on the wire; a code that this build does not know is [`Refusal::Unknown`].
#[derive(Deserialize)]
struct Problem {
    #[serde(flatten)]
    why: Refusal,
    detail: String,
}

/// An answer without a body.
struct Nothing;

impl Rest {
    #[must_use]
    pub fn new(dialer: Arc<Dialer>, token: Option<Token>) -> Self {
        Self { dialer, token }
    }

    /// Who the token is of.
    ///
    /// # Errors
    /// [`RestError`], here and below.
    pub async fn me(&self) -> Result<Me, RestError> {
        self.ask(Method::GET, "me", None).await
    }

    pub async fn log_in(&self, login: &LogIn) -> Result<Made, RestError> {
        self.ask(Method::POST, "auth/login", Some(json(login))).await
    }

    pub async fn log_out(&self) -> Result<(), RestError> {
        let Nothing = self.act("auth/logout").await?;
        Ok(())
    }

    pub async fn room(&self, room: &Slug) -> Result<Room, RestError> {
        self.ask(Method::GET, &format!("rooms/{room}"), None).await
    }

    pub async fn join(&self, room: &Slug) -> Result<Room, RestError> {
        self.ask(Method::POST, &format!("rooms/{room}/join"), None).await
    }

    /// The first page of a room's members.
    pub async fn members(&self, room: &Slug) -> Result<Members, RestError> {
        self.ask(Method::GET, &format!("rooms/{room}/members"), None).await
    }

    pub async fn messages(&self, room: &Slug, page: Page) -> Result<Messages, RestError> {
        self.ask(Method::GET, &format!("rooms/{room}/messages{page}"), None).await
    }

    async fn act(&self, path: &str) -> Result<Nothing, RestError> {
        self.answer(Method::POST, path, None).await.map(|_| Nothing)
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<T, RestError> {
        let body = self.answer(method, path, body).await?;
        serde_json::from_slice(&body).map_err(|_| RestError::NoSnug(self.name()))
    }

    /// The body of an answer that is no refusal.
    async fn answer(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Bytes, RestError> {
        let stream = self.dialer.dial().await?;
        let answering = timeout(ANSWER_WITHIN, self.exchange(TokioIo::new(stream), method, path, body));
        let (head, body) = answering.await.map_err(|_| RestError::Late(self.name()))??;
        let status = head.status();
        if status.is_success() {
            return Ok(body);
        }
        let of = |name| head.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if of(header::CONTENT_TYPE).starts_with("application/problem+json")
            && let Ok(Problem { why, detail }) = serde_json::from_slice(&body)
        {
            return Err(RestError::Refused { why, said: safe::line(&detail).into_owned() });
        }
        Err(match status {
            _ if status.is_redirection() => RestError::Moved(self.name(), safe::line(of(header::LOCATION)).into_owned()),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                RestError::Away(self.name(), status.as_u16())
            }
            _ => RestError::NoSnug(self.name()),
        })
    }

    async fn exchange(
        &self,
        stream: TokioIo<Box<dyn super::stream::Io>>,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(Response<()>, Bytes), RestError> {
        let broken = || RestError::Broken(self.name());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(|_| broken())?;
        // It ends with the answer, which is the only one that is asked for.
        let driving = tokio::spawn(connection);
        let address = &self.dialer.address;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/api/{path}", address.prefix))
            .header(header::HOST, address.authority())
            .header(header::USER_AGENT, super::AGENT)
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.header());
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|_| RestError::NoSnug(self.name()))?;
        let answered = async {
            // What answers, but not in HTTP, is something else.
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| if error.is_parse() { RestError::NoSnug(self.name()) } else { broken() })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|_| broken())?.to_bytes();
            Ok((Response::from_parts(head, ()), body))
        };
        let answer = answered.await;
        driving.abort();
        answer
    }

    fn name(&self) -> String {
        self.dialer.address.to_string()
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}
