//! People who send and people who listen, whatever happens to their server meanwhile; and what must be true afterwards.
//!
//! Senders note each message before they send it and each acknowledgement. When their line is gone they come back, as clients
//! do, and send again, under the same ids, what was not acknowledged (and give up some of it). Readers resume where they were.
//! At the end the database must have every acknowledged message exactly once and every other at most once, each log must be
//! without a gap, and every reader must have heard exactly what the database has.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use futures_util::future::{join_all, join3};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use snug::protocol::{Command, Event, Refusal, Seq};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::given;
use crate::place::{Database, Entry, Place, Row};
use crate::support::{PATIENCE, Person, Program, Socket, Visitor, new_id, slug, within};

const ROOMS: [&str; 3] = ["general", "random", "help"];
const SENDERS: usize = 8;
const READERS: usize = 3;

/// How long who is impatient waits for a sign of life before they give up a line and come back. The others wait for as long as it stands.
const IMPATIENCE: Duration = Duration::from_secs(2);
/// How often a client says that it is there.
const PING: Duration = Duration::from_secs(1);
/// How soon one comes back after a line is lost, or sends again what was refused for now.
const AGAIN: Duration = Duration::from_millis(100);

/// What all of them are told, and tell.
pub struct Tally {
    address: Arc<RwLock<SocketAddr>>,
    acknowledged: [AtomicUsize; SENDERS],
    /// Lines that the server ended, or that broke.
    lost: AtomicUsize,
    /// Why messages were refused for now; for good, none is to be.
    refused: Mutex<Vec<Refusal>>,
}

impl Tally {
    /// The server is at another address from now on.
    pub fn moved(&self, to: SocketAddr) {
        *self.address.write().unwrap() = to;
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How many lines were ended by the server, or broke.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// The reasons for which messages were refused since the last look.
    pub fn refusals(&self) -> Vec<Refusal> {
        std::mem::take(&mut self.refused.lock().unwrap())
    }

    /// Waits until so many more are acknowledged, and some of each sender's.
    pub async fn grows_by(&self, more: usize) {
        let before: Vec<usize> = self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let enough = before.iter().sum::<usize>() + more;
        within(3 * PATIENCE, "enough is acknowledged", async {
            let mut looks = interval(Duration::from_millis(10));
            loop {
                looks.tick().await;
                let each = self.acknowledged.iter().zip(&before).all(|(now, before)| now.load(Ordering::Relaxed) > *before);
                if each && self.acknowledged() >= enough {
                    return;
                }
            }
        })
        .await;
    }

    /// Waits until nothing has been acknowledged for so long: the server stands still.
    pub async fn rests_for(&self, time: Duration) {
        within(time + 3 * PATIENCE, "nothing is acknowledged", async {
            let (mut count, mut since) = (self.acknowledged(), Instant::now());
            let mut looks = interval(Duration::from_millis(10));
            while since.elapsed() < time {
                looks.tick().await;
                let now = self.acknowledged();
                if now != count {
                    (count, since) = (now, Instant::now());
                }
            }
        })
        .await;
    }
}

pub struct Load {
    seed: u64,
    tally: Tally,
    senders: Vec<Sender>,
    readers: Vec<Reader>,
}

impl Load {
    /// Newcomers at the server at `address`.
    pub async fn new(address: SocketAddr) -> Self {
        let seed: u64 = given("SNUG_DEV_CHAOS_SEED").unwrap_or_else(rand::random);
        eprintln!("SNUG_DEV_CHAOS_SEED={seed}");
        let address = Arc::new(RwLock::new(address));
        let client = Visitor::client();
        let newcomer = async |user: String| {
            let person = Visitor::new(client.clone(), address.clone(), None).sign_up(&user).await;
            for room in &ROOMS[1..] {
                person.join(room).await;
            }
            person
        };
        let (mut senders, mut readers) = (Vec::new(), Vec::new());
        for n in 0..SENDERS {
            let chance = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
            let patient = n % 2 == 0;
            senders.push(Sender { person: newcomer(format!("sender{n}")).await, sent: Vec::new(), patient, chance });
        }
        for n in 0..READERS {
            readers.push(Reader::new(newcomer(format!("reader{n}")).await, n > 0).await);
        }
        let tally = Tally { address, acknowledged: Default::default(), lost: AtomicUsize::new(0), refused: Mutex::default() };
        Self { seed, tally, senders, readers }
    }

    /// What decides when something happens to the server.
    pub fn chance(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_sub(1))
    }

    /// One of them, to try what else goes.
    pub fn someone(&self) -> Visitor {
        self.readers[0].person.copy()
    }

    /// They send and listen while something happens.
    pub async fn during<T>(&mut self, happening: impl AsyncFnOnce(&Tally) -> T) -> T {
        let (tally, over) = (&self.tally, CancellationToken::new());
        let sending = join_all(self.senders.iter_mut().enumerate().map(|(n, sender)| sender.work(n, tally, &over)));
        let reading = join_all(self.readers.iter_mut().map(|reader| reader.work(tally, &over)));
        let happening = async {
            let outcome = happening(tally).await;
            over.cancel();
            outcome
        };
        let (.., outcome) = join3(sending, reading, happening).await;
        let open: usize = self.senders.iter().map(|sender| sender.open().count()).sum();
        eprintln!("{} acknowledged, {open} not, {} lines lost", tally.acknowledged(), tally.lost());
        outcome
    }

