//! Runs an exported model on a video, on ONNX Runtime or on tract.
//!
//! [`Bundle::open`] reads what `unscene export` wrote. [`Model::load`] puts a classifier on a thread of its own:
//! [`Model::classify`] takes a video to predictions, and [`Model::explain`] shows where their evidence lies. [`Localizer`] does
//! the same for models that find actions in long videos, [`Detector`] for those that find actors in frames. [`Network`] runs graphs that others exported. Nothing here links
//! libtorch.

mod backend;
mod backend_ort;
mod backend_tract;
mod bundle;
mod classify;
mod crops;
mod detect;
mod error;
mod explain;
mod graphs;
mod health;
mod live;
mod localize;
mod model;
mod network;
mod options;
mod overlap;
mod planes;
pub mod proto;
mod queue;
#[cfg(test)]
mod reel;
mod result;
mod runner;
mod session;

pub use bundle::Bundle;
pub use detect::{
    DetectForm, DetectGraph, DetectOptions, DetectSummary, Detection, Detector, FoundBox, FoundFrame, FoundTube, Seen,
    detect_with,
};
pub use error::{EngineError, Result};
pub use explain::Explanation;
pub use graphs::Graphs;
pub use live::{Live, LiveSummary};
pub use localize::{
    FoundProposal, FoundSegment, Localization, LocalizeForm, LocalizeGraphs, LocalizeOptions, Localizer, SegmentNms,
    localize_with,
};
pub use model::Model;
pub use network::{Array, Network};
pub use options::{DeviceChoice, EngineChoice, EngineOptions};
pub use result::{
    Classification, ClassifyOptions, ClipPrediction, Crops, Prediction, Progress, SoFar, Timing, VideoSummary,
};
pub use runner::Runner;
pub use session::BatchRun;
