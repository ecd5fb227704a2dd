//! 64 people, each sending their next message when the last is acknowledged: committed, on disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use hdrhistogram::Histogram;
use snug::protocol::api::{LogIn, Token};

use crate::postgres::Postgres;
use crate::wire::{Commands, Frames, Http, open, socket, source};
use crate::world::{PASSWORD, World, latencies, run, thousands};
use crate::{Bench, process};

const SENDERS: usize = 64;

/// Where they send to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rooms {
    /// Each alone in a room, over a socket.
    Apart,
    /// All in one, over sockets that hear no room: nothing is handed on.
    One,
    /// All in one, by the API, and nobody has a socket.
    OneByApi,
}

/// What one run measured.
struct Measured {
    latency: Histogram<u64>,
    /// CPU time of the server and of the load generator.
    server: Duration,
    generator: Duration,
}

pub fn measure(bench: &Bench) {
    let seconds = Duration::from_secs(bench.scaled(20) as u64);
    println!("### Acknowledged sends\n");
    println!(
        "{SENDERS} senders, one message each in flight, texts of 100 bytes, random ids, {} s; acknowledged is on disk, on SQLite with \
         `synchronous=FULL`, on PostgreSQL as it comes (the server's CPU time is without that of PostgreSQL, which shares the machine). \
         They send over sockets; in one room over such as hear no room and are told of their own messages, so that nothing is handed on; \
         by the API with `POST /api/rooms/…/messages` over a connection that is kept alive.\n",
        seconds.as_secs()
    );
    println!("| engine | rooms, by | sends/s | p50, µs | p99, µs | server CPU, µs/send | load generator CPU, µs/send |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for rooms in [Rooms::Apart, Rooms::One, Rooms::OneByApi] {
        row("SQLite", rooms, seconds, &run(once(World::start(bench), rooms, seconds)));
    }
    if Postgres::is_there() {
        for rooms in [Rooms::Apart, Rooms::One] {
            let measured = run(async {
                let database = Postgres::shared().database().await;
                once(World::start_on(bench, Some(database)), rooms, seconds).await
            });
            row("PostgreSQL", rooms, seconds, &measured);
        }
    } else {
        println!("| PostgreSQL | | not measured: its programs are not there | | | | |");
    }
    println!();
}

fn row(engine: &str, rooms: Rooms, seconds: Duration, measured: &Measured) {
    let Measured { latency, server, generator } = measured;
    let count = latency.len() as f64;
    let micros = |time: &Duration| time.as_secs_f64() * 1e6 / count;
    println!(
        "| {engine} | {} | {} | {} | {} | {:.1} | {:.1} |",
        match rooms {
            Rooms::Apart => "64, sockets",
            Rooms::One => "1, sockets",
            Rooms::OneByApi => "1, the API",
        },
        thousands(count / seconds.as_secs_f64()),
        thousands(latency.value_at_quantile(0.5) as f64 / 1e3),
        thousands(latency.value_at_quantile(0.99) as f64 / 1e3),
        micros(server),
        micros(generator),
    );
}

async fn once(world: World, rooms: Rooms, seconds: Duration) -> Measured {
    let people = world.people(SENDERS).await;
    let mut senders = Vec::new();
    for (number, cookie) in people.iter().enumerate() {
        senders.push(match rooms {
            Rooms::Apart => Sender::apart(&world, number, cookie).await,
            Rooms::One => Sender::in_general(&world, number, cookie).await,
            Rooms::OneByApi => Sender::by_api(&world, number).await,
        });
    }
    // A second to warm up.
    let warm = Instant::now() + Duration::from_secs(1);
    let end = warm + seconds;
    let latency = Rc::new(RefCell::new(latencies()));
    let sending = senders.into_iter().map(|mut sender| {
        let latency = latency.clone();
        async move {
            while Instant::now() < end {
                let sent = Instant::now();
                sender.send().await;
                if sent >= warm {
                    latency.borrow_mut().saturating_record(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
                }
            }
        }
    });
    let watching = async {
        tokio::time::sleep_until(warm.into()).await;
        let before = (process::cpu(world.server.pid()), process::cpu(std::process::id()));
        tokio::time::sleep_until(end.into()).await;
        let after = (process::cpu(world.server.pid()), process::cpu(std::process::id()));
        (after.0 - before.0, after.1 - before.1)
    };
    let (_, (server, generator)) = join(join_all(sending), watching).await;
    Measured { latency: latency.replace(latencies()), server, generator }
}

/// One who sends.
enum Sender {
    Socket { room: String, frames: Frames, commands: Commands },
    Api { head: String, http: Http },
}

impl Sender {
    /// Makes a room and sends to it over a socket.
    async fn apart(world: &World, number: usize, cookie: &str) -> Self {
        let mut http = Http::connect(world.address()).await;
        let reply = http.post("/actions/create_room", &format!("Cookie: {cookie}\r\n"), &format!("name=Room+{number}")).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        let hello = r#"{"type":"hello","rooms":{}}"#;
        let (frames, commands) = socket(world.address(), source(number), cookie, true, hello).await;
        Self::Socket { room: format!("room-{number}"), frames, commands }
    }

    /// Sends to `general` over a socket that hears no room.
    async fn in_general(world: &World, number: usize, cookie: &str) -> Self {
        let (frames, commands) = open(world.address(), source(number), cookie, true).await.expect("the server gives a socket");
        Self::Socket { room: "general".to_owned(), frames, commands }
    }

    /// Sends to `general` by the API.
    async fn by_api(world: &World, number: usize) -> Self {
        let log_in = LogIn { name: format!("person{number}"), password: PASSWORD.to_owned() };
        let mut http = Http::connect(world.address()).await;
        let body = serde_json::to_string(&log_in).expect("it is JSON");
        let reply = http.post_json("/api/auth/login", "", &body).await.expect("the server answers");
        let token: Token = serde_json::from_slice(&reply.body).expect("a token");
        Self::Api { head: format!("Authorization: Bearer {}\r\n", token.token), http }
    }

    /// Sends a message and waits until it is acknowledged.
    async fn send(&mut self) {
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string();
        let text = "x".repeat(100);
        match self {
            Self::Socket { room, frames, commands } => {
                let command = format!(r#"{{"type":"send","room":"{room}","id":"{id}","text":"{text}"}}"#);
                commands.send(command.as_bytes()).await;
                while !acknowledged(frames, id.as_bytes()) {
                    assert!(frames.more().await, "the server hung up");
                }
            }
            Self::Api { head, http } => {
                let body = format!(r#"{{"id":"{id}","text":"{text}"}}"#);
                let reply = http.post_json("/api/rooms/general/messages", head, &body).await.expect("the server answers");
                assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
            }
        }
    }
}

/// Whether one of the frames that are there acknowledges the message `id`.
fn acknowledged(frames: &mut Frames, id: &[u8]) -> bool {
    let mut found = false;
    while let Some(frame) = frames.next() {
        if memchr::memmem::find(frame, id).is_some() {
            assert!(memchr::memmem::find(frame, br#""type":"error""#).is_none(), "{}", String::from_utf8_lossy(frame));
            found = true;
        }
    }
    found
}
