//! 64 people, each sending their next message when one before it is acknowledged: committed, on disk.

use std::cell::RefCell;
use std::collections::VecDeque;
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

/// What is measured: all of it on SQLite.
const CASES: [Case; 5] = [
    Case { rooms: Rooms::Apart, in_flight: 1, postgres: true },
    Case { rooms: Rooms::Apart, in_flight: 2, postgres: true },
    Case { rooms: Rooms::Apart, in_flight: 4, postgres: true },
    Case { rooms: Rooms::One, in_flight: 1, postgres: true },
    Case { rooms: Rooms::OneByApi, in_flight: 1, postgres: false },
];

#[derive(Clone, Copy)]
struct Case {
    rooms: Rooms,
    /// Messages of each sender that are not acknowledged yet, at most.
    in_flight: usize,
    /// On PostgreSQL, too.
    postgres: bool,
}

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
        "{SENDERS} senders, texts of 100 bytes, ids as Snug's clients make them (UUIDv7), {} s; acknowledged is on disk, on SQLite \
         with `synchronous=FULL`, on PostgreSQL as it comes (the server's CPU time is without that of PostgreSQL, which shares the \
         machine). They send over sockets; in one room over such as hear no room and are told of their own messages, so that \
         nothing is handed on; by the API with `POST /api/rooms/…/messages` over a connection that is kept alive. Each sends its next \
         message when fewer than so many are in flight.\n",
        seconds.as_secs()
    );
    println!(
        "| engine | rooms, by | in flight, each | sends/s | p50, µs | p99, µs | server CPU, µs/send | load generator CPU, µs/send |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for case in CASES {
        row("SQLite", case, seconds, &run(once(World::start(bench), case, seconds)));
    }
    if Postgres::is_there() {
        for case in CASES.into_iter().filter(|case| case.postgres) {
            let measured = run(async {
                let database = Postgres::shared().database().await;
                once(World::start_on(bench, Some(database)), case, seconds).await
            });
            row("PostgreSQL", case, seconds, &measured);
        }
    } else {
        println!("| PostgreSQL | | | not measured: its programs are not there | | | | |");
    }
    println!();
}

fn row(engine: &str, case: Case, seconds: Duration, measured: &Measured) {
    let Measured { latency, server, generator } = measured;
    let count = latency.len() as f64;
    let micros = |time: &Duration| time.as_secs_f64() * 1e6 / count;
    println!(
        "| {engine} | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
        match case.rooms {
            Rooms::Apart => "64, sockets",
            Rooms::One => "1, sockets",
            Rooms::OneByApi => "1, the API",
        },
        case.in_flight,
        thousands(count / seconds.as_secs_f64()),
        thousands(latency.value_at_quantile(0.5) as f64 / 1e3),
        thousands(latency.value_at_quantile(0.99) as f64 / 1e3),
        micros(server),
        micros(generator),
    );
}

async fn once(world: World, case: Case, seconds: Duration) -> Measured {
    let people = world.people(SENDERS).await;
    let mut senders = Vec::new();
    for (number, cookie) in people.iter().enumerate() {
        senders.push(match case.rooms {
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
                sender
                    .send(case.in_flight, |sent: Instant| {
                        if sent >= warm {
                            latency.borrow_mut().saturating_record(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
                        }
                    })
                    .await;
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
    Socket {
        room: String,
        frames: Frames,
        commands: Commands,
        /// What is in flight: its id, and when it was sent.
        open: VecDeque<(String, Instant)>,
    },
    Api {
        head: String,
        http: Http,
    },
}

impl Sender {
    /// Makes a room and sends to it over a socket.
    async fn apart(world: &World, number: usize, cookie: &str) -> Self {
        let mut http = Http::connect(world.address()).await;
        let reply = http.post("/actions/create_room", &format!("Cookie: {cookie}\r\n"), &format!("name=Room+{number}")).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        let hello = r#"{"type":"hello","rooms":{}}"#;
        let (frames, commands) = socket(world.address(), source(number), cookie, true, hello).await;
        Self::Socket { room: format!("room-{number}"), frames, commands, open: VecDeque::new() }
    }

    /// Sends to `general` over a socket that hears no room.
    async fn in_general(world: &World, number: usize, cookie: &str) -> Self {
        let (frames, commands) = open(world.address(), source(number), cookie, true).await.expect("the server gives a socket");
        Self::Socket { room: "general".to_owned(), frames, commands, open: VecDeque::new() }
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

    /// Sends until so many messages are in flight, and waits until one or more are acknowledged: `acknowledged` hears when each was
    /// sent. By the API it is one at a time.
    async fn send(&mut self, in_flight: usize, mut acknowledged: impl FnMut(Instant)) {
        let text = "x".repeat(100);
        match self {
            Self::Socket { room, frames, commands, open } => {
                while open.len() < in_flight {
                    let id = new_id();
                    let command = format!(r#"{{"type":"send","room":"{room}","id":"{id}","text":"{text}"}}"#);
                    open.push_back((id, Instant::now()));
                    commands.send(command.as_bytes()).await;
                }
                while open.len() == in_flight {
                    assert!(frames.more().await, "the server hung up");
                    while let Some(frame) = frames.next() {
                        open.retain(|(id, sent)| {
                            let is_there = memchr::memmem::find(frame, id.as_bytes()).is_some();
                            if is_there {
                                let refused = memchr::memmem::find(frame, br#""type":"error""#).is_some();
                                assert!(!refused, "{}", String::from_utf8_lossy(frame));
                                acknowledged(*sent);
                            }
                            !is_there
                        });
                    }
                }
            }
            Self::Api { head, http } => {
                let sent = Instant::now();
                let body = format!(r#"{{"id":"{}","text":"{text}"}}"#, new_id());
                let reply = http.post_json("/api/rooms/general/messages", head, &body).await.expect("the server answers");
                assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
                acknowledged(sent);
            }
        }
    }
}

/// As Snug's own clients make them.
fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
