//! Buffers: windows of long videos that localization is trained on, with the actions in them.
//!
//! Which windows there are, and which actions count in them, follows `preprocess/thumos14/generate_roidb_training.py` of
//! R-C3D.pytorch (<https://github.com/sunnyxiaohu/R-C3D.pytorch>, MIT).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use unscene_media::Padding;

use super::collect::{past_the_end, refuse};
use super::{ActionSegment, Doubt, Untrimmed, UntrimmedPart, measure};
use crate::augment::Augmentation;
use crate::clip::ClipForm;
use crate::dataset::{Item, Media, Span};
use crate::error::{DataError, Result};
use crate::loader::Failure;

/// How long videos are cut into buffers. The default is that of R-C3D.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BufferSpec {
    /// Frames of a buffer.
    pub frames: usize,
    /// Frames per second, taken by time whatever the video's rate is.
    pub fps: f64,
    /// Frames from the start of a buffer to the start of the next; `None` is a quarter of a buffer.
    pub step_frames: Option<usize>,
    /// Share of an action that must lie in a buffer for the buffer to teach it.
    pub min_overlap: f64,
    /// Frames that an action must have.
    pub min_frames: usize,
}

impl Default for BufferSpec {
    /// 768 frames at 25 per second, which are 30 seconds; steps of 192; 70 % of an action of at least 3 frames.
    fn default() -> Self {
        BufferSpec { frames: 768, fps: 25.0, step_frames: None, min_overlap: 0.7, min_frames: 3 }
    }
}

impl BufferSpec {
    /// Frames from the start of a buffer to the start of the next.
    pub fn step(&self) -> usize {
        self.step_frames.unwrap_or(self.frames / 4).max(1)
    }

    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<String> {
        let BufferSpec { frames, fps, step_frames, min_overlap, .. } = self;
        if *frames == 0 || *step_frames == Some(0) {
            return Some(format!("buffer: found {frames} frames and steps of {step_frames:?}, expected at least 1"));
        }
        if !(*fps > 0.0 && *fps <= 1000.0) {
            return Some(format!("buffer: found {fps} fps, expected above 0 and at most 1000"));
        }
        if !(0.0..=1.0).contains(min_overlap) {
            return Some(format!("buffer: found min_overlap {min_overlap}, expected a share from 0 to 1"));
        }
        None
    }

    /// The form of clips that are buffers: their number of frames, rate and padding; sides and normalisation as given.
    pub fn form(&self, form: ClipForm) -> ClipForm {
        ClipForm { frames: self.frames, fps: Some(self.fps), padding: Padding::Last, ..form }
    }
}

/// How R-C3D varies its buffers: of a picture of 128 x 171 it takes 112 x 112, a corner or the middle, and mirrors half of
/// them. One draw is for all frames of a buffer.
pub fn buffer_augmentation() -> Augmentation {
    Augmentation { scales: vec![112.0 / 128.0], ..Augmentation::default() }
}

/// An action in a buffer, in frames from the buffer's start. Times between frames stay fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BufferSegment {
    /// Index of its label.
    pub label: usize,
    /// Where it begins.
    pub start: f64,
    /// Where it ends; the frame that begins here is not of it.
    pub end: f64,
}

/// A window of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Buffer {
    /// Index of its video in the part.
    pub video: usize,
    /// Its first frame, counted at the rate of [`BufferSpec::fps`].
    pub start_frame: u64,
    /// Frames of it that are in the video. What is missing to the whole buffer repeats the last.
    pub frames_in_video: usize,
    /// The actions in it, by their begin; cut where the buffer, or the video, ends.
    pub segments: Vec<BufferSegment>,
}

/// The buffers of a part, and what could not be used for them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buffers {
    /// Video by video; first those counted from its start, then those counted from its end.
    pub buffers: Vec<Buffer>,
    /// Segments that were left out because they are past the end of their video.
    pub skipped: Vec<Doubt>,
    /// Videos whose length cannot be read.
    pub unreadable: Vec<Failure>,
}

/// Cuts the videos of a part into buffers, after a look at how long they are ([`measure`]).
///
/// Windows follow each other by a step forwards from the start and backwards from the end. A window that both find counts
/// once, where the release has it twice; its mirrored copies are the loader's to draw. Actions shorter than
/// [`BufferSpec::min_frames`] and those with too small a share inside are not taught by a window, and windows without an
/// action are none.
///
/// # Errors
/// When there is no such part or no buffer in it, when more than `max_failed` of its videos have no length, and, unless
/// `skip_bad`, when a segment is past the end of its video.
pub fn buffers(
    untrimmed: &mut Untrimmed,
    part: &str,
    spec: &BufferSpec,
    max_failed: f64,
    skip_bad: bool,
) -> Result<Buffers> {
    if let Some(problem) = spec.problem() {
        return Err(DataError::Options { problem });
    }
    let names: Vec<&str> = untrimmed.parts.iter().map(|part| part.name.as_str()).collect();
    let Some(at) = names.iter().position(|name| *name == part) else {
        let problem = format!("there is no part {part:?}; the annotations have {}", names.join(", "));
        return Err(DataError::Options { problem });
    };
    let unreadable = measure(&mut untrimmed.parts[at]);
    cut(untrimmed, at, spec, unreadable, max_failed, skip_bad)
}

