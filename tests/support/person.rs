use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, RwLock};

use reqwest::Method;
use reqwest::header::{ACCEPT, COOKIE, HeaderMap, HeaderName, LOCATION, ORIGIN, SET_COOKIE};
use serde::de::DeserializeOwned;
use snug::protocol::{Event, Me, Refusal, RoomItem, RoomPage, Seq, Slug};
use uuid::Uuid;

use super::PATIENCE;
use super::log::Secrets;
use super::socket::Socket;

/// Everyone's in these tests.
pub const PASSWORD: &str = "a quiet harbour at dusk";

/// A browser: it keeps its cookies, and sends `Origin` as browsers do.
pub struct Visitor {
    client: reqwest::Client,
    address: Arc<RwLock<SocketAddr>>,
    origin: Option<String>,
    cookies: Mutex<BTreeMap<String, String>>,
    secrets: Secrets,
}

/// A browser whose user is logged in.
pub struct Person {
    pub user: String,
    browser: Visitor,
}

impl Deref for Person {
    type Target = Visitor;
    fn deref(&self) -> &Visitor {
        &self.browser
    }
}

/// What the server answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// The header's value; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of ASCII"))
    }

    #[must_use]
    pub fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    /// What a JSON answer says.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}, in {} {:?}", self.status, self.body))
    }

    /// The code of a problem, which is of the one shape that the API has for them.
    #[must_use]
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.body);
        assert_eq!(self.header("cache-control"), "no-store");
        let problem: serde_json::Value = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], "about:blank");
        let said = |part: &str| problem[part].as_str().filter(|said| !said.is_empty()).expect("a problem is said").to_owned();
        assert!(!said("title").is_empty() && !said("detail").is_empty());
        said("code")
    }

    /// The refusal in a JSON answer.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}, in {} {:?}", self.status, self.body))
    }
}

impl Visitor {
    /// One for all browsers of a test: connections are kept alive, nothing is followed, nothing remembered.
    #[must_use]
    pub fn client() -> reqwest::Client {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // A server that hashes two hundred passwords, on a machine that is busy with other tests.
            .timeout(12 * PATIENCE)
            .build()
            .expect("a client without TLS needs nothing")
    }

    #[must_use]
    pub fn new(client: reqwest::Client, address: Arc<RwLock<SocketAddr>>, origin: Option<String>) -> Self {
        Self { client, address, origin, cookies: Mutex::default(), secrets: Secrets::default() }
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

    #[must_use]
    pub fn origin(&self) -> String {
        self.origin.clone().unwrap_or_else(|| format!("http://{}", self.address()))
    }

    /// The `Cookie` header.
    #[must_use]
    pub fn cookies(&self) -> String {
        let cookies = self.cookies.lock().expect("no test panics while it holds this");
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// The value of the session's cookie.
    #[must_use]
    pub fn session(&self) -> Option<String> {
        let cookies = self.cookies.lock().expect("no test panics while it holds this");
        cookies.iter().find(|(name, _)| name.ends_with("snug_session")).map(|(_, value)| value.clone())
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().expect("no test panics while it holds this").insert(name.into(), value.into());
    }

    /// A browser with the same cookies: what a thief of the cookie has.
    #[must_use]
    pub fn copy(&self) -> Visitor {
        let cookies = self.cookies.lock().expect("no test panics while it holds this").clone();
        Self {
            client: self.client.clone(),
            address: self.address.clone(),
            origin: self.origin.clone(),
            cookies: Mutex::new(cookies),
            secrets: self.secrets.clone(),
        }
    }

    /// A request with the cookies and these headers, and nothing else.
    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Reply {
        self.try_request(method, path, headers, body).await.expect("the server answers")
    }

    pub async fn try_request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> reqwest::Result<Reply> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address()));
        let cookies = self.cookies();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        for (name, value) in headers {
            request = request.header(HeaderName::from_bytes(name.as_bytes()).expect("a header's name"), *value);
        }
        if let Some(body) = body {
            for (name, value) in url::form_urlencoded::parse(body.as_bytes()) {
                self.secrets.keep_field(&name, &value);
            }
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        self.keep_cookies(&headers);
        Ok(Reply { status, headers, body: response.text().await? })
    }

