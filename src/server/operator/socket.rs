//! The operators' socket: one line of JSON asks, one answers. It is in the data folder, for the server's own user alone; who may
//! open it may open the database, too.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream as Line;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Answer, CommandError, Request, act};
use crate::server::chat::Chat;

/// How long a request may take, both ways. Its longest part is a password that waits for others to be hashed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a request.
const REQUEST: u64 = 16 * 1024;

/// Requests at once.
const AT_ONCE: usize = 4;

/// What is said to a request.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Done(Answer),
    Refused(String),
    /// Not a request of this version.
    Unknown,
}

/// Makes the socket. The caller has the folder's lock, so what is there is of a server that was killed.
///
/// # Errors
/// When the file cannot be made, or its path is longer than the system takes (108 bytes).
pub fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it has a name, so that there is no moment in which others may open it.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}

/// Answers operators until the server stops.
pub async fn serve(listener: UnixListener, chat: Chat, tasks: TaskTracker, stopping: CancellationToken) {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: some will be closed.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let chat = chat.clone();
        tasks.spawn(async move {
            let _until_done = permit;
            match timeout(PATIENCE, answer(stream, &chat)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "an operator's request ended early"),
                Err(_) => tracing::warn!("an operator's request took too long"),
            }
        });
    }
}

async fn answer(mut stream: UnixStream, chat: &Chat) -> std::io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut line = String::new();
    AsyncReader::new(reading.take(REQUEST)).read_line(&mut line).await?;
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => match act(chat.as_operator(), request).await {
            Ok(answer) => Reply::Done(answer),
            Err(why) => Reply::Refused(why.to_string()),
        },
        Err(_) => Reply::Unknown,
    };
    let mut reply = serde_json::to_vec(&reply)?;
    reply.push(b'\n');
    writing.write_all(&reply).await
}

/// A line to the server that has this socket; none where no server has it.
///
/// # Errors
/// [`CommandError::NotYours`].
pub(super) fn connect(path: &Path) -> Result<Option<Line>, CommandError> {
    match Line::connect(path) {
        Ok(line) => Ok(Some(line)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(CommandError::NotYours { socket: path.display().to_string() })
        }
        Err(_) => Ok(None),
    }
}

/// Asks the server at the other end.
///
/// # Errors
/// [`CommandError::Told`] when it refuses; [`CommandError::Broken`], [`CommandError::OtherVersion`].
pub(super) fn ask(mut line: Line, request: &Request) -> Result<Answer, CommandError> {
    let asking = || -> std::io::Result<String> {
        line.set_read_timeout(Some(PATIENCE))?;
        line.set_write_timeout(Some(PATIENCE))?;
        let mut request = serde_json::to_vec(request)?;
        request.push(b'\n');
        line.write_all(&request)?;
        let mut reply = String::new();
        BufReader::new(line).read_line(&mut reply)?;
        Ok(reply)
    };
    let reply = asking().map_err(CommandError::Broken)?;
    match serde_json::from_str(&reply) {
        Ok(Reply::Done(answer)) => Ok(answer),
        Ok(Reply::Refused(why)) => Err(CommandError::Told(why)),
        // It hung up: it stops, most likely.
        Err(_) if reply.is_empty() => Err(CommandError::Broken(ErrorKind::ConnectionReset.into())),
        Ok(Reply::Unknown) | Err(_) => Err(CommandError::OtherVersion),
    }
}
