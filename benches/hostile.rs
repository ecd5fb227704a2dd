//! What people in a room notice of clients that mean harm, and what those make the server hold.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use crate::wire::{Commands, Frames, socket, source};
use crate::world::{World, latencies, run, thousands};
use crate::{Bench, process};

const HONEST: usize = 8;
/// Messages that each of them sends in a second: half of what is allowed.
const RATE: usize = 5;
/// Bytes in a text: the most that is allowed, of ASCII.
const TEXT: usize = 4_000;
const HOSTILE: usize = 200;
/// Their accounts, each of which has this part of their connections: fewer than a person may have.
const ACCOUNTS: usize = 10;
/// How long each row is measured: longer than any time limit but that of a silent socket.
const SECONDS: usize = 40;

/// A kind of client; most are connected again as soon as they are hung up on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nobody,
    /// Not hostile, to compare: members who read.
    Readers,
    /// Come back with nothing, so that all of the log is told again, and read nothing of it or of what is new.
    Stopped,
    /// Five times as many commands as are answered.
    Flood,
    /// A byte of something now and then, and never the last; of bodies and frames most at once.
    Headers,
    Bodies,
    Frames,
    /// Ask for the largest page again and again, and read nothing.
    Pages,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Readers => "200 members who read",
            Self::Stopped => "200 members who come back to all of the log and do not read",
            Self::Flood => "200 sockets, 100 commands a second each",
            Self::Headers => "200 who dribble headers",
            Self::Bodies => "200 who dribble bodies",
            Self::Frames => "200 who dribble frames",
            Self::Pages => "200 who ask for a room's page 20 times and do not read",
        }
    }
}

struct Row {
    kind: Kind,
    latency: Histogram<u64>,
    lost: usize,
    /// Bytes: when only the honest were there, and the most since then.
    before: u64,
    most: u64,
    cpu: Duration,
    hung_up: usize,
}

pub fn measure(bench: &Bench) {
    let kinds = [Kind::Nobody, Kind::Readers, Kind::Stopped, Kind::Flood, Kind::Headers, Kind::Bodies, Kind::Frames, Kind::Pages];
    let rows = run(async {
        let mut world = World::with_usual_limits(bench);
        let people = world.people(HONEST + ACCOUNTS).await;
        let mut rows = Vec::new();
        for kind in kinds {
            world = world.restarted().await;
            rows.push(row(bench, &world, kind, &people).await);
        }
        rows
    });

    println!("### Hostile clients\n");
    println!(
        "{HONEST} people in a room, each sending {RATE} texts of {TEXT} bytes a second, and what they notice of {HOSTILE} others; {} s each, with \
         the usual limits. Memory is the server's resident memory when only they are there, and the most while the others are. What a \
         connection makes it hold is bounded: a live one twice `queue_bytes` (what waits, and what is being sent), 32 texts of what is told \
         again, and twice `frame_max` (a frame and a message); any other `header_max`, `body_max`, one answer, and 64 KiB of those \
         before it.\n",
        bench.scaled(SECONDS)
    );
    println!("| beside | p50, µs | p99, µs | lost | resident before | at most | for each of them | server CPU | hung up on |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in rows {
        let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let each = match row.kind {
            Kind::Nobody => String::new(),
            _ => format!("{:.0} KiB", row.most.saturating_sub(row.before) as f64 / 1024.0 / HOSTILE as f64),
        };
        println!(
            "| {} | {} | {} | {} | {:.1} MiB | {:.1} MiB | {each} | {:.1} % | {} |",
            row.kind.name(),
            thousands(row.latency.value_at_quantile(0.5) as f64 / 1e3),
            thousands(row.latency.value_at_quantile(0.99) as f64 / 1e3),
            row.lost,
            mebibytes(row.before),
            mebibytes(row.most),
            row.cpu.as_secs_f64() * 100.0 / bench.scaled(SECONDS) as f64,
            thousands(row.hung_up as f64),
        );
    }
    println!();
}

