//! Runs the models of Unscene with libtorch.
//!
//! - [`Net`]: a [`Graph`](unscene_graph::Graph) with a tensor for each parameter; forward in train and eval mode, initialisation,
//!   gradients.
//! - [`method`]: the losses of the paper and the alternating step; [`Sgd`] as PyTorch's.
//! - [`fit`](mod@fit): the loop that all tasks share, with snapshots and resuming.
//! - [`pretrain`], [`localize`] and [`detect`]: the tasks.
//! - [`read_weights`]: tensors by name out of PyTorch checkpoints and safetensors files.
//! - [`init_run`] and [`import_run`]: write the run folders that `export` reads.

mod checkpoint;
mod cuda;
mod descent;
pub mod detect;
mod error;
mod events;
pub mod fit;
mod gradients;
mod import;
pub mod localize;
pub mod method;
mod net;
pub mod pretrain;
mod random;
mod run;
mod schedule;
mod sgd;
mod snapshot;
mod start;
mod weights;

pub use cuda::{cuda_devices, load_cuda, open_device};
pub use error::{Misfits, TrainError};
pub use gradients::Gradients;
pub use import::import_run;
pub use net::{Mode, Net, Precision};
pub use run::{finish_run, init_run, write_run};
pub use schedule::{Schedule, ScheduleState};
pub use sgd::{Rate, Sgd, SgdConfig};
pub use snapshot::{CHECKPOINT, Progress, Snapshots, load as load_snapshot};
pub use start::{StartSpec, Started};
pub use tch::Device;
pub use weights::{ImportReport, Weights, read_weights};
