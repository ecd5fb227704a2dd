//! What an idle socket costs in memory.

use std::time::Duration;

use futures_util::StreamExt;

use crate::wire::{Commands, socket, source};
use crate::world::{World, run, thousands};
use crate::{Bench, process};

const SOCKETS: usize = 5_000;
/// Sockets of one person: signing up one for each socket would take minutes.
const EACH: usize = 10;

pub fn measure(bench: &Bench) {
    let sockets = bench.scaled(SOCKETS);
    let (before, after) = run(async {
        let world = World::start(bench);
        let people = world.people(sockets / EACH).await;
        let world = world.restarted(bench);
        let address = world.address();
        let hello = r#"{"type":"hello","rooms":{},"look":"general"}"#;
        let open = async |from: usize, to: usize| -> Vec<Commands> {
            let people = &people;
            let connect = move |n: usize| async move {
                let (mut frames, commands) = socket(address, source(n), &people[n % people.len()], true, hello).await;
                // Read on, so that nothing waits in the server.
                tokio::task::spawn_local(async move {
                    while frames.more().await {
                        while frames.next().is_some() {}
                    }
                });
                commands
            };
            futures_util::stream::iter(from..to).map(connect).buffered(16).collect().await
        };
        // What the first sockets cost is the server's, not a socket's.
        let warm = open(0, sockets / 2).await;
        let before = settled(world.server.pid()).await;
        let rest = open(sockets / 2, sockets / 2 + sockets).await;
        let after = settled(world.server.pid()).await;
        drop((warm, rest));
        (before, after)
    });
    println!("### Idle sockets\n");
    println!(
        "{} sockets (some {EACH} of each person, so `sockets_per_user` is lifted), welcomed and looking at `general`, beyond {} before them: growth \
         of the server's resident memory. What the kernel keeps for a connection is not in it.\n",
        thousands(sockets as f64),
        thousands((sockets / 2) as f64)
    );
    println!("| resident before | resident after | each socket |");
    println!("| ---: | ---: | ---: |");
    let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let each = after.saturating_sub(before) as f64 / 1024.0 / sockets as f64;
    println!("| {:.1} MiB | {:.1} MiB | {each:.1} KiB |\n", mebibytes(before), mebibytes(after));
}

/// The resident memory once it stays the same for some seconds: presence has been told, and what the start and the handshakes
/// took is given back.
async fn settled(pid: u32) -> u64 {
    // Threads that hashed or read files go after ten idle seconds, and their memory with them.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (mut last, mut same) = (0, 0);
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = process::resident(pid);
        same = if now.abs_diff(last) <= 64 * 1024 { same + 1 } else { 0 };
        last = now;
        if same == 3 {
            break;
        }
    }
    last
}