    fn keep_cookies(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().expect("no test panics while it holds this");
        for header in headers.get_all(SET_COOKIE) {
            let header = header.to_str().expect("a cookie of ASCII");
            let (pair, attributes) = header.split_once(';').unwrap_or((header, ""));
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            let ended = attributes.to_ascii_lowercase().split(';').any(|attribute| attribute.trim() == "max-age=0");
            if ended || value.is_empty() {
                cookies.remove(name);
            } else {
                if name.ends_with("snug_session") {
                    self.secrets.keep(value);
                }
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// A page, as a browser asks for it.
    pub async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, &[(ACCEPT.as_str(), "text/html")], None).await
    }

    /// A form, as a browser without scripts posts it.
    pub async fn post_form(&self, action: &str, fields: &[(&str, &str)]) -> Reply {
        let headers = [(ACCEPT.as_str(), "text/html"), (ORIGIN.as_str(), &self.origin())];
        self.request(Method::POST, &format!("/actions/{action}"), &headers, Some(form(fields))).await
    }

    /// A form, as a page's script posts it.
    pub async fn post_json(&self, action: &str, fields: &[(&str, &str)]) -> Reply {
        let headers = [(ACCEPT.as_str(), "application/json"), (ORIGIN.as_str(), &self.origin())];
        self.request(Method::POST, &format!("/actions/{action}"), &headers, Some(form(fields))).await
    }

    /// A server function: what it returns, or why it refuses.
    pub async fn ask<T: DeserializeOwned>(&self, action: &str, fields: &[(&str, &str)]) -> Result<T, Refusal> {
        let reply = self.post_json(action, fields).await;
        if reply.status == 200 {
            let value = serde_json::from_str(&reply.body);
            return Ok(value.unwrap_or_else(|error| panic!("{error}, in the answer of {action}: {:?}", reply.body)));
        }
        let refusal = reply.refusal();
        assert_eq!(refusal.status(), reply.status, "the status and the code of a refusal agree: {}", reply.body);
        Err(refusal)
    }

    pub async fn sign_up(self, user: &str) -> Person {
        let email = format!("{user}@example.org");
        self.ask::<()>("sign_up", &[("email", &email), ("username", user), ("password", PASSWORD)])
            .await
            .unwrap_or_else(|refusal| panic!("{user} cannot sign up: {refusal}"));
        Person { user: user.to_owned(), browser: self }
    }

    pub async fn log_in(self, name: &str, password: &str) -> Person {
        self.ask::<()>("log_in", &[("name", name), ("password", password)])
            .await
            .unwrap_or_else(|refusal| panic!("{name} cannot log in: {refusal}"));
        let me = self.whoami().await.expect("who has just logged in is someone");
        Person { user: me.person.user, browser: self }
    }

    pub async fn whoami(&self) -> Option<Me> {
        self.ask("whoami", &[]).await.expect("anyone may ask who they are")
    }

    /// The browser's socket, connected but without a `hello` yet.
    pub async fn socket(&self) -> Socket {
        self.try_socket(&[("origin", &self.origin())]).await.unwrap_or_else(|status| panic!("the socket is refused: {status}"))
    }

    /// A socket with the cookies and these headers; or the status with which it is refused.
    pub async fn try_socket(&self, headers: &[(&str, &str)]) -> Result<Socket, u16> {
        let cookies = self.cookies();
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let socket = Socket::connect(self.address(), "/ws", &headers).await?;
        Ok(socket.keeping(&self.secrets))
    }
}

impl Person {
    /// A socket that has said `hello` with nothing and been welcomed: it gets what happens from now on.
    pub async fn live(&self) -> Socket {
        let mut socket = self.socket().await;
        socket.hello().await;
        socket
    }

    /// The identity of the server's database.
    pub async fn epoch(&self) -> Uuid {
        self.page("general").await.epoch
    }

    /// Makes a room; its slug.
    pub async fn create_room(&self, name: &str) -> Slug {
        let reply = self.post_json("create_room", &[("name", name)]).await;
        assert_eq!(reply.status, 200, "{name} cannot be created: {}", reply.body);
        let slug = reply.location().strip_prefix("/room/").expect("a new room is where creating it leads");
        Slug::new(slug).expect("a room's address is its slug")
    }

    pub async fn join(&self, room: &str) {
        self.ask::<()>("join_room", &[("room", room)]).await.expect("a public room can be joined");
    }

    pub async fn leave(&self, room: &str) {
        self.ask::<()>("leave_room", &[("room", room)]).await.expect("a room can be left");
    }

    /// Posts as a form does, without a socket.
    pub async fn post(&self, room: &str, text: &str) {
        let nonce = super::new_id().to_string();
        self.ask::<()>("post_message", &[("room", room), ("nonce", &nonce), ("text", text)]).await.expect("a member may post");
    }

    pub async fn rooms(&self) -> Vec<RoomItem> {
        self.ask("list_rooms", &[]).await.expect("who is logged in sees the rooms")
    }

    pub async fn room_in_list(&self, room: &str) -> RoomItem {
        self.rooms().await.into_iter().find(|item| item.room.as_str() == room).expect("the room is in the list")
    }

    /// The latest page of a room.
    pub async fn page(&self, room: &str) -> RoomPage {
        self.ask("read_room", &[("room", room)]).await.expect("the room can be read")
    }

    pub async fn page_after(&self, room: &str, seq: Seq) -> RoomPage {
        let seq = seq.to_string();
        self.ask("read_room", &[("room", room), ("after", &seq)]).await.expect("the room can be read")
    }

    pub async fn page_before(&self, room: &str, seq: Seq) -> RoomPage {
        let seq = seq.to_string();
        self.ask("read_room", &[("room", room), ("before", &seq)]).await.expect("the room can be read")
    }

    pub async fn page_at(&self, room: &str, seq: Seq) -> RoomPage {
        let seq = seq.to_string();
        self.ask("read_room", &[("room", room), ("at", &seq)]).await.expect("the room can be read")
    }

    /// The whole log of a room after `seq`, page by page.
    pub async fn log_after(&self, room: &str, mut seq: Seq) -> Vec<Event> {
        let mut log = Vec::new();
        loop {
            let page = self.page_after(room, seq).await;
            if let Some(last) = page.events.last() {
                seq = last.place().expect("a page is of events of the log").1;
            }
            let done = !page.newer || page.events.is_empty();
            log.extend(page.events.iter().cloned());
            if done {
                return log;
            }
        }
    }

    /// The whole log of a room.
    pub async fn log(&self, room: &str) -> Vec<Event> {
        self.log_after(room, Seq::ZERO).await
    }

    /// How often a message with this id is in the log of `room`.
    pub async fn copies(&self, room: &str, id: Uuid) -> usize {
        let log = self.log(room).await;
        log.iter().filter(|event| matches!(event, Event::Message(message) if message.id == id)).count()
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
