//! A bad network: a proxy of TCP between clients and their server that splits what passes, slows it down, holds it up, and cuts and
//! half-closes connections, in the midst of a frame, a header or a handshake. What it does to which connection is chance, which
//! a seed repeats; what else happens at the same time is not repeated by it.
//!
//! It knows nothing of what passes, and needs no more than tokio and rand: the browser's tests run it as a program of its own.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// What happens to a connection, sooner or later.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Both ends are told that it broke (RST).
    Reset,
    /// Both ends are told that it is over (FIN), in the midst of whatever it is.
    Close,
    /// One end is told that no more will come, while the other way stands.
    HalfClose,
    /// Nothing passes for a while, this way; somewhat later it is closed.
    Stall(Duration),
    /// Nothing passes any more, this way, and nobody is told.
    Silence,
}

const KINDS: [&str; 5] = ["resets", "closes", "half-closes", "stalls", "silences"];

/// Bytes in which a handshake or a request is likely to be: one fault in three is there, so that most connections get beyond it.
const EARLY: u64 = 500;
/// Bytes after these, before which the others are: a client says less than it hears.
const LATE: [u64; 2] = [200, 1_500];
/// The longest stall from which a connection recovers: shorter than what clients and servers take for dead.
const STALL: Duration = Duration::from_secs(4);
/// Bytes of a read.
const BUFFER: usize = 4096;

/// What becomes of one way of a connection.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// After so many bytes that passed while the network was bad.
    fault: Option<(u64, Fault)>,
    /// The largest piece that passes at once, in bytes.
    piece: usize,
    /// How far apart they are at least, in milliseconds.
    delay: u64,
}

impl Way {
    fn by(chance: &mut StdRng) -> Self {
        let piece = [3, 40, 400, BUFFER][chance.random_range(0..4)];
        let delay = [0, 0, 5, 50][chance.random_range(0..4)];
        Self { fault: None, piece, delay: if piece < 40 { delay.min(5) } else { delay } }
    }
}

/// Both ways of a connection: from the client, and to it.
fn ways(chance: &mut StdRng) -> [Way; 2] {
    let mut ways = [Way::by(chance), Way::by(chance)];
    let fault = match chance.random_range(0..20) {
        0..5 => Fault::Reset,
        5..10 => Fault::Close,
        10..14 => Fault::HalfClose,
        14..18 => Fault::Stall(STALL.mul_f64(chance.random())),
        _ => Fault::Silence,
    };
    let early = chance.random_ratio(1, 3);
    let first = chance.random_range(0..2);
    // What stalls one way may stall the other, too.
    let both = matches!(fault, Fault::Stall(_) | Fault::Silence) && chance.random();
    for (way, late) in LATE.into_iter().enumerate().filter(|(way, _)| both || *way == first) {
        let after = chance.random_range(if early { 0..EARLY } else { EARLY..EARLY + late });
        ways[way].fault = Some((after, fault));
    }
    ways
}

/// How a connection ends before its ends do.
enum Cut {
    Reset,
    Closed,
}

impl From<io::Error> for Cut {
    /// What breaks at one end breaks at the other.
    fn from(_: io::Error) -> Self {
        Self::Reset
    }
}

/// What all connections share.
#[derive(Default)]
struct Weather {
    bad: AtomicBool,
    connections: AtomicUsize,
    faults: [AtomicUsize; KINDS.len()],
}

/// A network, good at first; it ends when dropped, with all of its connections.
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<Weather>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system's.
    pub async fn to(server: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let weather = Arc::new(Weather::default());
        let accepting = tokio::spawn(accept(listener, server, seed, Arc::clone(&weather)));
        Ok(Self { address, weather, accepting })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does to each connection, those that stand and those to come, what chance has for it; or no more. What is
    /// broken stays so, and what is silent, too.
    pub fn be_bad(&self, bad: bool) {
        self.weather.bad.store(bad, Relaxed);
    }

    /// How often it has done what.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let faults = std::array::from_fn(|kind| self.weather.faults[kind].load(Relaxed));
        Faults { connections: self.weather.connections.load(Relaxed), faults }
    }
}

