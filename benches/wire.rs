//! The least of HTTP/1.1 and WebSocket that a load generator needs, over bare TCP: it must cost less than what it measures.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

/// An HTTP connection that is kept alive.
pub struct Http {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

pub struct Reply {
    pub status: u16,
    /// As it came: compressed, if it was asked for so; without chunks.
    pub body: Vec<u8>,
    /// `name=value` of the session.
    pub cookie: Option<String>,
    /// Seconds after which one may try again.
    pub retry_after: Option<u64>,
}

impl Http {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, address).await.expect("the server listens")
    }

    /// For when there may be no server.
    pub async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let stream = connect(source, address).await?;
        Ok(Self { stream, address, buffer: Vec::new() })
    }

    /// `head`: further lines, each ended by CR and LF.
    pub async fn get(&mut self, path: &str, head: &str) -> Reply {
        self.try_get(path, head).await.expect("the server answers")
    }

    pub async fn try_get(&mut self, path: &str, head: &str) -> io::Result<Reply> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\n{head}\r\n", self.address);
        self.exchange(request.as_bytes()).await
    }

    /// A form, asking for JSON.
    pub async fn post(&mut self, path: &str, head: &str, body: &str) -> Reply {
        self.send(path, head, "application/x-www-form-urlencoded", body).await.expect("the server answers")
    }

    /// JSON, asking for JSON.
    pub async fn post_json(&mut self, path: &str, head: &str, body: &str) -> io::Result<Reply> {
        self.send(path, head, "application/json", body).await
    }

    async fn send(&mut self, path: &str, head: &str, kind: &str, body: &str) -> io::Result<Reply> {
        let address = self.address;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nAccept: application/json\r\n{head}\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.exchange(request.as_bytes()).await
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let original = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let head = original.to_ascii_lowercase();
        let status = head[9..12].parse().expect("a status");
        let cookie = original.lines().find(|line| line.contains("snug_session=")).and_then(|line| {
            let (_, value) = line.split_once(": ")?;
            Some(value.split(';').next()?.to_owned())
        });
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let retry_after = value("retry-after:").and_then(|seconds| seconds.parse().ok());
        let body = if value("transfer-encoding:") == Some("chunked") {
            self.chunks(end).await?
        } else {
            let length: usize = value("content-length:").map_or(0, |text| text.parse().expect("a length"));
            while self.buffer.len() < end + length {
                self.fill().await?;
            }
            self.buffer[end..end + length].to_vec()
        };
        Ok(Reply { status, body, cookie, retry_after })
    }

    async fn chunks(&mut self, mut at: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = memchr::memmem::find(&self.buffer[at..], b"\r\n") {
                    break at + end;
                }
                self.fill().await?;
            };
            let size = std::str::from_utf8(&self.buffer[at..line]).expect("a chunk's size");
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            while self.buffer.len() < line + 2 + size + 2 {
                self.fill().await?;
            }
            body.extend_from_slice(&self.buffer[line + 2..line + 2 + size]);
            at = line + 2 + size + 2;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// From an address of one's own: a connection within one address to a port where nobody listens could meet itself.
async fn connect(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The receiving half of a socket.
pub struct Frames {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    /// Where in it the first frame begins that was not taken.
    start: usize,
    closed: Option<u16>,
}

/// The sending half.
pub struct Commands {
    stream: OwnedWriteHalf,
    frame: Vec<u8>,
}

/// Connects from `source`, says `hello` and waits for the welcome. `lines` asks for events that wait together in one frame, as the
/// pages do.
pub async fn socket(address: SocketAddr, source: Ipv4Addr, cookie: &str, lines: bool, hello: &str) -> (Frames, Commands) {
    let (mut frames, mut commands) = open(address, source, cookie, lines).await.expect("the server gives a socket");
    commands.send(hello.as_bytes()).await;
    let mut welcomed = false;
    while !welcomed {
        assert!(frames.more().await, "the server hung up");
        while let Some(frame) = frames.next() {
            welcomed |= memchr::memmem::find(frame, br#""type":"welcome""#).is_some();
        }
    }
    (frames, commands)
}

/// Connects from `source`, for when there may be no server, or it may refuse.
pub async fn open(address: SocketAddr, source: Ipv4Addr, cookie: &str, lines: bool) -> io::Result<(Frames, Commands)> {
    let mut stream = connect(source, address).await?;
    let lines = if lines { "Sec-WebSocket-Protocol: snug.lines\r\n" } else { "" };
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let start = loop {
        if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    if !buffer.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(String::from_utf8_lossy(&buffer[..start]).into_owned()));
    }
    let (read, write) = stream.into_split();
    Ok((Frames { stream: read, buffer, start, closed: None }, Commands { stream: write, frame: Vec::new() }))
}

impl Frames {
    /// Waits for more bytes. False when the server has hung up.
    pub async fn more(&mut self) -> bool {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.len() == self.buffer.capacity() {
            self.buffer.reserve(self.buffer.capacity().clamp(1024, 64 * 1024));
        }
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(read) if read > 0)
    }

    /// The payload of the next frame that is there as a whole; it may be several lines.
    pub fn next(&mut self) -> Option<&[u8]> {
        assert_eq!(self.closed, None, "the server closes");
        self.next_unless_closed()
    }

    /// The code with which the server has closed, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<u16> {
        self.closed
    }

    /// As [`Self::next`], where the server may close.
    pub fn next_unless_closed(&mut self) -> Option<&[u8]> {
        let there = &self.buffer[self.start..];
        let (&[first, second], rest) = there.split_first_chunk()?;
        let (length, head) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).expect("a frame fits into memory"), 10),
            length => (usize::from(length), 2),
        };
        if there.len() < head + length {
            return None;
        }
        if first & 0x0f == 8 {
            let code = there[head..].first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            self.closed = Some(code);
            return None;
        }
        let begin = self.start + head;
        self.start = begin + length;
        Some(&self.buffer[begin..begin + length])
    }
}

impl Commands {
    pub async fn send(&mut self, text: &[u8]) {
        self.try_send(text).await.expect("the server reads");
    }

    /// A text frame. Its mask is zero, which masks nothing: the server's work is the same, and ours is less.
    pub async fn try_send(&mut self, text: &[u8]) -> io::Result<()> {
        self.write(0x81, text).await
    }

    /// Answers a close, as browsers do by themselves.
    pub async fn close(&mut self, code: u16) -> io::Result<()> {
        self.write(0x88, &code.to_be_bytes()).await
    }

    async fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        self.frame.clear();
        self.frame.push(kind);
        match u16::try_from(payload.len()).expect("commands are short") {
            length @ 0..126 => self.frame.push(0x80 | length as u8),
            length => {
                self.frame.push(0x80 | 126);
                self.frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        self.frame.extend_from_slice(&[0; 4]);
        self.frame.extend_from_slice(payload);
        self.stream.write_all(&self.frame).await
    }
}

/// The address that connection number `n` comes from: 2,000 from each, as ports are scarce for one pair of addresses.
#[must_use]
pub fn source(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(n / 2000).expect("fewer than half a million connections"))
}
