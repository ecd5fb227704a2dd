//! What an idle socket costs in memory.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use memchr::memmem;

use crate::population::{Inhabitant, settle};
use crate::wire::{Commands, Http, open, source};
use crate::world::{World, run, thousands};
use crate::{Bench, process};

const SOCKETS: usize = 10_000;
/// Those before them, for what the first sockets cost is the server's.
const WARM: usize = 100;

pub fn measure(bench: &Bench) {
    let sockets = bench.scaled(SOCKETS);
    let (before, connected, after) = run(async {
        let (world, population) = settle(World::start(bench), sockets + WARM).await;
        let (warm, rest) = population.people.split_at(WARM);
        let pid = world.server.pid();
        let heard = Rc::new(Cell::new(0));
        let warm = connect(&world, 0, warm, &heard).await;
        let before = settled(pid).await;
        let rest = connect(&world, WARM, rest, &heard).await;
        let connected = settled(pid).await;
        let mut http = Http::connect(world.address()).await;
        for room in &population.rooms {
            let body = format!("room={room}&nonce={}&text=Good+morning,+everyone.", uuid::Uuid::from_u128(rand::random()));
            let reply = http.post("/actions/post_message", &format!("Cookie: {}\r\n", population.host), &body).await;
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        }
        while heard.get() < 3 * (warm.len() + rest.len()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        (before, connected, settled(pid).await)
    });
    println!("### Idle sockets\n");
    println!(
        "{} sockets of as many people, each in three rooms (`general`, which has them all, and two of about a hundred) and looking at \
         `general`, beyond {WARM} before them: growth of the server's resident memory once all are welcomed, and once a message in each \
         of the rooms has come to all of its people. The first of the people signed up; the others were written into the database \
         with that one's password hash, as hashing one for each would take minutes. What the kernel keeps for a connection is \
         not in it.\n",
        thousands(sockets as f64)
    );
    println!("| resident before | welcomed | after the messages | each socket, welcomed | each socket, after the messages |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    let mebibytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let each = |after: u64| thousands(after.saturating_sub(before) as f64 / sockets as f64);
    println!(
        "| {:.1} MiB | {:.1} MiB | {:.1} MiB | {} B | {} B |\n",
        mebibytes(before),
        mebibytes(connected),
        mebibytes(after),
        each(connected),
        each(after)
    );
}

/// A socket for each of these people, the first of whom is number `from`. The messages that they hear are counted. What is
/// returned keeps them open.
async fn connect(world: &World, from: usize, people: &[Inhabitant], heard: &Rc<Cell<usize>>) -> Vec<Commands> {
    let connect = |(number, person): (usize, &Inhabitant)| {
        let (address, cookie, heard) = (world.address(), person.cookie.clone(), heard.clone());
        async move {
            let (mut frames, mut commands) =
                open(address, source(from + number), &cookie, true).await.expect("the server gives a socket");
            commands.send(br#"{"type":"hello","rooms":{},"look":"general"}"#).await;
            let (welcome, welcomed) = tokio::sync::oneshot::channel();
            let mut welcome = Some(welcome);
            // Reads on, so that nothing waits in the server.
            tokio::task::spawn_local(async move {
                while frames.more().await {
                    while let Some(frame) = frames.next() {
                        heard.set(heard.get() + memmem::find_iter(frame, br#"{"type":"message""#).count());
                        if memmem::find(frame, br#""type":"welcome""#).is_some() {
                            welcome.take().map(|welcome| welcome.send(()));
                        }
                    }
                }
            });
            welcomed.await.expect("the server welcomes");
            commands
        }
    };
    futures_util::stream::iter(people.iter().enumerate()).map(connect).buffered(16).collect().await
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