async fn row(bench: &Bench, world: &World, kind: Kind, people: &[String]) -> Row {
    eprintln!("  beside {} …", kind.name());
    let (honest, accounts) = people.split_at(HONEST);
    let seconds = Duration::from_secs(bench.scaled(SECONDS) as u64);
    let pid = world.server.pid();
    let mut talk = Talk::begin(world.address(), honest).await;
    talk.of(Duration::from_secs(2)).await;
    talk.latency.borrow_mut().reset();

    let before = process::resident(pid);
    let hostile = Hostile::begin(world.address(), kind, accounts);
    let cpu = process::cpu(pid);
    let most = Rc::new(Cell::new(before));
    let watching = tokio::task::spawn_local({
        let most = most.clone();
        async move {
            let mut looks = interval(Duration::from_millis(100));
            loop {
                looks.tick().await;
                most.set(most.get().max(process::resident(pid)));
            }
        }
    });
    talk.of(seconds).await;
    let cpu = process::cpu(pid) - cpu;
    watching.abort();
    let hung_up = hostile.end();
    let lost = talk.lost();
    let latency = talk.latency.borrow().clone();
    Row { kind, latency, lost, before, most: most.get(), cpu, hung_up }
}

/// The honest people's messages.
struct Talk {
    began: Instant,
    sockets: Vec<Commands>,
    receivers: Vec<JoinHandle<()>>,
    /// When each message was sent, in ns since `began`.
    sent: Rc<RefCell<Vec<u64>>>,
    latency: Rc<RefCell<Histogram<u64>>>,
    heard: Rc<Cell<usize>>,
}

