//! Passwords: Argon2id, off the async threads, a bounded number at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::protocol::{Field, PASSWORD_MAX, PASSWORD_MIN, Refusal};
use crate::server::config::Settings;
use crate::server::metrics::Metrics;

/// 19 MiB, two passes, one lane: the OWASP Password Storage Cheat Sheet's first recommendation for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A hash with these parameters of a password that nobody knows (a random UUID, thrown away): what a name that is unknown is
/// checked against.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$2b8xpZCE8MLvC4Y0os14wg$9Q3QRMTX9/NjDavsIXGhsTdmWH4ANdG2oFTfTDxULM0";

/// The passwords that are tried first, one a line, in lower case; of at least [`PASSWORD_MIN`] characters.
const COMMON: &str = include_str!("common_passwords.txt");

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    at_once: Arc<Semaphore>,
    waiting: Arc<AtomicU32>,
    most_waiting: u32,
    metrics: Metrics,
}

/// How a password was found to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    Right,
    /// Right, but the hash is of other parameters than today's; here is one of today's.
    Rehashed(String),
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Result<String, Refusal> {
    let salt = SaltString::generate(&mut OsRng);
    let hash = argon2().hash_password(password.as_bytes(), &salt).map_err(|error| {
        tracing::error!(%error, "a password could not be hashed");
        Refusal::Internal
    })?;
    Ok(hash.to_string())
}

fn check(password: &str, hash_text: &str) -> Result<Verdict, Refusal> {
    let parsed = PasswordHash::new(hash_text).map_err(|error| {
        tracing::error!(%error, "a stored password hash cannot be read");
        Refusal::Internal
    })?;
    if argon2().verify_password(password.as_bytes(), &parsed).is_err() {
        return Ok(Verdict::Wrong);
    }
    let today = |p: Params| (p.m_cost(), p.t_cost(), p.p_cost()) == (MEMORY_KIB, PASSES, LANES);
    if Params::try_from(&parsed).is_ok_and(today) { Ok(Verdict::Right) } else { Ok(Verdict::Rehashed(hash(password)?)) }
}

/// Whether a new password may be one.
///
/// # Errors
/// [`Refusal::TooShort`], [`Refusal::TooLong`], [`Refusal::CommonPassword`].
pub fn acceptable(password: &str, own_names: &[&str]) -> Result<(), Refusal> {
    let field = Field::Password;
    if password.chars().count() < PASSWORD_MIN {
        return Err(Refusal::TooShort { field, min: u32::try_from(PASSWORD_MIN).unwrap_or(u32::MAX) });
    }
    if password.len() > PASSWORD_MAX {
        return Err(Refusal::TooLong { field, max: u32::try_from(PASSWORD_MAX).unwrap_or(u32::MAX) });
    }
    let lower = password.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    let one_character = characters.all(|c| Some(c) == first);
    if one_character || COMMON.lines().any(|common| common == lower) || own_names.iter().any(|name| name.to_lowercase() == lower)
    {
        return Err(Refusal::CommonPassword);
    }
    Ok(())
}

impl Passwords {
    pub fn new(settings: &Settings, metrics: Metrics) -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(usize::try_from(settings.hashes_at_once).unwrap_or(1))),
            waiting: Arc::new(AtomicU32::new(0)),
            most_waiting: settings.hashes_waiting,
            metrics,
        }
    }

    /// # Errors
    /// [`Refusal::Busy`] when too many wait already.
    pub async fn hash(&self, password: &str) -> Result<String, Refusal> {
        let password = password.to_owned();
        self.off_thread(move || hash(&password)).await
    }

    /// Checks a password against a hash; without a hash (the name is unknown) does the same work, and it is wrong.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when too many wait already.
    pub async fn check(&self, password: &str, hash_text: Option<&str>) -> Result<Verdict, Refusal> {
        let known = hash_text.is_some();
        let hash_text = hash_text.unwrap_or(NOBODY).to_owned();
        // A password too long to be anyone's is not hashed whole.
        let mut end = password.len().min(PASSWORD_MAX + 1);
        while !password.is_char_boundary(end) {
            end -= 1;
        }
        let password = password[..end].to_owned();
        let verdict = self.off_thread(move || check(&password, &hash_text)).await?;
        Ok(if known { verdict } else { Verdict::Wrong })
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        struct Waiting(Arc<AtomicU32>);
        impl Drop for Waiting {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Busy);
        }
        let waiting = Waiting(Arc::clone(&self.waiting));
        let permit = Arc::clone(&self.at_once).acquire_owned().await.map_err(|_| Refusal::Unavailable)?;
        drop(waiting);
        self.metrics.hashes.inc();
        let done = tokio::task::spawn_blocking(move || {
            let _until_done = permit;
            work()
        });
        done.await.map_err(|_| Refusal::Internal)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_common_and_own_passwords_are_refused_and_phrases_are_not() {
        assert!(matches!(acceptable("seven77", &[]), Err(Refusal::TooShort { min: 8, .. })));
        for common in ["password", "Password123", "12345678", "aaaaaaaaaaaa", "Lovelace1815"] {
            assert_eq!(acceptable(common, &["lovelace1815"]), Err(Refusal::CommonPassword), "{common}");
        }
        assert_eq!(acceptable(&"long phrase ".repeat(20), &["ada"]), Ok(()));
    }

    #[tokio::test]
    async fn a_hash_checks_its_own_password_and_an_older_one_is_renewed() {
        let passwords = Passwords::new(&Settings::default(), Metrics::new("none"));
        let hash = passwords.hash("tea and biscuits").await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(passwords.check("tea and biscuits", Some(&hash)).await, Ok(Verdict::Right));
        assert_eq!(passwords.check("tea and biscuit", Some(&hash)).await, Ok(Verdict::Wrong));
        assert_eq!(passwords.check("tea and biscuits", None).await, Ok(Verdict::Wrong));
        let work = |hash: &str| Params::try_from(&PasswordHash::new(hash).expect("a hash")).expect("its parameters");
        assert_eq!(work(NOBODY), work(&hash), "an unknown name costs what a known one costs");
        let salt = SaltString::generate(&mut OsRng);
        let params = Params::new(8 * 1024, 1, 1, None).expect("within bounds");
        let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let old = old.hash_password(b"tea and biscuits", &salt).expect("hashed").to_string();
        assert!(matches!(passwords.check("tea and biscuits", Some(&old)).await, Ok(Verdict::Rehashed(new)) if new != old));
    }

    #[tokio::test]
    async fn beyond_those_that_may_wait_the_answer_is_busy_at_once() {
        let settings = Settings { hashes_at_once: 1, hashes_waiting: 2, ..Settings::default() };
        let passwords = Passwords::new(&settings, Metrics::new("none"));
        let hold = Arc::clone(&passwords.at_once).acquire_owned().await.expect("open");
        let (a, b) = (passwords.clone(), passwords.clone());
        let first = tokio::spawn(async move { a.hash("one of them").await });
        let second = tokio::spawn(async move { b.hash("one of them").await });
        while passwords.waiting.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(passwords.hash("a third").await, Err(Refusal::Busy));
        drop(hold);
        assert!(first.await.expect("ran").is_ok() && second.await.expect("ran").is_ok());
        assert!(passwords.hash("a fourth").await.is_ok());
    }
}
