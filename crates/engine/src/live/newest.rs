//! A place for one thing, in which a newer one takes the place of an older one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The newest of what was put and not taken.
pub(super) struct Newest<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    newest: Option<T>,
    /// How many gave way since the last was taken.
    dropped: u64,
    has_ended: bool,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        let state = State { newest: None, dropped: 0, has_ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Newest<T> {
    /// Puts something there, and gives back what it takes the place of.
    pub fn put(&self, newer: T) -> Option<T> {
        let mut state = self.state();
        let older = state.newest.replace(newer);
        state.dropped += u64::from(older.is_some());
        self.changed.notify_one();
        older
    }

    /// Takes what is there, and how many gave way to it; waits for it at most so long.
    pub fn take(&self, patience: Duration) -> Option<(T, u64)> {
        let is_empty = |state: &mut State<T>| state.newest.is_none() && !state.has_ended;
        let waited = self.changed.wait_timeout_while(self.state(), patience, is_empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let newest = state.newest.take()?;
        Some((newest, std::mem::take(&mut state.dropped)))
    }

    /// Whether nothing is there, and nothing more will be put.
    pub fn has_ended(&self) -> bool {
        let state = self.state();
        state.has_ended && state.newest.is_none()
    }

    /// Says so when it is dropped.
    pub fn end_when_dropped(&self) -> End<'_, T> {
        End(self)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Newest::end_when_dropped`].
pub(super) struct End<'a, T>(&'a Newest<T>);

impl<T> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.0.state().has_ended = true;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newer_takes_the_place_of_what_is_older() {
        let newest = Newest::default();
        assert_eq!(newest.take(Duration::ZERO), None);
        assert_eq!(newest.put(1), None);
        assert_eq!(newest.take(Duration::ZERO), Some((1, 0)));
        assert_eq!([newest.put(2), newest.put(3), newest.put(4)], [None, Some(2), Some(3)]);
        drop(newest.end_when_dropped());
        // What was put last is still taken.
        assert!(!newest.has_ended());
        assert_eq!(newest.take(Duration::from_secs(600)), Some((4, 2)));
        assert!(newest.has_ended());
        assert_eq!(newest.take(Duration::from_secs(600)), None);
    }

    #[test]
    fn who_waits_gets_what_is_put_and_hears_of_the_end() {
        let newest = Newest::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _end = newest.end_when_dropped();
                newest.put(7);
            });
            assert_eq!(newest.take(Duration::from_secs(600)), Some((7, 0)));
            assert_eq!(newest.take(Duration::from_secs(600)), None);
        });
    }
}
