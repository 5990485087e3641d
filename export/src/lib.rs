//! Graph + weights -> ONNX, checked by running it.
//!
//! 1. [`Weights::read`] matches a safetensors file with a graph, name by name.
//! 2. [`fold_batch_norm`] removes the BatchNorms that follow convolutions.
//! 3. [`write_onnx`] writes the rest as ONNX.
//! 4. [`export`] does this for a run folder, runs the result in every engine against what libtorch computed,
//!    and leaves a bundle that `unscene_engine` opens.

mod args;
mod bundle;
mod check;
mod classify;
mod detect;
mod error;
mod fold;
mod localize;
mod onnx;
mod triton;
mod weights;

pub use args::{ExportArgs, exit_code, run};
pub use bundle::{ExportOptions, Exported, abandon, export};
pub use check::{relative_difference, tolerance};
pub use classify::MODEL_FILE;
pub use error::ExportError;
pub use fold::fold_batch_norm;
pub use onnx::write_onnx;
pub use triton::write_triton;
pub use unscene_engine::proto::BATCH;
pub use weights::Weights;
