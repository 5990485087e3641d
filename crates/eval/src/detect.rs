//! How well actors and what they do are found, frame by frame and as tubes.
//!
//! 1. [`DetectKnown`] reads a file of detections, and finds what it names that the annotations lack.
//! 2. [`evaluate`] ranks and matches them, and gives a [`DetectReport`]; [`mean_over_splits`] averages several.
//!
//! It sees detections, and not who made them: a file, a run and a bundle are measured by the same code.

mod errors;
mod evaluate;
mod json;
mod matching;
mod report;
#[cfg(test)]
mod slow;
mod splits;

pub use errors::ErrorReport;
pub use evaluate::evaluate;
pub use json::{DetectKnown, DetectionsFile};
pub use report::{ClassDetect, DetectReport};
pub use splits::mean_over_splits;

use unscene_vision::Tube;

/// A box that was found in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameDetection {
    /// Index of its video in the part.
    pub video: usize,
    /// The frame, counted from 0.
    pub frame: usize,
    /// Index of its label.
    pub label: usize,
    /// The higher, the surer; only the order matters.
    pub score: f32,
    /// Left, top, right, bottom in pixels of the displayed frame.
    pub corners: [f32; 4],
}

/// An actor's way that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct TubeDetection {
    /// Index of its video in the part.
    pub video: usize,
    /// The higher, the surer; only the order matters.
    pub score: f32,
    /// Its label and boxes.
    pub tube: Tube,
}
