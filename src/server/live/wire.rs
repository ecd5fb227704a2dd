//! What is WebSocket about a socket, whatever it is for: how it is opened, what is read from it, and how it is told that it ends.

use std::io::ErrorKind;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use tokio::time::timeout;
use tungstenite::Error;
use tungstenite::error::ProtocolError;

use super::connection::Closing;
use crate::protocol;

/// Bytes that are read at once.
const READ: usize = 1024;

/// Bytes up to which small frames wait for each other.
const WRITE: usize = 16 * 1024;

/// Bytes that may wait to be written, at least: pongs, and what is being sent.
const WRITE_MAX: usize = 2 * 1024 * 1024;

/// How long a close frame may take, and the answer to it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Answers an upgrade with a socket that `serve` has. It takes frames and messages of up to `frame_max` bytes. Buffers are small:
/// most sockets are idle, and what an idle one costs is what bounds how many there may be. One that reads something holds a frame
/// and a message at most.
pub fn upgrade<S, F>(upgrade: WebSocketUpgrade, frame_max: usize, serve: S) -> Response
where
    S: FnOnce(WebSocket) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    upgrade
        .protocols([protocol::LINES])
        .read_buffer_size(READ)
        .write_buffer_size(WRITE)
        .max_write_buffer_size(WRITE_MAX.max(2 * frame_max))
        .max_message_size(frame_max)
        .max_frame_size(frame_max)
        .on_upgrade(serve)
}

/// The next frame; none when the client has gone. A message in pieces is one frame; pings and a farewell are answered already. May
/// be dropped while it waits, and loses nothing.
///
/// # Errors
/// What is wrong with what came: the connection is to end so.
pub async fn hear(socket: &mut WebSocket) -> Result<Option<Frame>, Closing> {
    match socket.recv().await {
        None => Ok(None),
        Some(Ok(Frame::Close(_))) => {
            read_out(socket).await;
            Ok(None)
        }
        Some(Ok(frame)) => Ok(Some(frame)),
        Some(Err(error)) => why(error).map_or(Ok(None), Err),
    }
}

/// Sends a frame, all of it.
///
/// # Errors
/// [`Closing::TooSlow`]. That the client has gone is no error: [`hear`] says so next.
pub async fn say(socket: &mut WebSocket, frame: Frame) -> Result<(), Closing> {
    match socket.send(frame).await.map_err(why) {
        Err(Some(Closing::TooSlow)) => Err(Closing::TooSlow),
        _ => Ok(()),
    }
}

/// Tells the client why it ends, and waits a moment for its answer.
pub async fn farewell(socket: &mut WebSocket, why: Closing) {
    let (code, reason) = why.code();
    let close = Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
    if let Ok(Ok(())) = timeout(FAREWELL, socket.send(close)).await {
        // Until the client has answered, what it was told may still be on its way.
        read_out(socket).await;
    }
}

/// Reads until nothing can come any more, for [`FAREWELL`] at most. What answers a close frame is written by reading on.
async fn read_out(socket: &mut WebSocket) {
    let rest = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _late = timeout(FAREWELL, rest).await;
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
