//! What a detection takes and gives.

use serde::{Deserialize, Serialize};
use unscene_media::Limits;
use unscene_models::manifest::{ClipInput, Task};
use unscene_models::vgg_ssd::DetectInfo;
use unscene_vision::{DetectRule, Prior, TubeRule, priors};

use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::result::{Timing, VideoSummary};

/// A detector as the frames see it: what a bundle's manifest or a run's config says.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectForm {
    /// The model's name in answers.
    pub model: String,
    /// Class names.
    pub labels: Vec<String>,
    /// How frames are prepared; they are stretched to its size.
    pub input: ClipInput,
    /// Boxes that the network moves, in the order of its outputs.
    pub priors: Vec<Prior>,
    /// Which boxes of a frame are looked at.
    pub rule: DetectRule,
    /// How they become tubes.
    pub tubes: TubeRule,
}

impl DetectForm {
    /// A model of that name, those labels and that input.
    pub fn new(model: String, labels: Vec<String>, input: ClipInput, info: &DetectInfo) -> Self {
        // SSD's frames are squares; `height` is their side.
        let priors = priors(input.height, &info.maps);
        Self { model, labels, input, priors, rule: info.rule, tubes: info.tubes }
    }

    /// What a bundle's manifest says.
    ///
    /// # Errors
    /// When it is of another task.
    pub fn of_bundle(bundle: &Bundle) -> Result<Self> {
        let manifest = &bundle.manifest;
        let Some(info) = &manifest.detect else {
            let (found, expected) = (manifest.task, Task::Detect);
            return Err(EngineError::WrongTask { dir: bundle.dir.clone(), found, expected });
        };
        Ok(Self::new(bundle.name(), manifest.labels.clone(), manifest.input.clone(), info))
    }
}

/// How actors are looked for in a video.
#[derive(Clone, Debug)]
pub struct DetectOptions {
    /// Every so many frames one is looked at; 1 looks at all.
    pub every: usize,
    /// Boxes and tubes of lower scores are not told; 0 tells all that the model's rule keeps. Tubes are made of all boxes in any
    /// case.
    pub threshold: f32,
    /// Whether to link boxes to tubes.
    pub tubes: bool,
    /// What a video may be at most that is opened here; frames that are given are bounded by their decoder.
    pub limits: Limits,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self { every: 1, threshold: 0.25, tubes: false, limits: Limits::default() }
    }
}

impl DetectOptions {
    /// # Errors
    /// [`EngineError::Argument`] for the first option that is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong =
            |what, found: String, expected: &str| Err(EngineError::Argument { what, found, expected: expected.into() });
        if self.every == 0 {
            return wrong("every", "0".into(), "at least 1");
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return wrong("threshold", self.threshold.to_string(), "a score from 0 to 1");
        }
        Ok(())
    }
}

/// What is told of a video while it is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// A frame, in the order of the video.
    Frame(FoundFrame),
    /// A tube, as soon as its end is settled.
    Tube(FoundTube),
}

/// The actors of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FoundFrame {
    /// The frame's number, from 0.
    pub frame: usize,
    /// When it is shown, in seconds from the start of the video.
    pub time_s: f64,
    /// Its boxes, best first.
    pub boxes: Vec<FoundBox>,
}

/// An actor in a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FoundBox {
    /// What they do: the class's name.
    pub label: String,
    /// The class's index.
    pub index: usize,
    /// Probability, 0 to 1.
    pub score: f32,
    /// Left, top, right, bottom in pixels of the displayed frame.
    #[serde(rename = "box")]
    pub corners: [f32; 4],
}

/// An actor's way through a stretch of the video in which they act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FoundTube {
    /// Tubes count from 0 in the order in which they are told.
    pub id: usize,
    /// What they do: the class's name.
    pub label: String,
    /// The class's index.
    pub index: usize,
    /// The mean of the surest frames, 0 to 1.
    pub score: f32,
    /// Its begin, in seconds from the start of the video.
    pub start_s: f64,
    /// Its end in seconds.
    pub end_s: f64,
    /// Its first frame, from 0.
    pub start_frame: usize,
    /// A box of each frame from there on, as those of frames. Frames that were not looked at, or had none, have what lies between.
    pub boxes: Vec<[f32; 4]>,
    /// The score of each box.
    pub scores: Vec<f32>,
}

/// What was looked at, and by what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DetectSummary {
    /// The model's name.
    pub model: String,
    /// Always `detect`.
    pub task: Task,
    /// Name and version of the engine that ran.
    pub engine: String,
    /// The device that it ran on.
    pub device: String,
    /// The video; its clips are frames that were looked at.
    pub video: VideoSummary,
    /// Where the time went.
    pub timing: Timing,
}

/// The actors of a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Detection {
    /// What was looked at, and by what.
    #[serde(flatten)]
    pub summary: DetectSummary,
    /// Every frame that was looked at, in order.
    pub frames: Vec<FoundFrame>,
    /// Tubes, best first, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tubes: Option<Vec<FoundTube>>,
}
