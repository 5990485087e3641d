//! From videos to a cache: threads decode, the model looks at batches of frames of all of them, and every video is
//! written as soon as it is done.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde_json::json;
use unscene_data::{Annotation, CacheOrigin, CacheWriter, DataError, Failure, Found, Item, Looks, PeopleFrame, look};
use unscene_media::{Region, View};
use unscene_vision::Placement;

use crate::config::InputConfig;
use crate::error::{AnnotateError, Result};
use crate::model::{FrameModel, Head, Seen};

/// How a dataset is annotated.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotateOptions {
    /// Which frames are looked at.
    pub looks: Looks,
    /// Frames that the model looks at together, where it can.
    pub batch: usize,
    /// Threads that decode; 0 is one per core.
    pub workers: usize,
    /// Share of the videos that may fail.
    pub max_failed: f64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Videos that are done, failed ones included.
    pub videos: usize,
    /// Frames that were looked at now.
    pub frames: usize,
}

/// Called after every batch; `Break` stops the work.
pub type Control<'a> = dyn Fn(Progress) -> ControlFlow<()> + 'a;

/// What was done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Videos that were looked at now.
    pub videos: usize,
    /// Videos that an earlier call had done.
    pub kept: usize,
    /// Frames that were looked at now.
    pub frames: usize,
    /// Boxes found now, for people.
    pub people: usize,
    /// Frames with somebody in them, for people.
    pub frames_with_people: usize,
    /// Videos that could not be read.
    pub failures: Vec<Failure>,
}

enum Message {
    Frame { item: usize, time_s: f64, size: (u32, u32), placement: Placement, input: Vec<f32> },
    End { item: usize, result: Result<(), DataError> },
}

/// Annotates items into a cache, going on where an earlier call with the same model and settings stopped.
///
/// # Errors
/// [`AnnotateError::Interrupted`] when `control` says so, [`DataError::TooManyFailures`], a cache of another origin, a
/// model that fails. What is done until then is kept.
pub fn annotate(
    model: &mut FrameModel,
    items: &[Item],
    options: &AnnotateOptions,
    out: &Path,
    control: &Control<'_>,
) -> Result<Report> {
    let origin = CacheOrigin {
        kind: model.kind(),
        model: model.name.clone(),
        model_sha256: model.sha256.clone(),
        settings: json!({"model": model.settings(), "looks": options.looks}),
        labels: model.labels().to_vec(),
    };
    let mut cache = CacheWriter::open(out, &origin)?;
    let done = cache.done(items)?;
    let mut ids = std::collections::HashSet::new();
    // The same video may be in several parts.
    let todo: Vec<Item> =
        items.iter().filter(|item| !done.contains(&item.id) && ids.insert(&item.id)).cloned().collect();
    let kept = items.iter().filter(|item| done.contains(&item.id)).map(|item| &item.id);
    let kept = kept.collect::<std::collections::HashSet<_>>().len();

    let batch = model.batch(options.batch);
    let decoding = Decoding::start(todo, model.input.clone(), options, batch);
    let mut run =
        Run { model, cache: &mut cache, report: Report { kept, ..Report::default() }, states: HashMap::new() };
    let (mut pending, mut frames) = (Vec::new(), 0);
    loop {
        let message = decoding.messages.recv().ok();
        let ended = message.is_none();
        frames += usize::from(matches!(message, Some(Message::Frame { .. })));
        pending.extend(message);
        if frames < batch && !ended {
            continue;
        }
        frames = 0;
        run.work(std::mem::take(&mut pending), &decoding.items)?;
        let Report { videos, failures, frames, .. } = &run.report;
        check_failures(failures, options.max_failed, decoding.items.len() + kept)?;
        let progress = Progress { videos: kept + videos + failures.len(), frames: *frames };
        if control(progress).is_break() {
            return Err(AnnotateError::Interrupted { done: kept + videos, of: kept + decoding.items.len() });
        }
        if ended {
            break;
        }
    }
    let report = run.report;
    let (ended, of) = (report.videos + report.failures.len(), decoding.items.len());
    drop(decoding);
    if ended != of {
        return Err(DataError::Internal { problem: format!("only {ended} of {of} videos came to an end") }.into());
    }
    cache.finish()?;
    Ok(report)
}

/// An error once more videos failed than may.
pub(crate) fn check_failures(failures: &[Failure], allowed: f64, of: usize) -> Result<()> {
    match failures.first() {
        Some(first) if failures.len() as f64 > allowed * of as f64 => {
            let first = first.reason.clone();
            Err(DataError::TooManyFailures { failed: failures.len(), of, allowed, first }.into())
        }
        _ => Ok(()),
    }
}

/// A video in work.
struct State {
    size: (u32, u32),
    frames: usize,
    found: Found,
}

struct Run<'a> {
    model: &'a mut FrameModel,
    cache: &'a mut CacheWriter,
    report: Report,
    states: HashMap<usize, State>,
}

