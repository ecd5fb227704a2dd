//! `snug backup`, `snug restore`, `snug new-epoch`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use snug::protocol::{Command, Event, Seq};
use sqlx::{Connection, Executor, SqliteConnection};
use uuid::Uuid;

use crate::support::{Engine, Person, Postgres, Program, Said, TestApp, message, slug, snug};

const ROOMS: [&str; 3] = ["general", "random", "help"];

impl TestApp {
    async fn backup(&self, file: &Path) -> Said {
        self.snug(&["backup", path(file)], "").await
    }

    async fn restore(&self, file: &Path) -> Said {
        self.snug(&["restore", path(file)], "").await
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a test's folder has a plain name")
}

/// A folder, and the path of a backup that could be in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup.db");
    (folder, file)
}

/// What else is in the folder of a file.
fn others(file: &Path) -> Vec<String> {
    let names = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| *name != file.file_name().unwrap().to_str().unwrap()).collect()
}

async fn sqlite(file: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("the database opens")
}

/// Messages by id, with their places, that a sender knows to be there.
type Acknowledged = BTreeMap<Uuid, (&'static str, Seq)>;

/// Sends to all rooms, some in flight at once, until told to stop; what was acknowledged is handed to `note` at once.
async fn send(person: &Person, done: &AtomicBool, note: impl Fn(Uuid, &'static str, Seq)) {
    let mut socket = person.live().await;
    let mut open: BTreeMap<Uuid, &'static str> = BTreeMap::new();
    let mut number = 0;
    loop {
        while open.len() < 8 && !done.load(Ordering::Relaxed) {
            let room = ROOMS[number % ROOMS.len()];
            let (id, command) = message(room, &format!("{} {number} {}", person.user, "x".repeat(300)));
            socket.send(&command).await;
            open.insert(id, room);
            number += 1;
        }
        if open.is_empty() {
            return;
        }
        let Event::Message(message) = socket.next_event().await else { continue };
        if let Some(room) = open.remove(&message.id) {
            note(message.id, room, message.seq);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_is_restored_whole_and_clients_start_afresh() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let mut people = Vec::new();
    for n in 0..4 {
        let person = app.sign_up(&format!("sender{n}")).await;
        for room in &ROOMS[1..] {
            person.join(room).await;
        }
        people.push(person);
    }
    let (_folder, file) = place();
    let (acknowledged, done) = (std::sync::Mutex::new(Acknowledged::new()), AtomicBool::new(false));
    let note = |id, room, seq| assert_eq!(acknowledged.lock().unwrap().insert(id, (room, seq)), None, "it is said once");
    let known = || acknowledged.lock().unwrap().clone();
    let sending = futures_util::future::join_all(people.iter().map(|person| send(person, &done, note)));
    let backing_up = async {
        let (mut before, mut during) = (Acknowledged::new(), 0);
        for round in 0..3 {
            crate::support::eventually("some messages are acknowledged", async || {
                (known().len() > (round + 1) * 500).then_some(())
            })
            .await;
            before = known();
            let args = ["backup", "--force", path(&file)];
            app.snug(&args, "").await.ok();
            during += known().len() - before.len();
        }
        done.store(true, Ordering::Relaxed);
        (before, during)
    };
    let (_, (before, during)) = tokio::join!(sending, backing_up);
    assert!(during > 0, "sends went on meanwhile");
    assert!(others(&file).is_empty(), "{:?}", others(&file));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let epoch = people[0].epoch().await;
    let end = known().into_values().filter(|(room, _)| *room == "general").map(|(_, seq)| seq).max().unwrap();

    // Into a new folder: another machine.
    let (_new, new) = place();
    let data = new.parent().unwrap().join("data");
    let said = snug(&data, None, &["restore", path(&file)], "").await.ok();
    assert!(said.starts_with(&format!("{} has everything of {}", data.join("snug.db").display(), file.display())), "{said}");
    app.move_to(&data).await;
    let ada = &people[0];
    assert_ne!(ada.epoch().await, epoch, "the sessions hold, and the database is another");
    let mut logs = BTreeMap::new();
    for room in ROOMS {
        let log = ada.log(room).await;
        let seqs: Vec<i64> = log.iter().map(|event| event.place().unwrap().1.0).collect();
        assert_eq!(seqs, (1..=ada.page(room).await.as_of.0).collect::<Vec<_>>(), "the log of {room} has no gap");
        logs.insert(room, log);
    }
    for (id, (room, seq)) in &before {
        let there = logs[room].iter().filter(|event| matches!(event, Event::Message(m) if m.id == *id && m.seq == *seq)).count();
        assert_eq!(there, 1, "what was acknowledged before the backup began is in it, once, at its place");
    }
    // A client that has more than the backup, and one that has less.
    let mut socket = ada.socket().await;
    let welcome = socket.resume(epoch, &[("general", end), ("random", Seq(1))]).await;
    let told: Vec<_> = socket.drain().await.into_iter().filter(|event| matches!(event, Event::Limited { .. })).collect();
    let limited = |room: &str| Event::Limited { room: slug(room), from: Seq(1), to: welcome.room(room).seq };
    assert_eq!(told, [limited("general"), limited("random")], "what they remember is void");
    let last = logs["general"].last().unwrap().place().unwrap().1;
    assert_eq!(socket.say("general", "after").await.0, last.next(), "and the log goes on where the backup ends");
}

#[tokio::test]
async fn restoring_keeps_what_was_there_and_what_it_was_from() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let (_folder, file) = place();
    let ada = app.sign_up("ada").await;
    ada.post("general", "in the backup").await;
    app.backup(&file).await.ok();
    ada.post("general", "after the backup").await;
    let before = fs::read(&file).unwrap();
    app.stop().await;
    let said = app.restore(&file).await.ok();
    let aside = PathBuf::from(said.trim_end().rsplit("what was there is ").next().unwrap());
    assert_eq!(fs::read(&file).unwrap(), before, "a backup is read, not used up");
    let texts = "SELECT group_concat(text, ', ') FROM (SELECT text FROM messages ORDER BY seq)";
    let old: String = sqlx::query_scalar(texts).fetch_one(&mut sqlite(&aside).await).await.unwrap();
    assert_eq!(old, "in the backup, after the backup");
    app.start_again().await;
    let page = ada.page("general").await;
    assert!(matches!(&*page.events, [Event::Joined(_), Event::Message(m)] if m.text == "in the backup"), "{page:?}");
    ada.post("general", "and on").await;
    app.stop().await;
    let said = app.snug(&["restore", "--end-logins", path(&aside)], "").await.ok();
    assert!(said.contains("messages: 2"), "what was put aside can be restored as well: {said}");
    app.start_again().await;
    assert_eq!(ada.whoami().await, None, "and nobody is logged in, if one wants that");
}

#[tokio::test]
async fn a_backup_needs_no_server_and_has_what_a_killed_one_committed() {
    let (folder, file) = place();
    let data = folder.path().join("data");
    let server = Program::start(Path::new(env!("CARGO_BIN_EXE_snug")), &["--data".as_ref(), data.as_os_str()]);
    let address = std::sync::Arc::new(std::sync::RwLock::new(server.address()));
    let ada = crate::support::Visitor::new(crate::support::Visitor::client(), address, None).sign_up("ada").await;
    ada.post("general", "just now").await;
    server.kill();
    assert!(fs::metadata(data.join("snug.db-wal")).unwrap().len() > 0, "it had no time to tidy up");
    let said = snug(&data, None, &["backup", path(&file)], "").await.ok();
    assert!(said.contains("accounts: 1, rooms: 3, messages: 1"), "{said}");
    // A raw copy with its log is taken as well.
    let copied = folder.path().join("copied.db");
    fs::copy(data.join("snug.db"), &copied).unwrap();
    fs::copy(data.join("snug.db-wal"), folder.path().join("copied.db-wal")).unwrap();
    let said = snug(&folder.path().join("new"), None, &["restore", path(&copied)], "").await.ok();
    assert!(said.contains("messages: 1"), "{said}");
}

#[tokio::test]
async fn a_backup_replaces_nothing_unless_told_to() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (_folder, file) = place();
    fs::write(&file, "something dear").unwrap();
    assert_eq!(app.backup(&file).await.refusal(), format!("{} is there already: --force replaces it", file.display()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "something dear");
    app.snug(&["backup", "--force", path(&file)], "").await.ok();
    assert!(fs::read(&file).unwrap().starts_with(b"SQLite format 3"));
    let database = app.data().join("snug.db");
    for own in [
        database.clone(),
        app.data().join("snug.db-wal"),
        app.data().join("../").join(app.data().file_name().unwrap()).join("snug.db"),
    ] {
        let refusal = app.snug(&["backup", "--force", path(&own)], "").await.refusal();
        assert_eq!(refusal, format!("{} is a file of the database itself", own.display()));
    }
}

#[tokio::test]
async fn each_way_a_backup_can_fail_is_said_in_one_line_and_leaves_nothing() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (folder, _) = place();
    let nowhere = folder.path().join("nowhere/backup.db");
    let refusal = app.backup(&nowhere).await.refusal();
    assert!(refusal.starts_with(&format!("{} cannot be written: No such file", nowhere.display())), "{refusal}");
    let refusal = snug(folder.path(), None, &["backup", "x.db"], "").await.refusal();
    assert!(refusal.starts_with("there is no database at "), "{refusal}");
    let refusal = snug(folder.path(), Some("postgres://localhost/snug"), &["backup", "x.db"], "").await.refusal();
    assert!(refusal.contains("pg_dump") && refusal.contains("snug new-epoch"), "{refusal}");
    let broken = folder.path().join("snug.db");
    fs::write(&broken, "this is no database, though it is long enough to have a header".repeat(100)).unwrap();
    let refusal = snug(folder.path(), None, &["backup", path(&folder.path().join("backup.db"))], "").await.refusal();
    assert!(refusal.ends_with("it is no database of snug's"), "{refusal}");
    assert_eq!(others(&broken), Vec::<String>::new());
}

#[tokio::test]
async fn what_an_older_snug_had_is_restored_and_brought_up_to_date() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let (_folder, file) = place();
    let ada = app.sign_up("ada").await;
    ada.post("general", "long ago").await;
    let log = ada.log("general").await;
    app.stop().await;
    app.make_old().await;
    app.backup(&file).await.ok();
    let mut connection = sqlite(&app.data().join("snug.db")).await;
    connection.execute("DELETE FROM log WHERE kind = 'joined'").await.unwrap();
    connection.close().await.unwrap();
    let (_other, damaged) = place();
    assert!(app.backup(&damaged).await.refusal().ends_with("it is damaged: the log has a gap, in the room general"));
    app.restore(&file).await.ok();
    app.start_again().await;
    assert_eq!(ada.log("general").await, log);
}

#[tokio::test]
async fn what_cannot_be_relied_on_is_not_restored() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let (folder, file) = place();
    let ada = app.sign_up("ada").await;
    ada.post("general", "one").await;
    ada.post("general", "two").await;
    app.backup(&file).await.ok();
    assert!(app.restore(&file).await.refusal().ends_with("is in use by a snug server: stop it first"));
    app.stop().await;
    let database = fs::read(app.data().join("snug.db")).unwrap();
    let broken = async |name: &str, statements: &str| {
        let broken = folder.path().join(name);
        fs::copy(&file, &broken).unwrap();
        let mut connection = sqlite(&broken).await;
        connection.execute("PRAGMA foreign_keys = OFF").await.unwrap();
        connection.execute(statements).await.unwrap();
        connection.close().await.unwrap();
        let refusal = app.restore(&broken).await.refusal();
        refusal.strip_prefix(&format!("{} cannot be relied on: ", broken.display())).expect("it names the file").to_owned()
    };
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', TRUE, x'00', 0)";
    assert_eq!(broken("later.db", later).await, "its schema (version 9999) is newer than this program: install a newer snug");
    assert_eq!(
        broken("gap.db", "DELETE FROM changes WHERE seq = 1").await,
        "it is damaged: the log has a gap, in the room general"
    );
    let twice = "DROP TRIGGER changes_beside_messages;
        INSERT INTO changes (room_id, seq, kind, at) SELECT room_id, seq, 'closed', at FROM messages WHERE text = 'two'";
    assert_eq!(broken("twice.db", twice).await, "it is damaged: two events have the same place in the log, in the room general");
    let short = "UPDATE rooms SET last_seq = last_seq + 1 WHERE slug = 'help'";
    assert_eq!(broken("short.db", short).await, "it is damaged: the log has a gap, in the room help");
    assert_eq!(broken("lost.db", "DELETE FROM messages").await, "it is damaged: the log has a gap, in the room general");
    let edited = "INSERT INTO changes (room_id, seq, kind, message_seq, at) SELECT id, last_seq + 1, 'edited', 999, 1 FROM rooms WHERE slug = 'general';
        UPDATE rooms SET last_seq = last_seq + 1 WHERE slug = 'general'";
    assert_eq!(broken("edited.db", edited).await, "it is damaged: the log has a message that is not there, in the room general");
    assert_eq!(broken("orphan.db", "DELETE FROM users").await, "it is damaged: a reference leads nowhere");
    assert_eq!(broken("other.db", "DROP TABLE server").await, "it is no database of snug's");

    let torn = folder.path().join("torn.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xA5);
    fs::write(&torn, bytes).unwrap();
    assert!(app.restore(&torn).await.refusal().contains("torn.db cannot be relied on: it is damaged: "));
    let text = folder.path().join("text.db");
    fs::write(&text, "not a database at all, but long enough to look like one".repeat(100)).unwrap();
    assert!(app.restore(&text).await.refusal().ends_with("it is no database of snug's"));
    let none = folder.path().join("none.db");
    assert!(app.restore(&none).await.refusal().starts_with(&format!("{} cannot be read: No such file", none.display())));
    let own = app.data().join("snug.db");
    assert_eq!(app.restore(&own).await.refusal(), format!("{} is a file of the database itself", own.display()));
    assert_eq!(fs::read(&own).unwrap(), database, "what was there is as it was");
    let strange: Vec<_> = others(&own).into_iter().filter(|name| name != "lock").collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[tokio::test]
async fn a_damaged_database_is_replaced_and_kept() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let (_folder, file) = place();
    let ada = app.sign_up("ada").await;
    app.backup(&file).await.ok();
    app.stop().await;
    fs::write(app.data().join("snug.db"), "a disk's last words, which are long enough to be a header".repeat(100)).unwrap();
    let said = app.snug(&["restore", path(&file)], "").await;
    let aside = said.out.trim_end().rsplit("what was there is ").next().unwrap().to_owned();
    assert!(said.code == Some(0) && fs::read(aside).unwrap().starts_with(b"a disk's last words"), "{said:?}");
    app.start_again().await;
    assert!(ada.whoami().await.is_some());
}

#[tokio::test]
async fn a_database_that_other_tools_restored_gets_a_new_epoch() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut app = TestApp::start(engine).await;
        let ada = app.sign_up("ada").await;
        let (epoch, seq) = (ada.epoch().await, ada.page("general").await.as_of);
        let refusal = app.snug(&["new-epoch"], "").await.refusal();
        assert!(refusal.contains("stop"), "not beside a server: {refusal}");
        app.stop().await;
        assert_eq!(app.snug(&["new-epoch"], "").await.ok(), "the database has a new epoch: every client starts afresh\n");
        app.start_again().await;
        assert_ne!(ada.epoch().await, epoch);
        let mut socket = ada.socket().await;
        socket.resume(epoch, &[("general", seq)]).await;
        socket.send(&Command::Ping).await;
        assert_eq!(socket.next_event().await, Event::Limited { room: slug("general"), from: Seq(1), to: seq });
    }
    let refusal = snug(Path::new("/nowhere"), None, &["new-epoch"], "").await.refusal();
    assert!(refusal.starts_with("there is no database at /nowhere/snug.db"), "{refusal}");
    let refusal = snug(Path::new("/nowhere"), Some("postgres://nobody@127.0.0.1:1/none"), &["new-epoch"], "").await.refusal();
    assert!(refusal.starts_with("the database cannot be opened: "), "{refusal}");
    let url = Postgres::shared().database().await;
    let refusal = snug(Path::new("/nowhere"), Some(&url), &["restore", "/dev/null"], "").await.refusal();
    assert!(refusal.contains("pg_restore"), "{refusal}");
}
