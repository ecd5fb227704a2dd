use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use snug::protocol::{Command, Event, RoomState, Seq};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{self, Message};
use uuid::Uuid;

use super::log::Secrets;
use super::slug;
use super::wait::{PATIENCE, within};

/// A client of the socket: JSON text frames, one event each or one a line.
pub struct Socket {
    ws: WebSocketStream<TcpStream>,
    /// Events of a frame that have not been asked for yet.
    waiting: VecDeque<Event>,
    secrets: Secrets,
}

/// How a connection ended: the close frame's code, or none when it broke off without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(pub Option<u16>);

/// What [`Event::Welcome`] says.
#[derive(Debug)]
pub struct Hello {
    pub user: String,
    pub epoch: Uuid,
    pub version: u32,
    pub rooms: Vec<RoomState>,
}

impl Hello {
    #[must_use]
    pub fn room(&self, room: &str) -> &RoomState {
        self.rooms.iter().find(|state| state.room.as_str() == room).expect("a member's room is in the welcome")
    }

    #[must_use]
    pub fn has(&self, room: &str) -> bool {
        self.rooms.iter().any(|state| state.room.as_str() == room)
    }
}

impl Socket {
    /// Connects; or the HTTP status with which the server refused.
    pub async fn connect(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        Self::connect_over(TcpStream::connect(address).await.expect("the server listens"), path, headers).await
    }

    /// As [`Self::connect`], with a receive buffer so small that a reader that stops is felt soon.
    pub async fn connect_narrow(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        Self::connect_over(socket.connect(address).await.expect("the server listens"), path, headers).await
    }

