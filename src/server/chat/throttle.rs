//! Throttles: how often an address, an account or a person may do what costs the server, or others, something.
//!
//! Each limit is a token bucket (GCRA, by `governor`) for each key, and has a setting. What is counted lives in this process alone
//! and is forgotten when it stops; servers that share a database count each for itself.
//!
//! Guessed passwords are counted in three ways, none of which shows whether there is such an account: by name and address, by
//! address, and by name. The first two are refused before any work. The last would lock the owner out while others guess, so
//! beyond it a password is still checked, and counts only from an address from which that account has logged in before. A try is
//! counted before it is made, so that many at once are no way round, and given back when it succeeds: who knows their password is
//! never slowed by their own logins, nor are the others of their office.

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::protocol::Refusal;
use crate::server::config::Settings;
use crate::server::metrics::Metrics;
use crate::server::store::{AccountId, UserId};

/// Keys that one limit tells apart, about: some 100 bytes each, and five limits are within reach of strangers. Who comes beyond them is counted as one crowd, until
/// [`Throttles::tidy`] has forgotten those who were quiet.
const KEYS_MAX: usize = 100_000;

/// Over what time the settings of guessed passwords, sign-ups, rooms and sockets count.
const GUESSES_PER: Duration = Duration::from_secs(10 * 60);
const SIGN_UPS_PER: Duration = Duration::from_secs(3600);
const ROOMS_PER: Duration = Duration::from_secs(3600);
const SOCKETS_PER: Duration = Duration::from_secs(60);

/// Seconds' worth of commands, or of requests, that may come at once.
pub const BURST_SECONDS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// So many a second, and [`BURST_SECONDS`] times that at once.
#[must_use]
pub fn command_quota(settings: &Settings) -> Quota {
    let rate = NonZeroU32::new(settings.command_rate).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST_SECONDS))
}

/// What a connection may say in all: commands and messages, as many of each as are taken, and whatever else is a frame.
#[must_use]
pub fn frame_quota(settings: &Settings) -> Quota {
    let rate = settings.command_rate.saturating_add(settings.send_rate);
    let burst = settings.command_rate.saturating_mul(BURST_SECONDS.get()).saturating_add(settings.send_burst);
    let [rate, burst] = [rate, burst].map(|count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
    Quota::per_second(rate).allow_burst(burst)
}

/// So many at once, which come back evenly over `per`.
fn quota(count: u32, per: Duration) -> Quota {
    let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    let each = (per / count.get()).max(Duration::from_nanos(1));
    Quota::with_period(each).expect("not zero").allow_burst(count)
}

/// Who is at an address, as far as can be told: all of an IPv4 address, or the /64 of an IPv6 address, which is what one
/// household or machine has and can change within as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// A name that someone typed to log in, known or not: by a hash, so that a long one takes no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Named(u64);

/// How many more there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// At most, after a rest.
    pub of: u32,
    pub left: u32,
}

/// The state of a bounded number of keys. Cheap to clone.
#[derive(Debug)]
struct Keys<K: Hash + Eq>(Arc<Counted<K>>);

#[derive(Debug)]
struct Counted<K: Hash + Eq> {
    each: DashMap<K, InMemoryState>,
    most: usize,
    /// All who came when there was no more room.
    crowd: InMemoryState,
}

impl<K: Hash + Eq> Clone for Keys<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Hash + Eq + Copy> StateStore for Keys<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Counted { each, most, crowd } = &*self.0;
        if !each.contains_key(key) && each.len() >= *most {
            return crowd.measure_and_replace(&NotKeyed::NonKey, f);
        }
        each.measure_and_replace(key, f)
    }
}

impl<K: Hash + Eq + Copy> ShrinkableKeyedStateStore<K> for Keys<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        ShrinkableKeyedStateStore::retain_recent(&self.0.each, drop_below);
    }

    fn shrink_to_fit(&self) {
        self.0.each.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.0.each.len()
    }

    fn is_empty(&self) -> bool {
        self.0.each.is_empty()
    }
}

/// One limit, counted for each key.
#[derive(Debug)]
struct Limit<K: Hash + Eq + Copy, C: Clock = DefaultClock> {
    limiter: RateLimiter<K, Keys<K>, C, StateInformationMiddleware>,
    keys: Keys<K>,
    /// The time in which one comes back.
    one: Nanos,
    /// How many there may be at once.
    burst: u32,
}

