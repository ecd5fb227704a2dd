//! What is WebSocket about a socket, whatever it is for: how it is opened, what is read from it, how a text goes out, and how it is
//! told that it ends.
//!
//! The protocol is a library's but for one thing: a [text frame](text) is made here, once for all to whom it goes, and sent by the
//! connection's [`Outbound`], by whoever has it. The library answers pings and farewells in between.

use std::io::ErrorKind;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::timeout;
use tungstenite::Error;
use tungstenite::error::ProtocolError;

use super::connection::Closing;
use crate::protocol;
use crate::server::stream::Outbound;

/// Bytes that are read at once.
const READ: usize = 1024;

/// Bytes that may wait to be written by the library, at least: pongs and a farewell.
const WRITE_MAX: usize = 64 * 1024;

/// How long a close frame may take, and the answer to it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes that go out together, about.
pub(super) const FRAME: usize = 64 * 1024;

/// How many of the first of some texts go into one frame; at least one.
pub(super) fn fitting<'t>(texts: impl IntoIterator<Item = &'t Utf8Bytes>) -> usize {
    let mut bytes = 0;
    let fits = |text: &&Utf8Bytes| {
        bytes += text.len();
        bytes < FRAME
    };
    texts.into_iter().take_while(fits).count().max(1)
}

/// A text frame as a server sends it (RFC 6455, section 5.2): whole, and without a mask. Its text is the `lines`, one a line.
#[must_use]
pub fn text<T: Deref<Target = str>>(lines: &[T]) -> Bytes {
    /// The last of a message, and text.
    const FINAL_TEXT: u8 = 0x81;
    let length = lines.iter().map(|line| line.len() + 1).sum::<usize>().saturating_sub(1);
    let mut frame = Vec::with_capacity(length + 10);
    frame.push(FINAL_TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 126 => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    for (n, line) in lines.iter().enumerate() {
        if n > 0 {
            frame.push(b'\n');
        }
        frame.extend(line.as_bytes());
    }
    frame.into()
}

/// A socket, for its task.
pub struct Socket {
    socket: WebSocket,
    outbound: Arc<Outbound>,
}

/// Answers an upgrade of the connection with this way out with a socket that `serve` has. It takes frames and messages of up to
/// `frame_max` bytes. Buffers are small: most sockets are idle, and what an idle one costs is what bounds how many there may be. One
/// that reads something holds a frame and a message at most.
pub fn upgrade<S, F>(upgrade: WebSocketUpgrade, outbound: Arc<Outbound>, frame_max: usize, serve: S) -> Response
where
    S: FnOnce(Socket) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    upgrade
        .protocols([protocol::LINES])
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_MAX.max(2 * frame_max))
        .max_message_size(frame_max)
        .max_frame_size(frame_max)
        .on_upgrade(|socket| serve(Socket { socket, outbound }))
}

impl Socket {
    /// Whether its client takes several events in one frame, one a line.
    #[must_use]
    pub fn takes_lines(&self) -> bool {
        self.socket.protocol().is_some_and(|protocol| protocol.as_bytes() == protocol::LINES.as_bytes())
    }

    /// The next frame; none when the client has gone. A message in pieces is one frame; pings and a farewell are answered already. May
    /// be dropped while it waits, and loses nothing.
    ///
    /// # Errors
    /// What is wrong with what came: the connection is to end so.
    pub async fn hear(&mut self) -> Result<Option<Frame>, Closing> {
        match self.socket.recv().await {
            None => Ok(None),
            Some(Ok(Frame::Close(_))) => {
                self.read_out().await;
                Ok(None)
            }
            Some(Ok(frame)) => Ok(Some(frame)),
            Some(Err(error)) => why(error).map_or(Ok(None), Err),
        }
    }

    /// Sends [text frames](text); whether they are gone. If not they are gone when it is [flushed](Self::flush).
    pub fn send(&self, frames: impl IntoIterator<Item = Bytes>) -> bool {
        self.outbound.send(frames)
    }

    /// Returns when all that was sent is gone. May be dropped while it waits.
    ///
    /// # Errors
    /// [`Closing::TooSlow`]. That the client has gone is no error: [`Socket::hear`] says so next.
    pub async fn flush(&mut self) -> Result<(), Closing> {
        told(self.socket.flush().await)
    }

    /// Sends another frame than a text, all of it.
    ///
    /// # Errors
    /// As [`Socket::flush`].
    pub async fn say(&mut self, frame: Frame) -> Result<(), Closing> {
        told(self.socket.send(frame).await)
    }

    /// Tells the client why it ends, and waits a moment for its answer.
    pub async fn farewell(&mut self, why: Closing) {
        let (code, reason) = why.code();
        let close = Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
        self.outbound.end();
        if let Ok(Ok(())) = timeout(FAREWELL, self.socket.send(close)).await {
            // Until the client has answered, what it was told may still be on its way.
            self.read_out().await;
        }
    }

    /// Reads until nothing can come any more, for [`FAREWELL`] at most. What answers a close frame is written by reading on, and is the
    /// last that is.
    async fn read_out(&mut self) {
        self.outbound.end();
        let rest = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _late = timeout(FAREWELL, rest).await;
    }
}

/// What became of something that was to be told.
fn told(outcome: Result<(), axum::Error>) -> Result<(), Closing> {
    match outcome.map_err(why) {
        Err(Some(Closing::TooSlow)) => Err(Closing::TooSlow),
        _ => Ok(()),
    }
}

/// What the connection ends with because of `error`; none where there is nobody to tell any more.
fn why(error: axum::Error) -> Option<Closing> {
    match error.into_inner().downcast_ref::<Error>()? {
        Error::Capacity(_) => Some(Closing::TooLarge),
        Error::Utf8(_) => Some(Closing::NotUtf8),
        // Hung up without a close frame, or spoke after its own.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing) => None,
        Error::Protocol(_) => Some(Closing::Malformed),
        // It has taken nothing: see [`Stream`](crate::server::stream::Stream).
        Error::Io(error) if error.kind() == ErrorKind::TimedOut => Some(Closing::TooSlow),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client's library makes of a frame.
    fn read(frame: &Bytes) -> tungstenite::Result<tungstenite::Message> {
        let client = tungstenite::protocol::Role::Client;
        tungstenite::WebSocket::from_raw_socket(std::io::Cursor::new(frame.to_vec()), client, None).read()
    }

    #[test]
    fn a_text_of_any_length_is_read_as_it_was_sent() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let sent = "x".repeat(length);
            assert_eq!(read(&text(&[sent.as_str()])).unwrap(), tungstenite::Message::text(sent), "{length} bytes");
        }
    }

    #[test]
    fn as_many_go_together_as_fit_and_a_larger_one_goes_alone() {
        let texts = |lengths: &[usize]| lengths.iter().map(|length| Utf8Bytes::from("x".repeat(*length))).collect::<Vec<_>>();
        assert_eq!(fitting(&texts(&[FRAME / 2, FRAME / 4, FRAME / 2])), 2);
        assert_eq!(fitting(&texts(&[2 * FRAME, 1])), 1);
        assert_eq!(fitting(&texts(&[1, 2, 3])), 3);
    }

    #[test]
    fn several_lines_are_one_text() {
        assert_eq!(read(&text(&["{1}", "ä", "{3}"])).unwrap(), tungstenite::Message::text("{1}\nä\n{3}"));
        assert_eq!(read(&text::<&str>(&[])).unwrap(), tungstenite::Message::text(""));
    }
}
