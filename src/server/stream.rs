//! The TCP stream under a connection: it waits for its client only so long, and hears out who is still speaking when it ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};

/// Bytes that the kernel may hold for a client that reads slowly. Beyond, the server's own bounded queue counts.
const SEND_BUFFER: usize = 128 * 1024;

/// How long, and for how many bytes, a client is heard out.
const HEARD_OUT: (Duration, u64) = (Duration::from_secs(2), 8 * 1024 * 1024);

/// The stream of a connection.
///
/// Writing fails with [`io::ErrorKind::TimedOut`] when the client takes nothing of what it is sent for too long; hyper would wait for
/// ever. Its end reaches the client: closing a stream of which not all is read resets it, and a client that is still sending would
/// lose what it was last told, such as that its request is too large.
#[derive(Debug)]
pub struct Stream {
    /// Until it is dropped.
    tcp: Option<TcpStream>,
    patience: Duration,
    /// Since when the client takes nothing; most never have one.
    waiting: Option<Pin<Box<Sleep>>>,
    /// It took nothing for too long.
    given_up: bool,
}

impl Stream {
    /// The stream of a connection that was accepted, whose client may take nothing for `patience`.
    #[must_use]
    pub fn new(tcp: TcpStream, patience: Duration) -> Self {
        // Without it the last part of a page waits for an acknowledgement, 40 ms long.
        let _unset = tcp.set_nodelay(true);
        let _unset = SockRef::from(&tcp).set_send_buffer_size(SEND_BUFFER);
        Self { tcp: Some(tcp), patience, waiting: None, given_up: false }
    }

    fn tcp(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.tcp.as_mut().expect("it is there until it is dropped"))
    }

    /// What a try to write something came to: an error, when none has come to anything for too long.
    fn patiently<T>(&mut self, tried: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waiting = None;
            return tried;
        }
        let patience = self.patience;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        self.given_up = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(tcp) = self.tcp.take() else { return };
        if self.given_up {
            // The kernel forgets what waits for the client, too, which it would keep for minutes.
            let _kept = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
        } else if rustix::io::ioctl_fionread(&tcp).is_ok_and(|unread| unread > 0)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(hear_out(tcp));
        }
    }
}

/// Says that nothing more comes, and reads until the client has heard it and hangs up.
async fn hear_out(mut tcp: TcpStream) {
    let (patience, most) = HEARD_OUT;
    let rest = async {
        tcp.shutdown().await?;
        copy(&mut tcp.take(most), &mut sink()).await
    };
    let _gone_or_late = timeout(patience, rest).await;
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.tcp().poll_write(cx, bytes);
        self.patiently(written, cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = self.tcp().poll_write_vectored(cx, bytes);
        self.patiently(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_shutdown(cx)
    }
}
