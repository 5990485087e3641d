//! What waits for a session: rows of many callers, in an order that is fair, and put together while they fit a batch.
//!
//! Were all callers served at once, each with the same share, every one would end at some moment. They are served in the order of these
//! moments (packet-by-packet generalized processor sharing: Parekh and Gallager, IEEE/ACM Trans. Networking 1993, with a video as
//! the packet): a short one passes a long one, equal ones come one after the other, and nobody ends later than with equal shares, but for
//! a batch.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::session::Done;

/// What a whole batch costs.
const WHOLE: u64 = 1 << 20;

/// Who submits jobs: one video. Dropping it drops its jobs that still wait.
pub(crate) struct Caller {
    account: Arc<Account>,
    queue: Arc<Queue>,
}

/// What the queue knows of a caller.
struct Account {
    number: u64,
    cancelled: AtomicBool,
    costs: Mutex<Costs>,
}

struct Costs {
    /// Of all its jobs, as expected.
    expected: u64,
    /// Of those that came.
    submitted: u64,
    /// When it would end, were all served at once: its place in the queue.
    finish: u64,
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

/// The queue of a session.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Rows of each graph in a batch at most.
    most: Vec<usize>,
}

/// The place of a job: when its caller would end, the caller's number, and its own.
type Turn = (u64, u64, u64);

#[derive(Default)]
struct State {
    waiting: BTreeMap<Turn, Job>,
    /// How much each caller would have got by now, were all served at once.
    now: u64,
    /// Callers that there are, and were.
    callers: u64,
    last_caller: u64,
    last_job: u64,
    closed: bool,
}