impl<K: Hash + Eq + Copy, C: Clock> Limit<K, C> {
    fn new(quota: Quota, most: usize, clock: C) -> Self {
        let keys = Keys(Arc::new(Counted { each: DashMap::new(), most, crowd: InMemoryState::default() }));
        Self {
            limiter: RateLimiter::new(quota, keys.clone(), clock),
            keys,
            one: quota.replenish_interval().into(),
            burst: quota.burst_size().get(),
        }
    }

    /// Counts one more; refused, nothing is counted, and this is how long to wait.
    fn take(&self, key: K) -> Result<Allowance, Duration> {
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(Allowance { of: self.burst, left: state.remaining_burst_capacity() }),
            Err(not_until) => Err(not_until.wait_time_from(self.limiter.clock().now())),
        }
    }

    /// One that was taken does not count after all.
    fn give_back(&self, key: K) {
        let less = |tat: Option<Nanos>| Ok::<_, Infallible>(((), tat.unwrap_or_default().saturating_sub(self.one)));
        let Ok(()) = self.keys.measure_and_replace(&key, less);
    }

    /// Nothing that was taken counts.
    fn forget(&self, key: K) {
        self.keys.0.each.remove(&key);
    }

    /// Forgets who was quiet for so long that it makes no difference.
    fn tidy(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// All limits of a server.
#[derive(Debug)]
pub struct Throttles {
    names: RandomState,
    guesses: Limit<(Named, Source)>,
    guesses_from: Limit<Source>,
    guesses_of: Limit<Named>,
    /// Of the present password, by who is logged in already.
    confirmations: Limit<AccountId>,
    sign_ups: Limit<Source>,
    rooms: Limit<UserId>,
    sockets: Limit<UserId>,
    sockets_from: Limit<Source>,
    sends: Limit<UserId>,
    requests: Limit<UserId>,
    commands: Limit<UserId>,
    metrics: Metrics,
}

/// A password that is tried. It counts as wrong, whatever becomes of it, until it is said not to.
#[derive(Debug)]
#[must_use]
pub struct Try<'t> {
    throttles: &'t Throttles,
    named: Named,
    source: Source,
    /// Too many have been tried for this name, from wherever: how long to wait.
    beyond: Option<Duration>,
}

impl Try<'_> {
    /// It was right: what was tried before by this name from this address is forgotten.
    pub fn right(self) {
        self.cancel();
        self.throttles.guesses.forget((self.named, self.source));
    }

    /// Nothing was learned by it.
    pub fn cancel(&self) {
        self.throttles.guesses.give_back((self.named, self.source));
        self.throttles.guesses_from.give_back(self.source);
        if self.beyond.is_none() {
            self.throttles.guesses_of.give_back(self.named);
        }
    }

    /// Whether [`Self::beyond`] says something.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        self.beyond.is_some()
    }

    /// So many were tried for this name, from wherever, that it counts only from an address that the account knows: what to say
    /// to any other, right or wrong.
    #[must_use]
    pub fn beyond(&self) -> Option<Refusal> {
        self.beyond.map(|wait| self.throttles.refuse("login", wait))
    }
}

impl Throttles {
    pub fn new(settings: &Settings, metrics: Metrics) -> Self {
        fn limit<K: Hash + Eq + Copy>(quota: Quota) -> Limit<K> {
            Limit::new(quota, KEYS_MAX, DefaultClock::default())
        }
        let sends = Quota::per_second(NonZeroU32::new(settings.send_rate).unwrap_or(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::new(settings.send_burst).unwrap_or(NonZeroU32::MIN));
        Self {
            names: RandomState::new(),
            guesses: limit(quota(settings.failed_logins, GUESSES_PER)),
            guesses_from: limit(quota(settings.failed_logins_per_address, GUESSES_PER)),
            guesses_of: limit(quota(settings.failed_logins_per_account, GUESSES_PER)),
            confirmations: limit(quota(settings.failed_logins, GUESSES_PER)),
            sign_ups: limit(quota(settings.sign_ups_per_address, SIGN_UPS_PER)),
            rooms: limit(quota(settings.rooms_per_hour, ROOMS_PER)),
            sockets: limit(quota(settings.sockets_per_minute, SOCKETS_PER)),
            sockets_from: limit(quota(settings.sockets_per_address, SOCKETS_PER)),
            sends: limit(sends),
            requests: limit(command_quota(settings)),
            commands: limit(command_quota(settings)),
            metrics,
        }
    }

    /// Says when to try again, and counts that it was said.
    fn refuse(&self, what: &'static str, wait: Duration) -> Refusal {
        self.metrics.throttled(what);
        wait_for(wait)
    }

    /// A password is about to be tried for the account `key`, whether there is one or not.
    ///
    /// # Errors
    /// [`Refusal::TooFast`]: too many were wrong for this account from this address, or from this address at all.
    pub fn log_in(&self, key: &str, address: IpAddr) -> Result<Try<'_>, Refusal> {
        let (named, source) = (Named(self.names.hash_one(key)), Source::from(address));
        let refuse = |wait| self.refuse("login", wait);
        // Who is beyond what their address may guess leaves no trace of the names that they make up: there are only so many keys.
        self.guesses_from.take(source).map_err(refuse)?;
        if let Err(wait) = self.guesses.take((named, source)) {
            self.guesses_from.give_back(source);
            return Err(refuse(wait));
        }
        let beyond = self.guesses_of.take(named).err();
        Ok(Try { throttles: self, named, source, beyond })
    }

