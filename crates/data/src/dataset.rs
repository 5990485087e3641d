//! What a dataset is, whatever its format: labels, and parts made of labelled videos.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the pictures of an item are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// A video file.
    Video(PathBuf),
    /// A folder of JPEG or PNG pictures in the order of their names, or one picture.
    Frames(PathBuf),
}

/// The part of a video that belongs to an item.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// All of it.
    #[default]
    Whole,
    /// From one time to another, in seconds from the first frame.
    Between {
        /// The first moment.
        start_s: f64,
        /// The moment after the last.
        end_s: f64,
    },
    /// As `Between` in a video that is longer than that; a shorter one has been cut already, and counts whole.
    BetweenUnlessCut {
        /// The first moment.
        start_s: f64,
        /// The moment after the last.
        end_s: f64,
    },
}

/// One labelled video, or a labelled part of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The name by which caches and results know it: as the list writes it, without the file's extension; unique within
    /// a part. An item that is a part of a video has its times in it.
    pub id: String,
    /// Its pictures.
    pub media: Media,
    /// The part of them that it is.
    pub span: Span,
    /// Index of its label.
    pub label: usize,
}

/// One part of a dataset, such as the training videos.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// Such as `train`, `val`, `test`.
    pub name: String,
    /// What is there, in the order of the list.
    pub items: Vec<Item>,
    /// Paths that the list names and the disk lacks, in the order of the list.
    pub missing: Vec<PathBuf>,
}

/// Labelled videos in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Names of the labels.
    pub labels: Vec<String>,
    /// The parts, `train` first.
    pub parts: Vec<Part>,
}

impl Dataset {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }
}