    async fn connect_over(stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        match Self::try_connect_over(stream, path, headers).await {
            Ok(socket) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    /// As [`Self::connect`], for when there may be no server.
    pub async fn try_connect(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, tungstenite::Error> {
        Self::try_connect_over(TcpStream::connect(address).await?, path, headers).await
    }

    async fn try_connect_over(stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> Result<Self, tungstenite::Error> {
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{}{path}", stream.peer_addr()?).into_client_request()?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let handshake = tokio_tungstenite::client_async(request, stream);
        let (ws, _) = within(PATIENCE, "the server answers the handshake", handshake).await?;
        Ok(Self { ws, waiting: VecDeque::new(), secrets: Secrets::default() })
    }

    /// The same; what it says is kept with the others' secrets.
    #[must_use]
    pub fn keeping(self, secrets: &Secrets) -> Self {
        Self { secrets: secrets.clone(), ..self }
    }

    /// A command as a frame.
    fn frame(&self, command: &Command) -> Message {
        if let Command::Send { text, .. } = command {
            self.secrets.keep_text(text);
        }
        Message::text(serde_json::to_string(command).expect("a command is JSON"))
    }

    pub async fn send(&mut self, command: &Command) {
        self.try_send(command).await.expect("the socket takes a command");
    }

    pub async fn try_send(&mut self, command: &Command) -> Result<(), Closed> {
        let frame = self.frame(command);
        self.ws.send(frame).await.map_err(|_| Closed(None))
    }

    /// A frame of whatever text.
    pub async fn send_text(&mut self, text: &str) {
        self.secrets.keep_text(text);
        self.ws.send(Message::text(text)).await.expect("the socket takes a frame");
    }

    /// A frame of bytes.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.ws.send(Message::binary(bytes.to_vec())).await.expect("the socket takes a frame");
    }

    /// Bytes as they are, whatever they are as frames; whether the server has not hung up meanwhile.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.ws.get_mut().write_all(bytes).await.is_ok()
    }

    /// Sends without waiting for the network: for frames that should arrive together.
    pub async fn feed(&mut self, command: &Command) {
        let frame = self.frame(command);
        self.ws.feed(frame).await.expect("the socket takes a command");
    }

    pub async fn flush(&mut self) {
        self.ws.flush().await.expect("the socket takes what was fed");
    }

    /// The next text frame as it came; events of earlier frames that were not asked for stay where they are.
    pub async fn next_frame(&mut self) -> Result<String, Closed> {
        loop {
            match within(PATIENCE, "the server sends something", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(Closed(frame.map(|frame| frame.code.into()))),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed(None)),
            }
        }
    }

    /// The next event, or how the connection ended. Fails when nothing comes for [`PATIENCE`].
    pub async fn try_next(&mut self) -> Result<Event, Closed> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            let frame = self.next_frame().await?;
            for line in frame.lines() {
                let event = serde_json::from_str(line);
                let event = event.unwrap_or_else(|error| panic!("{error}, in the event {line:?}"));
                assert_ne!(event, Event::Unknown, "the server sends no event that this build does not know: {line}");
                self.waiting.push_back(event);
            }
        }
    }

    pub async fn next_event(&mut self) -> Event {
        self.try_next().await.unwrap_or_else(|closed| panic!("the socket is {closed:?}"))
    }

    /// Events up to the first that `wanted` accepts; that one is the last.
    pub async fn collect_until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        within(3 * PATIENCE, "the awaited event comes", async {
            loop {
                let event = self.next_event().await;
                let done = wanted(&event);
                events.push(event);
                if done {
                    return;
                }
            }
        })
        .await;
        events
    }

    /// The first event that `wanted` accepts.
    pub async fn until(&mut self, wanted: impl FnMut(&Event) -> bool) -> Event {
        self.collect_until(wanted).await.pop().expect("the awaited event is the last")
    }

    /// The message with this text, whoever sent it.
    pub async fn message(&mut self, text: &str) -> snug::protocol::Message {
        match self.until(|event| matches!(event, Event::Message(message) if message.text == text)).await {
            Event::Message(message) => message,
            _ => unreachable!("only a message was awaited"),
        }
    }

    /// Sends `text` to `room` and waits for the acknowledgement; its place and id.
    pub async fn say(&mut self, room: &str, text: &str) -> (Seq, Uuid) {
        let (id, command) = super::message(room, text);
        self.send(&command).await;
        (self.acknowledged(id).await, id)
    }

    /// What the message `id` is answered with: the message, `sent`, or its refusal.
    pub async fn answer(&mut self, id: Uuid) -> Event {
        self.until(|event| answers(event, id)).await
    }

    /// The place at which the message `id` is. Fails when it is refused.
    pub async fn acknowledged(&mut self, id: Uuid) -> Seq {
        match self.answer(id).await {
            Event::Message(message) => message.seq,
            Event::Sent { seq, .. } => seq,
            other => panic!("the message is refused: {other:?}"),
        }
    }

    /// The refusal of the message `id`. Fails when it is accepted.
    pub async fn refused(&mut self, id: Uuid) -> snug::protocol::Refusal {
        match self.answer(id).await {
            Event::Error { why, message, .. } => {
                assert!(!message.is_empty(), "a refusal has a sentence for people");
                why
            }
            other => panic!("the message is accepted: {other:?}"),
        }
    }

    /// The next refusal, of whatever.
    pub async fn error(&mut self) -> snug::protocol::Refusal {
        match self.until(|event| matches!(event, Event::Error { .. })).await {
            Event::Error { why, .. } => why,
            _ => unreachable!("only an error was awaited"),
        }
    }

    /// Says `hello` as who has nothing yet, and waits for the welcome.
    pub async fn hello(&mut self) -> Hello {
        self.hello_with(&[], None, None).await
    }

    /// Says `hello` with the last `seq` that it has of these rooms in the database `epoch`, and waits for the welcome.
    pub async fn resume(&mut self, epoch: Uuid, rooms: &[(&str, Seq)]) -> Hello {
        self.hello_with(rooms, Some(epoch), None).await
    }

    pub async fn hello_with(&mut self, rooms: &[(&str, Seq)], epoch: Option<Uuid>, look: Option<&str>) -> Hello {
        let rooms: BTreeMap<_, _> = rooms.iter().map(|(room, seq)| (slug(room), *seq)).collect();
        self.send(&Command::Hello { rooms, epoch, look: look.map(slug) }).await;
        match self.next_event().await {
            Event::Welcome { user, epoch, version, rooms, .. } => Hello { user, epoch, version, rooms },
            other => panic!("a hello is answered with {other:?}"),
        }
    }

    /// Everything that comes before the answer to a ping that is sent now.
    pub async fn drain(&mut self) -> Vec<Event> {
        self.send(&Command::Ping).await;
        let mut events = self.collect_until(|event| *event == Event::Pong).await;
        events.pop();
        events
    }

    /// Reads to the end; how it came.
    pub async fn closed(&mut self) -> Closed {
        self.closed_within(PATIENCE).await
    }

    pub async fn closed_within(&mut self, limit: Duration) -> Closed {
        within(limit, "the server closes the socket", async {
            loop {
                if let Err(closed) = self.next_frame().await {
                    return closed;
                }
            }
        })
        .await
    }

    /// Closes as a browser does.
    pub async fn close(mut self) {
        let _ = self.ws.close(None).await;
        while let Some(Ok(_)) = self.ws.next().await {}
    }
}

/// Whether this is an answer to the message `id`.
fn answers(event: &Event, id: Uuid) -> bool {
    match event {
        Event::Message(message) => message.id == id,
        Event::Sent { id: sent, .. } => *sent == id,
        Event::Error { id: refused, .. } => *refused == Some(id),
        _ => false,
    }
}
