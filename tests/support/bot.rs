use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use snug::protocol::Seq;
use snug::protocol::api::{SentMessage, Ticket, Token};

use super::log::Secrets;
use super::person::{PASSWORD, Reply};
use super::socket::Socket;

/// A program that uses the API: JSON and a token, no cookies, no `Origin`.
#[derive(Clone)]
pub struct Bot {
    client: reqwest::Client,
    address: Arc<RwLock<SocketAddr>>,
    pub token: Option<String>,
    secrets: Secrets,
}

impl Bot {
    #[must_use]
    pub fn new(client: reqwest::Client, address: Arc<RwLock<SocketAddr>>) -> Self {
        Self { client, address, token: None, secrets: Secrets::default() }
    }

    /// The same; what it knows is kept with the others' secrets.
    #[must_use]
    pub fn keeping(self, secrets: &Secrets) -> Self {
        Self { secrets: secrets.clone(), ..self }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self.address.read().expect("no test panics while it holds this")
    }

    /// One at a server that is a process of its own.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self::new(super::person::Visitor::client(), Arc::new(RwLock::new(address)))
    }

    /// The same program with another token.
    #[must_use]
    pub fn with(&self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.secrets.keep_token(&token);
        Self { token: Some(token), ..self.clone() }
    }

    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("it has registered")
    }

    /// A request as it is told, with the token if there is one.
    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Reply {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address()));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            self.secrets.keep_fields(&body);
            request = request.body(body);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, body: response.text().await.expect("an answer is text") }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.request(Method::POST, path, &[(CONTENT_TYPE.as_str(), "application/json")], Some(body.to_string())).await
    }

    /// A `POST` without a body.
    pub async fn act(&self, path: &str) -> Reply {
        self.request(Method::POST, path, &[], None).await
    }

    /// Signs up.
    pub async fn register(&self, user: &str) -> Self {
        let email = format!("{user}@example.org");
        let reply = self.post("/api/auth/register", json!({ "email": email, "username": user, "password": PASSWORD })).await;
        assert_eq!(reply.status, 201, "{user} cannot register: {}", reply.body);
        self.with(reply.json::<Token>().token)
    }

    /// Another token of an account.
    pub async fn log_in(&self, name: &str) -> Self {
        let reply = self.post("/api/auth/login", json!({ "name": name, "password": PASSWORD })).await;
        assert_eq!(reply.status, 200, "{name} cannot log in: {}", reply.body);
        self.with(reply.json::<Token>().token)
    }

    /// Sends a message; its place.
    pub async fn say(&self, room: &str, text: &str) -> Seq {
        let reply = self.post(&format!("/api/rooms/{room}/messages"), json!({ "id": super::new_id(), "text": text })).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json::<SentMessage>().seq
    }

    pub async fn ticket(&self) -> String {
        let reply = self.act("/api/ws-ticket").await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        let ticket = reply.json::<Ticket>().ticket;
        self.secrets.keep(&ticket);
        ticket
    }

    /// A socket at `path`, by the token in the header; or the status with which it is refused.
    pub async fn socket(&self, path: &str) -> Result<Socket, u16> {
        let bearer = format!("Bearer {}", self.token());
        let socket = Socket::connect(self.address(), path, &[("authorization", &bearer)]).await?;
        Ok(socket.keeping(&self.secrets))
    }
}
