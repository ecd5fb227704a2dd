//! One room of 500 people: what a delivery costs and how long it takes, beside a [bare peer](crate::peer).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hdrhistogram::Histogram;
use memchr::memmem::Finder;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::program::Program;
use crate::wire::{Commands, Frames, socket, source};
use crate::world::{World, latencies, run, thousands};
use crate::{Bench, peer, process};

const MEMBERS: usize = 500;
const SENDERS: usize = 4;
/// Bytes in a text.
const TEXT: usize = 100;
/// Messages that each sender has in flight when it sends as fast as it can.
const WINDOW: usize = 64;
/// How often everything is measured; the tables have the median.
const TIMES: usize = 3;

/// How the messages come.
#[derive(Clone, Copy)]
enum Load {
    /// So many a second in total, from one pacer.
    Paced(usize),
    Saturated,
}

/// What one run measured.
struct Measured {
    per_second: f64,
    lost: usize,
    doubled: usize,
    disordered: usize,
    p50: Duration,
    p99: Duration,
    /// CPU time for each delivery, of the server and of the load generator, in µs.
    server: f64,
    generator: f64,
}

pub fn measure(bench: &Bench) {
    let loads = [Load::Paced(60), Load::Paced(200), Load::Saturated];
    let mut rows = Vec::new();
    run(async {
        let world = World::start(bench);
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(peer::COMMAND);
        let bare = Program::run(command);
        let people = world.people(MEMBERS).await;
        for load in loads {
            let messages = match load {
                Load::Paced(rate) => bench.scaled(rate * 10),
                Load::Saturated => bench.scaled(12_000),
            };
            let (mut of_peer, mut of_snug) = (Vec::new(), Vec::new());
            for _ in 0..TIMES {
                of_peer.push(once(&bare, &people, load, messages).await);
                of_snug.push(once(&world.server, &people, load, messages).await);
            }
            rows.push((load, "bare peer", of_peer));
            rows.push((load, "Snug", of_snug));
        }
    });

    println!("### Fan-out\n");
    println!(
        "One room, {MEMBERS} members with a socket each, {SENDERS} of them sending texts of {TEXT} bytes; SQLite, every message committed \
         before it is delivered. The bare peer is axum with `tokio::sync::broadcast`, one flush an event, storing nothing. Medians of {TIMES} \
         alternating runs; lost, doubled and out of order are sums over all of them.\n"
    );
    println!(
        "| load | server | deliveries/s | lost | doubled | out of order | p50, µs | p99, µs | server CPU, µs/delivery | load generator CPU, µs/delivery |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (load, server, runs) in rows {
        let load = match load {
            Load::Paced(rate) => format!("{rate} messages/s"),
            Load::Saturated => "saturated".to_owned(),
        };
        println!(
            "| {load} | {server} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} |",
            thousands(median(&runs, |run| run.per_second)),
            runs.iter().map(|run| run.lost).sum::<usize>(),
            runs.iter().map(|run| run.doubled).sum::<usize>(),
            runs.iter().map(|run| run.disordered).sum::<usize>(),
            thousands(median(&runs, |run| run.p50.as_secs_f64() * 1e6)),
            thousands(median(&runs, |run| run.p99.as_secs_f64() * 1e6)),
            median(&runs, |run| run.server),
            median(&runs, |run| run.generator),
        );
    }
    println!();
}

