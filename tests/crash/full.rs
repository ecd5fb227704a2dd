//! The disk under SQLite is full, and has room again. (PostgreSQL's disk is its operator's.)

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, RwLock};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use snug::protocol::Refusal;
use snug::server::store::Store;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor};
use tower_sessions::SessionStore;

use crate::load::{Load, Tally};
use crate::place::{File, Place};
use crate::rounds;
use crate::support::{Bot, PASSWORD, Program, Visitor, eventually, new_id, snug};

/// A disk of the server's own, in memory, where it keeps its data; nobody else sees it there. It goes when the server does.
struct Disk {
    /// How it is seen from here.
    folder: PathBuf,
}

impl Disk {
    /// Starts a server on a disk of so many MiB.
    async fn start(place: &Place, size: usize) -> (Self, Program) {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
        command.arg(format!("mount -t tmpfs -o size={size}m none \"$0\"; exec \"$@\"")).arg(place.folder());
        command.arg(env!("CARGO_BIN_EXE_snug"));
        let server = place.start_by(command).await;
        let inside = place.folder().strip_prefix("/").unwrap();
        let folder = PathBuf::from(format!("/proc/{}/root", server.pid())).join(inside);
        assert!(folder.join("snug.db").exists() && !place.folder().join("snug.db").exists(), "the disk is its own");
        (Self { folder }, server)
    }

    fn fill(&self) {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.folder.join("ballast")).unwrap();
        let block = [0; 64 * 1024];
        while ballast.write_all(&block).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.folder.join("ballast")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_reading_goes_on_until_it_has_room_again() {
    let place = Place::at(None);
    let (disk, server) = Disk::start(&place, 64).await;
    let mut load = Load::new(server.address()).await;
    let people = People::new(&server, &load).await;
    load.during(async |tally| {
        for _ in 0..rounds(2) {
            tally.grows_by(300).await;
            let before = server.said().lines().count();
            disk.fill();
            people.are_told(tally).await;
            server.stand_still();
            let left = File::copy(&disk.folder);
            server.go_on();
            left.check().await;
            disk.free();
            people.go_on(tally).await;
            let said = server.said();
            let lines: Vec<_> = said.lines().skip(before).collect();
            assert!(lines.len() <= 3 && lines.last().unwrap().contains("the disk has room again"), "{}", lines.join("\n"));
        }
        let said = server.said();
        assert!(said.contains("the disk is full: nothing new is kept"), "{said}");
    })
    .await;
    let settled = load.settle().await;
    // What is on its disk ends with the server.
    let left = File::copy(&disk.folder);
    left.check().await;
    load.check(&settled, &left.read().await);
    assert!(tokio::task::block_in_place(|| server.terminate()).success(), "it ends in order when asked to");
}

/// `ulimit -f`: by default, who writes beyond it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_is_told_as_a_full_disk_is() {
    let place = Place::at(None);
    let server = place.start().await;
    let mut load = Load::new(server.address()).await;
    load.during(async |tally| {
        for _ in 0..rounds(2) {
            tally.grows_by(300).await;
            limit_files(&server, Some(0));
            eventually("sends are refused", async || tally.refusals().contains(&Refusal::Full).then_some(())).await;
            limit_files(&server, None);
            tally.grows_by(300).await;
        }
    })
    .await;
    load.end(server, place).await;
}

/// Bytes that the largest file of a server may have from now on.
fn limit_files(server: &Program, current: Option<u64>) {
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
}

