//! What waits for a session: batches of many callers, taken in turns that are fair in clips, and put together while they fit.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::session::Done;

/// What a whole batch counts in a turn.
const WHOLE: u64 = 1024;

/// Who submits jobs: one video. Dropping it drops its jobs that still wait.
pub(crate) struct Caller {
    account: Arc<Account>,
    queue: Arc<Queue>,
}

/// What the queue knows of a caller.
struct Account {
    cancelled: AtomicBool,
    /// When the caller's last job will have had its turn.
    finish: AtomicU64,
}

/// Rows on their way to the backend.
pub(crate) struct Job {
    /// Index of the graph.
    pub graph: usize,
    /// rows x the sides of the graph's input. Shared, so that who fills the next buffer can still copy from it.
    pub input: Arc<Vec<f32>>,
    pub rows: usize,
    pub reply: Sender<Done>,
    /// When it came.
    pub since: Instant,
    account: Arc<Account>,
}

/// Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with the number of rows as the cost: a caller that has had many
/// turns waits for those that have had few, and who comes anew begins where the queue is.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Rows of each graph in a batch at most.
    most: Vec<usize>,
    callers: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// By the start of their turn, then as they came.
    waiting: BTreeMap<(u64, u64), Job>,
    /// The start of the turn that was taken last.
    now: u64,
    came: u64,
    /// Whether a batch is being run.
    busy: bool,
    closed: bool,
}

