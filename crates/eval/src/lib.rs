//! What a model has learned: of actions, of scenes, and of clips without people.
//!
//! 1. [`score`] runs a model over all clips of a part, after the paper's test: non-overlapping clips cut from the middle, class
//!    probabilities averaged over the video. It gives [`VideoScores`].
//! 2. [`ActionReport`] counts: top-1, top-5, mean class, entropy.
//! 3. [`probe`] asks what a linear classifier reads off the features.
//!
//! [`scene_bias`] measures a dataset instead of a model: how far the scene alone gives the action away.
//!
//! [`localize`] scores detections of actions in untrimmed videos, and [`detect`] those of actors in frames, whoever made them.
//!
//! Clips whose people are masked out, or whose frames are shuffled ([`shuffle_frames`]), are scored the same way.
//!
//! The model is a function, so that a run and its exported bundle are measured by the same code.

mod action;
mod bias;
pub mod detect;
mod error;
mod linear;
pub mod localize;
mod probe;
mod score;
mod shuffle;

pub use action::{ActionReport, ClassAccuracy};
pub use bias::{Correlation, SceneBias, deviation, mean, pearson, scene_bias};
pub use error::{EvalError, Result};
pub use probe::{ProbeReport, probe};
pub use score::{Forward, Outputs, Scored, VideoScores, score};
pub use shuffle::shuffle_frames;