    /// Everything is sent and heard, the server ends in order, and what it leaves is what everyone knows.
    pub async fn end(mut self, server: Program, place: Place) {
        let settled = self.settle().await;
        assert!(tokio::task::block_in_place(|| server.terminate()).success(), "it ends in order when asked to");
        place.check().await;
        self.check(&settled, &place.read().await);
    }

    /// What is still open is sent, and everyone hears everything.
    pub async fn settle(&mut self) -> Settled {
        let (tally, over) = (&self.tally, CancellationToken::new());
        within(
            3 * PATIENCE,
            "what is open is sent",
            join_all(self.senders.iter_mut().enumerate().map(|(n, s)| s.finish(n, tally))),
        )
        .await;
        let mut logs = BTreeMap::new();
        for room in ROOMS {
            logs.insert(room, self.readers[0].person.log(room).await);
        }
        let ends: BTreeMap<_, _> = logs.iter().map(|(room, log)| (*room, log.last().and_then(Event::place).unwrap().1)).collect();
        let reading = join_all(self.readers.iter_mut().map(|reader| async {
            while !reader.has(&ends) {
                reader.line(tally, &over, Some(&ends)).await;
            }
        }));
        within(3 * PATIENCE, "everyone hears everything", reading).await;
        Settled { logs }
    }

    /// Whether `database` has what was acknowledged, and everyone has heard what it has.
    pub fn check(&self, settled: &Settled, database: &Database) {
        check_messages(&self.senders, &database.messages);
        for (room, read) in &settled.logs {
            let log = &database.log[*room];
            let seqs: Vec<i64> = log.iter().map(|entry| entry.seq).collect();
            assert_eq!(seqs, (1..=read.len() as i64).collect::<Vec<_>>(), "the log of {room} has no gap");
            let page_by_page: Vec<Entry> = read.iter().map(Entry::from).collect();
            assert!(page_by_page == *log, "{room}, read page by page, is what the database has");
            for reader in &self.readers {
                let (from, heard) = &reader.heard[room];
                let heard: Vec<Entry> = heard.iter().map(Entry::from).collect();
                let truth: Vec<Entry> = log.iter().filter(|entry| entry.seq > from.0).cloned().collect();
                assert!(heard == truth, "{} heard of {room} exactly what the database has", reader.person.user);
            }
        }
    }
}

/// Each room's log, read page by page when everything had been sent.
pub struct Settled {
    logs: BTreeMap<&'static str, Vec<Event>>,
}

/// Each message of theirs that was acknowledged exactly once, at the place that was acknowledged; each other at most once; and no
/// others.
fn check_messages(senders: &[Sender], messages: &[Row]) {
    let mut found: HashMap<(&str, Uuid), Vec<&Row>> = HashMap::new();
    for row in messages.iter().filter(|row| senders.iter().any(|sender| sender.person.user == row.user)) {
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

/// A line to the server, and how long it has been silent.
struct Line {
    socket: Socket,
    patient: bool,
    heard: Instant,
    pings: tokio::time::Interval,
}

impl Line {
    /// A line that has said `hello`, unless the server is gone or cannot have one now.
    async fn open(person: &Person, patient: bool, hello: Command) -> Option<Self> {
        let (origin, cookies) = (person.origin(), person.cookies());
        let headers = [("origin", origin.as_str()), ("cookie", cookies.as_str())];
        let mut socket = match timeout(IMPATIENCE, Socket::try_connect(person.address(), "/ws", &headers)).await.ok()? {
            Ok(socket) => socket,
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), 503, "{} is logged in, and refused", person.user);
                return None;
            }
            Err(_) => return None,
        };
        socket.try_send(&hello).await.ok()?;
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self { socket, patient, heard: Instant::now(), pings })
    }

    /// The next event, or none when it is given up. It says meanwhile that it is there.
    async fn next(&mut self) -> Result<Option<Event>, Gone> {
        loop {
            let given_up =
                async { if self.patient { std::future::pending().await } else { sleep_until(self.heard + IMPATIENCE).await } };
            tokio::select! {
                event = self.socket.try_next() => {
                    self.heard = Instant::now();
                    return event.map(Some).map_err(|_| Gone);
                }
                _ = self.pings.tick() => self.socket.try_send(&Command::Ping).await.map_err(|_| Gone)?,
                () = given_up => return Ok(None),
            }
        }
    }
}

/// The server ended a line, or it broke.
struct Gone;

struct Sender {
    person: Person,
    /// Noted before it is sent.
    sent: Vec<Message>,
    patient: bool,
    chance: StdRng,
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

