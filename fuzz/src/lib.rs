//! Every parser of this project as a function of any bytes. It must give an error or what it has read, and neither panic, hang nor take
//! memory that the bytes do not pay for. cargo-fuzz calls these functions (fuzz_targets), and so does tests/seeds.rs.

mod answers;
mod configs;
mod datasets;
mod pickles;
mod request;
mod scratch;
#[cfg(feature = "train")]
mod training;

pub use answers::worker_answers;
pub use configs::{annotate_config, api_keys, command_config, manifest, run_config};
pub use datasets::{actors, datasets, untrimmed};
pub use pickles::{pickle, scene_files};
pub use request::request;
#[cfg(feature = "train")]
pub use training::{checkpoint, training_config};

/// A function, and the folder of its seeds in `corpus`.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("manifest", manifest),
    ("run_config", run_config),
    ("command_config", command_config),
    ("annotate_config", annotate_config),
    ("api_keys", api_keys),
    ("datasets", datasets),
    ("untrimmed", untrimmed),
    ("actors", actors),
    ("pickle", pickle),
    ("scene_files", scene_files),
    ("worker_answers", worker_answers),
    ("request", request),
    #[cfg(feature = "train")]
    ("checkpoint", checkpoint),
    #[cfg(feature = "train")]
    ("training_config", training_config),
];

/// To be called first in `main`: some targets start their own program as a process that decodes, or claims to.
pub fn run_if_worker() {
    answers::run_if_liar();
    unscene_serve::run_if_worker();
}
