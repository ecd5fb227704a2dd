//! What a page costs: a room with 50 messages, as a member who is logged in gets it.

use std::time::Instant;

use crate::wire::Http;
use crate::world::{World, run, thousands};
use crate::{Bench, process};

const MESSAGES: usize = 50;
/// Connections that ask at once, each kept alive.
pub const CONNECTIONS: usize = 4;

pub fn measure(bench: &Bench) {
    let requests = bench.scaled(20_000) / CONNECTIONS * CONNECTIONS;
    println!("### Pages\n");
    println!(
        "A room's page with {MESSAGES} messages, logged in, {} requests over {CONNECTIONS} connections that are kept alive.\n",
        thousands(requests as f64)
    );
    println!("| page | encoding | bytes | requests/s | server CPU, µs/request | load generator CPU, µs/request |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    run(async {
        let world = World::start(bench);
        let people = world.people(1).await;
        let cookie = format!("Cookie: {}\r\n", people[0]);
        let mut http = Http::connect(world.address()).await;
        for number in 0..MESSAGES {
            let nonce = uuid::Uuid::from_u128(number as u128);
            let text =
                format!("Message+{number}:+the+quick+brown+fox+jumps+over+the+lazy+dog,+and+then+once+more+for+good+measure.");
            let reply = http.post("/actions/post_message", &cookie, &format!("room=general&nonce={nonce}&text={text}")).await;
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        }
        for (name, path, head) in [("room", "/room/general", cookie.as_str()), ("log in", "/login", "")] {
            for encoding in ["identity", "gzip", "br"] {
                let head = format!("{head}Accept-Encoding: {encoding}\r\n");
                ask(&world, path, &head, requests / 20).await;
                let (server, generator) = (process::cpu(world.server.pid()), process::cpu(std::process::id()));
                let began = Instant::now();
                let bytes = ask(&world, path, &head, requests).await;
                let took = began.elapsed().as_secs_f64();
                let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / requests as f64;
                println!(
                    "| {name} | {encoding} | {} | {} | {:.0} | {:.0} |",
                    thousands(bytes as f64),
                    thousands(requests as f64 / took),
                    each(process::cpu(world.server.pid()) - server),
                    each(process::cpu(std::process::id()) - generator),
                );
            }
        }
    });
    println!();
}

/// Asks for a page so often; the bytes of its body.
pub async fn ask(world: &World, path: &str, head: &str, requests: usize) -> usize {
    let asking = (0..CONNECTIONS).map(|_| async {
        let mut http = Http::connect(world.address()).await;
        let mut bytes = 0;
        for _ in 0..requests.div_ceil(CONNECTIONS) {
            let reply = http.get(path, head).await;
            assert_eq!(reply.status, 200, "{path}");
            bytes = reply.body.len();
        }
        bytes
    });
    futures_util::future::join_all(asking).await[0]
}
