//! Waiting for a condition, with a deadline: no test sleeps and hopes.

use std::future::Future;
use std::time::Duration;

/// How long anything may take before a test calls it a failure. Far above what it takes, so that a busy machine fails none.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How often a condition that cannot be awaited is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// What `future` gives, or a failure that says `what` did not happen in time.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

/// Asks again and again until `ask` gives something, which is returned.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    within(PATIENCE, what, async {
        let mut looks = tokio::time::interval(EVERY);
        loop {
            looks.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
        }
    })
    .await
}
