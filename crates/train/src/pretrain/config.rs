//! The settings of pretraining.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unscene_data::formats::DatasetSpec;
use unscene_data::{Augmentation, ClipForm, Fill};
use unscene_models::classifier::ClassifierConfig;

use crate::fit::FitConfig;
use crate::start::StartSpec;

/// What a pretraining run is made of. Saved beside its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// The video model; `classes` is that of the dataset.
    pub model: ClassifierConfig,
    /// The dataset.
    pub data: DatasetSpec,
    /// The part that is trained on.
    #[serde(default = "train_part")]
    pub train_part: String,
    /// The part whose loss chooses the best epoch.
    #[serde(default = "val_part")]
    pub val_part: String,
    /// Frames per second of clips; every frame when not given.
    #[serde(default)]
    pub fps: Option<f64>,
    /// How clips vary.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Clips in a batch; 32 in the paper.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Share of an epoch's videos that may fail before training ends with an error.
    #[serde(default = "max_failed")]
    pub max_failed: f64,
    /// What all chance is drawn from.
    #[serde(default)]
    pub seed: u64,
    /// Protected attributes; none is the baseline.
    #[serde(default, rename = "adversary")]
    pub adversaries: Vec<AdversarySpec>,
    /// The human-mask confusion; none is the baseline.
    #[serde(default)]
    pub confusion: Option<ConfusionSpec>,
    /// Another run to begin with; random weights when not given.
    #[serde(default)]
    pub start: Option<StartSpec>,
    /// The loop.
    #[serde(default)]
    pub fit: FitConfig,
}

fn train_part() -> String {
    "train".into()
}

fn val_part() -> String {
    "val".into()
}

fn batch() -> usize {
    32
}

fn max_failed() -> f64 {
    0.05
}

/// A protected attribute of every video, from a cache that `unscene annotate scenes` made: scenes, or any other labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdversarySpec {
    /// Its name in logs and snapshots.
    pub name: String,
    /// The cache.
    pub cache: PathBuf,
    /// How strongly features move against it.
    #[serde(default = "half")]
    pub lambda: f64,
    /// Epochs over which lambda rises from nothing, in equal steps: an adversary that knows nothing yet has nothing to say.
    #[serde(default)]
    pub ramp_epochs: usize,
    /// Times the common learning rate.
    #[serde(default = "one")]
    pub lr_factor: f64,
    /// Its steps in each iteration.
    #[serde(default = "one_step")]
    pub steps: usize,
    /// Whether the likeliest label stands for the distribution (an ablation of the paper).
    #[serde(default)]
    pub hard: bool,
}

fn one_step() -> usize {
    1
}

fn half() -> f64 {
    0.5
}

/// The loss on clips whose people are masked out, from a cache that `unscene annotate people` made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfusionSpec {
    /// The cache.
    pub people: PathBuf,
    /// Weight of the entropy.
    #[serde(default = "one")]
    pub weight: f64,
    /// What people are filled with.
    #[serde(default)]
    pub fill: Fill,
    /// What BatchNorm normalises masked clips by.
    #[serde(default)]
    pub statistics: Statistics,
    /// Boxes of at least this score are filled.
    #[serde(default = "min_score")]
    pub min_score: f32,
    /// Videos with somebody in at least this share of the frames take part.
    #[serde(default = "min_share")]
    pub min_share: f64,
}

/// What BatchNorm normalises masked clips by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistics {
    /// Their own, which also enter the running statistics, as in the paper's release.
    #[default]
    Batch,
    /// Those of ordinary clips: masked ones are seen as testing would see them, and leave no trace.
    Running,
}

fn one() -> f64 {
    1.0
}

fn min_score() -> f32 {
    0.3
}

fn min_share() -> f64 {
    0.7
}

impl PretrainConfig {
    /// The form in which the model takes clips.
    pub fn clip_form(&self) -> ClipForm {
        let ClassifierConfig { frames, size, .. } = self.model;
        let normalization = super::colours_of(self.model.clone());
        let form = ClipForm { frames, height: size, width: size, short_side: size, ..ClipForm::default() };
        ClipForm { fps: self.fps, normalization, ..form }
    }

    /// What is wrong with the numbers, if anything.
    pub fn problem(&self) -> Option<String> {
        let weights = self.adversaries.iter().map(|spec| (format!("adversary {:?}: lambda", spec.name), spec.lambda));
        let factors =
            self.adversaries.iter().map(|spec| (format!("adversary {:?}: lr_factor", spec.name), spec.lr_factor));
        let confusion = self.confusion.iter().map(|spec| ("confusion.weight".to_string(), spec.weight));
        let negative = weights.chain(factors).chain(confusion).find(|(_, value)| !(*value >= 0.0 && value.is_finite()));
        if let Some((name, value)) = negative {
            return Some(format!("{name} is {value}, expected a number from 0 on"));
        }
        let names: Vec<&str> = self.adversaries.iter().map(|spec| spec.name.as_str()).collect();
        let taken = |(at, name): (usize, &&str)| *name == "model" || names[..at].contains(name) || name.contains('.');
        if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| taken((*at, name))) {
            return Some(format!("adversary {name:?}: give each a name of its own, not \"model\" and without dots"));
        }
        if self.adversaries.iter().any(|spec| spec.steps == 0) {
            return Some("adversary: steps is 0, expected at least 1".into());
        }
        if !(0.0..=1.0).contains(&self.max_failed) {
            return Some(format!("max_failed is {}, expected a share from 0 to 1", self.max_failed));
        }
        if self.fit.accumulate == 0 {
            return Some("fit.accumulate is 0, expected at least 1".into());
        }
        None
    }
}
