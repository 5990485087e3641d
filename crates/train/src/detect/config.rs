//! The settings of training a detector.

use serde::{Deserialize, Serialize};
use unscene_data::actors::{ActorSpec, FrameAugmentation};
use unscene_models::vgg_ssd::SsdConfig;

use crate::SgdConfig;
use crate::fit::FitConfig;
use crate::start::StartSpec;

/// What a detector's training is made of. Saved beside its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectConfig {
    /// The model; `classes` is that of the dataset.
    pub model: SsdConfig,
    /// The dataset.
    pub data: ActorSpec,
    /// The part that is trained on.
    #[serde(default = "train_part")]
    pub train_part: String,
    /// The part whose loss chooses the best epoch.
    #[serde(default = "val_part")]
    pub val_part: String,
    /// Frames of each training video in an epoch, drawn from those in which somebody acts: neighbours are nearly the same.
    #[serde(default = "frames_per_video")]
    pub frames_per_video: usize,
    /// Frames of each video that is validated on, evenly spread.
    #[serde(default = "val_frames_per_video")]
    pub val_frames_per_video: usize,
    /// How frames vary.
    #[serde(default)]
    pub augmentation: FrameAugmentation,
    /// Frames in a batch; 32 in ssd.pytorch.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Overlap (IoU) from which on a prior is to find an actor.
    #[serde(default = "match_iou")]
    pub match_iou: f32,
    /// The learning rate of biases, times that of weights, as in Caffe's SSD and ROAD. Weight decay leaves biases alone.
    #[serde(default = "bias_lr_factor")]
    pub bias_lr_factor: f64,
    /// Share of a part's frames that may fail to be read before training stops.
    #[serde(default = "max_failed")]
    pub max_failed: f64,
    /// What all chance is drawn from.
    #[serde(default)]
    pub seed: u64,
    /// A pretrained run to begin with; random weights when not given.
    #[serde(default)]
    pub start: Option<StartSpec>,
    /// The loop.
    #[serde(default = "fit")]
    pub fit: FitConfig,
}

fn train_part() -> String {
    "train".into()
}

fn val_part() -> String {
    "val".into()
}

fn frames_per_video() -> usize {
    8
}

fn val_frames_per_video() -> usize {
    4
}

fn batch() -> usize {
    32
}

fn match_iou() -> f32 {
    0.5
}

fn bias_lr_factor() -> f64 {
    2.0
}

fn max_failed() -> f64 {
    0.05
}

fn fit() -> FitConfig {
    FitConfig { sgd: SgdConfig { lr: 5e-4, weight_decay: 5e-4, ..SgdConfig::default() }, ..FitConfig::default() }
}

impl DetectConfig {
    /// What is wrong with the numbers, if anything.
    pub fn problem(&self) -> Option<String> {
        let counts = [
            ("batch", self.batch),
            ("fit.epochs", self.fit.epochs),
            ("fit.accumulate", self.fit.accumulate),
            ("frames_per_video", self.frames_per_video),
            ("val_frames_per_video", self.val_frames_per_video),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Some(format!("{name} is 0, expected at least 1"));
        }
        let shares = [("max_failed", self.max_failed), ("match_iou", f64::from(self.match_iou))];
        if let Some((name, value)) = shares.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Some(format!("{name} is {value}, expected a share from 0 to 1"));
        }
        if !(self.bias_lr_factor >= 0.0 && self.bias_lr_factor.is_finite()) {
            return Some(format!("bias_lr_factor is {}, expected 0 or more", self.bias_lr_factor));
        }
        self.augmentation.problem().map(|problem| format!("augmentation.{problem}"))
    }
}