    /// The present password of an account is about to be tried by who is logged in to it.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn confirm(&self, account: AccountId) -> Result<(), Refusal> {
        self.confirmations.take(account).map(drop).map_err(|wait| self.refuse("login", wait))
    }

    /// It was right.
    pub fn confirmed(&self, account: AccountId) {
        self.confirmations.forget(account);
    }

    /// Nothing was learned by it.
    pub fn cancel_confirm(&self, account: AccountId) {
        self.confirmations.give_back(account);
    }

    /// An account is about to be made.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn sign_up(&self, address: IpAddr) -> Result<(), Refusal> {
        self.sign_ups.take(address.into()).map(drop).map_err(|wait| self.refuse("sign_up", wait))
    }

    /// A room is about to be made.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn make_room(&self, user: UserId) -> Result<(), Refusal> {
        self.rooms.take(user).map(drop).map_err(|wait| self.refuse("room", wait))
    }

    /// A socket is about to be opened from this address, by whomever.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn open_socket_from(&self, address: IpAddr) -> Result<(), Refusal> {
        self.sockets_from.take(address.into()).map(drop).map_err(|wait| self.refuse("socket", wait))
    }

    /// A socket is about to be opened by this person.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn open_socket(&self, user: UserId) -> Result<(), Refusal> {
        self.sockets.take(user).map(drop).map_err(|wait| self.refuse("socket", wait))
    }

    /// A message is about to be sent.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn send(&self, user: UserId) -> Result<(), Refusal> {
        self.sends.take(user).map(drop).map_err(|wait| self.refuse("send", wait))
    }

    /// A request is about to be answered.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], with the allowance that is used up.
    pub fn request(&self, user: UserId) -> Result<Allowance, (Allowance, Refusal)> {
        let used_up = Allowance { of: self.requests.burst, left: 0 };
        self.requests.take(user).map_err(|wait| (used_up, self.refuse("request", wait)))
    }

    /// A command is about to be carried out, by whichever socket of this person it came.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn command(&self, user: UserId) -> Result<(), Refusal> {
        self.commands.take(user).map(drop).map_err(|wait| self.refuse("command", wait))
    }

    /// Forgets who has been quiet. To be called now and then.
    pub fn tidy(&self) {
        self.guesses.tidy();
        self.guesses_from.tidy();
        self.guesses_of.tidy();
        self.confirmations.tidy();
        self.sign_ups.tidy();
        self.rooms.tidy();
        self.sockets.tidy();
        self.sockets_from.tidy();
        self.sends.tidy();
        self.requests.tidy();
        self.commands.tidy();
    }
}

