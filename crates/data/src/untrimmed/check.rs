//! Whether localization can be trained on an untrimmed dataset: what is there, what is not, what cannot be read.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::buffers::cut;
use super::lengths::each;
use super::{BufferSpec, Doubt, Untrimmed, UntrimmedPart, UntrimmedVideo, measure};
use crate::augment::{Augmentation, Draw};
use crate::check::CheckControl;
use crate::clip::{ClipForm, draw_clip};
use crate::dataset::{Item, Span};
use crate::loader::{Failure, guarded};

/// How thorough a check is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UntrimmedCheck {
    /// Videos of each part that a frame is read of, spread over it; 0 reads all.
    pub sample: usize,
    /// Threads that read frames; 0 is one per core.
    pub workers: usize,
    /// Share of unreadable videos from which on training would stop.
    pub max_failed: f64,
    /// Whether training would leave out segments that are past the end of their video.
    pub skip_bad: bool,
    /// The buffers that training would take.
    pub buffers: BufferSpec,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct UntrimmedReport {
    /// Of every part.
    pub parts: Vec<UntrimmedPartReport>,
    /// Why training would fail; nothing when it would not.
    pub problems: Vec<String>,
}

/// What a check found in a part.
#[derive(Debug, Clone, Serialize)]
pub struct UntrimmedPartReport {
    /// Such as `val`.
    pub name: String,
    /// Videos that the annotations name.
    pub videos: usize,
    /// Those that are on disk.
    pub found: usize,
    /// Ids of the others, where videos were looked for.
    pub missing: Vec<String>,
    /// Videos whose header or last frames cannot be read.
    pub unreadable: Vec<Failure>,
    /// Length of all videos together, as far as it is known.
    pub hours: f64,
    /// Actions of each label.
    pub per_label: Vec<LabelSegments>,
    /// Moments that are neither right nor wrong.
    pub ambiguous: usize,
    /// Segments past the end of their video, which training would leave out.
    pub skipped: Vec<Doubt>,
    /// Buffers that training would take of it.
    pub buffers: usize,
}

/// Actions of a label.
#[derive(Debug, Clone, Serialize)]
pub struct LabelSegments {
    /// Its name.
    pub label: String,
    /// How many there are.
    pub segments: usize,
}

/// Number of videos that a check reads a frame of.
pub fn untrimmed_to_check(untrimmed: &Untrimmed, options: &UntrimmedCheck) -> usize {
    untrimmed.parts.iter().map(|part| sampled(part, options).count()).sum()
}

/// Reads the header of every video and a frame near its end, where a download that was broken off has none. Lengths that
/// were read are kept.
pub fn check_untrimmed(
    untrimmed: &mut Untrimmed,
    options: &UntrimmedCheck,
    control: &CheckControl<'_>,
) -> UntrimmedReport {
    let done = AtomicUsize::new(0);
    let mut report = UntrimmedReport { parts: vec![], problems: vec![] };
    for at in 0..untrimmed.parts.len() {
        let part = check_part(untrimmed, at, options, &done, control, &mut report.problems);
        report.parts.push(part);
    }
    if let Some(UntrimmedPartReport { name, per_label, .. }) = report.parts.first() {
        let empty = per_label.iter().filter(|count| count.segments == 0).map(|count| &*count.label);
        let empty: Vec<&str> = empty.collect();
        if !empty.is_empty() {
            let shown = empty.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            report.problems.push(format!("{name}: {} labels have no action: {shown}", empty.len()));
        }
    }
    report
}

fn check_part(
    untrimmed: &mut Untrimmed,
    at: usize,
    options: &UntrimmedCheck,
    done: &AtomicUsize,
    control: &CheckControl<'_>,
    problems: &mut Vec<String>,
) -> UntrimmedPartReport {
    let unmeasured = measure(&mut untrimmed.parts[at]);
    let mut unreadable = unmeasured.clone();
    let part = &untrimmed.parts[at];
    let videos: Vec<&UntrimmedVideo> = sampled(part, options).collect();
    let read = each(&videos, options.workers, |video| {
        if control(done.load(Ordering::Relaxed)).is_break() {
            return None;
        }
        let failure = read_near_the_end(video);
        let _ = control(done.fetch_add(1, Ordering::Relaxed) + 1);
        failure
    });
    for failure in read.into_iter().flatten() {
        if unreadable.iter().all(|known| known.id != failure.id) {
            unreadable.push(failure);
        }
    }
    let count = |label: usize| {
        part.videos.iter().flat_map(|video| &video.segments).filter(|segment| segment.label == label).count()
    };
    let labels = untrimmed.labels.iter().enumerate();
    let per_label = labels.map(|(at, label)| LabelSegments { label: label.clone(), segments: count(at) }).collect();
    let mut report = UntrimmedPartReport {
        name: part.name.clone(),
        videos: part.videos.len(),
        found: part.videos.iter().filter(|video| video.media.is_some()).count(),
        missing: part.missing.clone(),
        unreadable,
        hours: part.videos.iter().filter_map(|video| video.duration_s).sum::<f64>() / 3600.0,
        per_label,
        ambiguous: part.videos.iter().map(|video| video.ambiguous.len()).sum(),
        skipped: vec![],
        buffers: 0,
    };
    let UntrimmedPartReport { name, found, missing, unreadable, .. } = &report;
    // Nothing is wrong with annotations alone, when no videos were looked for.
    match (found, missing.first(), unreadable.first()) {
        (0, None, _) => return report,
        (0, Some(first), _) => {
            problems
                .push(format!("{name}: none of {} videos is there, {first} for one; check --videos", missing.len()));
            return report;
        }
        (_, _, Some(Failure { id, reason })) if unreadable.len() as f64 > options.max_failed * *found as f64 => {
            problems.push(format!(
                "{name}: {} of {found} videos cannot be read, more than the {:.1} % that may fail; {id}: {reason}",
                unreadable.len(),
                options.max_failed * 100.0
            ));
            return report;
        }
        _ => {}
    }
    // Parts without a single action, as ActivityNet's testing videos, are not trained on.
    if report.per_label.iter().all(|count| count.segments == 0) {
        return report;
    }
    match cut(untrimmed, at, &options.buffers, unmeasured, options.max_failed, options.skip_bad) {
        Ok(cut) => (report.buffers, report.skipped) = (cut.buffers.len(), cut.skipped),
        Err(error) => problems.push(format!("{}: {error}", report.name)),
    }
    report
}

fn sampled<'a>(part: &'a UntrimmedPart, options: &UntrimmedCheck) -> impl Iterator<Item = &'a UntrimmedVideo> {
    let found: Vec<&UntrimmedVideo> = part.videos.iter().filter(|video| video.media.is_some()).collect();
    let step = if options.sample == 0 { 1 } else { found.len().div_ceil(options.sample).max(1) };
    found.into_iter().step_by(step)
}

fn read_near_the_end(video: &UntrimmedVideo) -> Option<Failure> {
    let end_s = video.duration_s?;
    let span = Span::Between { start_s: end_s * 0.95, end_s };
    let item = Item { id: video.id.clone(), media: video.media.clone()?, span, label: 0 };
    let draw = Draw { start: 0.0, ..Augmentation::none().draw(0, 0, 0) };
    let form = ClipForm { frames: 1, ..ClipForm::default() };
    let read = guarded(|| draw_clip(&item, &form, &draw));
    read.err().map(|error| Failure { id: item.id, reason: error.to_string() })
}
