//! The kill: the server is killed (`SIGKILL`) again and again under load, and nothing that it acknowledged is lost, doubled
//! or out of order.
//!
//! Senders note each message before they send it and each acknowledgement; after each restart they send again, under the
//! same ids, what was not acknowledged (and give up some of it). Readers follow with sockets and resume where they were.
//! At the end the database must have every acknowledged message exactly once and every other at most once, each log must
//! be without a gap, and every reader must have heard exactly what the database has.
//!
//! `SNUG_DEV_KILL_ROUNDS` (5) is how often it is killed; `SNUG_DEV_KILL_SEED` repeats the choices of a run, which prints its seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use futures_util::future::{join_all, join3};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use snug::protocol::{Command, Event, Seq};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, PgConnection, SqliteConnection};
use support::{Engine, Person, Postgres, Program, Socket, Visitor, eventually, new_id, slug};
use uuid::Uuid;

const ROOMS: [&str; 3] = ["general", "random", "help"];
const SENDERS: usize = 8;
const READERS: usize = 3;
/// It is killed before so many messages of a round are acknowledged, at a number that chance gives.
const ENOUGH: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_kill_on_sqlite() {
    survive(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_kill_on_postgres() {
    survive(Engine::Postgres).await;
}

async fn survive(engine: Engine) {
    let rounds: usize =
        std::env::var("SNUG_DEV_KILL_ROUNDS").map_or(5, |text| text.parse().expect("SNUG_DEV_KILL_ROUNDS is a number"));
    let seed: u64 = std::env::var("SNUG_DEV_KILL_SEED").map_or_else(|_| rand::random(), |text| text.parse().expect("a number"));
    eprintln!("{engine:?}: {rounds} kills, SNUG_DEV_KILL_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);

    let place = Place::new(engine).await;
    let server = place.start();
    let address = Arc::new(RwLock::new(server.address()));
    let client = Visitor::client();
    let newcomer = async |user: String| {
        let person = Visitor::new(client.clone(), address.clone(), None).sign_up(&user).await;
        for room in &ROOMS[1..] {
            person.join(room).await;
        }
        person
    };
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        senders.push(Sender { person: newcomer(format!("sender{n}")).await, sent: Vec::new() });
    }
    let mut readers = Vec::new();
    for n in 0..READERS {
        readers.push(Reader::new(newcomer(format!("reader{n}")).await).await);
    }

    let mut server = Some(server);
    for round in 1..=rounds {
        let running = server.take().unwrap_or_else(|| place.start());
        set(&address, running.address());
        let acknowledged: [AtomicUsize; SENDERS] = Default::default();
        let sending = join_all(senders.iter_mut().zip(&acknowledged).map(|(sender, count)| sender.send(Until::Killed, count)));
        let reading = join_all(readers.iter_mut().map(|reader| reader.follow(None)));
        let enough = chance.random_range(1..ENOUGH);
        let count = || acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
        let killing = async {
            let all = || acknowledged.iter().all(|count| count.load(Ordering::Relaxed) > 0);
            eventually("enough is acknowledged", async || (all() && count() >= enough).then_some(())).await;
            tokio::task::block_in_place(|| running.kill());
        };
        join3(sending, reading, killing).await;
        let total = count();
        let open: usize = senders.iter().map(|sender| sender.open().count()).sum();
        eprintln!("{engine:?}: kill {round}: {total} acknowledged, {open} not");
        place.check_integrity().await;
        for message in senders.iter_mut().flat_map(|sender| &mut sender.sent) {
            message.given_up |= message.place.is_none() && chance.random_ratio(1, 4);
        }
    }

    // The last round: what is still open is sent again, and everyone hears everything.
    let running = place.start();
    set(&address, running.address());
    let uncounted = AtomicUsize::new(0);
    join_all(senders.iter_mut().map(|sender| sender.send(Until::NothingIsOpen, &uncounted))).await;
    let mut ends = BTreeMap::new();
    for room in ROOMS {
        ends.insert(room, readers[0].person.page(room).await.as_of);
    }
    join_all(readers.iter_mut().map(|reader| reader.follow(Some(&ends)))).await;
    let mut read = BTreeMap::new();
    for room in ROOMS {
        read.insert(room, readers[0].person.log(room).await);
    }
    assert!(tokio::task::block_in_place(|| running.terminate()).success(), "it ends in order when asked to");

    let database = place.read().await;
    check_messages(&senders, &database);
    for room in ROOMS {
        let log = &database.log[room];
        let seqs: Vec<i64> = log.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (1..=ends[room].0).collect::<Vec<_>>(), "the log of {room} has no gap");
        let page_by_page: Vec<Entry> = read[room].iter().map(Entry::from).collect();
        assert_eq!(page_by_page, *log, "{room}, read page by page, is what the database has");
        for reader in &readers {
            let (from, heard) = &reader.heard[room];
            let heard: Vec<Entry> = heard.iter().map(Entry::from).collect();
            let truth: Vec<Entry> = log.iter().filter(|entry| entry.seq > from.0).cloned().collect();
            assert_eq!(heard, truth, "{} heard of {room} exactly what the database has", reader.person.user);
        }
    }
}

/// Each acknowledged message exactly once, at the place that was acknowledged; each other at most once; and no others.
fn check_messages(senders: &[Sender], database: &Database) {
    let mut found: HashMap<(&str, Uuid), Vec<&Row>> = HashMap::new();
    for row in &database.messages {
        found.entry((&row.user, row.id)).or_default().push(row);
    }
    for sender in senders {
        for message in &sender.sent {
            let rows = found.remove(&(sender.person.user.as_str(), message.id)).unwrap_or_default();
            match message.place {
                Some(seq) => assert_eq!(rows.len(), 1, "{} was acknowledged at {seq}: {rows:?}", message.id),
                None => assert!(rows.len() <= 1, "{} was sent once, if at all: {rows:?}", message.id),
            }
            for row in rows {
                assert_eq!((row.room.as_str(), row.text.as_str()), (message.room, message.text.as_str()));
                assert!(message.place.is_none_or(|seq| seq.0 == row.seq), "{row:?} was acknowledged at {:?}", message.place);
            }
        }
    }
    assert!(found.is_empty(), "messages that nobody sent: {found:?}");
}

fn set(address: &RwLock<SocketAddr>, to: SocketAddr) {
    *address.write().unwrap() = to;
}

/// Where the server keeps its data.
struct Place {
    folder: tempfile::TempDir,
    /// PostgreSQL's; without one it is SQLite.
    url: Option<String>,
}

impl Place {
    async fn new(engine: Engine) -> Self {
        let url = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::shared().database().await),
        };
        Self { folder: tempfile::Builder::new().prefix("snug-kill-").tempdir().unwrap(), url }
    }

    fn start(&self) -> Program {
        let mut args = vec!["--data".to_owned(), self.folder.path().to_str().unwrap().to_owned()];
        // Clients come back after each kill as fast as they can, and send so.
        for limit in ["send-rate", "send-burst", "command-rate", "sockets-per-minute", "sockets-per-address"] {
            args.extend([format!("--{limit}"), "1000000".to_owned()]);
        }
        if let Some(url) = &self.url {
            args.extend(["--database-url".to_owned(), url.clone()]);
        }
        tokio::task::block_in_place(|| Program::start(Path::new(env!("CARGO_BIN_EXE_snug")), &args))
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("snug.db")
    }

    /// Checks a copy of SQLite's file as the kill left it: opening it repairs it, and that is for the server to do.
    async fn check_integrity(&self) {
        if self.url.is_some() {
            return;
        }
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            // Not the shared memory, which is of the process that was killed.
            if name.to_string_lossy().starts_with("snug.db") && !name.to_string_lossy().ends_with("-shm") {
                fs::copy(entry.path(), copy.path().join(name)).unwrap();
            }
        }
        let options = SqliteConnectOptions::new().filename(copy.path().join("snug.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.unwrap();
        assert_eq!(found, ["ok"]);
        let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
        assert_eq!(dangling.len(), 0, "rows that refer to none");
        connection.close().await.unwrap();
    }

    /// All of the database, read without the server.
    async fn read(&self) -> Database {
        let messages = "SELECT r.slug, m.seq, m.id, u.username, m.text FROM messages m \
             JOIN rooms r ON r.id = m.room_id JOIN users u ON u.id = m.author_id";
        let log = "SELECT r.slug, l.seq, l.kind, u.username, m.id, m.text FROM log l JOIN rooms r ON r.id = l.room_id \
             LEFT JOIN users u ON u.id = l.user_id LEFT JOIN messages m ON m.room_id = l.room_id AND m.seq = l.message_seq \
             ORDER BY r.slug, l.seq";
        type Message = (String, i64, Uuid, String, String);
        type Change = (String, i64, String, Option<String>, Option<Uuid>, Option<String>);
        let (messages, log): (Vec<Message>, Vec<Change>) = match &self.url {
            Some(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let messages = sqlx::query_as(messages).fetch_all(&mut connection).await.unwrap();
                (messages, sqlx::query_as(log).fetch_all(&mut connection).await.unwrap())
            }
            None => {
                let options = SqliteConnectOptions::new().filename(self.file()).read_only(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                let messages = sqlx::query_as(messages).fetch_all(&mut connection).await.unwrap();
                (messages, sqlx::query_as(log).fetch_all(&mut connection).await.unwrap())
            }
        };
        let messages = messages.into_iter().map(|(room, seq, id, user, text)| Row { room, seq, id, user, text }).collect();
        let mut logs: HashMap<String, Vec<Entry>> = HashMap::new();
        for (room, seq, kind, user, id, text) in log {
            let message = id.zip(text);
            logs.entry(room).or_default().push(Entry { seq, kind, user: user.unwrap_or_default(), message });
        }
        Database { messages, log: logs }
    }
}

struct Database {
    messages: Vec<Row>,
    log: HashMap<String, Vec<Entry>>,
}

#[derive(Debug)]
struct Row {
    room: String,
    seq: i64,
    id: Uuid,
    user: String,
    text: String,
}

/// An event of a log, from wherever it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    seq: i64,
    kind: String,
    user: String,
    message: Option<(Uuid, String)>,
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Self {
        let of = |kind: &str, seq: Seq, user: &str| Self { seq: seq.0, kind: kind.into(), user: user.into(), message: None };
        match event {
            Event::Message(m) => Self { message: Some((m.id, m.text.clone())), ..of("message", m.seq, &m.by.user) },
            Event::Joined(m) => of("joined", m.seq, &m.by.user),
            Event::Left(m) => of("left", m.seq, &m.by.user),
            other => panic!("{other:?} is not of a log"),
        }
    }
}