fn median(runs: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What senders and receivers share.
struct Shared {
    began: Instant,
    /// When each message was sent, in ns since `began`, and by which sender.
    sent: RefCell<Vec<(u64, usize)>>,
    latency: RefCell<Histogram<u64>>,
    delivered: Cell<usize>,
    /// Wakes who waits for deliveries.
    more: Notify,
    /// What each sender may still send, where it waits for its acknowledgements.
    window: [Semaphore; SENDERS],
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits for so many deliveries, or until none has come for some seconds.
    async fn delivered(&self, wanted: usize) {
        let mut seen = self.delivered.get();
        while seen < wanted {
            let _ = tokio::time::timeout(Duration::from_secs(5), async {
                while self.delivered.get() < wanted {
                    self.more.notified().await;
                }
            })
            .await;
            if self.delivered.get() == seen {
                return;
            }
            seen = self.delivered.get();
        }
    }
}

/// Messages before those that are counted, to warm up.
const WARM: usize = 40;

async fn once(server: &Program, people: &[String], load: Load, messages: usize) -> Measured {
    let address = server.address();
    let total = WARM + messages;
    let shared = Rc::new(Shared {
        began: Instant::now(),
        sent: RefCell::new(Vec::with_capacity(total)),
        latency: RefCell::new(latencies()),
        delivered: Cell::new(0),
        more: Notify::new(),
        window: [const { Semaphore::const_new(0) }; SENDERS],
    });
    let (mut senders, receivers) = connect(address, people, &shared, total).await;

    for index in 0..WARM {
        senders[index % SENDERS].send(&command(&shared, index, index % SENDERS)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shared.delivered(WARM * MEMBERS).await;
    shared.latency.borrow_mut().reset();

    let (server_before, generator_before) = (process::cpu(server.pid()), process::cpu(std::process::id()));
    let began = Instant::now();
    match load {
        Load::Paced(rate) => {
            let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate as f64));
            for index in WARM..total {
                pace.tick().await;
                senders[index % SENDERS].send(&command(&shared, index, index % SENDERS)).await;
            }
        }
        Load::Saturated => {
            let next = Rc::new(Cell::new(WARM));
            let sending = senders.iter_mut().take(SENDERS).enumerate().map(|(number, sender)| {
                let (shared, next) = (shared.clone(), next.clone());
                async move {
                    // The warm-up's acknowledgements are no room in the window.
                    let window = &shared.window[number];
                    window.forget_permits(usize::MAX);
                    window.add_permits(WINDOW);
                    while next.get() < total {
                        window.acquire().await.expect("never closed").forget();
                        let index = next.get();
                        if index >= total {
                            break;
                        }
                        next.set(index + 1);
                        sender.send(&command(&shared, index, number)).await;
                    }
                }
            });
            let all = futures_util::future::join_all(sending);
            tokio::time::timeout(Duration::from_secs(300), all).await.expect("the senders are acknowledged");
        }
    }
    shared.delivered(total * MEMBERS).await;
    let took = began.elapsed();
    let (server_after, generator_after) = (process::cpu(server.pid()), process::cpu(std::process::id()));

    let (mut lost, mut doubled, mut disordered) = (0, 0, 0);
    for receiver in receivers {
        receiver.task.abort();
        let _ = receiver.task.await;
        let received = receiver.received.borrow();
        lost += total - received.seen.iter().filter(|seen| **seen).count();
        doubled += received.doubled;
        disordered += received.disordered;
    }
    let deliveries = (messages * MEMBERS) as f64;
    let latency = shared.latency.borrow();
    Measured {
        per_second: (deliveries - lost as f64) / took.as_secs_f64(),
        lost,
        doubled,
        disordered,
        p50: Duration::from_nanos(latency.value_at_quantile(0.5)),
        p99: Duration::from_nanos(latency.value_at_quantile(0.99)),
        server: (server_after - server_before).as_secs_f64() * 1e6 / deliveries,
        generator: (generator_after - generator_before).as_secs_f64() * 1e6 / deliveries,
    }
}

/// A receiver's account of what came.
#[derive(Default)]
struct Received {
    seen: Vec<bool>,
    last: i64,
    doubled: usize,
    disordered: usize,
}

struct Receiver {
    task: JoinHandle<()>,
    received: Rc<RefCell<Received>>,
}

async fn connect(address: SocketAddr, people: &[String], shared: &Rc<Shared>, total: usize) -> (Vec<Commands>, Vec<Receiver>) {
    let open = people
        .iter()
        .enumerate()
        .map(|(n, cookie)| async move { socket(address, source(n), cookie, true, r#"{"type":"hello","rooms":{}}"#).await });
    let sockets: Vec<_> = futures_util::stream::iter(open).buffered(8).collect().await;
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for (number, (frames, commands)) in sockets.into_iter().enumerate() {
        let received = Rc::new(RefCell::new(Received { seen: vec![false; total], ..Received::default() }));
        let task = tokio::task::spawn_local(receive(frames, number, shared.clone(), received.clone()));
        receivers.push(Receiver { task, received });
        senders.push(commands);
    }
    // All are kept, or their sockets would close; the first send.
    (senders, receivers)
}

async fn receive(mut frames: Frames, number: usize, shared: Rc<Shared>, received: Rc<RefCell<Received>>) {
    let finder = Finder::new(br#""seq":"#);
    while frames.more().await {
        let now = shared.now();
        let mut count = 0;
        let mut received = received.borrow_mut();
        let sent = shared.sent.borrow();
        let mut latency = shared.latency.borrow_mut();
        while let Some(frame) = frames.next() {
            for line in frame.split(|byte| *byte == b'\n') {
                let Some((seq, index)) = place_and_index(line, &finder) else { continue };
                count += 1;
                if received.seen[index] {
                    received.doubled += 1;
                } else if seq <= received.last {
                    received.disordered += 1;
                }
                received.seen[index] = true;
                received.last = received.last.max(seq);
                let (at, by) = sent[index];
                latency.saturating_record(now.saturating_sub(at));
                if by == number {
                    shared.window[number].add_permits(1);
                }
            }
        }
        if count > 0 {
            shared.delivered.set(shared.delivered.get() + count);
            shared.more.notify_one();
        }
    }
}

/// A message's `seq`, and the number in its text.
fn place_and_index(line: &[u8], finder: &Finder) -> Option<(i64, usize)> {
    if !line.starts_with(br#"{"type":"message""#) {
        return None;
    }
    let seq = &line[finder.find(line)? + 6..];
    let index = &line[memchr::memchr(b'~', line)? + 1..];
    Some((number(seq), usize::try_from(number(index)).ok()?))
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}

/// The command that sends message `index`, which is noted as sent now.
fn command(shared: &Shared, index: usize, by: usize) -> Vec<u8> {
    let id = uuid::Uuid::now_v7();
    let text = format!("~{index:08}~{:x<width$}", "", width = TEXT - 10);
    let command = format!(r#"{{"type":"send","room":"general","id":"{id}","text":"{text}"}}"#);
    let mut sent = shared.sent.borrow_mut();
    debug_assert_eq!(sent.len(), index);
    sent.push((shared.now(), by));
    command.into_bytes()
}
