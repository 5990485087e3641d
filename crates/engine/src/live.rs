//! A video that is looked at while it comes. One thread decodes as the frames arrive, the calling thread runs the model on what is newest:
//! what it has no time for is passed over, so that what is told stays close to what happens, whatever the machine.
//!
//! [`follow`] is what tasks have in common: [`Newest`] lies between the two threads, and [`Punctual`] knows how late something is.

mod classify;
mod detect;
mod newest;
mod punctual;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use unscene_models::manifest::Task;

use crate::error::{EngineError, Result};
use crate::graphs::{Graphs, OnSession};
use crate::result::{Control, Progress, VideoSummary};
use newest::Newest;
use punctual::Punctual;

/// How often it is asked whether to go on while nothing comes.
const POLL: Duration = Duration::from_millis(50);

/// Something that was seen, and how late.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Live<T> {
    /// What was seen.
    #[serde(flatten)]
    pub seen: T,
    /// Seconds from when its last frame came to when this was known.
    pub delay_s: f64,
    /// Clips or frames since the last that were passed over, because they would have come late.
    pub dropped: u64,
}

/// What was looked at of a video that has ended, and by what.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LiveSummary {
    /// The model's name.
    pub model: String,
    /// What it does.
    pub task: Task,
    /// Name and version of the engine that ran.
    pub engine: String,
    /// The device that it ran on.
    pub device: String,
    /// The video; its clips are those that were looked at.
    pub video: VideoSummary,
    /// Clips or frames that were passed over.
    pub dropped: u64,
    /// Their share of all.
    pub dropped_share: f64,
    /// The mean delay, in seconds.
    pub mean_delay_s: f64,
    /// The longest delay.
    pub max_delay_s: f64,
}

/// What is ready to be run.
struct Ready<T> {
    what: T,
    /// One row of the graph's input.
    input: Vec<f32>,
    /// When its last frame leaves the screen, in seconds of the video.
    end_s: f64,
}

/// What became of a video.
#[derive(Default)]
struct Course {
    looked: usize,
    dropped: u64,
    time_s: f64,
    delays_s: f64,
    max_delay_s: f64,
}

/// Has `next` decode on a thread of its own, into a buffer whose content no longer matters, until it gives nothing, and `look` make
/// of the graph's outputs for the newest what is told. `next` also gets to ask whether to go on.
fn follow<T: Send, A>(
    graphs: &Graphs,
    mut next: impl FnMut(Vec<f32>, &dyn Fn() -> bool) -> Result<Option<Ready<T>>> + Send,
    mut look: impl FnMut(&OnSession<'_>, T, Vec<Vec<f32>>) -> Result<A>,
    tell: &mut dyn FnMut(Live<A>),
    control: &mut Control<'_>,
) -> Result<Course> {
    let (newest, stop) = (Newest::default(), AtomicBool::new(false));
    let mut course = Course::default();
    thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<()> {
            // Whatever ends it, who waits for more is told.
            let _end = newest.end_when_dropped();
            let keep_on = || !stop.load(Ordering::Relaxed);
            let (mut punctual, mut buffer) = (Punctual::start(), vec![]);
            while let Some(ready) = next(std::mem::take(&mut buffer), &keep_on)? {
                let due = punctual.due(ready.end_s);
                buffer = newest.put((ready, due)).map(|(passed_over, _)| passed_over.input).unwrap_or_default();
            }
            Ok(())
        });
        let mut session = OnSession::new(graphs, 1);
        let mut run = || -> Result<()> {
            loop {
                let progress = Progress { clips: course.looked, time_s: course.time_s, duration_s: None };
                if control(progress).is_break() {
                    return Err(EngineError::Cancelled);
                }
                let Some(((ready, due), dropped)) = newest.take(POLL) else {
                    if newest.has_ended() {
                        return Ok(());
                    }
                    continue;
                };
                let Ready { what, input, end_s } = ready;
                let mut keep_waiting = || control(progress).is_continue();
                let outputs = session.run_rows(0, Arc::new(input), 1, &mut keep_waiting)?;
                let seen = look(&session, what, outputs)?;
                let delay_s = Instant::now().saturating_duration_since(due).as_secs_f64();
                course.looked += 1;
                course.dropped += dropped;
                course.time_s = end_s;
                course.delays_s += delay_s;
                course.max_delay_s = course.max_delay_s.max(delay_s);
                tell(Live { seen, delay_s, dropped });
            }
        };
        let done = run();
        stop.store(true, Ordering::Relaxed);
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.and(read)
    })?;
    Ok(course)
}

impl Course {
    fn summary(self, graphs: &Graphs, video: VideoSummary) -> LiveSummary {
        let all = self.looked as f64 + self.dropped as f64;
        LiveSummary {
            model: graphs.name().to_owned(),
            task: graphs.manifest().task,
            engine: graphs.engine_name().to_owned(),
            device: graphs.device_name().to_owned(),
            video,
            dropped: self.dropped,
            dropped_share: self.dropped as f64 / all.max(1.0),
            mean_delay_s: self.delays_s / self.looked.max(1) as f64,
            max_delay_s: self.max_delay_s,
        }
    }
}
