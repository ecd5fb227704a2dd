//! 64 people, each alone in a room, each sending its next message when the last is acknowledged: committed, on disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::wire::{Http, socket, source};
use crate::world::{World, latencies, run, thousands};
use crate::{Bench, process};

const SENDERS: usize = 64;

pub fn measure(bench: &Bench) {
    let seconds = Duration::from_secs(bench.scaled(20) as u64);
    let latency = Rc::new(RefCell::new(latencies()));
    let (server, generator) = run(async {
        let world = World::start(bench);
        let people = world.people(SENDERS).await;
        let mut senders = Vec::new();
        for (number, cookie) in people.iter().enumerate() {
            let mut http = Http::connect(world.address()).await;
            let body = format!("name=Room+{number}");
            let reply = http.post("/actions/create_room", &format!("Cookie: {cookie}\r\n"), &body).await;
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
            senders.push(socket(world.address(), source(number), cookie, true, r#"{"type":"hello","rooms":{}}"#).await);
        }
        let warm = Instant::now() + Duration::from_secs(1);
        let end = warm + seconds;
        let sending = senders.into_iter().enumerate().map(|(number, (mut frames, mut commands))| {
            let latency = latency.clone();
            async move {
                let text = "x".repeat(100);
                while Instant::now() < end {
                    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string();
                    let sent = Instant::now();
                    let command = format!(r#"{{"type":"send","room":"room-{number}","id":"{id}","text":"{text}"}}"#);
                    commands.send(command.as_bytes()).await;
                    while !acknowledged(&mut frames, id.as_bytes()) {
                        assert!(frames.more().await, "the server hung up");
                    }
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
        futures_util::future::join(futures_util::future::join_all(sending), watching).await.1
    });

    let latency = latency.borrow();
    let count = latency.len() as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / count;
    println!("### Acknowledged sends\n");
    println!(
        "{SENDERS} senders in {SENDERS} rooms over their sockets, one message each in flight, texts of 100 bytes, random ids, {} s; SQLite with \
         `synchronous=FULL`: acknowledged is on disk.\n",
        seconds.as_secs()
    );
    println!("| sends/s | p50, µs | p99, µs | server CPU, µs/send | load generator CPU, µs/send |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    println!(
        "| {} | {} | {} | {:.1} | {:.1} |\n",
        thousands(count / seconds.as_secs_f64()),
        thousands(latency.value_at_quantile(0.5) as f64 / 1e3),
        thousands(latency.value_at_quantile(0.99) as f64 / 1e3),
        micros(server),
        micros(generator),
    );
}

/// Whether one of the frames that are there acknowledges the message `id`.
fn acknowledged(frames: &mut crate::wire::Frames, id: &[u8]) -> bool {
    let mut found = false;
    while let Some(frame) = frames.next() {
        if memchr::memmem::find(frame, id).is_some() {
            assert!(memchr::memmem::find(frame, br#""type":"error""#).is_none(), "{}", String::from_utf8_lossy(frame));
            found = true;
        }
    }
    found
}