struct Sender {
    person: Person,
    /// Noted before it is sent.
    sent: Vec<Message>,
}

struct Message {
    room: &'static str,
    id: Uuid,
    text: String,
    /// Noted when it is acknowledged.
    place: Option<Seq>,
    /// Not acknowledged, and not sent again.
    given_up: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Until {
    Killed,
    NothingIsOpen,
}

impl Sender {
    /// What was sent and is neither acknowledged nor given up: at most one message of each room.
    fn open(&self) -> impl Iterator<Item = usize> {
        let open = |(_, message): &(usize, &Message)| message.place.is_none() && !message.given_up;
        self.sent.iter().enumerate().filter(open).map(|(index, _)| index)
    }

    fn new_message(&mut self, room: &'static str) -> usize {
        let text = format!("{} of {}{}", self.sent.len(), self.person.user, " and so on".repeat(9));
        self.sent.push(Message { room, id: new_id(), text, place: None, given_up: false });
        self.sent.len() - 1
    }

    /// Sends again what is open, and new messages until the server is killed: in each room one at a time.
    async fn send(&mut self, until: Until, acknowledged: &AtomicUsize) {
        let Some(mut socket) = connect(&self.person).await else { return };
        if socket.try_send(&Command::Hello { rooms: BTreeMap::new(), epoch: None, look: None }).await.is_err() {
            return;
        }
        let mut next: Vec<usize> = self.open().collect();
        if until == Until::Killed {
            let idle = ROOMS.into_iter().filter(|room| next.iter().all(|index| self.sent[*index].room != *room));
            for room in idle.collect::<Vec<_>>() {
                next.push(self.new_message(room));
            }
        }
        let mut under_way: HashMap<Uuid, usize> = HashMap::new();
        loop {
            for index in next.drain(..) {
                let message = &self.sent[index];
                under_way.insert(message.id, index);
                let command = Command::Send { room: slug(message.room), id: message.id, text: message.text.clone() };
                if socket.try_send(&command).await.is_err() {
                    return;
                }
            }
            if under_way.is_empty() {
                return;
            }
            let Ok(event) = socket.try_next().await else {
                assert!(until == Until::Killed, "the connection broke off without a kill");
                return;
            };
            let (id, seq) = match event {
                Event::Message(message) => (message.id, message.seq),
                Event::Sent { id, seq, .. } => (id, seq),
                Event::Error { .. } => panic!("nothing here is to be refused: {event:?}"),
                _ => continue,
            };
            let Some(index) = under_way.remove(&id) else { continue };
            self.sent[index].place = Some(seq);
            acknowledged.fetch_add(1, Ordering::Relaxed);
            if until == Until::Killed {
                next.push(self.new_message(self.sent[index].room));
            }
        }
    }
}

struct Reader {
    person: Person,
    epoch: Uuid,
    /// What was heard of each room, and after which place: a reader that is told `limited` begins anew there.
    heard: BTreeMap<&'static str, (Seq, Vec<Event>)>,
}

impl Reader {
    async fn new(person: Person) -> Self {
        let epoch = person.epoch().await;
        Self { person, epoch, heard: ROOMS.into_iter().map(|room| (room, (Seq::ZERO, Vec::new()))).collect() }
    }