/// [`buffers`] of a part that was measured, as far as it could be read.
pub(super) fn cut(
    untrimmed: &Untrimmed,
    part: usize,
    spec: &BufferSpec,
    unreadable: Vec<Failure>,
    max_failed: f64,
    skip_bad: bool,
) -> Result<Buffers> {
    let (labels, part) = (&untrimmed.labels, &untrimmed.parts[part]);
    let found = part.videos.iter().filter(|video| video.media.is_some()).count();
    if let Some(first) = unreadable.first()
        && unreadable.len() as f64 > max_failed * found as f64
    {
        let (failed, first) = (unreadable.len(), first.reason.clone());
        return Err(DataError::TooManyFailures { failed, of: found, allowed: max_failed, first });
    }
    let (mut buffers, mut skipped) = (vec![], vec![]);
    for (index, video) in part.videos.iter().enumerate() {
        let (Some(media), Some(duration_s)) = (&video.media, video.duration_s) else { continue };
        if unreadable.iter().any(|failure| failure.id == video.id) {
            continue;
        }
        let mut segments = video.segments.clone();
        segments.retain(|segment| {
            let problem = past_the_end(segment.start_s, segment.end_s, duration_s);
            if let Some(problem) = &problem {
                let (Media::Video(path) | Media::Frames(path)) = media;
                let problem = format!("{}: {problem}", labels[segment.label]);
                skipped.push(Doubt { path: path.clone(), line: None, video: video.id.clone(), problem });
            }
            problem.is_none()
        });
        buffers.extend(of_video(index, frames(duration_s, spec.fps), segments, spec));
    }
    if !skip_bad {
        refuse(&skipped)?;
    }
    if buffers.is_empty() {
        let problem = format!(
            "{}: no buffer of {} frames holds an action; {} of its {} videos are there, {} cannot be read",
            part.name,
            spec.frames,
            found,
            part.videos.len(),
            unreadable.len()
        );
        return Err(DataError::Options { problem });
    }
    Ok(Buffers { buffers, skipped, unreadable })
}

/// Buffers as items of a [`Loader`](crate::Loader), in their order, with the label of their first action. Clips of the form
/// [`BufferSpec::form`] begin where the buffer does, whatever is drawn.
///
/// # Errors
/// When a buffer is not one of this part.
pub fn buffer_items(part: &UntrimmedPart, buffers: &[Buffer], spec: &BufferSpec) -> Result<Vec<Item>> {
    let item = |buffer: &Buffer| {
        let video = part.videos.get(buffer.video)?;
        let start_s = buffer.start_frame as f64 / spec.fps;
        let span = Span::Between { start_s, end_s: start_s + spec.frames as f64 / spec.fps };
        let id = format!("{}#{}+{}", video.id, buffer.start_frame, spec.frames);
        Some(Item { id, media: video.media.clone()?, span, label: buffer.segments.first()?.label })
    };
    let foreign = || DataError::Internal { problem: format!("a buffer is not one of part {}", part.name) };
    buffers.iter().map(|buffer| item(buffer).ok_or_else(foreign)).collect()
}

/// Frames that a video of this length shows at this rate: one at each k / fps before its end. A thousandth of a frame is
/// the rounding of a clock.
fn frames(duration_s: f64, fps: f64) -> u64 {
    (duration_s * fps - 1e-3).ceil().max(0.0) as u64
}

/// The buffers of a video of `length` frames.
fn of_video(video: usize, length: u64, mut segments: Vec<ActionSegment>, spec: &BufferSpec) -> Vec<Buffer> {
    segments.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let window = spec.frames as u64;
    let buffer = |start_frame: u64, keeps: &dyn Fn(f64, f64) -> bool| {
        let end_frame = (start_frame + window).min(length);
        let (start, end) = (start_frame as f64, end_frame as f64);
        let inside = segments.iter().filter_map(|segment| {
            let (first, last) = (segment.start_s * spec.fps, segment.end_s * spec.fps);
            let (cut_first, cut_last) = (first.max(start), last.min(end));
            let share = (cut_last - cut_first) / (last - first);
            let is_kept = first < end && last > start && keeps(last - first, share);
            is_kept.then_some(BufferSegment { label: segment.label, start: cut_first - start, end: cut_last - start })
        });
        let segments: Vec<BufferSegment> = inside.collect();
        let frames_in_video = (end_frame - start_frame) as usize;
        (!segments.is_empty()).then_some(Buffer { video, start_frame, frames_in_video, segments })
    };
    // The release draws both lines at different sides in its two directions, and so do we.
    let least = spec.min_frames as f64;
    let forwards = |frames: f64, share: f64| frames >= least && share >= spec.min_overlap;
    let backwards = |frames: f64, share: f64| frames > least && share > spec.min_overlap;
    let starts = (0..=length.saturating_sub(window)).step_by(spec.step()).filter(|_| length > 0);
    let mut buffers: Vec<Buffer> = starts.filter_map(|start| buffer(start, &forwards)).collect();
    // What goes forwards keeps whatever goes backwards does, so of two windows with one start the first says all.
    let known: HashSet<u64> = buffers.iter().map(|buffer| buffer.start_frame).collect();
    if length >= window {
        let starts = (0..=length - window).rev().step_by(spec.step()).filter(|start| !known.contains(start));
        buffers.extend(starts.filter_map(|start| buffer(start, &backwards)));
    }
    buffers
}

#[cfg(test)]
mod tests;
