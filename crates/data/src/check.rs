//! Whether a dataset can be trained on: what is there, what is not, what cannot be read.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::augment::Augmentation;
use crate::clip::{ClipForm, draw_clip};
use crate::dataset::{Dataset, Item, Part};
use crate::error::Result;
use crate::loader::{Failure, threads};

/// How thorough a check is.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckOptions {
    /// The clips that training would take; one is read from every video.
    pub form: ClipForm,
    /// Videos read per part, spread over it; 0 reads all.
    pub sample: usize,
    /// Threads; 0 is one per core.
    pub workers: usize,
    /// Share of unreadable videos from which on training would stop.
    pub max_failed: f64,
    /// The part that is trained on: every label needs a video there. `None` where none is, which is a problem.
    pub train_part: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// Of every part.
    pub parts: Vec<PartReport>,
    /// Why training would fail; nothing when it would not.
    pub problems: Vec<String>,
}

/// What a check found in a part.
#[derive(Debug, Clone, Serialize)]
pub struct PartReport {
    /// Such as `train`.
    pub name: String,
    /// Videos on disk.
    pub found: usize,
    /// Paths that the list names and the disk lacks.
    pub missing: Vec<String>,
    /// Videos that were read.
    pub read: usize,
    /// Those that could not be.
    pub unreadable: Vec<Failure>,
    /// Ids of videos with fewer frames than a clip: training repeats them.
    pub too_short: Vec<String>,
    /// Videos of each label that were found.
    pub per_label: Vec<LabelCount>,
    /// Clips read per second, on all threads.
    pub clips_per_second: f64,
}

/// Videos of a label.
#[derive(Debug, Clone, Serialize)]
pub struct LabelCount {
    /// Its name.
    pub label: String,
    /// How many were found.
    pub videos: usize,
}

/// Called with the number of videos that were read; `Break` ends the check early.
pub type CheckControl<'a> = dyn Fn(usize) -> ControlFlow<()> + Sync + 'a;

/// Number of videos that a check reads.
pub fn videos_to_check(dataset: &Dataset, options: &CheckOptions) -> usize {
    dataset.parts.iter().map(|part| sampled(part, options).count()).sum()
}

/// Reads a clip of every video, or of some.
///
/// # Errors
/// Never for a video: what is wrong with one is in the report. Settings that make no sense.
pub fn check(dataset: &Dataset, options: &CheckOptions, control: &CheckControl<'_>) -> Result<CheckReport> {
    let done = AtomicUsize::new(0);
    let mut parts = Vec::with_capacity(dataset.parts.len());
    for part in &dataset.parts {
        parts.push(check_part(part, &dataset.labels, options, &done, control));
    }
    let mut problems: Vec<String> = parts.iter().flat_map(|part| problems(part, options)).collect();
    if options.train_part.is_none() {
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let (all, first) = (names.join(", "), names.first().copied().unwrap_or("NAME"));
        problems.push(format!(
            "none of the parts {all} is called \"train\": say which is trained on, here with --part {first} and in \
             training with --set train_part={first}"
        ));
    }
    Ok(CheckReport { parts, problems })
}

fn sampled<'a>(part: &'a Part, options: &CheckOptions) -> impl Iterator<Item = &'a Item> {
    let step = if options.sample == 0 { 1 } else { part.items.len().div_ceil(options.sample).max(1) };
    part.items.iter().step_by(step)
}

fn check_part(
    part: &Part,
    labels: &[String],
    options: &CheckOptions,
    done: &AtomicUsize,
    control: &CheckControl<'_>,
) -> PartReport {
    let items: Vec<&Item> = sampled(part, options).collect();
    let next = AtomicUsize::new(0);
    let (sender, results) = crossbeam_channel::unbounded();
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads(options.workers).min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = read(item, &options.form);
                    let _ = sender.send((at, result));
                    if control(done.fetch_add(1, Ordering::Relaxed) + 1).is_break() {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    let mut results: Vec<(usize, Result<bool>)> = results.try_iter().collect();
    results.sort_by_key(|(at, _)| *at);

    let (mut unreadable, mut too_short, read) = (vec![], vec![], results.len());
    for (at, result) in results {
        let id = items[at].id.clone();
        match result {
            Ok(true) => {}
            Ok(false) => too_short.push(id),
            Err(error) => unreadable.push(Failure { id, reason: error.to_string() }),
        }
    }
    let count = |label: usize| part.items.iter().filter(|item| item.label == label).count();
    let per_label = labels.iter().enumerate().map(|(at, label)| LabelCount { label: label.clone(), videos: count(at) });
    PartReport {
        name: part.name.clone(),
        found: part.items.len(),
        missing: part.missing.iter().map(|path| path.display().to_string()).collect(),
        clips_per_second: (read - unreadable.len()) as f64 / seconds,
        read,
        unreadable,
        too_short,
        per_label: per_label.collect(),
    }
}

/// Reads a clip from the middle; says whether the video has enough frames for one.
fn read(item: &Item, form: &ClipForm) -> Result<bool> {
    let draw = Augmentation::none().draw(0, 0, 0);
    let sample = draw_clip(item, form, &draw)?;
    // Repeated frames have the times of those that they repeat.
    let is_whole = sample.times_s.windows(2).all(|pair| pair[0] < pair[1]);
    Ok(is_whole)
}

/// Why training on a part, or testing on it, would fail. A label without videos is a problem only where it is to be learned.
fn problems(part: &PartReport, options: &CheckOptions) -> Vec<String> {
    let max_failed = options.max_failed;
    let PartReport { name, found, missing, read, unreadable, per_label, .. } = part;
    let mut problems = Vec::new();
    if *found == 0 {
        let first = missing.first().map_or(String::new(), |path| format!(", {path} for one"));
        problems.push(format!("{name}: none of {} videos is there{first}; check --videos", missing.len()));
        return problems;
    }
    let empty: Vec<&str> = per_label.iter().filter(|count| count.videos == 0).map(|count| &*count.label).collect();
    if options.train_part.as_ref() == Some(name) && !empty.is_empty() {
        let shown = empty.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let more = if empty.len() > 5 { ", ..." } else { "" };
        problems.push(format!("{name}: {} labels have no video: {shown}{more}", empty.len()));
    }
    if unreadable.len() as f64 > max_failed * *read as f64 {
        let share = unreadable.len() as f64 / *read as f64 * 100.0;
        problems.push(format!(
            "{name}: {} of {read} videos ({share:.1} %) cannot be read, more than the {:.1} % that may fail",
            unreadable.len(),
            max_failed * 100.0
        ));
    }
    problems
}
