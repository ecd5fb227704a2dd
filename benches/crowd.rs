//! Ten thousand people whose server is started anew under them, and people who log in while others read.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;
use snug::app::live::backoff::Backoff;
use snug::protocol::Event;
use snug::protocol::api::{LogIn, SentMessage, Token};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::population::{Inhabitant, settle};
use crate::wire::{Frames, Http, open, source};
use crate::world::{Ending, PASSWORD, World, latencies, run, thousands};
use crate::{Bench, process};

const PEOPLE: usize = 10_000;
/// Those of them who write, a message a second each; so many of them to everyone, the others to about a hundred.
const WRITERS: usize = 12;
const TO_ALL: usize = 2;
/// How long they write before the server ends, and after all are back.
const STEADY: Duration = Duration::from_secs(5);
/// How long anything may take before it is given up, and what is missing counted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Close codes (RFC 6455, section 7.4.1): the server goes, and comes back; the line broke.
const GOING_AWAY: u16 = 1001;
const BROKEN: u16 = 1006;

pub fn measure(bench: &Bench) {
    let count = bench.scaled(PEOPLE);
    run(async {
        let (mut world, population) = settle(World::start(bench), count).await;
        println!("### A crowd\n");
        println!(
            "{} people with a socket each, in three rooms: `general`, which has them all, and two of about a hundred. {TO_ALL} of them \
             write to `general` and {} to another room, a message a second each, all the time. The server is ended and started again \
             with its data at its address; the sockets come back as the pages' do, with the same waits and their place in each room. \
             Times are from the signal. A read of a log is one that the database was asked for, of what someone had missed of a room; \
             the others' came from memory. The load generator has one thread for them all. How the people came to be: as in \"Idle \
             sockets\".\n",
            thousands(count as f64),
            WRITERS - TO_ALL,
        );
        println!(
            "| ended by | gone | ready again | half are back | all are back | missed | doubled | out of order | fetched anew | reads of a log | from \
             memory | busiest second, CPU | most resident memory |"
        );
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        for (name, how) in [("`SIGTERM`", Ending::Asked), ("`SIGKILL`", Ending::Killed)] {
            let comeback;
            (world, comeback) = restart(world, &population.people, how).await;
            let seconds = |time: Option<Duration>| time.map_or("never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
            let count = |count: Option<f64>| count.map_or("not counted".to_owned(), thousands);
            println!(
                "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} % | {:.1} MiB |",
                seconds(Some(comeback.gone)),
                seconds(Some(comeback.ready)),
                seconds(comeback.half),
                seconds(comeback.all),
                comeback.missed,
                comeback.doubled,
                comeback.disordered,
                comeback.anew,
                count(comeback.from_database),
                count(comeback.from_memory),
                comeback.busiest * 100.0,
                comeback.resident as f64 / 1024.0 / 1024.0,
            );
        }
        println!();
        logins(bench, world.restarted().await, &population.people).await;
    });
}

/// What a restart cost.
struct Comeback {
    gone: Duration,
    ready: Duration,
    half: Option<Duration>,
    all: Option<Duration>,
    missed: usize,
    doubled: usize,
    disordered: usize,
    /// Rooms that someone was told to fetch anew.
    anew: usize,
    from_database: Option<f64>,
    from_memory: Option<f64>,
    /// Of one CPU, over a second.
    busiest: f64,
    resident: u64,
}

/// What all of the crowd share.
struct Crowd {
    address: SocketAddr,
    /// How many are welcomed now.
    ready: Cell<usize>,
    /// The server was ended; and when each of them was welcomed after that.
    ended: Cell<bool>,
    back: RefCell<Vec<Instant>>,
    /// Nobody writes any more.
    quiet: Cell<bool>,
    /// What was said at each place of each room, by who was acknowledged or heard it first.
    said: RefCell<HashMap<String, BTreeMap<i64, u64>>>,
    /// Times that another saw something else there.
    altered: Cell<usize>,
    /// Rooms that someone was told to fetch anew.
    anew: Cell<usize>,
}

impl Crowd {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            ready: Cell::new(0),
            ended: Cell::new(false),
            back: RefCell::default(),
            quiet: Cell::new(false),
            said: RefCell::default(),
            altered: Cell::new(0),
            anew: Cell::new(0),
        }
    }

    fn note(&self, room: &str, seq: i64, what: u64) {
        let mut said = self.said.borrow_mut();
        let first = match said.get_mut(room) {
            Some(said) => *said.entry(seq).or_insert(what),
            None => *said.entry(room.to_owned()).or_default().entry(seq).or_insert(what),
        };
        if first != what {
            self.altered.set(self.altered.get() + 1);
        }
    }

    /// The last place in a room at which something was said; 0 where nothing was.
    fn end(&self, room: &str) -> i64 {
        self.said.borrow().get(room).and_then(|said| said.keys().next_back().copied()).unwrap_or_default()
    }
}