    fn last(&self, room: &str) -> Seq {
        let (from, heard) = &self.heard[room];
        heard.last().and_then(Event::place).map_or(*from, |(_, seq)| seq)
    }

    /// Listens from where it was, until the connection breaks off, or everything up to `ends` is heard.
    async fn follow(&mut self, ends: Option<&BTreeMap<&'static str, Seq>>) {
        let Some(mut socket) = connect(&self.person).await else { return };
        let rooms = ROOMS.into_iter().map(|room| (slug(room), self.last(room))).collect();
        if socket.try_send(&Command::Hello { rooms, epoch: Some(self.epoch), look: None }).await.is_err() {
            return;
        }
        while ends.is_none_or(|ends| ends.iter().any(|(room, end)| self.last(room) < *end)) {
            let Ok(event) = socket.try_next().await else {
                assert!(ends.is_none(), "the connection broke off without a kill");
                return;
            };
            match &event {
                Event::Limited { room, to, .. } => {
                    eprintln!("{} is told limited in {room} up to {to}", self.person.user);
                    *self.heard.get_mut(room.as_str()).unwrap() = (*to, Vec::new());
                }
                event => {
                    let Some((room, seq)) = event.place() else { continue };
                    assert_eq!(seq, self.last(room.as_str()).next(), "{} hears {room} in order", self.person.user);
                    self.heard.get_mut(room.as_str()).unwrap().1.push(event.clone());
                }
            }
        }
    }
}

/// A socket, unless the server is gone by now.
async fn connect(person: &Person) -> Option<Socket> {
    let (origin, cookies) = (person.origin(), person.cookies());
    match Socket::try_connect(person.address(), "/ws", &[("origin", &origin), ("cookie", &cookies)]).await {
        Ok(socket) => Some(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            panic!("{} is logged in, and refused: {}", person.user, response.status())
        }
        Err(_) => None,
    }
}
