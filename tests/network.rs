//! A bad network: a thousand clients in rooms behind a proxy that cuts, half-closes, stalls and splits their connections, and each
//! hears every message of its room once and in order, and sends what it writes once.
//!
//! The clients are `snug chat` without its screen: the same session, line, log and outbox, with their own waits and limits, and they
//! are told nothing of the proxy. While the network is bad some of them write, and more is missed than is told again, so that pages
//! have to be read, through the same network. Then it is good, nobody writes any more, and what every client has heard is compared
//! with what the server has.
//!
//! `SNUG_DEV_NETWORK_CLIENTS` (1,000) is how many there are; `SNUG_DEV_NETWORK_SEED` repeats the choices of a run, which prints its
//! seed: what becomes of the first connection, of the second and so on, and when who writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use snug::app::live::outbox;
use snug::protocol::{Event, Seq, Slug};
use snug::terminal::{self, Filling, Happened, Heard, Session};
use support::{Bot, Engine, Proxy, TestApp, within};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

const ROOMS: usize = 8;
/// Terminals of one person, with one token.
const EACH: usize = 10;
/// Of so many clients one writes, while the network is bad.
const WRITERS: usize = 10;
/// The longest wait between two messages of one of them, for each of them: all of them together write 20 in a second.
const PAUSE: Duration = Duration::from_millis(100);
/// How much of a room is told again: less than many will have missed.
const REPLAYED: u32 = 10;
/// How long the network stays bad at least, in faults for each client.
const ENOUGH: usize = 2;
/// How long any part of it may take. A client finds out after 25 s that a line is dead, and waits at most 30 s before it tries again.
const LONGEST: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_loses_and_doubles_nothing_on_sqlite() {
    LocalSet::new().run_until(endure(Engine::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_loses_and_doubles_nothing_on_postgres() {
    LocalSet::new().run_until(endure(Engine::Postgres)).await;
}

/// What the clients are told of the course of the test.
#[derive(Clone, Debug)]
enum Course {
    /// Everyone comes, and sees the room.
    Coming,
    Writing,
    /// Nobody writes any more; what was written arrives.
    Settling,
    /// The last event of each room.
    Over(Arc<BTreeMap<Slug, Seq>>),
}

async fn endure(engine: Engine) {
    // One after the other: there is enough to do.
    static TURN: Mutex<()> = Mutex::const_new(());
    let _turn = TURN.lock().await;
    allow_many_connections();
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let clients = usize::try_from(number("SNUG_DEV_NETWORK_CLIENTS").unwrap_or(1_000)).unwrap();
    let seed = number("SNUG_DEV_NETWORK_SEED").unwrap_or_else(rand::random);
    eprintln!("{engine:?}: {clients} clients, SNUG_DEV_NETWORK_SEED={seed}");
    let begun = Instant::now();
    let say = |what: &str| eprintln!("{engine:?}: {:.1} s: {what}", begun.elapsed().as_secs_f64());

    let app = TestApp::start_with(engine, |settings| {
        settings.replay_max = REPLAYED;
        // Who is not heard any more, in a room where much is said, does not find out by themselves.
        settings.idle_timeout = 20;
        // What is silent counts until the server has found it out.
        settings.sockets_per_user = 1_000;
    })
    .await;
    let witness = app.sign_up("witness").await;
    let mut rooms = Vec::new();
    for n in 0..ROOMS {
        rooms.push(witness.create_room(&format!("Room {n}")).await);
    }
    let people = stream::iter(0..clients.div_ceil(EACH)).map(|n| newcomer(&app, n, &rooms[n % ROOMS]));
    let people: Vec<(Bot, Slug)> = people.buffer_unordered(8).collect().await;
    let proxy = Proxy::to(app.address(), seed).await.unwrap();
    say("everyone has an account");

    let (course, told) = watch::channel(Course::Coming);
    let (ready, mut settled) = mpsc::unbounded_channel();
    let url = format!("http://{}", proxy.address());
    let mut sessions = stream::iter((0..clients).map(async |number| {
        let (bot, room) = &people[number / EACH];
        let session = terminal::connect(&url, bot.token(), Filling::All, LONGEST).await.unwrap();
        let chance = StdRng::seed_from_u64(seed.wrapping_sub(number as u64));
        let pause = PAUSE * u32::try_from(clients.div_ceil(WRITERS)).unwrap();
        Client::new(number, session, room.clone(), chance, pause)
    }))
    .buffer_unordered(16);
    // A session stays on its thread, as in the browser; its line does not.
    let mut running = JoinSet::new();
    while let Some(client) = sessions.next().await {
        running.spawn_local(client.run(told.clone(), ready.clone()));
    }
    let mut everyone = async |what: &str, running: &mut JoinSet<Client>| {
        within(LONGEST, what, async {
            for _ in 0..clients {
                tokio::select! {
                    Some(()) = settled.recv() => {}
                    Some(ended) = running.join_next() => panic!("client {} has ended", ended.unwrap().number),
                }
            }
        })
        .await;
        say(what);
    };
    everyone("everyone sees their room", &mut running).await;
    proxy.be_bad(true);
    course.send(Course::Writing).unwrap();
    let bad = async {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        while proxy.faults().count() < ENOUGH * clients || !proxy.faults().are_of_every_kind() {
            looks.tick().await;
        }
    };
    within(LONGEST, "the network is bad for long enough", bad).await;
    proxy.be_bad(false);
    say(&format!("the network is good again, after {}", proxy.faults()));
    course.send(Course::Settling).unwrap();
    everyone("what was written has arrived", &mut running).await;
    let mut truth = BTreeMap::new();
    for room in &rooms {
        truth.insert(room.clone(), witness.log(room.as_str()).await);
    }
    let last = |log: &Vec<Event>| log.last().and_then(Event::place).unwrap().1;
    course.send(Course::Over(Arc::new(truth.iter().map(|(room, log)| (room.clone(), last(log))).collect()))).unwrap();
    let clients = within(LONGEST, "everyone has heard everything", running.join_all()).await;
    say("everyone has heard everything");

    for (room, log) in &truth {
        let clients: Vec<&Client> = clients.iter().filter(|client| client.room == *room).collect();
        check(room, log, &clients);
    }
    let sum = |count: fn(&Client) -> usize| clients.iter().map(count).sum::<usize>();
    let (written, heard, filled) =
        (sum(|client| client.written.len()), sum(|client| client.heard.len()), sum(|client| client.limited));
    say(&format!("{written} messages, {heard} events heard, {filled} times more was missed than is told again"));
    assert!(written > 0 && filled > 0, "what is to be tried has happened");
}

/// What everyone has heard of a room is what the server has, and that is what was written, once.
fn check(room: &Slug, log: &[Event], clients: &[&Client]) {
    let seqs: Vec<i64> = log.iter().map(|event| event.place().unwrap().1.0).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "the log of {room} has no gap");
    let said = log.iter().filter_map(|event| if let Event::Message(message) = event { Some(message.id) } else { None });
    let said: Vec<Uuid> = said.collect();
    let distinct: HashSet<Uuid> = said.iter().copied().collect();
    assert_eq!(distinct.len(), said.len(), "each message is in {room} once");
    assert_eq!(said.len(), clients.iter().map(|client| client.written.len()).sum::<usize>(), "{room} has what was written");
    for client in clients {
        let own: HashSet<Uuid> = client.written.iter().copied().collect();
        let sent: Vec<Uuid> = said.iter().copied().filter(|id| own.contains(id)).collect();
        assert_eq!(
            sent, client.written,
            "what client {} wrote in {room} is there in the order in which it was written",
            client.number
        );
        if client.heard != log {
            let heard: Vec<i64> = client.heard.iter().map(|event| event.place().unwrap().1.0).collect();
            panic!("client {} heard of {room} {heard:?}, or something else there, of {}", client.number, log.len());
        }
    }
}

/// Someone with an account, in a room.
async fn newcomer(app: &TestApp, n: usize, room: &Slug) -> (Bot, Slug) {
    let bot = app.register(&format!("person{n}")).await;
    let reply = bot.act(&format!("/api/rooms/{room}/join")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    (bot, room.clone())
}

/// Each client takes a file for itself, two for the proxy and one for the server, twice over while an earlier one is not found out.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("a limit may be raised as far as it may be raised");
}

/// A terminal client, with what its screen would show.
struct Client {
    number: usize,
    room: Slug,
    session: Session,
    chance: StdRng,
    /// The longest wait between two messages that it writes.
    pause: Duration,
    /// What it has shown, in this order.
    heard: Vec<Event>,
    /// What it has written, in this order.
    written: Vec<Uuid>,
    /// How often it was told that more was missed than is told again.
    limited: usize,
}

impl Client {
    fn new(number: usize, mut session: Session, room: Slug, chance: StdRng, pause: Duration) -> Self {
        session.turn(&room).unwrap();
        Self { number, room, session, chance, pause, heard: Vec::new(), written: Vec::new(), limited: 0 }
    }

    /// Until it is over, and everything is heard. It is said when the room is there, and when what was written has arrived.
    async fn run(mut self, mut course: watch::Receiver<Course>, ready: mpsc::UnboundedSender<()>) -> Self {
        let writes = self.number.is_multiple_of(WRITERS);
        let mut next = Instant::now();
        let mut said = 0;
        loop {
            let now = course.borrow_and_update().clone();
            let arrived = self.session.state.waiting().is_empty();
            let done = match &now {
                Course::Coming => said == 0 && self.session.state.open().is_some_and(|open| open.loaded),
                Course::Writing => false,
                Course::Settling => said == 1 && arrived,
                Course::Over(ends) if arrived && self.session.state.open().unwrap().last() >= ends[&self.room] => return self,
                Course::Over(_) => false,
            };
            if done {
                said += 1;
                ready.send(()).unwrap();
            }
            tokio::select! {
                happened = self.session.next() => self.take(happened),
                changed = course.changed() => changed.unwrap(),
                () = sleep_until(next), if writes && matches!(now, Course::Writing) => {
                    self.write();
                    next = Instant::now() + self.pause.mul_f64(self.chance.random());
                }
            }
        }
    }

    fn take(&mut self, happened: Happened) {
        let limited = |heard: &Heard| matches!(heard, Heard::Event(told) if matches!(told.event, Event::Limited { .. }));
        self.limited += usize::from(matches!(&happened, Happened::Heard(heard) if limited(heard)));
        self.session.apply(happened).unwrap_or_else(|why| panic!("client {}: {why}", self.number));
        self.heard.extend(self.session.state.take_events());
        if let Some(why) = self.session.state.open().and_then(|open| open.refused.as_ref()) {
            panic!("client {} is refused its room: {why}", self.number);
        }
        let refused = self.session.state.waiting().iter().find(|item| matches!(item.state, outbox::State::Refused(_)));
        assert!(refused.is_none(), "client {}: {refused:?}", self.number);
    }

    fn write(&mut self) {
        // Of several lengths, and more bytes than letters: a cut may be anywhere in them.
        let text = format!("{} of {} {}", self.written.len(), self.number, "…ä🌱".repeat(self.chance.random_range(0..12)));
        self.written.push(self.session.write(&self.room, text).unwrap());
    }
}
