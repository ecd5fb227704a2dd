//! How long to wait before trying to connect again.

/// The first wait is at most this, in milliseconds; each further one at most twice the one before.
const FIRST: f64 = 1_000.0;
/// No wait is longer.
const LONGEST: f64 = 30_000.0;

/// After so many failures the next wait is up to 8 s: one may want to try oneself.
const LONG: u32 = 4;

/// Full jitter: anything up to a bound that doubles, so that those who lost the same server come back spread out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait in milliseconds; `random` is from 0 up to 1.
    pub fn next(&mut self, random: f64) -> u32 {
        let bound = (FIRST * f64::from(1_u32 << self.failures.min(10))).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        millis(random * bound)
    }

    /// The wait after a server that said that it goes: a new one is expected at once, by everyone.
    #[must_use]
    pub fn restart(random: f64) -> u32 {
        millis(200.0 + random * 1_800.0)
    }

    /// The line stood.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How often it has failed in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it has failed so often that the waits are long.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.failures >= LONG
    }
}

/// Whole milliseconds of a number that is known to be small and not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 30,000, at least 0")]
fn millis(wait: f64) -> u32 {
    wait as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_to_half_a_minute_and_no_further(randoms in proptest::collection::vec(0.0..1.0, 1..40)) {
            let mut backoff = Backoff::default();
            for (failures, random) in randoms.into_iter().enumerate() {
                let bound = (1_000_u64 << failures.min(10)).min(30_000);
                prop_assert!(u64::from(backoff.next(random)) <= bound);
            }
            backoff.reset();
            prop_assert!(backoff.next(0.999) < 1_000);
            prop_assert!(!backoff.is_long());
        }

        #[test]
        fn after_a_restart_the_wait_is_short_but_never_nothing(random in 0.0..1.0) {
            prop_assert!((200..=2_000).contains(&Backoff::restart(random)));
        }
    }
}
