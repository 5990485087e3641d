//! Runs the models of Unscene with libtorch.
//!
//! - [`Net`]: a [`Graph`](unscene_graph::Graph) with a tensor for each parameter; forward in train and eval mode, initialisation,
//!   gradients.
//! - [`read_weights`]: tensors by name out of PyTorch checkpoints and safetensors files.
//! - [`init_run`] and [`import_run`]: write the run folders that `export` reads.

mod checkpoint;
mod cuda;
mod error;
mod net;
mod random;
mod run;
mod weights;

pub use cuda::load_cuda;
pub use error::{Misfits, TrainError};
pub use net::{Mode, Net};
pub use run::{import_run, init_run, write_run};
pub use weights::{ImportReport, Weights, read_weights};
