//! Looks at the frames of a dataset with other people's models, once, and keeps what they say: the scene of every
//! video, and the people in it.
//!
//! 1. [`FrameModel`] is an ONNX classifier or detector, with a small config that says how it wants its pictures and what
//!    its outputs mean.
//! 2. [`annotate`] takes videos through it into a cache, and goes on where it was stopped.
//!    [`import`] takes what the paper's release found into the same form.
//! 3. [`preview`] draws what a cache says, and [`scene_agreement`] and [`people_agreement`] compare it with Stage,
//!    whose truth [`scene_truth`] and [`people_truth`] write into the same form.

mod agree;
mod config;
mod error;
mod import;
mod model;
mod preview;
mod run;
mod truth;

pub use agree::{PeopleAgreement, SceneAgreement, people_agreement, scene_agreement};
pub use config::{Activation, InputConfig, PeopleConfig, ScenesConfig, ScenesOutput, read_labels};
pub use error::{AnnotateError, Result};
pub use import::{ImportOptions, import};
pub use model::FrameModel;
pub use preview::{PreviewItem, preview};
pub use run::{AnnotateOptions, Control, Progress, Report, annotate};
pub use truth::{people_truth, scene_truth};
