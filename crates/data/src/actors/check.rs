//! Whether detection can be trained on a dataset of actors: what is there, what is not, what cannot be read.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use unscene_media::Frames;

use super::numbered::{advance_to, open_actors};
use super::{ActorPart, ActorVideo, Actors};
use crate::check::CheckControl;
use crate::clip::Opened;
use crate::dataset::Media;
use crate::error::Result;
use crate::loader::{Failure, guarded};
use crate::untrimmed::each;

/// How thorough a check is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActorCheck {
    /// Videos of each part that are read, spread over it; 0 reads all.
    pub sample: usize,
    /// Threads that read; 0 is one per core.
    pub workers: usize,
    /// Share of unreadable videos from which on training would stop.
    pub max_failed: f64,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct ActorReport {
    /// Of every part.
    pub parts: Vec<ActorPartReport>,
    /// Why training would fail; nothing when it would not.
    pub problems: Vec<String>,
}

/// What a check found in a part.
#[derive(Debug, Clone, Serialize)]
pub struct ActorPartReport {
    /// Such as `train`.
    pub name: String,
    /// Videos that the annotations name.
    pub videos: usize,
    /// Those that are on disk.
    pub found: usize,
    /// Ids of the others, where videos were looked for.
    pub missing: Vec<String>,
    /// Videos that were read.
    pub read: usize,
    /// Those that cannot be, or are not as the annotations say: of another size, or without frames that have actors.
    pub unreadable: Vec<Failure>,
    /// Frames with an actor, of all videos.
    pub frames: usize,
    /// Actors of each label.
    pub per_label: Vec<LabelActors>,
}

/// Actors of a label.
#[derive(Debug, Clone, Serialize)]
pub struct LabelActors {
    /// Its name.
    pub label: String,
    /// How many there are.
    pub tubes: usize,
    /// Boxes of them together.
    pub boxes: usize,
}

/// Number of videos that a check reads.
pub fn actors_to_check(actors: &Actors, options: &ActorCheck) -> usize {
    actors.parts.iter().map(|part| sampled(part, options).count()).sum()
}

/// Goes through every video up to its last frame with an actor. The first part is the one that is trained on.
pub fn check_actors(actors: &Actors, options: &ActorCheck, control: &CheckControl<'_>) -> ActorReport {
    let done = AtomicUsize::new(0);
    let parts = actors.parts.iter().map(|part| check_part(part, &actors.labels, options, &done, control));
    let parts: Vec<ActorPartReport> = parts.collect();
    let mut problems: Vec<String> = parts.iter().filter_map(|part| problem(part, options.max_failed)).collect();
    if let Some(ActorPartReport { name, per_label, .. }) = parts.first() {
        let empty: Vec<&str> = per_label.iter().filter(|count| count.tubes == 0).map(|count| &*count.label).collect();
        if !empty.is_empty() {
            let shown = empty.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            problems.push(format!("{name}: {} labels have no actor: {shown}", empty.len()));
        }
    }
    ActorReport { parts, problems }
}

fn check_part(
    part: &ActorPart,
    labels: &[String],
    options: &ActorCheck,
    done: &AtomicUsize,
    control: &CheckControl<'_>,
) -> ActorPartReport {
    let videos: Vec<(&ActorVideo, &Media)> = sampled(part, options).collect();
    let read = each(&videos, options.workers, |(video, media)| {
        if control(done.load(Ordering::Relaxed)).is_break() {
            return None;
        }
        let read = guarded(|| match open_actors(media, video, 1)? {
            Opened::Video(frames) => read(*frames, video),
            Opened::Pictures(frames) => read(*frames, video),
        });
        let _ = control(done.fetch_add(1, Ordering::Relaxed) + 1);
        Some(read.err().map(|error| Failure { id: video.id.clone(), reason: error.to_string() }))
    });
    let read: Vec<Option<Failure>> = read.into_iter().flatten().collect();
    let count = |(at, label): (usize, &String)| {
        let tubes = part.videos.iter().flat_map(|video| &video.tubes).filter(|tube| tube.label == at);
        let (tubes, boxes) = tubes.fold((0, 0), |(tubes, boxes), tube| (tubes + 1, boxes + tube.boxes.len()));
        LabelActors { label: label.clone(), tubes, boxes }
    };
    ActorPartReport {
        name: part.name.clone(),
        videos: part.videos.len(),
        found: part.videos.iter().filter(|video| video.media.is_some()).count(),
        missing: part.missing.clone(),
        read: read.len(),
        unreadable: read.into_iter().flatten().collect(),
        frames: part.videos.iter().map(|video| video.acted().len()).sum(),
        per_label: labels.iter().enumerate().map(count).collect(),
    }
}

fn sampled<'a>(part: &'a ActorPart, options: &ActorCheck) -> impl Iterator<Item = (&'a ActorVideo, &'a Media)> {
    let there = part.videos.iter().filter_map(|video| Some((video, video.media.as_ref()?)));
    let there: Vec<(&ActorVideo, &Media)> = there.collect();
    let step = if options.sample == 0 { 1 } else { there.len().div_ceil(options.sample).max(1) };
    there.into_iter().step_by(step)
}

/// Reads the last frame with an actor.
fn read(mut frames: impl Frames, video: &ActorVideo) -> Result<()> {
    let last_frame = video.tubes.iter().map(|tube| tube.end_frame()).max().unwrap_or(1).saturating_sub(1);
    advance_to(&mut frames, last_frame)?;
    let mut rgb = vec![0; frames.frame_bytes()];
    Ok(frames.write_current(&mut rgb)?)
}

/// Why training on a part, or testing on it, would fail.
fn problem(part: &ActorPartReport, max_failed: f64) -> Option<String> {
    let ActorPartReport { name, found, missing, read, unreadable, .. } = part;
    match (found, missing.first(), unreadable.first()) {
        // Nothing is wrong with annotations alone, when no videos were looked for.
        (0, Some(first), _) => {
            Some(format!("{name}: none of {} videos is there, {first} for one; check --videos", missing.len()))
        }
        (_, _, Some(Failure { id, reason })) if unreadable.len() as f64 > max_failed * *read as f64 => Some(format!(
            "{name}: {} of {read} videos cannot be read, more than the {:.1} % that may fail; {id}: {reason}",
            unreadable.len(),
            max_failed * 100.0
        )),
        _ => None,
    }
}
