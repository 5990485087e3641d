//! Threads that read ahead.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::error::{DataError, Result};

/// Number of threads; 0 is one per core.
pub fn threads(wanted: usize) -> usize {
    match wanted {
        0 => thread::available_parallelism().map_or(1, usize::from),
        wanted => wanted,
    }
}

/// A panic while reading one video is that video's failure.
pub fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(DataError::Internal { problem: text.unwrap_or("a panic").to_string() })
    })
}

/// Threads that work off numbered positions, some way ahead of the one that is taken.
pub struct Pool<T> {
    jobs: Option<Sender<usize>>,
    done: Receiver<(usize, Result<T>)>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Results that came before their turn, by position.
    early: HashMap<usize, Result<T>>,
    submitted: usize,
    positions: usize,
}

impl<T: Send + 'static> Pool<T> {
    /// `ahead` positions are read before they are taken.
    pub fn start(
        workers: usize,
        ahead: usize,
        positions: usize,
        read: impl Fn(usize) -> Result<T> + Clone + Send + 'static,
    ) -> Self {
        let workers = workers.min(positions);
        // A worker without a job waits, so that there is at least one for each.
        let ahead = ahead.max(workers).min(positions);
        let (jobs, queue) = unbounded::<usize>();
        let (sender, done) = unbounded();
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..workers)
            .map(|_| {
                let (queue, sender, stop, read) = (queue.clone(), sender.clone(), stop.clone(), read.clone());
                thread::spawn(move || {
                    for position in queue {
                        if stop.load(Ordering::Relaxed) || sender.send((position, guarded(|| read(position)))).is_err()
                        {
                            return;
                        }
                    }
                })
            })
            .collect();
        for position in 0..ahead {
            // The threads hold the other end.
            let _ = jobs.send(position);
        }
        Pool { jobs: Some(jobs), done, threads, stop, early: Default::default(), submitted: ahead, positions }
    }

    /// The result at a position; positions are taken in order. One more is read ahead for it.
    pub fn take(&mut self, position: usize) -> Result<Result<T>> {
        let result = loop {
            if let Some(result) = self.early.remove(&position) {
                break result;
            }
            let Ok((at, result)) = self.done.recv() else {
                return Err(DataError::Internal { problem: "the threads that read videos have stopped".into() });
            };
            self.early.insert(at, result);
        };
        if self.submitted < self.positions
            && let Some(jobs) = &self.jobs
        {
            let _ = jobs.send(self.submitted);
            self.submitted += 1;
        }
        Ok(result)
    }
}

impl<T> Drop for Pool<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