/// What a bad network has done.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    connections: usize,
    faults: [usize; KINDS.len()],
}

impl Faults {
    #[must_use]
    pub fn count(&self) -> usize {
        self.faults.iter().sum()
    }

    /// Whether it has done all that it can do.
    #[must_use]
    pub fn are_of_every_kind(&self) -> bool {
        self.faults.iter().all(|count| *count > 0)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections", self.connections)?;
        KINDS.iter().zip(self.faults).try_for_each(|(kind, count)| write!(f, ", {count} {kind}"))
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, seed: u64, weather: Arc<Weather>) {
    // They end with this.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { continue };
                let number = weather.connections.fetch_add(1, Relaxed) as u64;
                let chance = StdRng::seed_from_u64(seed.wrapping_add(number));
                connections.spawn(carry(near, server, chance, Arc::clone(&weather)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries a connection to its end.
async fn carry(mut near: TcpStream, server: SocketAddr, mut chance: StdRng, weather: Arc<Weather>) {
    let [up, down] = ways(&mut chance);
    let mut other = StdRng::from_rng(&mut chance);
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let _slower = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
    let up = pass(near_read, far_write, up, &mut chance, &weather);
    let down = pass(far_read, near_write, down, &mut other, &weather);
    if let Err(Cut::Reset) = tokio::try_join!(up, down) {
        let _gone = (near.set_zero_linger(), far.set_zero_linger());
    }
}

/// Passes on what comes one way, until that way ends by itself, or both are to end.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut way: Way,
    chance: &mut StdRng,
    weather: &Weather,
) -> Result<(), Cut> {
    // What has come and not passed.
    let mut waiting = Vec::with_capacity(BUFFER);
    // A piece passes with each of its ticks.
    let mut pace = interval(Duration::from_millis(way.delay.max(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if waiting.is_empty() && from.read_buf(&mut waiting).await? == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        if !weather.bad.load(Relaxed) {
            to.write_all(&waiting).await?;
            waiting.clear();
            continue;
        }
        let mut piece = chance.random_range(1..=way.piece).min(waiting.len());
        if let Some((after, fault)) = &mut way.fault {
            if *after == 0 {
                weather.count(*fault);
                match *fault {
                    Fault::Reset => return Err(Cut::Reset),
                    Fault::Close => return Err(Cut::Closed),
                    Fault::HalfClose => {
                        to.shutdown().await?;
                        return Ok(());
                    }
                    Fault::Stall(time) => {
                        // What comes meanwhile is held up, as far as there is room for it.
                        let held_up = async {
                            while waiting.len() < BUFFER && from.read_buf(&mut waiting).await? > 0 {}
                            std::future::pending::<io::Result<()>>().await
                        };
                        if let Ok(broken) = timeout(time, held_up).await {
                            broken?;
                        }
                        way.fault = Some((chance.random_range(0..EARLY), Fault::Close));
                    }
                    Fault::Silence => {
                        copy(&mut from, &mut sink()).await?;
                        return Err(Cut::Closed);
                    }
                }
                continue;
            }
            piece = piece.min(usize::try_from(*after).unwrap_or(piece));
            *after -= piece as u64;
        }
        if way.delay > 0 {
            pace.tick().await;
        }
        to.write_all(&waiting[..piece]).await?;
        waiting.drain(..piece);
    }
}

impl Weather {
    fn count(&self, fault: Fault) {
        let kind = match fault {
            Fault::Reset => 0,
            Fault::Close => 1,
            Fault::HalfClose => 2,
            Fault::Stall(_) => 3,
            Fault::Silence => 4,
        };
        self.faults[kind].fetch_add(1, Relaxed);
    }
}
