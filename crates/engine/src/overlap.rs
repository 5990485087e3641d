//! One thread decodes into buffers while the calling thread runs the model on others. Two buffers go round between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::error::{EngineError, Result};
use crate::result::{Control, Progress};
use crate::session::POLL;

/// Buffers of one video: one is run while the other is filled.
const BUFFERS: usize = 2;

/// Calls `fill` on a thread of its own with buffers whose content no longer matters, until it gives no batch; it also gets to ask
/// whether to go on. `take` gets each batch, a way to give its buffer back, and `control`; it says how far the work has come.
/// `control` is asked after each batch, and while none comes. Says how long filling took.
///
/// # Errors
/// The first error of either; [`EngineError::Cancelled`] when `control` says `Break`.
pub(crate) fn overlap<B: Send>(
    mut progress: Progress,
    fill: impl FnMut(Vec<f32>, &dyn Fn() -> bool) -> Result<Option<B>> + Send,
    mut take: impl FnMut(B, &dyn Fn(Arc<Vec<f32>>), &mut Control<'_>) -> Result<Progress>,
    control: &mut Control<'_>,
) -> Result<Duration> {
    let (filled, batches) = bounded(1);
    let (emptied, free) = bounded(BUFFERS);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| read(fill, filled, free, &stop));
        // The reader may have ended, and then nobody needs it.
        let give_back = |buffer| drop(emptied.send(buffer));
        let done = loop {
            match batches.recv_timeout(POLL).map(|batch| take(batch, &give_back, control)) {
                Ok(Ok(now)) => progress = now,
                Ok(Err(error)) => break Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
            if control(progress).is_break() {
                break Err(EngineError::Cancelled);
            }
        };
        // If that ended early, the reader need not go on: neither fill, nor wait for a buffer or for its batch to be taken.
        stop.store(true, Ordering::Relaxed);
        drop((batches, emptied));
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.and(read)
    })
}

/// The decoding thread: fills buffers until the video ends or nobody takes them.
fn read<B>(
    mut fill: impl FnMut(Vec<f32>, &dyn Fn() -> bool) -> Result<Option<B>>,
    filled: Sender<B>,
    free: Receiver<Arc<Vec<f32>>>,
    stop: &AtomicBool,
) -> Result<Duration> {
    let mut time = Duration::ZERO;
    let keep_on = || !stop.load(Ordering::Relaxed);
    for number in 0.. {
        let buffer = match number < BUFFERS {
            true => Vec::new(),
            // Both others let go of it before it comes back.
            false => match free.recv() {
                Ok(buffer) => Arc::into_inner(buffer).unwrap_or_default(),
                Err(_) => break,
            },
        };
        let start = Instant::now();
        let batch = fill(buffer, &keep_on);
        time += start.elapsed();
        let Some(batch) = batch? else { break };
        if filled.send(batch).is_err() {
            break;
        }
    }
    Ok(time)
}
