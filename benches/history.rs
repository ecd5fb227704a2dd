//! What a page costs where there is a long past: deep in a room's log, and beside ten million messages.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};
use snug::protocol::Micros;
use snug::server::chat::now;
use snug::server::store::file::DatabaseFile;
use uuid::{Builder, Uuid};

use crate::pages::{CONNECTIONS, ask};
use crate::wire::Http;
use crate::world::{Ending, World, run, thousands};
use crate::{Bench, process};

/// Messages in the small room: one page of them.
const FEW: i64 = 50;
const MANY: usize = 10_000_000;
/// How far back the deep pages are, in messages.
const DEEP: i64 = 10_000;

/// Each page is asked for so often in one go, and so many goes take turns.
const REQUESTS: usize = 2_000;
const GOES: u32 = 5;

/// Microseconds between two messages.
const PAUSE: i64 = 1_000_000;

pub fn measure(bench: &Bench) {
    let many = i64::try_from(bench.scaled(MANY)).expect("a number of messages");
    let requests = bench.scaled(REQUESTS) / CONNECTIONS * CONNECTIONS;
    let (rows, latest) = run(async {
        let world = World::start(bench);
        let head = format!("Cookie: {}\r\n", world.people(1).await.remove(0));
        let mut http = Http::connect(world.address()).await;
        for name in ["small", "large"] {
            let reply = http.post("/actions/create_room", &head, &format!("name={name}")).await;
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        }
        drop(http);
        let place = world.end(Ending::Asked).await;
        let last = fill(place.folder(), "small", FEW);
        let world = place.start().await;
        let alone = cost(&world, &head, &[("the small room, alone in the database", "/room/small".to_owned())], requests).await;

        let place = world.end(Ending::Asked).await;
        eprintln!("  writing {} messages …", thousands(many as f64));
        let end = fill(place.folder(), "large", many);
        if bench.quick {
            let mut file = DatabaseFile::read(&place.folder().join("snug.db")).await.expect("the database can be opened");
            let contents = file.verify().await.expect("the database is as the server writes it");
            eprintln!("  {contents}");
        }
        let world = place.start().await;
        let deep = end - DEEP;
        // Each with the page of the small room that is like it.
        let pages = [
            ("the small room's latest page", "/room/small".to_owned()),
            ("the small room's page before its end", format!("/room/small?before={}", last + 1)),
            ("the small room's page around its middle", format!("/room/small?at={}", last - FEW / 2 + 1)),
            ("the large room's latest page", "/room/large".to_owned()),
            ("its page before a place that far back", format!("/room/large?before={deep}")),
            ("its page around that place", format!("/room/large?at={deep}")),
            ("its page around its first half", format!("/room/large?at={}", end / 2)),
        ];
        const LIKE: [usize; 7] = [0, 1, 2, 0, 1, 2, 2];
        let costs = cost(&world, &head, &pages, requests).await;
        let like = LIKE.map(|page| costs[page].1);
        let mut rows: Vec<_> = alone.into_iter().map(|row| (row, like[0])).collect();
        rows.extend(costs.into_iter().zip(like));
        (rows, like[0])
    });
    println!("### History\n");
    println!(
        "Pages with {FEW} messages of one length, logged in, plain: of a small room in a database with nothing else; then beside a room of {} \
         messages, of that room, and of what is {} messages before its end. The messages are written into SQLite while the \
         server is down, and everything has been read. Means of {GOES} alternating goes of {} requests over {CONNECTIONS} connections.\n",
        thousands(many as f64),
        thousands(DEEP as f64),
        thousands(requests as f64),
    );
    println!("| page | bytes | server CPU, µs/request | of the small room's latest | of the small room's like it |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for ((name, micros, bytes), like) in rows {
        println!("| {name} | {} | {micros:.0} | {:.2} | {:.2} |", thousands(bytes as f64), micros / latest, micros / like);
    }
    println!();
}

/// The server's CPU time for a request of each of these pages, in µs, and the bytes of its body.
async fn cost(world: &World, head: &str, pages: &[(&'static str, String)], requests: usize) -> Vec<(&'static str, f64, usize)> {
    let mut costs: Vec<_> = pages.iter().map(|(name, _)| (*name, Duration::ZERO, 0)).collect();
    for (_, path) in pages {
        ask(world, path, head, requests / 4).await;
    }
    for _ in 0..GOES {
        for ((_, path), (_, time, bytes)) in pages.iter().zip(&mut costs) {
            let before = process::cpu(world.server.pid());
            *bytes = ask(world, path, head, requests).await;
            *time += process::cpu(world.server.pid()) - before;
        }
    }
    let total = f64::from(GOES) * requests as f64;
    costs.into_iter().map(|(name, time, bytes)| (name, time.as_secs_f64() * 1e6 / total, bytes)).collect()
}

/// Writes so many messages into a room that its maker is alone in, as that one's, up to now, and has them read. The server is down.
/// Returns the last one's place.
fn fill(data: &Path, room: &str, count: i64) -> i64 {
    fill_file(&data.join("snug.db"), room, count).expect("the database takes messages")
}

fn fill_file(file: &Path, room: &str, count: i64) -> rusqlite::Result<i64> {
    let mut db = Connection::open(file)?;
    // Nothing is lost with it: it is made anew by every run.
    db.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;
         PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -262144",
    )?;
    let (id, author, last): (Uuid, Uuid, i64) =
        db.query_row("SELECT id, created_by, last_seq FROM rooms WHERE slug = ?1", [room], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    // Where messages are events by themselves, `log` is a view.
    let is_table = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'log' AND type = 'table')";
    let logged: bool = db.query_row(is_table, [], |row| row.get(0))?;
    let guards: Vec<(String, String)> = db
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'messages'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;

    let Micros(now) = now();
    let end = last + count;
    let tx = db.transaction()?;
    for (name, _) in &guards {
        tx.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    {
        let mut message = tx.prepare(
            "INSERT INTO messages (room_id, seq, author_id, id, text, at, changed_seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2)",
        )?;
        for seq in last + 1..=end {
            let at = now - (end - seq) * PAUSE;
            let millis = u64::try_from(at / 1000).expect("a time after 1970");
            // As clients name them: by time (UUIDv7).
            let name =
                Builder::from_unix_timestamp_millis(millis, &seq.to_be_bytes().repeat(2)[6..].try_into().expect("ten bytes"));
            let text =
                format!("Message {seq:08}: the quick brown fox jumps over the lazy dog, and then once more for good measure.");
            message.execute(params![id, seq, author, name.into_uuid(), text, at])?;
        }
        if logged {
            tx.execute(
                "INSERT INTO log (room_id, seq, kind, user_id, message_seq, at)
                 SELECT room_id, seq, 'message', author_id, seq, at FROM messages WHERE room_id = ?1",
                [id],
            )?;
        }
    }
    tx.execute("UPDATE rooms SET last_seq = ?2, active_at = ?3, idle_from = ?3 WHERE id = ?1", params![id, end, now])?;
    tx.execute("UPDATE members SET read_seq = ?2 WHERE room_id = ?1", params![id, end])?;
    for (_, sql) in &guards {
        tx.execute_batch(sql)?;
    }
    tx.commit()?;
    Ok(end)
}