impl Run<'_> {
    /// Looks at the frames of some messages, and writes the videos that end among them.
    fn work(&mut self, messages: Vec<Message>, items: &[Item]) -> Result<()> {
        let (mut input, mut frames) = (Vec::new(), Vec::new());
        for message in &messages {
            if let Message::Frame { time_s, placement, input: frame, .. } = message {
                input.extend_from_slice(frame);
                frames.push((*time_s, *placement));
            }
        }
        let seen = if frames.is_empty() { vec![] } else { self.model.look(&input, &frames)? };
        self.report.frames += seen.len();
        let mut seen = seen.into_iter();
        for message in messages {
            match message {
                Message::Frame { item, size, .. } => {
                    let head = &self.model.head;
                    let state = self.states.entry(item).or_insert_with(|| State::new(head, size));
                    if let Some(seen) = seen.next() {
                        state.add(seen);
                    }
                }
                Message::End { item, result } => self.end(item, &items[item], result)?,
            }
        }
        Ok(())
    }

    fn end(&mut self, number: usize, item: &Item, result: Result<(), DataError>) -> Result<()> {
        let state = self.states.remove(&number);
        let reason = match (result, state) {
            (Ok(()), Some(state)) => {
                let annotation = state.finish();
                if let Found::People(frames) = &annotation.found {
                    self.report.people += frames.iter().map(|frame| frame.boxes.len()).sum::<usize>();
                    self.report.frames_with_people += frames.iter().filter(|frame| !frame.boxes.is_empty()).count();
                }
                self.cache.put(item, Ok(&annotation))?;
                self.report.videos += 1;
                return Ok(());
            }
            (Ok(()), None) => "it has no frame".into(),
            (Err(error), _) => error.to_string(),
        };
        self.cache.put(item, Err(&reason))?;
        self.report.failures.push(Failure { id: item.id.clone(), reason });
        Ok(())
    }
}

impl State {
    fn new(head: &Head, size: (u32, u32)) -> Self {
        let found = match head {
            Head::Scenes { labels, .. } => Found::Scenes(vec![0.0; labels.len()]),
            Head::People(_) => Found::People(vec![]),
        };
        State { size, frames: 0, found }
    }

    fn add(&mut self, seen: Seen) {
        self.frames += 1;
        match (&mut self.found, seen) {
            (Found::Scenes(sums), Seen::Scenes(scores)) => {
                sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
            }
            (Found::People(frames), Seen::People(frame)) => frames.push(frame),
            // A model has one head.
            (Found::Scenes(_), Seen::People(PeopleFrame { .. })) | (Found::People(_), Seen::Scenes(_)) => {}
        }
    }

    fn finish(mut self) -> Annotation {
        if let Found::Scenes(sums) = &mut self.found {
            sums.iter_mut().for_each(|sum| *sum /= self.frames as f32);
        }
        Annotation { size: self.size, frames: self.frames, found: self.found }
    }
}

/// The threads that decode.
struct Decoding {
    items: Arc<[Item]>,
    messages: Receiver<Message>,
    stop: Arc<AtomicBool>,
}

impl Decoding {
    fn start(items: Vec<Item>, input: InputConfig, options: &AnnotateOptions, batch: usize) -> Self {
        let items: Arc<[Item]> = items.into();
        let workers = match options.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let (sender, messages) = bounded(2 * batch + workers);
        let (jobs, queue) = unbounded();
        for item in 0..items.len() {
            // The receiver is held below.
            let _ = jobs.send(item);
        }
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..workers.min(items.len()) {
            let (items, input, looks) = (items.clone(), input.clone(), options.looks);
            let (queue, sender, stop): (Receiver<usize>, Sender<Message>, _) =
                (queue.clone(), sender.clone(), stop.clone());
            thread::spawn(move || {
                for item in queue {
                    let decode = || decode(&items[item], item, &input, looks, &sender);
                    // A panic over one video is that video's failure, and not the end of a thread.
                    let result = catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
                        Err(DataError::Internal { problem: format!("a panic over {}", items[item].id) })
                    });
                    if stop.load(Ordering::Relaxed) || sender.send(Message::End { item, result }).is_err() {
                        return;
                    }
                }
            });
        }
        Decoding { items, messages, stop }
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        // Threads that wait to send find the other end gone.
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn decode(
    item: &Item,
    number: usize,
    input: &InputConfig,
    looks: Looks,
    sender: &Sender<Message>,
) -> Result<(), DataError> {
    let picture = (input.width, input.height);
    let normalization = input.normalization();
    let view = |size| {
        let Placement { from: [x, y, width, height], to, .. } = Placement::new(input.fit, size, picture);
        View::Part { part: Region { x, y, width, height }, width: to[2], height: to[3], mirror: false }
    };
    look(item, looks, &view, &mut |frame| {
        let placement = Placement::new(input.fit, frame.picture_size, picture);
        let mut tensor = vec![0.0; 3 * picture.0 as usize * picture.1 as usize];
        let filled = placement.fill(frame.rgb, picture, input.channels, &normalization, &mut tensor);
        filled.expect("the view has the placement's size");
        let (time_s, size) = (frame.time_s, frame.picture_size);
        sender.send(Message::Frame { item: number, time_s, size, placement, input: tensor }).is_ok()
    })
}
