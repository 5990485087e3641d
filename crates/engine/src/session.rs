//! One OS thread that owns a backend, and the bounded queue before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};

use crate::backend::{Backend, Loaded};
use crate::error::{EngineError, Result};

/// How often callers that wait are asked whether they still do.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// A batch on its way to the backend.
pub(crate) struct Job {
    /// Index of the graph.
    pub graph: usize,
    /// rows x the sides of the graph's input. Shared, so that who fills the next buffer can still copy from it.
    pub input: Arc<Vec<f32>>,
    pub rows: usize,
    /// Set by a caller that no longer waits: the job is dropped when its turn comes.
    pub cancelled: Arc<AtomicBool>,
    pub reply: Sender<Done>,
}

/// A batch that was run.
pub(crate) struct Done {
    /// Every output, rows x its sides, or the backend's message.
    pub outputs: Result<Vec<Vec<f32>>, String>,
    /// The job's buffer, to be filled again.
    pub input: Arc<Vec<f32>>,
    pub inference: Duration,
}

/// The thread and the sending end of its queue. Dropping it closes the queue and waits for the batch in work.
pub(crate) struct Session {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Name and version of the engine that runs.
    pub engine: String,
    /// The device that it runs on.
    pub device: String,
    /// Clips per run that suit it.
    pub batch: usize,
}

impl Session {
    /// Starts the thread, loads the backend on it, and returns when it is ready.
    ///
    /// # Errors
    /// What `load` returns, or that it panicked.
    pub fn start(name: &str, capacity: usize, load: impl FnOnce() -> Result<Loaded> + Send + 'static) -> Result<Self> {
        let (queue, jobs) = bounded::<Job>(capacity);
        let (ready, loaded) = bounded(1);
        let failed = |reason: String| EngineError::Inference { engine: format!("loading {name}"), reason };
        let body = move || {
            let loaded = catch_unwind(AssertUnwindSafe(load));
            let mut backend = match loaded.map_err(|panic| panic_text(&*panic)) {
                Ok(Ok(Loaded { backend, engine, device, batch })) => {
                    if ready.send(Ok(Ok((engine, device, batch)))).is_err() {
                        return;
                    }
                    backend
                }
                Ok(Err(error)) => return drop(ready.send(Ok(Err(error)))),
                Err(panic) => return drop(ready.send(Err(panic))),
            };
            serve(&jobs, &mut *backend);
        };
        let thread = thread::Builder::new().name(format!("infer {name}")).spawn(body);
        let thread = thread.map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        let answer = loaded.recv().unwrap_or_else(|_| Err("the thread stopped".into()));
        let (engine, device, batch) = answer.map_err(failed)??;
        Ok(Self { queue: Some(queue), thread: Some(thread), engine, device, batch })
    }