impl Queue {
    /// Of graphs that take so many rows at most.
    pub fn new(most: Vec<usize>) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { state, changed: Condvar::new(), most })
    }

    /// A new caller, who is expected to submit so many rows of the first graph, or as much of others.
    pub fn caller(self: &Arc<Self>, rows: usize) -> Caller {
        let mut state = self.state();
        state.callers += 1;
        state.last_caller += 1;
        let expected = self.cost(0, rows);
        let costs = Mutex::new(Costs { expected, submitted: 0, finish: state.now.saturating_add(expected) });
        let account = Arc::new(Account { number: state.last_caller, cancelled: AtomicBool::new(false), costs });
        Caller { account, queue: self.clone() }
    }

    fn cost(&self, graph: usize, rows: usize) -> u64 {
        ((rows as u64).saturating_mul(WHOLE) / self.most[graph] as u64).max(1)
    }

    /// Rows of a graph in a batch at most.
    pub fn most_rows(&self, graph: usize) -> usize {
        self.most[graph]
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

    /// The jobs of the next batch, which are of one graph: the first, and those behind it as long as all fit. A batch
    /// that others might still fill is held back until one of its jobs is `max_wait` old. None when the queue is closed and
    /// empty.
    pub fn take(&self, max_wait: Duration) -> Option<Vec<Job>> {
        let mut state = self.state();
        loop {
            state.waiting.retain(|_, job| !job.is_cancelled());
            let Some(first) = state.waiting.values().next() else {
                if state.closed {
                    return None;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let graph = first.graph;
            let (turns, rows) = self.fitting(&state.waiting, graph);
            let age = turns.iter().map(|turn| state.waiting[turn].since.elapsed()).max().unwrap_or_default();
            if rows < self.most[graph] && age < max_wait && !state.closed && state.has_others() {
                state = self.changed.wait_timeout(state, max_wait - age).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.now += self.cost(graph, rows) / state.waiting_callers().max(1);
            return Some(turns.iter().filter_map(|turn| state.waiting.remove(turn)).collect());
        }
    }

    /// The turns of a batch of that graph, and its rows. The first fits always.
    fn fitting(&self, waiting: &BTreeMap<Turn, Job>, graph: usize) -> (Vec<Turn>, usize) {
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Callers of whom something waits.
    fn waiting_callers(&self) -> u64 {
        self.waiting.values().map(|job| job.account.number).collect::<HashSet<_>>().len() as u64
    }

    /// Whether there are callers of whom nothing waits.
    fn has_others(&self) -> bool {
        self.waiting_callers() < self.callers
    }
}

impl Caller {
    /// Puts rows of a graph in the queue; false when it is closed.
    pub fn submit(&self, graph: usize, input: Arc<Vec<f32>>, rows: usize, reply: Sender<Done>) -> bool {
        let queue = &self.queue;
        let mut state = queue.state();
        if state.closed {
            return false;
        }
        state.last_job += 1;
        let finish = self.account.charge(queue.cost(graph, rows), state.now);
        let turn = (finish, self.account.number, state.last_job);
        let (since, account) = (Instant::now(), self.account.clone());
        state.waiting.insert(turn, Job { graph, input, rows, reply, since, account });
        drop(state);
        queue.changed.notify_all();
        true
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.account.cancelled.store(true, Ordering::Relaxed);
        self.queue.state().callers -= 1;
        // A batch may have been waiting for this caller.
        self.queue.changed.notify_all();
    }
}

impl Account {
    /// Adds the cost of a job, and gives the caller's place. Who has more than was expected is taken for twice as long, and goes back
    /// by as much.
    fn charge(&self, cost: u64, now: u64) -> u64 {
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        costs.submitted = costs.submitted.saturating_add(cost);
        while costs.submitted > costs.expected {
            costs.finish = costs.finish.max(now).saturating_add(costs.expected);
            costs.expected = costs.expected.saturating_mul(2);
        }
        costs.finish
    }
}

impl Job {
    /// The number of its caller.
    pub fn caller(&self) -> u64 {
        self.account.number
    }

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
        let jobs = [(0, 3), (0, 4), (1, 3), (0, 1), (0, 2), (0, 7)];
        // All would end at once: they come in order.
        let callers = jobs.map(|_| queue.caller(8));
        for (caller, (graph, rows)) in callers.iter().zip(jobs) {
            submit(caller, graph, rows);
        }
        assert_eq!(queue.rows(), 20);
        assert_eq!(batches(&queue), [vec![3, 4, 1], vec![3], vec![2], vec![7]]);
    }

    /// The callers of the jobs of each batch, by their place in `callers`.
    fn order(queue: &Queue, callers: &[&Caller]) -> Vec<usize> {
        queue.close();
        let jobs = std::iter::from_fn(|| queue.take(Duration::ZERO)).flatten();
        let place = |job: Job| callers.iter().position(|caller| Arc::ptr_eq(&caller.account, &job.account));
        jobs.map(|job| place(job).unwrap()).collect()
    }

    #[test]
    fn equal_ones_come_one_after_the_other_and_short_ones_pass() {
        let queue = Queue::new(vec![1]);
        let [long, first, second, short] = [20, 3, 3, 1].map(|rows| queue.caller(rows));
        for _ in 0..3 {
            [&long, &second, &first].into_iter().for_each(|caller| submit(caller, 0, 1));
        }
        submit(&short, 0, 1);
        assert_eq!(order(&queue, &[&long, &first, &second, &short]), [3, 1, 1, 1, 2, 2, 2, 0, 0, 0]);
    }

    #[test]
    fn a_long_one_has_its_share_while_short_ones_come() {
        let queue = Queue::new(vec![1]);
        let long = queue.caller(20);
        // Callers of whom nothing waits, as those whose clients do not read, have no share.
        let _idle = [(); 50].map(|()| queue.caller(1000));
        let (mut long_jobs, mut callers) = (0, vec![]);
        submit(&long, 0, 1);
        for _ in 0..60 {
            // Whenever a short one has gone, another is there.
            if callers.is_empty() {
                callers.push(queue.caller(2));
                (0..2).for_each(|_| submit(&callers[0], 0, 1));
            }
            let job = queue.take(Duration::ZERO).unwrap().remove(0);
            if Arc::ptr_eq(&job.account, &long.account) {
                long_jobs += 1;
                submit(&long, 0, 1);
            } else if !queue.state().waiting.values().any(|job| !Arc::ptr_eq(&job.account, &long.account)) {
                callers.clear();
            }
        }
        // With equal shares it has had 30 of 60, and 20 are all that it has.
        assert!(long_jobs >= 20, "{long_jobs}");
    }

    #[test]
    fn who_has_more_than_was_expected_goes_back() {
        let queue = Queue::new(vec![1]);
        let [liar, honest] = [1, 6].map(|rows| queue.caller(rows));
        (0..6).for_each(|_| submit(&honest, 0, 1));
        (0..16).for_each(|_| submit(&liar, 0, 1));
        let order = order(&queue, &[&liar, &honest]);
        // It passes with as much as it could have claimed, and the rest waits.
        assert_eq!(order.iter().position(|&caller| caller == 1), Some(4), "{order:?}");
        assert!(order[4..10].iter().all(|&caller| caller == 1), "{order:?}");
    }

    #[test]
    fn jobs_of_who_has_gone_are_not_given_out() {
        let queue = Queue::new(vec![1]);
        let (gone, there) = (queue.caller(1), queue.caller(1));
        submit(&gone, 0, 1);
        submit(&there, 0, 1);
        drop(gone);
        assert_eq!(batches(&queue), [[1]]);
        assert!(!there.submit(0, Arc::new(vec![]), 1, unbounded().0), "the queue is closed");
    }

    #[test]
    fn a_batch_waits_for_others_while_there_are_any() {
        let queue = Queue::new(vec![4]);
        let (first, second) = (queue.caller(4), queue.caller(4));
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
        let (first, _second) = (queue.caller(2), queue.caller(2));
        submit(&first, 0, 2);
        assert!(queue.take(Duration::from_secs(3600)).is_some());
    }
}
