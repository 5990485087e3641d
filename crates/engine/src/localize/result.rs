//! What a localization takes and gives.

use serde::{Deserialize, Serialize};
use unscene_media::Limits;
use unscene_models::manifest::{ClipInput, LocalizeInfo, Task};

use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::result::{Timing, VideoSummary};

/// A localizer as the sliding sees it: what a bundle's manifest or a run's config says.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalizeForm {
    /// The model's name in answers.
    pub model: String,
    /// Class names.
    pub labels: Vec<String>,
    /// How windows are prepared.
    pub input: ClipInput,
    /// Sampled frames per second.
    pub fps: f64,
    /// Sampled frames from the start of a window to the start of the next, by default.
    pub stride_frames: usize,
    /// Anchors, and what is made of scores.
    pub info: LocalizeInfo,
}

impl LocalizeForm {
    /// What a bundle's manifest says.
    ///
    /// # Errors
    /// When it is of another task.
    pub fn of_bundle(bundle: &Bundle) -> Result<Self> {
        let manifest = &bundle.manifest;
        let (Some(info), Some(fps)) = (&manifest.localize, manifest.fps) else {
            let (found, expected) = (manifest.task, Task::Localize);
            return Err(EngineError::WrongTask { dir: bundle.dir.clone(), found, expected });
        };
        Ok(Self {
            model: bundle.name(),
            labels: manifest.labels.clone(),
            input: manifest.input.clone(),
            fps,
            stride_frames: manifest.stride_frames,
            info: info.clone(),
        })
    }
}

/// Which of the segments that overlap are left out for a better one of their class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum SegmentNms {
    /// Those that the model's own rule says.
    #[default]
    Rule,
    /// Those that overlap by more than this tIoU.
    Above(f64),
    /// None: for protocols that do it themselves.
    Off,
}

/// How a video is localized.
#[derive(Clone, Debug)]
pub struct LocalizeOptions {
    /// Sampled frames between the starts of two windows; by default the model's.
    pub stride_frames: Option<usize>,
    /// Segments of lower scores are not told; by default the model's rule.
    pub threshold: Option<f32>,
    /// What becomes of segments that overlap.
    pub nms: SegmentNms,
    /// Segments to return, best first; all by default.
    pub max_segments: Option<usize>,
    /// Proposals to return, best first; none by default. They say where something happens, and not what.
    pub proposals: usize,
    /// What a video may be at most that is opened here; frames that are given are bounded by their decoder.
    pub limits: Limits,
}

impl Default for LocalizeOptions {
    fn default() -> Self {
        Self {
            stride_frames: None,
            threshold: None,
            nms: SegmentNms::Rule,
            max_segments: None,
            proposals: 0,
            limits: Limits::default(),
        }
    }
}

impl LocalizeOptions {
    /// # Errors
    /// [`EngineError::Argument`] for the first option that is out of range.
    pub(super) fn check(&self) -> Result<()> {
        let wrong =
            |what, found: String, expected: &str| Err(EngineError::Argument { what, found, expected: expected.into() });
        if self.stride_frames == Some(0) {
            return wrong("stride_frames", "0".into(), "at least 1");
        }
        if let Some(threshold) = self.threshold.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
            return wrong("threshold", threshold.to_string(), "a score from 0 to 1");
        }
        match self.nms {
            SegmentNms::Above(tiou) if !(0.0..=1.0).contains(&tiou) => {
                wrong("tiou_nms", tiou.to_string(), "an overlap from 0 to 1")
            }
            _ => Ok(()),
        }
    }
}

/// The actions of a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Localization {
    /// The model's name.
    pub model: String,
    /// Always `localize`.
    pub task: Task,
    /// Name and version of the engine that ran.
    pub engine: String,
    /// The device that it ran on.
    pub device: String,
    /// What was looked at; its clips are windows.
    pub video: VideoSummary,
    /// The segments found, best first.
    pub segments: Vec<FoundSegment>,
    /// Where something happens whatever it is, best first, when asked for.
    #[serde(skip)]
    pub proposals: Vec<FoundProposal>,
    /// Where the time went.
    pub timing: Timing,
}

/// An action and when it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FoundSegment {
    /// The class's name.
    pub label: String,
    /// The class's index.
    pub index: usize,
    /// Probability, 0 to 1.
    pub score: f32,
    /// Its begin, in seconds from the start of the video.
    pub start_s: f64,
    /// Its end in seconds.
    pub end_s: f64,
}

/// A part of a video in which something happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundProposal {
    /// Probability that it shows an action, 0 to 1.
    pub score: f32,
    /// Its begin, in seconds from the start of the video.
    pub start_s: f64,
    /// Its end in seconds.
    pub end_s: f64,
}