    /// Sends until it is over, by one line after the other; when one is gone, some of what is open is given up.
    async fn work(&mut self, number: usize, tally: &Tally, over: &CancellationToken) {
        while !over.is_cancelled() {
            tokio::select! {
                () = over.cancelled() => return,
                () = self.line(number, tally, true) => {}
            }
            for message in &mut self.sent {
                message.given_up |= message.place.is_none() && self.chance.random_ratio(1, 4);
            }
            let _pause = timeout(AGAIN, over.cancelled()).await;
        }
    }

    /// Sends what is open until nothing is.
    async fn finish(&mut self, number: usize, tally: &Tally) {
        while self.open().next().is_some() {
            self.line(number, tally, false).await;
        }
    }

    /// Sends again what is open, and new messages where that is wanted, in each room one at a time: until the line is gone or given
    /// up, or nothing is open.
    async fn line(&mut self, number: usize, tally: &Tally, new: bool) {
        let hello = Command::Hello { rooms: BTreeMap::new(), epoch: None, look: None };
        let Some(mut line) = Line::open(&self.person, self.patient, hello).await else { return };
        let mut next: Vec<usize> = self.open().collect();
        if new {
            let idle = ROOMS.into_iter().filter(|room| next.iter().all(|index| self.sent[*index].room != *room));
            for room in idle.collect::<Vec<_>>() {
                next.push(self.new_message(room));
            }
        }
        let mut under_way: HashMap<Uuid, usize> = HashMap::new();
        // What was refused for now, and when it is sent again.
        let (mut refused, mut later): (Vec<usize>, Option<Instant>) = (Vec::new(), None);
        loop {
            for index in next.drain(..) {
                let message = &self.sent[index];
                under_way.insert(message.id, index);
                let command = Command::Send { room: slug(message.room), id: message.id, text: message.text.clone() };
                if line.socket.try_send(&command).await.is_err() {
                    return;
                }
            }
            if under_way.is_empty() && refused.is_empty() {
                return;
            }
            let event = tokio::select! {
                event = line.next() => match event {
                    Ok(Some(event)) => event,
                    Ok(None) => return,
                    Err(Gone) => {
                        tally.lost.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                },
                () = sleep_until(later.unwrap_or_else(Instant::now)), if later.is_some() => {
                    later = None;
                    next.append(&mut refused);
                    continue;
                }
            };
            let (id, seq) = match event {
                Event::Message(message) => (message.id, message.seq),
                Event::Sent { id, seq, .. } => (id, seq),
                Event::Error { id: Some(id), why, .. } => {
                    assert!(why.passes(), "nothing here is to be refused for good: {why:?}");
                    tally.refused.lock().unwrap().push(why);
                    refused.extend(under_way.remove(&id));
                    later.get_or_insert_with(|| Instant::now() + AGAIN);
                    continue;
                }
                _ => continue,
            };
            let Some(index) = under_way.remove(&id) else { continue };
            self.sent[index].place = Some(seq);
            tally.acknowledged[number].fetch_add(1, Ordering::Relaxed);
            if new {
                next.push(self.new_message(self.sent[index].room));
            }
        }
    }
}

struct Reader {
    person: Person,
    patient: bool,
    epoch: Uuid,
    /// What was heard of each room, and after which place: a reader that is told `limited` begins anew there.
    heard: BTreeMap<&'static str, (Seq, Vec<Event>)>,
}

impl Reader {
    async fn new(person: Person, patient: bool) -> Self {
        let epoch = person.epoch().await;
        Self { person, patient, epoch, heard: ROOMS.into_iter().map(|room| (room, (Seq::ZERO, Vec::new()))).collect() }
    }

    fn last(&self, room: &str) -> Seq {
        let (from, heard) = &self.heard[room];
        heard.last().and_then(Event::place).map_or(*from, |(_, seq)| seq)
    }

    /// Whether it has heard everything up to `ends`.
    fn has(&self, ends: &BTreeMap<&'static str, Seq>) -> bool {
        ends.iter().all(|(room, end)| self.last(room) >= *end)
    }

    /// Listens until it is over, by one line after the other.
    async fn work(&mut self, tally: &Tally, over: &CancellationToken) {
        while !over.is_cancelled() {
            self.line(tally, over, None).await;
            let _pause = timeout(AGAIN, over.cancelled()).await;
        }
    }

    /// Listens from where it was, until the line is gone or given up, everything up to `ends` is heard, or it is over.
    async fn line(&mut self, tally: &Tally, over: &CancellationToken, ends: Option<&BTreeMap<&'static str, Seq>>) {
        let rooms = ROOMS.into_iter().map(|room| (slug(room), self.last(room))).collect();
        let hello = Command::Hello { rooms, epoch: Some(self.epoch), look: None };
        let Some(mut line) = Line::open(&self.person, self.patient, hello).await else { return };
        while ends.is_none_or(|ends| !self.has(ends)) {
            let event = tokio::select! {
                () = over.cancelled() => return,
                event = line.next() => event,
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(Gone) => {
                    tally.lost.fetch_add(1, Ordering::Relaxed);
                    return;
                }
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
