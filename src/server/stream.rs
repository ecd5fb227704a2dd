//! The TCP stream under a connection: it waits for its client only so long, and hears out who is still speaking when it ends.
//! What goes out may come from others than its task, too: see [`Outbound`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, copy, sink};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};

/// Bytes that the kernel may hold for a client that reads slowly. Beyond, the server's own bounded queue counts.
const SEND_BUFFER: usize = 128 * 1024;

/// How long, and for how many bytes, a client is heard out.
const HEARD_OUT: (Duration, u64) = (Duration::from_secs(2), 8 * 1024 * 1024);

/// Frames that are written by one call of the kernel.
const FRAMES: usize = 16;

/// The stream of a connection.
///
/// Writing fails with [`io::ErrorKind::TimedOut`] when the client takes nothing of what it is sent for too long; hyper would wait for
/// ever. Its end reaches the client: closing a stream of which not all is read resets it, and a client that is still sending would
/// lose what it was last told, such as that its request is too large.
#[derive(Debug)]
pub struct Stream {
    /// Until it is dropped.
    inbound: Option<OwnedReadHalf>,
    outbound: Arc<Outbound>,
    patience: Duration,
    /// Since when the client takes nothing; most never have one.
    waiting: Option<Pin<Box<Sleep>>>,
    /// It took nothing for too long.
    given_up: bool,
}

/// The way to the client, for its [`Stream`] and for whoever has frames for it: a frame that is sent here is written at once, on the
/// thread that sends it, if the kernel has room; waking the connection's task for that would cost more than the frame.
///
/// Frames go out whole, and in the order in which they were sent. What is written to the stream goes between two frames, and a frame
/// between two pieces that were written to it whole. What finds no room waits here, and is written when the stream is
/// [flushed](AsyncWrite::poll_flush) or written to.
#[derive(Debug)]
pub struct Outbound {
    tcp: OwnedWriteHalf,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Frames for which there was no room, in order; of the first a part may be gone.
    frames: VecDeque<Bytes>,
    /// Of what was written to the stream a part is gone, and the rest of it is next.
    midway: bool,
    /// No more frames.
    ended: bool,
}

