//! Runs an exported model on a video, on ONNX Runtime or on tract.
//!
//! [`Bundle::open`] reads what `unscene export` wrote, [`Model::load`] puts it on a thread of its own, and
//! [`Model::classify`] takes a video to predictions, [`Model::explain`] shows where their evidence lies. [`Network`] runs graphs that others exported. Nothing here links
//! libtorch.

mod backend;
mod backend_ort;
mod backend_tract;
mod bundle;
mod classify;
mod crops;
mod error;
mod explain;
mod model;
mod network;
mod options;
mod result;
mod session;

pub use bundle::Bundle;
pub use error::{EngineError, Result};
pub use explain::Explanation;
pub use model::Model;
pub use network::{Array, Network};
pub use options::{DeviceChoice, EngineChoice, EngineOptions};
pub use result::{Classification, ClassifyOptions, ClipPrediction, Crops, Prediction, Progress, Timing, VideoSummary};