/// Waits until it is so, or for [`PATIENCE`]; whether it is.
async fn until(is_so: impl Fn() -> bool) -> bool {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.is_ok()
}

/// One of the crowd.
#[derive(Default)]
struct Person {
    /// The rooms, once it has been welcomed.
    rooms: Vec<Cursor>,
    epoch: String,
    /// It has been welcomed since the server ended.
    back: bool,
    doubled: usize,
    disordered: usize,
}

/// How far someone has heard a room's log.
struct Cursor {
    room: String,
    seq: i64,
    /// Places before it that were not heard.
    holes: BTreeSet<i64>,
}

impl Person {
    fn hello(&self) -> String {
        if self.rooms.is_empty() {
            return r#"{"type":"hello","rooms":{},"look":"general"}"#.to_owned();
        }
        let mut hello = r#"{"type":"hello","rooms":{"#.to_owned();
        for (index, Cursor { room, seq, .. }) in self.rooms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(hello, r#"{comma}"{room}":{seq}"#).expect("a string takes everything");
        }
        write!(hello, r#"}},"epoch":"{}","look":"general"}}"#, self.epoch).expect("a string takes everything");
        hello
    }

    fn hear(&mut self, crowd: &Crowd, line: &[u8]) {
        if line.starts_with(br#"{"type":"message""#) {
            let (room, seq, what) = message(line).expect("a message as this bench writes it");
            crowd.note(room, seq, what);
            let Some(cursor) = self.rooms.iter_mut().find(|cursor| cursor.room == room) else { return };
            if seq > cursor.seq {
                cursor.holes.extend(cursor.seq + 1..seq);
                cursor.seq = seq;
            } else if cursor.holes.remove(&seq) {
                self.disordered += 1;
            } else {
                self.doubled += 1;
            }
        } else if line.starts_with(br#"{"type":"welcome""#) {
            crowd.ready.set(crowd.ready.get() + 1);
            if crowd.ended.get() && !std::mem::replace(&mut self.back, true) {
                crowd.back.borrow_mut().push(Instant::now());
            }
            if self.rooms.is_empty() {
                let Ok(Event::Welcome { epoch, rooms, .. }) = serde_json::from_slice(line) else { panic!("it is a welcome") };
                self.epoch = epoch.to_string();
                let cursor = |room: snug::protocol::RoomState| Cursor {
                    room: room.room.to_string(),
                    seq: room.seq.0,
                    holes: BTreeSet::new(),
                };
                self.rooms = rooms.into_iter().map(cursor).collect();
            }
        } else if line.starts_with(br#"{"type":"limited""#) {
            let Ok(Event::Limited { room, to, .. }) = serde_json::from_slice(line) else { panic!("it is limited") };
            crowd.anew.set(crowd.anew.get() + 1);
            // A page would have fetched it.
            if let Some(cursor) = self.rooms.iter_mut().find(|cursor| cursor.room == room.as_str()) {
                cursor.seq = cursor.seq.max(to.0);
            }
        }
    }
}

/// A message's room, its place, and the number in its text.
fn message(line: &[u8]) -> Option<(&str, i64, u64)> {
    let after = |what: &[u8]| Some(&line[memmem::find(line, what)? + what.len()..]);
    let digits = |text: &[u8]| {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let room = after(br#""room":""#)?;
    let room = std::str::from_utf8(&room[..memchr::memchr(b'"', room)?]).ok()?;
    Some((room, i64::try_from(digits(after(br#""seq":"#)?)).ok()?, digits(after(b"~")?)))
}

/// Connects, and comes back whenever the line is lost, as the pages do (`app::live`).
async fn stay(crowd: Rc<Crowd>, number: usize, cookie: String, person: Rc<RefCell<Person>>) {
    let mut backoff = Backoff::default();
    loop {
        let (was_ready, code) = match open(crowd.address, source(number), &cookie, true).await {
            Ok((mut frames, mut commands)) => {
                let hello = person.borrow().hello();
                let _gone = commands.try_send(hello.as_bytes()).await;
                let was_ready = listen(&crowd, &mut frames, &person, &mut backoff).await;
                let code = frames.closed().unwrap_or(BROKEN);
                let _gone = commands.close(code).await;
                (was_ready, code)
            }
            Err(_) => (false, BROKEN),
        };
        if was_ready {
            crowd.ready.set(crowd.ready.get() - 1);
        }
        let wait = match code {
            GOING_AWAY if was_ready => Backoff::restart(rand::random()),
            _ => backoff.next(rand::random()),
        };
        sleep(Duration::from_millis(wait.into())).await;
    }
}

/// Until the line is lost; whether there was a welcome.
async fn listen(crowd: &Crowd, frames: &mut Frames, person: &RefCell<Person>, backoff: &mut Backoff) -> bool {
    let mut was_ready = false;
    while frames.closed().is_none() && frames.more().await {
        while let Some(frame) = frames.next_unless_closed() {
            for line in frame.split(|byte| *byte == b'\n') {
                person.borrow_mut().hear(crowd, line);
            }
            // The welcome comes before anything else.
            if !was_ready {
                was_ready = true;
                backoff.reset();
            }
        }
    }
    was_ready
}

/// Lets some of the people write, until it is to be quiet.
async fn writers(crowd: &Rc<Crowd>, people: &[Inhabitant]) -> Vec<JoinHandle<()>> {
    let mut writing = Vec::new();
    for number in 0..WRITERS {
        let person = &people[number * people.len() / WRITERS];
        let room = person.rooms[if number < TO_ALL { 0 } else { 1 + number % 2 }].to_string();
        let log_in = LogIn { name: person.email.clone(), password: PASSWORD.to_owned() };
        let body = serde_json::to_string(&log_in).expect("it is JSON");
        let reply = Http::connect(crowd.address).await.post_json("/api/auth/login", "", &body).await.expect("the server answers");
        let token: Token = serde_json::from_slice(&reply.body).expect("a token");
        writing.push(tokio::task::spawn_local(write_on(crowd.clone(), number, room, token.token)));
    }
    writing
}

/// Writes a message a second, each until it is acknowledged.
async fn write_on(crowd: Rc<Crowd>, number: usize, room: String, token: String) {
    let path = format!("/api/rooms/{room}/messages");
    let head = format!("Authorization: Bearer {token}\r\n");
    let mut connection = None;
    let mut pace = interval(Duration::from_secs(1));
    let mut what = number as u64 * 1_000_000;
    while !crowd.quiet.get() {
        pace.tick().await;
        what += 1;
        let body = format!(r#"{{"id":"{}","text":"~{what}~ The quick brown fox jumps over the lazy dog."}}"#, random_id());
        let seq = loop {
            match attempt(&mut connection, crowd.address, &path, &head, &body).await {
                Some(seq) => break seq,
                None => sleep(Duration::from_millis(200)).await,
            }
        };
        crowd.note(&room, seq, what);
    }
}

fn random_id() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// The place of the message, if it is acknowledged this time.
async fn attempt(connection: &mut Option<Http>, address: SocketAddr, path: &str, head: &str, body: &str) -> Option<i64> {
    let mut http = match connection.take() {
        Some(http) => http,
        None => Http::connect_from(source(0), address).await.ok()?,
    };
    let reply = http.post_json(path, head, body).await.ok()?;
    *connection = Some(http);
    let sent = matches!(reply.status, 200 | 201).then(|| serde_json::from_slice::<SentMessage>(&reply.body));
    Some(sent?.expect("an acknowledgement").seq.0)
}

/// What a server takes of the CPUs.
struct Load {
    pid: Cell<u32>,
    /// The most over a second, of one CPU.
    busiest: Cell<f64>,
}

impl Load {
    async fn watch(self: Rc<Self>) {
        // The looks of the last second.
        let mut last = VecDeque::new();
        let mut looks = interval(Duration::from_millis(250));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(cpu) = process::cpu_of(self.pid.get()) else { continue };
            if last.back().is_some_and(|(_, pid, _)| *pid != self.pid.get()) {
                last.clear();
            }
            last.push_back((cpu, self.pid.get(), Instant::now()));
            if last.len() > 4
                && let Some((before, _, at)) = last.pop_front()
            {
                let load = (cpu - before).as_secs_f64() / at.elapsed().as_secs_f64();
                self.busiest.set(self.busiest.get().max(load));
            }
        }
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut http) = Http::connect_from(source(0), address).await else { return false };
    http.try_get("/readyz", "").await.is_ok_and(|reply| reply.status == 200)
}

/// Ends the server under all of them, starts it again, and counts until everyone has everything.
async fn restart(world: World, people: &[Inhabitant], how: Ending) -> (World, Comeback) {
    let crowd = Rc::new(Crowd::new(world.address()));
    let (mut persons, mut tasks) = (Vec::new(), Vec::new());
    for (number, inhabitant) in people.iter().enumerate() {
        let person = Rc::new(RefCell::new(Person::default()));
        tasks.push(tokio::task::spawn_local(stay(crowd.clone(), number, inhabitant.cookie.clone(), person.clone())));
        persons.push(person);
        // The first time they come a few at once.
        assert!(until(|| crowd.ready.get() + 16 > number).await, "all are welcomed");
    }
    assert!(until(|| crowd.ready.get() == people.len()).await, "all are welcomed");
    let writing = writers(&crowd, people).await;
    sleep(STEADY).await;

    let load = Rc::new(Load { pid: Cell::new(world.server.pid()), busiest: Cell::new(0.0) });
    let watching = tokio::task::spawn_local(load.clone().watch());
    crowd.ended.set(true);
    load.busiest.set(0.0);
    let began = Instant::now();
    let place = world.end(how).await;
    let gone = began.elapsed();
    let world = place.start().await;
    load.pid.set(world.server.pid());
    while !is_ready(world.address()).await {
        sleep(Duration::from_millis(5)).await;
    }
    let ready = began.elapsed();
    until(|| crowd.back.borrow().len() == people.len()).await;
    sleep(STEADY).await;
    watching.abort();
    crowd.quiet.set(true);
    for writer in writing {
        writer.await.expect("a writer ends");
    }
    let is_whole = |person: &Person| person.rooms.iter().all(|cursor| cursor.seq >= crowd.end(&cursor.room));
    until(|| persons.iter().all(|person| is_whole(&person.borrow()))).await;
    tasks.iter().for_each(JoinHandle::abort);

    assert_eq!(crowd.altered.get(), 0, "all have the same at each place, and what was acknowledged");
    let from_database = world.counter("snug_replays_total{from=\"database\"}").await;
    let from_memory = world.counter("snug_replays_total{from=\"memory\"}").await;
    let missed_in = |cursor: &Cursor| {
        let behind = usize::try_from(crowd.end(&cursor.room) - cursor.seq).unwrap_or_default();
        cursor.holes.len() + behind
    };
    let sum = |of: &dyn Fn(&Person) -> usize| persons.iter().map(|person| of(&person.borrow())).sum();
    let after = |count: usize| crowd.back.borrow().get(count.saturating_sub(1)).map(|at| *at - began);
    let comeback = Comeback {
        gone,
        ready,
        half: after(people.len() / 2),
        all: after(people.len()),
        missed: sum(&|person| person.rooms.iter().map(missed_in).sum()),
        doubled: sum(&|person| person.doubled),
        disordered: sum(&|person| person.disordered),
        anew: crowd.anew.get(),
        from_database,
        from_memory,
        busiest: load.busiest.get(),
        resident: process::peak_resident(world.server.pid()),
    };
    (world, comeback)
}

/// Logins that are tried each second.
const LOGINS: u32 = 200;
/// Pages that one person asks for each second.
const PAGES: u32 = 20;

/// What became of logins.
#[derive(Default)]
struct Logins {
    tried: usize,
    accepted: usize,
    /// Told when to try again.
    put_off: usize,
    other: usize,
}

/// A person's pages, alone and while many log in.
async fn logins(bench: &Bench, world: World, people: &[Inhabitant]) {
    let lasting = Duration::from_secs(bench.scaled(20).max(5) as u64);
    println!("### Logins\n");
    println!(
        "One person asks for the page of `general` {PAGES} times a second, as brotli, for {} s: alone, and while {LOGINS} others a second log in, \
         each from an address of their own, with the right password. Times are from when a page was due. Put off: answered 503 or \
         429, with a `Retry-After`.\n",
        lasting.as_secs()
    );
    println!("| | pages | p50, ms | p99, ms | slowest, ms | logins tried | accepted | put off | other |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, rate) in [("alone", 0), ("with logins", LOGINS)] {
        let logins = Rc::new(RefCell::new(Logins::default()));
        let logging_in = async {
            let end = Instant::now() + lasting;
            let mut trying = Vec::new();
            let mut pace = interval(Duration::from_secs(1) / LOGINS);
            while rate > 0 && Instant::now() < end {
                pace.tick().await;
                let number = trying.len();
                let form = people[number % people.len()].log_in();
                trying.push(tokio::task::spawn_local(log_in(world.address(), number, form, logins.clone())));
            }
            trying
        };
        let (latency, trying) = futures_util::future::join(pages(world.address(), &people[0].cookie, lasting), logging_in).await;
        futures_util::future::join_all(trying).await;
        let millis = |ns: u64| ns as f64 / 1e6;
        let Logins { tried, accepted, put_off, other } = *logins.borrow();
        println!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {tried} | {accepted} | {put_off} | {other} |",
            latency.len(),
            millis(latency.value_at_quantile(0.5)),
            millis(latency.value_at_quantile(0.99)),
            millis(latency.max()),
        );
    }
    println!();
}

/// Asks for a page whenever one is due, over a connection of its own, whether or not the one before has come; how long each took
/// from then on, in ns.
async fn pages(address: SocketAddr, cookie: &str, lasting: Duration) -> hdrhistogram::Histogram<u64> {
    let latency = Rc::new(RefCell::new(latencies()));
    let head: Rc<str> = format!("Cookie: {cookie}\r\nAccept-Encoding: br\r\n").into();
    let each = Duration::from_secs(1) / PAGES;
    let mut due = Instant::now();
    let end = due + lasting;
    let mut asking = Vec::new();
    while due < end {
        sleep_until(due.into()).await;
        let (latency, head) = (latency.clone(), head.clone());
        asking.push(tokio::task::spawn_local(async move {
            let reply = Http::connect(address).await.get("/room/general", &head).await;
            assert_eq!(reply.status, 200);
            latency.borrow_mut().saturating_record(u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }));
        due += each;
    }
    for page in asking {
        page.await.expect("a page comes");
    }
    latency.replace(latencies())
}

async fn log_in(address: SocketAddr, number: usize, form: String, logins: Rc<RefCell<Logins>>) {
    let [.., high, low] = u32::try_from(number).expect("not that many").to_be_bytes();
    let source = Ipv4Addr::new(127, 1 + high, low, 1);
    let mut http = Http::connect_from(source, address).await.expect("the server listens");
    let reply = http.post("/actions/log_in", "", &form).await;
    let mut logins = logins.borrow_mut();
    logins.tried += 1;
    match reply.status {
        200 => logins.accepted += 1,
        429 | 503 if reply.retry_after.is_some() => logins.put_off += 1,
        status => {
            eprintln!("  a login is answered {status}: {}", String::from_utf8_lossy(&reply.body));
            logins.other += 1;
        }
    }
}