impl Outbound {
    fn new(tcp: OwnedWriteHalf) -> Self {
        Self { tcp, queue: Mutex::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic with the lock held would leave whole frames.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends frames; whether all that was ever sent has left. Where not, the rest waits for its stream, and it is on the caller to
    /// send no more until that is flushed: nothing bounds this queue. Once it is known that the client has gone, or [`end`](Self::end)
    /// was said, everything counts as gone.
    pub fn send(&self, frames: impl IntoIterator<Item = Bytes>) -> bool {
        let mut queue = self.queue();
        if queue.ended {
            return true;
        }
        let mut frames = frames.into_iter();
        // Nearly always there is one, and room for it: no queue is needed.
        if !queue.midway
            && queue.frames.is_empty()
            && let Some(mut first) = frames.next()
        {
            match self.tcp.as_ref().try_write(&first) {
                Ok(written) => first.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return queue.give_up(),
            }
            if !first.is_empty() {
                queue.frames.push_back(first);
            }
        }
        queue.frames.extend(frames);
        queue.flush(self.tcp.as_ref()).unwrap_or_else(|_| queue.give_up())
    }

    /// No frame that is sent from now on goes out: the stream says the last word.
    pub fn end(&self) {
        let mut queue = self.queue();
        queue.ended = true;
        // What waits for the rest of something that was written would come after that, and after what is written next.
        if queue.midway {
            queue.frames.clear();
        }
    }

    /// Writes by `write` what was given to the stream, `length` bytes, after the frames that wait, unless they wait for its own rest.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.as_ref().poll_write_ready(cx))?;
            let mut queue = self.queue();
            if !queue.midway {
                match queue.flush(self.tcp.as_ref()) {
                    Ok(true) => {}
                    // Not ready any more: whom to wake is noted by asking again.
                    Ok(false) => continue,
                    Err(error) => {
                        queue.give_up();
                        return Poll::Ready(Err(error));
                    }
                }
            }
            match write(self.tcp.as_ref()) {
                Ok(written) => {
                    queue.midway = written < length;
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    queue.give_up();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            {
                let mut queue = self.queue();
                // Who flushes has written all that it had. If a part of that never came here, the client cannot make sense of what
                // follows. (hyper hands a connection over without what it has not written yet.)
                let flushed = if queue.midway { Err(io::ErrorKind::BrokenPipe.into()) } else { queue.flush(self.tcp.as_ref()) };
                match flushed {
                    Ok(true) => return Poll::Ready(Ok(())),
                    Ok(false) => {}
                    Err(error) => {
                        queue.give_up();
                        return Poll::Ready(Err(error));
                    }
                }
            }
            ready!(self.tcp.as_ref().poll_write_ready(cx))?;
        }
    }
}

impl Queue {
    /// Writes the frames that wait; whether nothing does any more, and the next may go.
    fn flush(&mut self, tcp: &TcpStream) -> io::Result<bool> {
        while !self.midway && !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); FRAMES];
            let next = slices.iter_mut().zip(&self.frames).map(|(slice, frame)| *slice = IoSlice::new(frame)).count();
            match tcp.try_write_vectored(&slices[..next]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.gone(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(!self.midway)
    }

    /// So many bytes of the frames are gone.
    fn gone(&mut self, mut bytes: usize) {
        while let Some(first) = self.frames.front_mut() {
            let part = bytes.min(first.len());
            first.advance(part);
            bytes -= part;
            if !first.is_empty() {
                return;
            }
            self.frames.pop_front();
        }
        // A socket that waited once is idle like the others.
        self.frames = VecDeque::new();
    }

    /// There is nobody to take anything, which reading from the stream will say.
    fn give_up(&mut self) -> bool {
        *self = Self { ended: true, ..Self::default() };
        true
    }
}

impl Stream {
    /// The stream of a connection that was accepted, whose client may take nothing for `patience`.
    #[must_use]
    pub fn new(tcp: TcpStream, patience: Duration) -> Self {
        // Without it the last part of a page waits for an acknowledgement, 40 ms long.
        let _unset = tcp.set_nodelay(true);
        let _unset = SockRef::from(&tcp).set_send_buffer_size(SEND_BUFFER);
        let (inbound, outbound) = tcp.into_split();
        Self { inbound: Some(inbound), outbound: Arc::new(Outbound::new(outbound)), patience, waiting: None, given_up: false }
    }

    /// The way to its client.
    #[must_use]
    pub fn outbound(&self) -> Arc<Outbound> {
        Arc::clone(&self.outbound)
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
        self.outbound.end();
        let Some(inbound) = self.inbound.take() else { return };
        let tcp: &TcpStream = inbound.as_ref();
        if self.given_up {
            // The kernel forgets what waits for the client, too, which it would keep for minutes.
            let _kept = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
            return;
        }
        // Said here: someone may still have the way to the client for a moment.
        let _gone = SockRef::from(tcp).shutdown(Shutdown::Write);
        if rustix::io::ioctl_fionread(tcp).is_ok_and(|unread| unread > 0)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(hear_out(inbound));
        }
    }
}

/// Reads until the client, which has been told that nothing more comes, has heard it and hangs up.
async fn hear_out(inbound: OwnedReadHalf) {
    let (patience, most) = HEARD_OUT;
    let _gone_or_late = timeout(patience, copy(&mut inbound.take(most), &mut sink())).await;
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let inbound = self.inbound.as_mut().expect("it is there until it is dropped");
        Pin::new(inbound).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.outbound.poll_write(cx, bytes.len(), |tcp| tcp.try_write(bytes));
        self.patiently(written, cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = bytes.iter().map(|piece| piece.len()).sum();
        let written = self.outbound.poll_write(cx, length, |tcp| tcp.try_write_vectored(bytes));
        self.patiently(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.outbound.poll_flush(cx);
        self.patiently(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(self.outbound.tcp.as_ref()).shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// A frame of these tests: who sent it, the how manieth it is, how many bytes follow, and those.
    fn frame(sender: u8, number: u32, bytes: u32) -> Vec<u8> {
        let mut frame = vec![sender];
        frame.extend(number.to_be_bytes());
        frame.extend(bytes.to_be_bytes());
        frame.resize(frame.len() + usize::try_from(bytes).unwrap(), sender);
        frame
    }

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::new(listener.accept().await.unwrap().0, Duration::from_secs(30)), client)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frames_of_several_go_out_whole_and_each_ones_in_order_whatever_is_written_between_them() {
        const SENDERS: u8 = 3;
        const FRAMES: u32 = 400;
        let (mut stream, mut client) = pair().await;
        let sending = |sender: u8| {
            let out = stream.outbound();
            // From next to nothing to more than the kernel takes at once.
            tokio::spawn(async move {
                for number in 0..FRAMES {
                    out.send([frame(sender, number, number * 97 % 5000 * u32::from(sender)).into()]);
                    tokio::task::yield_now().await;
                }
            })
        };
        let senders: Vec<_> = (1..=SENDERS).map(sending).collect();
        let writer = tokio::spawn(async move {
            for number in 0..FRAMES {
                stream.write_all(&frame(0, number, number * 31 % 20_000)).await.unwrap();
            }
            for sender in senders {
                sender.await.unwrap();
            }
            stream.flush().await.unwrap();
        });
        let mut next = [0; SENDERS as usize + 1];
        while next.iter().sum::<u32>() < FRAMES * (u32::from(SENDERS) + 1) {
            let (sender, number) = (client.read_u8().await.unwrap(), client.read_u32().await.unwrap());
            let mut bytes = vec![0; client.read_u32().await.unwrap().try_into().unwrap()];
            client.read_exact(&mut bytes).await.unwrap();
            assert!(bytes.iter().all(|byte| *byte == sender), "a frame of {sender} is whole");
            assert_eq!(number, std::mem::replace(&mut next[usize::from(sender)], number + 1));
        }
        writer.await.unwrap();
    }

    /// Writes until the kernel takes only a part.
    async fn write_a_part(stream: &mut Stream) {
        loop {
            let bytes = [0; 100_000];
            let written = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, &bytes)).await.unwrap();
            if written < bytes.len() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn who_flushes_without_having_written_all_has_lost_the_client() {
        let (mut stream, _client) = pair().await;
        let out = stream.outbound();
        write_a_part(&mut stream).await;
        assert!(!out.send([frame(1, 0, 10).into()]), "nothing goes before the rest");
        assert_eq!(stream.flush().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(out.send([frame(1, 1, 10).into()]), "and nobody waits for one who is lost");
    }

    #[tokio::test]
    async fn after_the_end_nothing_follows_what_the_stream_was_about_to_write() {
        let (mut stream, mut client) = pair().await;
        let out = stream.outbound();
        write_a_part(&mut stream).await;
        out.send([frame(7, 0, 10).into()]);
        out.end();
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            all
        });
        stream.write_all(&[1]).await.unwrap();
        stream.flush().await.unwrap();
        drop((stream, out));
        let all = reading.await.unwrap();
        assert_eq!((all.last(), all.contains(&7)), (Some(&1), false));
    }

    #[tokio::test]
    async fn after_the_end_only_the_stream_is_heard() {
        let (mut stream, mut client) = pair().await;
        let out = stream.outbound();
        assert!(out.send([frame(1, 0, 10).into()]));
        out.end();
        assert!(out.send([frame(1, 1, 10).into()]), "and nobody waits");
        stream.write_all(&frame(0, 0, 1)).await.unwrap();
        drop((stream, out));
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [frame(1, 0, 10), frame(0, 0, 1)].concat());
    }
}