    /// Puts a job in the queue. While the queue is full, `keep_waiting` is asked now and then.
    ///
    /// # Errors
    /// `Cancelled` when it answers no; an inference error when the thread is gone.
    pub fn submit(&self, mut job: Job, mut keep_waiting: impl FnMut() -> bool) -> Result<()> {
        let gone = || self.error("its thread has stopped".into());
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        loop {
            match queue.send_timeout(job, POLL) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Disconnected(_)) => return Err(gone()),
                Err(SendTimeoutError::Timeout(back)) if keep_waiting() => job = back,
                Err(SendTimeoutError::Timeout(_)) => return Err(EngineError::Cancelled),
            }
        }
    }

    /// Waits for an answer. `keep_waiting` is asked now and then.
    ///
    /// # Errors
    /// As [`Session::submit`].
    pub fn wait(&self, answers: &Receiver<Done>, mut keep_waiting: impl FnMut() -> bool) -> Result<Done> {
        loop {
            match answers.recv_timeout(POLL) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Timeout) if !keep_waiting() => return Err(EngineError::Cancelled),
                Err(RecvTimeoutError::Timeout) if self.is_alive() => {}
                Err(_) => return Err(self.error("its thread has stopped".into())),
            }
        }
    }

    /// An error of this session's engine.
    pub fn error(&self, reason: String) -> EngineError {
        EngineError::Inference { engine: format!("{} on {}", self.engine, self.device), reason }
    }

    /// Whether the thread still takes jobs.
    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Jobs that wait.
    pub fn depth(&self) -> usize {
        self.queue.as_ref().map_or(0, Sender::len)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and reported; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Runs jobs until the queue is closed and empty.
fn serve(jobs: &Receiver<Job>, backend: &mut dyn Backend) {
    for Job { graph, input, rows, cancelled, reply } in jobs {
        if cancelled.load(Ordering::Relaxed) {
            continue;
        }
        let start = Instant::now();
        let outputs = catch_unwind(AssertUnwindSafe(|| backend.run(graph, &input, rows)));
        let outputs = outputs.unwrap_or_else(|panic| Err(panic_text(&*panic)));
        // A caller that has gone away in the meantime is no error.
        let _ = reply.send(Done { outputs, input, inference: start.elapsed() });
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "no message".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with the number of clips, panics on a negative input, and waits when told to.
    struct Fake {
        gate: Receiver<()>,
    }

    impl Backend for Fake {
        fn run(&mut self, _: usize, input: &[f32], rows: usize) -> Result<Vec<Vec<f32>>, String> {
            let _ = self.gate.recv();
            assert!(input[0] >= 0.0, "negative input");
            Ok(vec![vec![rows as f32]])
        }
    }

    fn session(gate: Receiver<()>, capacity: usize) -> Session {
        let load = move || {
            let backend = Box::new(Fake { gate });
            Ok(Loaded { backend, engine: "fake 1".into(), device: "cpu".into(), batch: 1 })
        };
        Session::start("test", capacity, load).unwrap()
    }

    fn job(value: f32, cancelled: bool) -> (Job, Receiver<Done>) {
        let (reply, done) = bounded(1);
        let (input, cancelled) = (Arc::new(vec![value]), Arc::new(AtomicBool::new(cancelled)));
        (Job { graph: 0, input, rows: 3, cancelled, reply }, done)
    }

    #[test]
    fn a_panic_is_an_error_and_the_session_goes_on() {
        let (open, gate) = bounded(2);
        open.send(()).unwrap();
        open.send(()).unwrap();
        let session = session(gate, 2);
        let (bad, bad_done) = job(-1.0, false);
        let (good, good_done) = job(1.0, false);
        session.submit(bad, || true).unwrap();
        session.submit(good, || true).unwrap();
        assert_eq!(bad_done.recv().unwrap().outputs.unwrap_err(), "it panicked: negative input");
        assert_eq!(good_done.recv().unwrap().outputs.unwrap(), [[3.0]]);
    }

    #[test]
    fn a_cancelled_job_is_dropped_without_being_run() {
        let (open, gate) = bounded(1);
        open.send(()).unwrap();
        let session = session(gate, 2);
        let (cancelled, cancelled_done) = job(1.0, true);
        let (good, good_done) = job(1.0, false);
        session.submit(cancelled, || true).unwrap();
        session.submit(good, || true).unwrap();
        // The gate lets one run through: it is the second job's.
        assert!(good_done.recv().is_ok());
        assert!(cancelled_done.recv().is_err());
    }

    #[test]
    fn a_full_queue_blocks_until_the_caller_gives_up() {
        let (open, gate) = bounded::<()>(0);
        let session = session(gate, 1);
        let jobs: Vec<_> = (0..2).map(|_| job(1.0, false)).collect();
        let mut waiting = Vec::new();
        for (job, done) in jobs {
            session.submit(job, || true).unwrap();
            waiting.push(done);
        }
        // One is in work, one waits; the third has no place.
        let (third, _) = job(1.0, false);
        assert!(matches!(session.submit(third, || false), Err(EngineError::Cancelled)));
        assert_eq!(session.depth(), 1);
        drop(open);
        assert!(waiting.iter().all(|done| done.recv().is_ok()));
    }

    #[test]
    fn a_panic_while_loading_is_an_error() {
        let error = Session::start("bad", 1, || panic!("no luck")).err().unwrap();
        assert_eq!(error.to_string(), "loading bad failed: it panicked: no luck");
    }
}
