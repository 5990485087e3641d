//! Whether a session can be expected to answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How the latest batches went.
#[derive(Default)]
pub(crate) struct Health(Mutex<Latest>);

#[derive(Default)]
struct Latest {
    /// When the batch that runs now was begun.
    since: Option<Instant>,
    /// Batches in a row of which nothing came, and why of the last.
    failures: u32,
    reason: String,
}

/// After so many batches that failed in a row the next one is expected to fail, too.
const FAILURES: u32 = 3;
/// A batch that takes longer hangs.
const HANGS: Duration = Duration::from_secs(120);

impl Health {
    /// A batch begins.
    pub fn begin(&self) {
        self.latest().since = Some(Instant::now());
    }

    /// It has ended, and nothing came of it for this reason, if there is one.
    pub fn end(&self, failure: Option<String>) {
        let mut latest = self.latest();
        latest.since = None;
        match failure {
            None => latest.failures = 0,
            Some(reason) => (latest.failures, latest.reason) = (latest.failures.saturating_add(1), reason),
        }
    }

    /// Why nothing can be expected of the next one, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble_at(Instant::now())
    }

    fn trouble_at(&self, now: Instant) -> Option<String> {
        let latest = self.latest();
        let hangs = latest.since.map(|since| now.saturating_duration_since(since)).filter(|took| *took > HANGS);
        match hangs {
            Some(took) => Some(format!("a batch has not ended for {} s", took.as_secs())),
            None if latest.failures < FAILURES => None,
            None => Some(format!("the last {} batches failed: {}", latest.failures, latest.reason)),
        }
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_does_not_end_is_told_until_it_does() {
        let (health, now) = (Health::default(), Instant::now());
        health.latest().since = Some(now);
        assert_eq!(health.trouble_at(now + HANGS), None);
        let late = now + HANGS + Duration::from_secs(5);
        assert_eq!(health.trouble_at(late).unwrap(), "a batch has not ended for 125 s");
        health.end(None);
        assert_eq!(health.trouble_at(late), None);
    }
}
