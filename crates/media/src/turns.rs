//! How many decoders work at the same time, when there are many.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Lets so many decoders work at once, frame by frame and in the order in which they ask: who decodes a long video gives
/// way to others after each frame. Clones share the turns.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The number of who asks next.
    next: u64,
    /// Numbers below have had, or have, their turn.
    called: u64,
}

impl Turns {
    /// So many at once, and at least one.
    pub fn new(at_once: usize) -> Self {
        let state = State { next: 0, called: at_once.max(1) as u64 };
        Turns(Arc::new(Inner { state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// Does something when it is its turn.
    pub fn take<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.wait();
        work()
    }

    fn wait(&self) -> Turn<'_> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.next;
        state.next += 1;
        while own >= state.called {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(self)
    }
}

/// Calls the next when dropped, also by a panic.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.state.lock().unwrap_or_else(PoisonError::into_inner).called += 1;
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn never_more_than_so_many_have_a_turn() {
        let (turns, working, most) = (Turns::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        turns.take(|| {
                            most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            thread::yield_now();
                            working.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
    }

    #[test]
    fn turns_are_in_the_order_of_asking() {
        let turns = Turns::new(1);
        let order = Mutex::new(vec![]);
        thread::scope(|scope| {
            let first = turns.wait();
            for number in 0..5 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || turns.take(|| order.lock().unwrap().push(number)));
                // Numbers are drawn before the next one asks.
                while turns.0.state.lock().unwrap().next < number + 2 {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_panic_gives_the_turn_back() {
        let turns = Turns::new(1);
        assert!(catch_unwind(AssertUnwindSafe(|| turns.take(|| panic!("in a turn")))).is_err());
        assert_eq!(turns.take(|| 7), 7);
    }
}
