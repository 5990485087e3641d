//! One OS thread that owns a backend, and runs what waits in the [`Queue`] before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::backend::{Backend, Loaded};
use crate::error::{EngineError, Result};
use crate::health::Health;
use crate::queue::{Caller, Job, Queue};

/// How often callers that wait are asked whether they still do.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// Rows that were run.
pub(crate) struct Done {
    /// Every output, rows x its sides, or the backend's message.
    pub outputs: Result<Vec<Vec<f32>>, String>,
    /// The job's buffer, to be filled again.
    pub input: Arc<Vec<f32>>,
    /// These rows' share of the time that the batch took.
    pub inference: Duration,
}

/// A batch that was run, as an observer is told of it.
#[derive(Clone, Copy, Debug)]
pub struct BatchRun {
    /// Its rows: clips, windows or frames; of a localizer's second graph, proposals.
    pub rows: usize,
    /// Videos that they are of.
    pub videos: usize,
    /// How long the first of them waited.
    pub waited: Duration,
    /// How long the graph took.
    pub inference: Duration,
}

/// Told of every batch, on the session's thread.
pub(crate) type Observer = Box<dyn Fn(BatchRun) + Send + Sync>;

/// The thread and its queue. Dropping it closes the queue and waits for what is in it.
pub(crate) struct Session {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    observer: Arc<OnceLock<Observer>>,
    health: Arc<Health>,
    /// Name and version of the engine that runs.
    pub engine: String,
    /// The device that it runs on.
    pub device: String,
    /// Clips per run.
    pub batch: usize,
}

impl Session {
    /// Starts the thread, loads the backend on it, and returns when it is ready. Batches wait for others as long as
    /// [`Queue::take`] says.
    ///
    /// # Errors
    /// What `load` returns, or that it panicked.
    pub fn start(
        name: &str,
        max_wait: Duration,
        load: impl FnOnce() -> Result<Loaded> + Send + 'static,
    ) -> Result<Self> {
        let (ready, loaded) = bounded(1);
        let failed = |reason: String| EngineError::Inference { engine: format!("loading {name}"), reason };
        let (observer, health) = (Arc::new(OnceLock::new()), Arc::<Health>::default());
        let (observing, noting) = (observer.clone(), health.clone());
        let body = move || {
            let loaded = catch_unwind(AssertUnwindSafe(load));
            let (queue, mut backend) = match loaded.map_err(|panic| panic_text(&*panic)) {
                Ok(Ok(Loaded { backend, engine, device, most_rows })) => {
                    let batch = most_rows.first().copied().unwrap_or(1);
                    let queue = Queue::new(most_rows);
                    if ready.send(Ok(Ok((queue.clone(), engine, device, batch)))).is_err() {
                        return;
                    }
                    (queue, backend)
                }
                Ok(Err(error)) => return drop(ready.send(Ok(Err(error)))),
                Err(panic) => return drop(ready.send(Err(panic))),
            };
            serve(&queue, max_wait, &mut *backend, &observing, &noting);
        };
        let thread = thread::Builder::new().name(format!("infer {name}")).spawn(body);
        let thread = thread.map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        let answer = loaded.recv().unwrap_or_else(|_| Err("the thread stopped".into()));
        let (queue, engine, device, batch) = answer.map_err(failed)??;
        Ok(Self { queue, thread: Some(thread), observer, health, engine, device, batch })
    }

    /// Someone who submits jobs, expected to be so many rows of the first graph or as much of others. Those that still wait when it
    /// is dropped are not run.
    pub fn caller(&self, rows: usize) -> Caller {
        self.queue.caller(rows)
    }

