//! What a classification takes and gives.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unscene_media::Limits;
use unscene_models::manifest::Task;

use crate::error::EngineError;

/// Which parts of the picture are classified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crops {
    /// The centre, as the paper's evaluation.
    #[default]
    Center,
    /// Both ends and the middle of the longer side; a clip's scores are the mean of the three.
    Three,
}

impl fmt::Display for Crops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Center => "center",
            Self::Three => "three",
        })
    }
}

impl FromStr for Crops {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        match text {
            "center" => Ok(Self::Center),
            "three" => Ok(Self::Three),
            _ => Err(EngineError::Argument {
                what: "crops",
                found: format!("{text:?}"),
                expected: "center or three".into(),
            }),
        }
    }
}

/// How a video is classified.
#[derive(Clone, Debug)]
pub struct ClassifyOptions {
    /// Predictions to return. 5 by default, as top-5 is what is commonly reported.
    pub top_k: usize,
    /// Sampled frames between the starts of two clips; by default the bundle's (side by side).
    pub stride_frames: Option<usize>,
    /// Parts of the picture.
    pub crops: Crops,
    /// Whether to return every clip's predictions too.
    pub clips: bool,
    /// What a video may be at most that is opened here; frames that are given are bounded by their decoder.
    pub limits: Limits,
}

impl Default for ClassifyOptions {
    fn default() -> Self {
        Self { top_k: 5, stride_frames: None, crops: Crops::Center, clips: false, limits: Limits::default() }
    }
}

/// How far a classification has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Clips decoded so far.
    pub clips: usize,
    /// End of the last clip decoded, in seconds from the start of the video.
    pub time_s: f64,
    /// Length of the video, where its file states one.
    pub duration_s: Option<f64>,
}

/// Gives the classes over the clips so far, best first.
pub type SoFar<'a> = dyn Fn() -> Vec<Prediction> + 'a;

/// Asked now and then, between batches and while a graph is busy, whether to go on.
pub(crate) type Control<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// The answer to a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Classification {
    /// The model's name.
    pub model: String,
    /// Always `classify`.
    pub task: Task,
    /// Name and version of the engine that ran.
    pub engine: String,
    /// The device that it ran on.
    pub device: String,
    /// What was classified.
    pub video: VideoSummary,
    /// The best classes, best first; scores are the mean of the clips' probabilities.
    pub predictions: Vec<Prediction>,
    /// For each of `predictions` the clip that says so most: when it begins, in seconds from the start of the video.
    #[serde(skip)]
    pub strongest_s: Vec<f64>,
    /// Every clip's best classes, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clips: Option<Vec<ClipPrediction>>,
    /// Where the time went.
    pub timing: Timing,
}

/// The video as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VideoSummary {
    /// Length in seconds, where the file states one; otherwise the end of the last clip.
    pub duration_s: f64,
    /// Displayed width in pixels.
    pub width: u32,
    /// Displayed height in pixels.
    pub height: u32,
    /// Average frames per second.
    pub fps: f64,
    /// Frames sampled.
    pub frames: u64,
    /// Clips classified, or windows looked at.
    pub clips: usize,
    /// Damaged packets that were passed over: not 0 means that parts of the video are missing.
    pub damaged_packets: u64,
}

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Prediction {
    /// The class's name.
    pub label: String,
    /// The class's index.
    pub index: usize,
    /// Probability, 0 to 1.
    pub score: f32,
}

/// The best classes of one clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClipPrediction {
    /// Start of the clip's first frame, in seconds from the start of the video.
    pub start_s: f64,
    /// End of the clip's last frame in seconds.
    pub end_s: f64,
    /// The best classes, best first.
    pub predictions: Vec<Prediction>,
}

/// Seconds per stage. Stages overlap, so that the total is less than their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Timing {
    /// Decoding, scaling and normalising.
    pub decode_s: f64,
    /// Running the model, without waiting for other requests.
    pub inference_s: f64,
    /// From the call to the answer.
    pub total_s: f64,
}
