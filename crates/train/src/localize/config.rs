//! The settings of training a localizer.

use serde::{Deserialize, Serialize};
use unscene_data::Augmentation;
use unscene_data::untrimmed::{BufferSpec, UntrimmedSpec, buffer_augmentation};
use unscene_models::rc3d::Rc3dConfig;
use unscene_vision::{AnchorRule, ProposalRule, RegionRule};

use crate::SgdConfig;
use crate::fit::FitConfig;
use crate::start::StartSpec;

/// What a localizer's training is made of. Saved beside its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalizeConfig {
    /// The model; `classes` is that of the dataset.
    pub model: Rc3dConfig,
    /// The dataset.
    pub data: UntrimmedSpec,
    /// The part that is trained on; THUMOS14 trains on `val`.
    #[serde(default = "train_part")]
    pub train_part: String,
    /// The part whose loss chooses the best epoch.
    #[serde(default = "val_part")]
    pub val_part: String,
    /// Frames per second of buffers; 25 in the release.
    #[serde(default = "fps")]
    pub fps: f64,
    /// Frames from one training buffer to the next; a quarter of a buffer when not given, as in the release.
    #[serde(default)]
    pub step_frames: Option<usize>,
    /// Actions of which less than this share lies in a buffer are not taught there.
    #[serde(default = "min_overlap")]
    pub min_overlap: f64,
    /// Nor are shorter ones, in frames.
    #[serde(default = "min_frames")]
    pub min_frames: usize,
    /// The short side, in pixels, of the picture whose middle is validated, tested and served; 8/7 of the model's size when not
    /// given, as 128 for 112. Where training shows whole pictures, it is the model's size.
    #[serde(default)]
    pub short_side: Option<usize>,
    /// How buffers vary: 7/8 of the short side, as 112 of 128, from the middle or a corner.
    #[serde(default = "buffer_augmentation")]
    pub augmentation: Augmentation,
    /// Buffers in a batch.
    #[serde(default = "one_buffer")]
    pub batch: usize,
    /// Share of a part's buffers that may fail to be read before training stops.
    #[serde(default = "max_failed")]
    pub max_failed: f64,
    /// What all chance is drawn from.
    #[serde(default)]
    pub seed: u64,
    /// What anchors and proposals are trained towards.
    #[serde(default)]
    pub targets: TargetConfig,
    /// What BatchNorm normalises by.
    #[serde(default)]
    pub batch_norm: BatchNorm,
    /// The first layer that is trained; what comes before stays as it was taken over, conv1 and bn1 in the release. Without a
    /// run to begin with, everything is trained.
    #[serde(default = "first_trained")]
    pub train_from: String,
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

fn fps() -> f64 {
    25.0
}

fn min_overlap() -> f64 {
    0.7
}

fn min_frames() -> usize {
    3
}

fn max_failed() -> f64 {
    0.05
}

fn one_buffer() -> usize {
    1
}

fn first_trained() -> String {
    "layer1".into()
}

fn fit() -> FitConfig {
    FitConfig { sgd: SgdConfig { lr: 1e-4, weight_decay: 5e-4, ..SgdConfig::default() }, ..FitConfig::default() }
}

/// What BatchNorm normalises by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchNorm {
    /// The running statistics of the run to begin with, which stay as they are with its weights, as in the release: batches of one
    /// buffer say little of others. Without such a run, as `trained`.
    #[default]
    Fixed,
    /// The batch; its weights are trained.
    Trained,
}

/// What anchors and proposals are trained towards. The defaults are those of the release on THUMOS14.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetConfig {
    /// Anchors of a buffer that are trained on.
    pub anchors: usize,
    /// The largest share of these that shows an action.
    pub anchor_share: f64,
    /// Overlap (tIoU) from which on an anchor shows an action.
    pub anchor_action: f64,
    /// Overlap below which it shows nothing.
    pub anchor_background: f64,
    /// Segments of a buffer that the head is trained on.
    pub regions: usize,
    /// The largest share of these that shows an action.
    pub region_share: f64,
    /// Overlap from which on a segment shows an action.
    pub region_action: f64,
    /// Overlap from which on a segment is an example of the background.
    pub region_background: f64,
    /// Anchors, best first, that may become proposals in training.
    pub before_nms: usize,
    /// Overlap above which one is left out for a better one.
    pub proposal_tiou: f64,
    /// Proposals of a buffer among which segments are drawn.
    pub proposals: usize,
}

impl Default for TargetConfig {
    fn default() -> Self {
        TargetConfig {
            anchors: 64,
            anchor_share: 0.5,
            anchor_action: 0.7,
            anchor_background: 0.3,
            regions: 128,
            region_share: 0.5,
            region_action: 0.5,
            region_background: 0.1,
            before_nms: 12_000,
            proposal_tiou: 0.8,
            proposals: 2_000,
        }
    }
}

impl TargetConfig {
    pub(super) fn anchor_rule(&self) -> AnchorRule {
        AnchorRule { action: self.anchor_action, background: self.anchor_background }
    }

    pub(super) fn proposal_rule(&self) -> ProposalRule {
        ProposalRule { before_nms: self.before_nms, max_tiou: self.proposal_tiou, most: self.proposals }
    }

    pub(super) fn region_rule(&self) -> RegionRule {
        let TargetConfig { regions, region_share, region_action, region_background, .. } = *self;
        RegionRule { regions, action_share: region_share, action: region_action, background: region_background }
    }
}

impl LocalizeConfig {
    /// How videos are cut into training buffers.
    pub fn buffers(&self) -> BufferSpec {
        let LocalizeConfig { fps, step_frames, min_overlap, min_frames, .. } = *self;
        BufferSpec { frames: self.model.frames, fps, step_frames, min_overlap, min_frames }
    }

    /// The short side of the picture whose middle is tested; nothing for a size that is no size.
    pub(super) fn short_side(&self) -> Option<usize> {
        self.short_side.or_else(|| self.model.size.checked_mul(8).map(|side| side / 7))
    }

    /// What is wrong with the numbers, if anything.
    pub fn problem(&self) -> Option<String> {
        let targets = &self.targets;
        let shares = [
            ("min_overlap", self.min_overlap),
            ("max_failed", self.max_failed),
            ("targets.anchor_share", targets.anchor_share),
            ("targets.anchor_action", targets.anchor_action),
            ("targets.anchor_background", targets.anchor_background),
            ("targets.region_share", targets.region_share),
            ("targets.region_action", targets.region_action),
            ("targets.region_background", targets.region_background),
            ("targets.proposal_tiou", targets.proposal_tiou),
        ];
        if let Some((name, value)) = shares.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Some(format!("{name} is {value}, expected a share from 0 to 1"));
        }
        let counts = [
            ("batch", self.batch),
            ("fit.epochs", self.fit.epochs),
            ("fit.accumulate", self.fit.accumulate),
            ("targets.anchors", targets.anchors),
            ("targets.regions", targets.regions),
            ("targets.before_nms", targets.before_nms),
            ("targets.proposals", targets.proposals),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Some(format!("{name} is 0, expected at least 1"));
        }
        if self.short_side().is_none_or(|side| side < self.model.size) {
            return Some(format!(
                "short_side is {:?}, expected at least model.size {}",
                self.short_side, self.model.size
            ));
        }
        if !(self.fps > 0.0 && self.fps <= 1000.0) {
            return Some(format!("fps is {}, expected above 0 and at most 1000", self.fps));
        }
        None
    }
}