    /// Waits for an answer. `keep_waiting` is asked now and then.
    ///
    /// # Errors
    /// `Cancelled` when it answers no; an inference error when the thread is gone.
    pub fn wait(&self, answers: &Receiver<Done>, mut keep_waiting: impl FnMut() -> bool) -> Result<Done> {
        loop {
            match answers.recv_timeout(POLL) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Timeout) if !keep_waiting() => return Err(EngineError::Cancelled),
                Err(RecvTimeoutError::Timeout) if self.is_alive() => {}
                Err(_) => return Err(self.gone()),
            }
        }
    }

    /// The error of a session that takes no jobs.
    pub fn gone(&self) -> EngineError {
        self.error("its thread has stopped".into())
    }

    /// An error of this session's engine.
    pub fn error(&self, reason: String) -> EngineError {
        EngineError::Inference { engine: format!("{} on {}", self.engine, self.device), reason }
    }

    /// Whether the thread still takes jobs.
    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Why nothing can be expected of it now, if so.
    pub fn trouble(&self) -> Option<String> {
        if self.is_alive() { self.health.trouble() } else { Some("its thread has ended".into()) }
    }

    /// Rows of a graph in a batch at most.
    pub fn most_rows(&self, graph: usize) -> usize {
        self.queue.most_rows(graph)
    }

    /// Rows that wait.
    pub fn depth(&self) -> usize {
        self.queue.rows()
    }

    /// Has every batch told to someone; the first call counts.
    pub fn observe(&self, observer: Observer) {
        let _ = self.observer.set(observer);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and reported; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Runs jobs until the queue is closed and empty.
fn serve(queue: &Queue, max_wait: Duration, backend: &mut dyn Backend, observer: &OnceLock<Observer>, health: &Health) {
    let mut gathered = Vec::new();
    while let Some(jobs) = queue.take(max_wait) {
        let waited = jobs[0].since.elapsed();
        let rows = jobs.iter().map(|job| job.rows).sum();
        let videos = jobs.chunk_by(|one, next| one.caller() == next.caller()).count();
        health.begin();
        let (inference, failure) = run(jobs, &mut gathered, backend);
        health.end(failure);
        if let Some(tell) = observer.get() {
            tell(BatchRun { rows, videos, waited, inference });
        }
    }
}

/// Runs jobs of one graph as one batch, and says how long that took, and why nothing came of any. If it fails, each is run alone: it may
/// be the fault of one.
fn run(jobs: Vec<Job>, gathered: &mut Vec<f32>, backend: &mut dyn Backend) -> (Duration, Option<String>) {
    let rows: usize = jobs.iter().map(|job| job.rows).sum();
    let (start, graph) = (Instant::now(), jobs[0].graph);
    let mut outputs = match &jobs[..] {
        // The common case, without a copy.
        [job] => run_caught(backend, graph, &job.input, rows),
        jobs => {
            gathered.clear();
            jobs.iter().for_each(|job| gathered.extend_from_slice(&job.input));
            run_caught(backend, graph, gathered, rows)
        }
    };
    let took = start.elapsed();
    if let (Err(reason), true) = (&outputs, jobs.len() > 1) {
        tracing::warn!("a batch of {rows} from {} videos failed, each is run alone: {reason}", jobs.len());
        let alone: Vec<_> = jobs.into_iter().map(|job| run(vec![job], gathered, backend)).collect();
        let took = took + alone.iter().map(|(took, _)| *took).sum::<Duration>();
        let failures: Option<Vec<_>> = alone.into_iter().map(|(_, failure)| failure).collect();
        return (took, failures.and_then(|mut failures| failures.pop()));
    }
    let failure = outputs.as_ref().err().cloned();
    let mut first = 0;
    for job in jobs {
        let outputs = match &mut outputs {
            Ok(outputs) if job.rows == rows => Ok(std::mem::take(outputs)),
            Ok(outputs) => Ok(outputs.iter().map(|values| rows_of(values, first, job.rows, rows)).collect()),
            Err(reason) => Err(std::mem::take(reason)),
        };
        first += job.rows;
        let inference = took.mul_f64(job.rows as f64 / rows as f64);
        // A caller that has gone away in the meantime is no error.
        let _ = job.reply.send(Done { outputs, input: job.input, inference });
    }
    (took, failure)
}

/// So many rows from a first one on, of so many in all.
fn rows_of(values: &[f32], first: usize, count: usize, rows: usize) -> Vec<f32> {
    let row = values.len() / rows;
    values[first * row..][..count * row].to_vec()
}

fn run_caught(backend: &mut dyn Backend, graph: usize, input: &[f32], rows: usize) -> Result<Vec<Vec<f32>>, String> {
    let outputs = catch_unwind(AssertUnwindSafe(|| backend.run(graph, input, rows)));
    outputs.unwrap_or_else(|panic| Err(panic_text(&*panic)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "no message".into()))
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Sender, unbounded};

    use super::*;

    /// Answers with twice each value, panics on a negative one, and waits when told to.
    struct Fake {
        gate: Receiver<()>,
        batches: Sender<usize>,
    }

    impl Backend for Fake {
        fn run(&mut self, _: usize, input: &[f32], rows: usize) -> Result<Vec<Vec<f32>>, String> {
            let _ = self.gate.recv();
            self.batches.send(rows).unwrap();
            assert!(input.iter().all(|&value| value >= 0.0), "negative input");
            Ok(vec![input.iter().map(|value| 2.0 * value).collect()])
        }
    }

    /// A session that lets so many batches through, and the sizes of those that were run.
    fn session(open: usize, most: usize) -> (Session, Sender<()>, Receiver<usize>) {
        let ((open_gate, gate), (batches, seen)) = (unbounded(), unbounded());
        (0..open).for_each(|_| open_gate.send(()).unwrap());
        let load = move || {
            let backend = Box::new(Fake { gate, batches });
            Ok(Loaded { backend, engine: "fake 1".into(), device: "cpu".into(), most_rows: vec![most] })
        };
        (Session::start("test", Duration::ZERO, load).unwrap(), open_gate, seen)
    }

    fn submit(caller: &Caller, values: &[f32]) -> Receiver<Done> {
        let (reply, done) = bounded(1);
        assert!(caller.submit(0, Arc::new(values.to_vec()), values.len(), reply));
        done
    }

    type Outputs = Result<Vec<Vec<f32>>, String>;

    /// Three callers' jobs that wait while a first is run, which keeps the session busy until all are there.
    fn three(values: [&[f32]; 3], most: usize) -> (Vec<Outputs>, Vec<usize>) {
        let (session, open, seen) = session(0, most);
        let callers: Vec<Caller> = (0..4).map(|_| session.caller(1)).collect();
        let first = submit(&callers[0], &[1.0]);
        while session.depth() > 0 {
            thread::yield_now();
        }
        let waiting: Vec<_> = callers[1..].iter().zip(values).map(|(caller, values)| submit(caller, values)).collect();
        (0..8).for_each(|_| open.send(()).unwrap());
        assert_eq!(first.recv().unwrap().outputs.unwrap(), [[2.0]]);
        let answers = waiting.iter().map(|done| done.recv().unwrap().outputs).collect();
        drop(callers);
        drop(session);
        (answers, seen.iter().skip(1).collect())
    }

    #[test]
    fn jobs_of_several_callers_are_one_batch() {
        let (answers, batches) = three([&[1.0, 2.0], &[3.0], &[4.0, 5.0]], 3);
        let outputs: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(outputs, [[vec![2.0, 4.0]], [vec![6.0]], [vec![8.0, 10.0]]]);
        assert_eq!(batches, [3, 2]);
    }

    #[test]
    fn what_is_wrong_with_one_of_a_batch_is_told_to_it_alone() {
        let (mut answers, batches) = three([&[1.0], &[-1.0], &[3.0]], 8);
        assert_eq!(answers.pop().unwrap().unwrap(), [[6.0]]);
        assert_eq!(answers.pop().unwrap().unwrap_err(), "it panicked: negative input");
        assert_eq!(answers.pop().unwrap().unwrap(), [[2.0]]);
        assert_eq!(batches, [3, 1, 1, 1]);
    }

    #[test]
    fn a_panic_is_an_error_and_the_session_goes_on() {
        let (session, _open, _seen) = session(2, 1);
        let caller = session.caller(1);
        let (bad, good) = (submit(&caller, &[-1.0]), submit(&caller, &[1.0]));
        assert_eq!(bad.recv().unwrap().outputs.unwrap_err(), "it panicked: negative input");
        assert_eq!(good.recv().unwrap().outputs.unwrap(), [[2.0]]);
    }

    #[test]
    fn a_cancelled_job_is_dropped_without_being_run() {
        let (session, open, seen) = session(0, 1);
        let (first, gone) = (session.caller(1), session.caller(1));
        let done = submit(&first, &[1.0]);
        while session.depth() > 0 {
            thread::yield_now();
        }
        let dropped = submit(&gone, &[2.0]);
        drop(gone);
        (0..2).for_each(|_| open.send(()).unwrap());
        assert!(done.recv().is_ok());
        assert!(dropped.recv().is_err());
        drop((first, session));
        assert_eq!(seen.iter().count(), 1);
    }

    #[test]
    fn an_observer_is_told_of_each_batch() {
        let (session, _open, _seen) = session(1, 4);
        let (told, runs) = unbounded();
        session.observe(Box::new(move |run| told.send((run.rows, run.videos)).unwrap()));
        let caller = session.caller(1);
        assert!(submit(&caller, &[1.0, 2.0]).recv().is_ok());
        assert_eq!(runs.recv().unwrap(), (2, 1));
    }

    #[test]
    fn a_session_that_fails_again_and_again_says_so_until_it_does_not() {
        let (session, _open, _seen) = session(8, 1);
        let caller = session.caller(1);
        let ask = |value: f32| submit(&caller, &[value]).recv().unwrap().outputs.is_ok();
        assert!(ask(1.0) && !ask(-1.0) && !ask(-1.0));
        assert_eq!(session.trouble(), None);
        // The note comes after the answer.
        let is_told = |session: &Session, is: bool| {
            (0..1000).any(|_| {
                session.trouble().is_some() == is || {
                    thread::sleep(Duration::from_millis(1));
                    false
                }
            })
        };
        assert!(!ask(-1.0) && is_told(&session, true));
        assert_eq!(session.trouble().unwrap(), "the last 3 batches failed: it panicked: negative input");
        assert!(ask(1.0) && is_told(&session, false));
    }

    #[test]
    fn who_waits_can_give_up() {
        let (session, open, _seen) = session(0, 1);
        let caller = session.caller(1);
        let done = submit(&caller, &[1.0]);
        assert!(matches!(session.wait(&done, || false), Err(EngineError::Cancelled)));
        drop(open);
    }

    #[test]
    fn a_panic_while_loading_is_an_error() {
        let error = Session::start("bad", Duration::ZERO, || panic!("no luck")).err().unwrap();
        assert_eq!(error.to_string(), "loading bad failed: it panicked: no luck");
    }
}
