//! Videos in which actions begin and end: what temporal localization is trained and tested on.

mod activitynet;
mod buffers;
mod check;
mod collect;
mod lengths;
mod spec;
mod thumos14;

use std::path::PathBuf;

use serde::Serialize;

use crate::dataset::Media;

pub use buffers::{Buffer, BufferSegment, BufferSpec, Buffers, buffer_augmentation, buffer_items, buffers};
pub use check::{
    LabelSegments, UntrimmedCheck, UntrimmedPartReport, UntrimmedReport, check_untrimmed, untrimmed_to_check,
};
pub use collect::OVERRUN_S;
pub(crate) use collect::refuse;
pub(crate) use lengths::each;
pub use lengths::measure;
pub use spec::{UntrimmedFormat, UntrimmedSpec};

/// An action in a video, from one time to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActionSegment {
    /// Index of its label.
    pub label: usize,
    /// When it begins, in seconds from the start of the video.
    pub start_s: f64,
    /// When it ends.
    pub end_s: f64,
}

/// A video and the actions in it.
#[derive(Debug, Clone, PartialEq)]
pub struct UntrimmedVideo {
    /// The name by which annotations and detections know it, such as `video_test_0000004`.
    pub id: String,
    /// Its pictures; `None` where only annotations were asked for, or the disk lacks it.
    pub media: Option<Media>,
    /// Its length, where the annotations say.
    pub duration_s: Option<f64>,
    /// In the order of the annotations.
    pub segments: Vec<ActionSegment>,
    /// Moments of which nobody can say what they show (THUMOS14's `Ambiguous`), start and end in seconds: detections there
    /// are neither right nor wrong.
    pub ambiguous: Vec<(f64, f64)>,
}

/// One part of an untrimmed dataset, such as `val`, which THUMOS14 trains on, or `test`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UntrimmedPart {
    /// Its name, as the annotations have it.
    pub name: String,
    /// Its videos, by id.
    pub videos: Vec<UntrimmedVideo>,
    /// Ids of videos that the annotations name and the disk lacks.
    pub missing: Vec<String>,
}

/// An annotation that cannot be right.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Doubt {
    /// The file.
    pub path: PathBuf,
    /// The line, where there is one.
    pub line: Option<u64>,
    /// The video.
    pub video: String,
    /// What was found and what was expected, such as a segment that ends before it begins.
    pub problem: String,
}

/// Videos with actions in them, in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Untrimmed {
    /// Names of the labels. THUMOS14's are in the order of `detclasslist.txt`.
    pub labels: Vec<String>,
    /// The numbers by which files of detections name the labels: THUMOS14's are 7, 9, 12 and so on. `labels[i]` is
    /// `class_ids[i]`; counted from 0 where the format has no numbers.
    pub class_ids: Vec<u32>,
    /// The parts.
    pub parts: Vec<UntrimmedPart>,
    /// Annotations that were left out, because they were asked to be.
    pub skipped: Vec<Doubt>,
}

impl Untrimmed {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&UntrimmedPart> {
        self.parts.iter().find(|part| part.name == name)
    }
}