impl Queue {
    /// Of graphs that take so many rows at most.
    pub fn new(most: Vec<usize>) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { state, changed: Condvar::new(), most, callers: AtomicUsize::new(0) })
    }

    /// A new caller.
    pub fn caller(self: &Arc<Self>) -> Caller {
        self.callers.fetch_add(1, Ordering::Relaxed);
        let account = Arc::new(Account { cancelled: AtomicBool::new(false), finish: AtomicU64::new(0) });
        Caller { account, queue: self.clone() }
    }

    /// Takes no more jobs; those that wait are still given out.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.state().waiting.values().map(|job| job.rows).sum()
    }

    /// Whether nothing is run and nothing waits.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        !state.busy && state.waiting.is_empty()
    }

    /// The jobs of the next batch, which are of one graph: the first in turn, and those behind it as long as all fit. A batch
    /// that others might still fill is held back until its first job is `max_wait` old. None when the queue is closed and
    /// empty.
    pub fn take(&self, max_wait: Duration) -> Option<Vec<Job>> {
        let mut state = self.state();
        state.busy = false;
        loop {
            state.waiting.retain(|_, job| !job.is_cancelled());
            let Some(first) = state.waiting.values().next() else {
                if state.closed {
                    return None;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (graph, age) = (first.graph, first.since.elapsed());
            let (turns, rows) = self.fitting(&state.waiting, graph);
            if rows < self.most[graph] && age < max_wait && !state.closed && self.others(&state.waiting) {
                state = self.changed.wait_timeout(state, max_wait - age).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.busy = true;
            state.now = turns[turns.len() - 1].0.max(state.now);
            return Some(turns.iter().filter_map(|turn| state.waiting.remove(turn)).collect());
        }
    }

    /// The turns of a batch of that graph, and its rows. The first fits always.
    fn fitting(&self, waiting: &BTreeMap<(u64, u64), Job>, graph: usize) -> (Vec<(u64, u64)>, usize) {
        let (mut turns, mut rows) = (vec![], 0);
        for (&turn, job) in waiting.iter().filter(|(_, job)| job.graph == graph) {
            if !turns.is_empty() && rows + job.rows > self.most[graph] {
                break;
            }
            rows += job.rows;
            turns.push(turn);
        }
        (turns, rows)
    }

    /// Whether there are callers of whom nothing waits.
    fn others(&self, waiting: &BTreeMap<(u64, u64), Job>) -> bool {
        let callers: HashSet<_> = waiting.values().map(|job| Arc::as_ptr(&job.account)).collect();
        callers.len() < self.callers.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Puts rows of a graph in the queue; false when it is closed.
    pub fn submit(&self, graph: usize, input: Arc<Vec<f32>>, rows: usize, reply: Sender<Done>) -> bool {
        let queue = &self.queue;
        let cost = (rows as u64 * WHOLE / queue.most[graph] as u64).max(1);
        let mut state = queue.state();
        if state.closed {
            return false;
        }
        let start = self.account.finish.load(Ordering::Relaxed).max(state.now);
        self.account.finish.store(start + cost, Ordering::Relaxed);
        state.came += 1;
        let turn = (start, state.came);
        let (since, account) = (Instant::now(), self.account.clone());
        state.waiting.insert(turn, Job { graph, input, rows, reply, since, account });
        drop(state);
        queue.changed.notify_all();
        true
    }

    /// Whether the session has nothing to do.
    pub fn is_awaited(&self) -> bool {
        self.queue.is_idle()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.account.cancelled.store(true, Ordering::Relaxed);
        self.queue.callers.fetch_sub(1, Ordering::Relaxed);
        // A batch may have been waiting for this caller.
        self.queue.changed.notify_all();
    }
}

impl Job {
    /// Whether nobody waits for it any more.
    pub fn is_cancelled(&self) -> bool {
        self.account.cancelled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    fn submit(caller: &Caller, graph: usize, rows: usize) {
        assert!(caller.submit(graph, Arc::new(vec![]), rows, unbounded().0));
    }

    /// The rows of the jobs of each batch until nothing waits.
    fn batches(queue: &Queue) -> Vec<Vec<usize>> {
        queue.close();
        std::iter::from_fn(|| queue.take(Duration::ZERO))
            .map(|jobs| jobs.iter().map(|job| job.rows).collect())
            .collect()
    }

    #[test]
    fn a_batch_has_the_jobs_of_one_graph_that_fit() {
        let queue = Queue::new(vec![8, 4]);
        let callers: Vec<_> = (0..6).map(|_| queue.caller()).collect();
        for (caller, (graph, rows)) in callers.iter().zip([(0, 3), (0, 4), (1, 3), (0, 1), (0, 2), (0, 7)]) {
            submit(caller, graph, rows);
        }
        assert_eq!(queue.rows(), 20);
        assert_eq!(batches(&queue), [vec![3, 4, 1], vec![3], vec![2], vec![7]]);
    }

    #[test]
    fn who_has_had_much_waits_for_who_has_had_little() {
        let queue = Queue::new(vec![4]);
        let (long, short) = (queue.caller(), queue.caller());
        for _ in 0..5 {
            submit(&long, 0, 4);
        }
        // Five whole batches are ahead in time; in turns it is one.
        submit(&short, 0, 1);
        submit(&short, 0, 1);
        assert_eq!(batches(&queue), [vec![4], vec![1, 1], vec![4], vec![4], vec![4], vec![4]]);
    }

    #[test]
    fn who_comes_late_has_no_turns_in_store() {
        let queue = Queue::new(vec![1]);
        let (early, late) = (queue.caller(), queue.caller());
        for _ in 0..3 {
            submit(&early, 0, 1);
            assert!(queue.take(Duration::ZERO).is_some());
        }
        for caller in [&early, &late, &late, &early] {
            submit(caller, 0, 1);
        }
        queue.close();
        let late = Arc::as_ptr(&late.account);
        let turns: Vec<bool> = std::iter::from_fn(|| queue.take(Duration::ZERO))
            .map(|jobs| Arc::as_ptr(&jobs[0].account) == late)
            .collect();
        assert_eq!(turns, [true, false, true, false]);
    }

    #[test]
    fn jobs_of_who_has_gone_are_not_given_out() {
        let queue = Queue::new(vec![1]);
        let (gone, there) = (queue.caller(), queue.caller());
        submit(&gone, 0, 1);
        submit(&there, 0, 1);
        drop(gone);
        assert_eq!(batches(&queue), [[1]]);
        assert!(!there.submit(0, Arc::new(vec![]), 1, unbounded().0), "the queue is closed");
    }

    #[test]
    fn a_batch_waits_for_others_while_there_are_any() {
        let queue = Queue::new(vec![4]);
        let (first, second) = (queue.caller(), queue.caller());
        submit(&first, 0, 1);
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| queue.take(Duration::from_secs(3600)));
            // Held back for an hour but for what the other does: to come, here.
            submit(&second, 0, 2);
            taking.join().unwrap().unwrap()
        });
        assert_eq!(taken.iter().map(|job| job.rows).collect::<Vec<_>>(), [1, 2]);
        submit(&first, 0, 1);
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| queue.take(Duration::from_secs(3600)));
            // And to leave.
            drop(second);
            taking.join().unwrap().unwrap()
        });
        assert_eq!(taken.len(), 1);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let queue = Queue::new(vec![2]);
        let (first, _second) = (queue.caller(), queue.caller());
        submit(&first, 0, 2);
        assert!(queue.take(Duration::from_secs(3600)).is_some());
        assert!(!queue.is_idle(), "a batch is being run");
    }
}