/// That a login was used is noted once an hour, which is a write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_for_an_hour_can_read_while_nothing_can_be_written() {
    let place = Place::at(None);
    let server = place.start().await;
    let address = Arc::new(RwLock::new(server.address()));
    let ada = Visitor::new(Visitor::client(), address.clone(), None).sign_up("ada").await;
    let bot = Bot::new(Visitor::client(), address.clone()).register("bot").await;
    assert!(tokio::task::block_in_place(|| server.terminate()).success());
    let store = Store::open(None, place.folder()).await.unwrap();
    let id = ada.session().unwrap().parse().unwrap();
    let mut session = store.sessions().load(&id).await.unwrap().unwrap();
    assert!(session.data.insert("touched".to_owned(), 0.into()).is_some());
    store.sessions().save(&session).await.unwrap();
    store.close().await;
    let file = SqliteConnectOptions::new().filename(place.folder().join("snug.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    connection.execute("UPDATE logins SET seen_at = seen_at - 2 * 3600000000").await.unwrap();
    connection.close().await.unwrap();

    let server = place.start().await;
    *address.write().unwrap() = server.address();
    limit_files(&server, Some(0));
    let mut socket = bot.socket("/ws?room=general").await.unwrap();
    socket.send_text("is this kept?").await;
    assert_eq!(socket.error().await, Refusal::Full);
    for path in ["/", "/room/general", "/settings"] {
        assert_eq!(ada.get(path).await.status, 200, "{path}");
    }
    assert_eq!(bot.get("/api/rooms/general/messages").await.status, 200);
    limit_files(&server, None);
    assert_eq!(ada.get("/").await.status, 200);
    bot.say("general", "this is kept").await;
}

/// Who tries what goes while the disk is full.
struct People {
    visitor: Visitor,
    stranger: Visitor,
    bot: Bot,
}

impl People {
    async fn new(server: &Program, load: &Load) -> Self {
        let visitor = load.someone();
        let stranger = Visitor::new(Visitor::client(), Arc::new(RwLock::new(server.address())), None);
        Self { visitor, stranger, bot: Bot::at(server.address()).register("bot").await }
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = self.stranger.get("/metrics").await.body;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("{name} in {text}"));
        line.parse().unwrap()
    }

    /// Nothing new is kept, everyone is told so, and everything can be read.
    async fn are_told(&self, tally: &Tally) {
        let _until_now = tally.refusals();
        eventually("sends are refused", async || tally.refusals().contains(&Refusal::Full).then_some(())).await;
        // The last of the room goes to what is small.
        let reply = eventually("programs are refused", async || {
            let message = serde_json::json!({ "id": new_id(), "text": "is there room?" });
            let reply = self.bot.post("/api/rooms/general/messages", message).await;
            (reply.status == 503).then_some(reply)
        })
        .await;
        assert_eq!((reply.problem().as_str(), reply.header("retry-after")), ("full", "10"));
        let form = [("name", "bot"), ("password", PASSWORD), ("page", "/login")];
        let refused = eventually("logins are refused", async || {
            let reply = self.stranger.copy().post_form("log_in", &form).await;
            (reply.status == 503).then_some(reply)
        })
        .await;
        assert!(refused.body.contains("disk is full") && refused.body.contains("name=\"password\""), "{}", refused.body);
        let said = eventually("readiness tells", async || {
            let reply = self.stranger.get("/readyz").await;
            (reply.body != "ready\n").then_some(reply)
        })
        .await;
        assert_eq!((said.status, said.body.as_str()), (200, "ready to be read: the disk is full, and nothing new is kept\n"));
        let health = snug(&std::env::temp_dir(), None, &["health", "--addr", &self.bot.address().to_string()], "").await;
        assert_eq!(health.ok(), said.body);
        assert_eq!(self.metric("snug_disk_full").await, 1.0);
        assert!(self.metric("snug_commit_failures_total").await > 0.0);

        for path in ["/", "/room/general", "/settings"] {
            assert_eq!(self.visitor.get(path).await.status, 200, "{path}");
        }
        assert_eq!(self.bot.get("/api/rooms/general/messages").await.status, 200);
        let mut socket = self.bot.socket("/ws?room=general").await.expect("who is in a room may come back to it");
        socket.send_text("is there room here?").await;
        assert_eq!(socket.error().await, Refusal::Full);
    }

    /// Without a restart.
    async fn go_on(&self, tally: &Tally) {
        tally.grows_by(300).await;
        eventually("readiness tells", async || (self.stranger.get("/readyz").await.body == "ready\n").then_some(())).await;
        assert_eq!(self.metric("snug_disk_full").await, 0.0);
        self.bot.say("general", "there is room").await;
        self.bot.log_in("bot").await;
    }
}