/// When to try again, as a refusal.
#[must_use]
pub fn wait_for(wait: Duration) -> Refusal {
    Refusal::TooFast { retry_after_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1) }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limit(count: u32, most: usize) -> (Limit<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limit::new(quota(count, 10 * MINUTE), most, clock.clone()), clock)
    }

    #[test]
    fn so_many_at_once_and_then_one_after_its_share_of_the_time() {
        let (limit, clock) = limit(10, 100);
        for left in (0..10).rev() {
            assert_eq!(limit.take(1), Ok(Allowance { of: 10, left }));
        }
        assert_eq!(limit.take(1), Err(MINUTE));
        assert!(limit.take(2).is_ok(), "others are not slowed");
        clock.advance(MINUTE - Duration::from_millis(1));
        assert_eq!(limit.take(1), Err(Duration::from_millis(1)), "and being refused costs nothing");
        clock.advance(Duration::from_millis(1));
        assert!(limit.take(1).is_ok() && limit.take(1).is_err());
        clock.advance(10 * MINUTE);
        assert_eq!((0..20).filter(|_| limit.take(1).is_ok()).count(), 10);
    }

    #[test]
    fn what_is_given_back_was_never_taken() {
        let (limit, clock) = limit(3, 100);
        clock.advance(MINUTE);
        for _ in 0..100 {
            assert!(limit.take(1).is_ok());
            limit.give_back(1);
        }
        assert_eq!((0..9).filter(|_| limit.take(1).is_ok()).count(), 3, "nor is there more than there was");
        limit.forget(1);
        assert_eq!((0..9).filter(|_| limit.take(1).is_ok()).count(), 3);
    }

    #[test]
    fn a_flood_of_keys_takes_a_bounded_memory_and_the_rest_are_one_crowd() {
        let (limit, clock) = limit(5, 1000);
        let first = (0..5).filter(|_| limit.take(0).is_ok()).count();
        assert_eq!(first, 5);
        let passed = (1..100_000).filter(|key| limit.take(*key).is_ok()).count();
        assert_eq!(passed, 999 + 5);
        assert_eq!(limit.limiter.len(), 1000);
        assert!(limit.take(0).is_err(), "nobody is forgotten by a flood of others");
        clock.advance(MINUTE);
        limit.tidy();
        assert_eq!(limit.limiter.len(), 1000, "who is not yet quiet for long enough stays");
        clock.advance(11 * MINUTE);
        limit.tidy();
        assert_eq!(limit.limiter.len(), 0);
        assert!(limit.take(100_000).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_an_ipv4_address_another() {
        let of = |address: &str| Source::from(address.parse::<IpAddr>().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    fn throttles(settings: &Settings) -> Throttles {
        Throttles::new(settings, Metrics::new("none"))
    }

    #[test]
    fn tries_that_run_at_once_are_counted_before_they_end() {
        let throttles = throttles(&Settings { failed_logins: 3, ..Settings::default() });
        let here: IpAddr = [10, 0, 0, 1].into();
        let running: Vec<_> = (0..100).filter_map(|_| throttles.log_in("ada", here).ok()).collect();
        assert_eq!(running.len(), 3);
        assert!(throttles.log_in("ada", [10, 0, 0, 2].into()).is_ok() && throttles.log_in("bob", here).is_ok());
        running.into_iter().next().expect("three").right();
        assert!(throttles.log_in("ada", here).is_ok(), "who got in has not guessed");
    }

    #[test]
    fn an_office_that_logs_in_at_once_is_not_slowed() {
        let throttles = throttles(&Settings::default());
        let office: IpAddr = [10, 0, 0, 1].into();
        for day in 0..5 {
            let morning: Vec<_> = (0..200).map(|n| throttles.log_in(&format!("person{n}"), office)).collect();
            for attempt in morning {
                attempt.unwrap_or_else(|why| panic!("on day {day}: {why}")).right();
            }
        }
        // And everyone mistypes once.
        for n in 0..200 {
            drop(throttles.log_in(&format!("person{n}"), office).expect("not slowed"));
            throttles.log_in(&format!("person{n}"), office).expect("not slowed").right();
        }
    }

    #[test]
    fn who_is_beyond_what_their_address_may_guess_leaves_no_trace_of_the_names_they_make_up() {
        let throttles = throttles(&Settings { failed_logins_per_address: 20, ..Settings::default() });
        let here: IpAddr = [10, 0, 0, 1].into();
        let passed = (0..1000).filter(|n| throttles.log_in(&format!("nobody{n}"), here).is_ok()).count();
        assert_eq!((passed, throttles.guesses.limiter.len(), throttles.guesses_of.limiter.len()), (20, 20, 20));
    }

    #[test]
    fn guesses_for_one_account_from_everywhere_are_noticed_and_those_of_others_are_not_its() {
        let throttles = throttles(&Settings { failed_logins_per_account: 20, ..Settings::default() });
        let beyond =
            |name: &str, n: u8| throttles.log_in(name, [10, 0, 0, n].into()).expect("each is from elsewhere").is_beyond();
        assert_eq!((0..100).filter(|n| !beyond("ada", *n)).count(), 20);
        assert!(!beyond("bob", 1));
    }
}