impl Talk {
    async fn begin(address: SocketAddr, people: &[String]) -> Self {
        let began = Instant::now();
        let (sent, heard) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let latency = Rc::new(RefCell::new(latencies()));
        let (mut sockets, mut receivers) = (Vec::new(), Vec::new());
        for (n, cookie) in people.iter().enumerate() {
            let (frames, commands) = socket(address, source(n), cookie, true, r#"{"type":"hello","rooms":{}}"#).await;
            sockets.push(commands);
            receivers.push(tokio::task::spawn_local(listen(frames, began, sent.clone(), latency.clone(), heard.clone())));
        }
        Self { began, sockets, receivers, sent, latency, heard }
    }

    /// Goes on for so long, evenly, and until all is heard.
    async fn of(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut pace = interval(Duration::from_secs(1) / u32::try_from(HONEST * RATE).expect("a small number"));
        while Instant::now() < end {
            pace.tick().await;
            let index = self.sent.borrow().len();
            let id = uuid::Uuid::now_v7();
            let text = format!("~{index:08}~{:x<width$}", "", width = TEXT - 10);
            let command = format!(r#"{{"type":"send","room":"general","id":"{id}","text":"{text}"}}"#);
            self.sent.borrow_mut().push(nanoseconds(self.began));
            self.sockets[index % HONEST].send(command.as_bytes()).await;
        }
        for _ in 0..50 {
            if self.lost() == 0 {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn lost(&self) -> usize {
        self.sent.borrow().len() * HONEST - self.heard.get()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.receivers.iter().for_each(JoinHandle::abort);
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

async fn listen(
    mut frames: Frames,
    began: Instant,
    sent: Rc<RefCell<Vec<u64>>>,
    latency: Rc<RefCell<Histogram<u64>>>,
    heard: Rc<Cell<usize>>,
) {
    while frames.more().await {
        let now = nanoseconds(began);
        while let Some(frame) = frames.next() {
            for line in frame.split(|byte| *byte == b'\n').filter(|line| line.starts_with(br#"{"type":"message""#)) {
                let index = memchr::memchr(b'~', line).and_then(|at| line.get(at + 1..at + 9)).expect("a message of ours");
                let index: usize = std::str::from_utf8(index).ok().and_then(|text| text.parse().ok()).expect("its number");
                latency.borrow_mut().saturating_record(now.saturating_sub(sent.borrow()[index]));
                heard.set(heard.get() + 1);
            }
        }
    }
}

/// The others, on a thread of their own: what they cost this program delays nobody here.
struct Hostile {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<usize>,
}

impl Hostile {
    fn begin(address: SocketAddr, kind: Kind, accounts: &[String]) -> Self {
        let (stop, stopped) = oneshot::channel();
        let accounts = accounts.to_vec();
        let thread = thread::spawn(move || {
            let hung_up = AtomicUsize::new(0);
            let count = if kind == Kind::Nobody { 0 } else { HOSTILE };
            let lives = join_all((0..count).map(|n| {
                let (cookie, hung_up) = (&accounts[n % ACCOUNTS], &hung_up);
                async move {
                    // One after the other: they come all the time, not at once.
                    sleep(Duration::from_millis(5) * u32::try_from(n).expect("a small number")).await;
                    loop {
                        let _hung_up = live(address, kind, cookie).await;
                        hung_up.fetch_add(1, Ordering::Relaxed);
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }));
            run(async {
                tokio::select! {
                    _ = stopped => {}
                    () = async { lives.await; std::future::pending().await } => {}
                }
            });
            hung_up.into_inner()
        });
        Self { stop, thread }
    }

    /// How often they were hung up on.
    fn end(self) -> usize {
        let _ended = self.stop.send(());
        self.thread.join().expect("they do not fail")
    }
}

/// How often who dribbles sends a byte.
const DRIBBLE: Duration = Duration::from_millis(500);

/// A connection of this kind, until the server hangs up.
async fn live(address: SocketAddr, kind: Kind, cookie: &str) -> io::Result<()> {
    match kind {
        Kind::Nobody => std::future::pending().await,
        Kind::Readers => {
            let mut stream = upgrade(address, cookie).await?;
            stream.write_all(&text(r#"{"type":"hello","rooms":{}}"#)).await?;
            copy(&mut stream, &mut sink()).await.map(drop)
        }
        Kind::Stopped => {
            let mut stream = upgrade(address, cookie).await?;
            // The epoch is in the welcome.
            stream.write_all(&text(r#"{"type":"hello","rooms":{}}"#)).await?;
            let epoch = epoch(&mut stream).await?;
            stream.write_all(&text(&format!(r#"{{"type":"hello","rooms":{{"general":0}},"epoch":"{epoch}"}}"#))).await?;
            loop {
                sleep(DRIBBLE).await;
                stream.write_all(&text(r#"{"type":"ping"}"#)).await?;
            }
        }
        Kind::Flood => {
            let (mut reading, mut writing) = upgrade(address, cookie).await?.into_split();
            let flood = async {
                writing.write_all(&text(r#"{"type":"hello","rooms":{}}"#)).await?;
                let commands = text(r#"{"type":"ping"}"#).repeat(10);
                let mut pace = interval(Duration::from_millis(100));
                loop {
                    pace.tick().await;
                    writing.write_all(&commands).await?;
                }
            };
            let mut answers = sink();
            tokio::select! {
                failed = flood => failed,
                read = copy(&mut reading, &mut answers) => read.map(drop),
            }
        }
        Kind::Headers => {
            let mut stream = connect(address).await?;
            stream.write_all(b"GET /login HTTP/1.1\r\nHost: x\r\nX-Long: ").await?;
            dribble(stream).await
        }
        Kind::Bodies => {
            let mut stream = connect(address).await?;
            let head = format!(
                "POST /actions/log_in HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 65536\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&[b'x'; 65_000]).await?;
            dribble(stream).await
        }
        Kind::Frames => {
            let mut stream = upgrade(address, cookie).await?;
            stream.write_all(&[0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0]).await?;
            stream.write_all(&[b'x'; 65_000]).await?;
            dribble(stream).await
        }
        Kind::Pages => {
            let mut stream = connect(address).await?;
            let request =
                format!("GET /room/general HTTP/1.1\r\nHost: {address}\r\nAccept: text/html\r\nCookie: {cookie}\r\n\r\n");
            stream.write_all(request.repeat(20).as_bytes()).await?;
            loop {
                sleep(DRIBBLE).await;
                stream.write_all(b"\r\n").await?;
            }
        }
    }
}

async fn dribble(mut stream: TcpStream) -> io::Result<()> {
    loop {
        sleep(DRIBBLE).await;
        stream.write_all(b"x").await?;
    }
}

/// With a receive buffer so small that the server feels it soon when nothing is read.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A live connection that has not said anything.
async fn upgrade(address: SocketAddr, cookie: &str) -> io::Result<TcpStream> {
    let mut stream = connect(address).await?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let head = until(&mut stream, b"\r\n\r\n").await?;
    if head.starts_with(b"HTTP/1.1 101") { Ok(stream) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
}

/// The epoch that the welcome names.
async fn epoch(stream: &mut TcpStream) -> io::Result<String> {
    until(stream, br#""epoch":""#).await?;
    let epoch = until(stream, b"\"").await?;
    Ok(String::from_utf8_lossy(epoch.strip_suffix(b"\"").unwrap_or(&epoch)).into_owned())
}

/// Reads up to `end`, and nothing after it.
async fn until(stream: &mut TcpStream, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        read.push(stream.read_u8().await?);
    }
    Ok(read)
}

/// A short text as a frame.
fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("it is short");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}
