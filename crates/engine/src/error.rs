//! What can go wrong between a bundle and a prediction.

use std::path::PathBuf;

use unscene_media::MediaError;
use unscene_models::manifest::{ManifestError, Task};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A file of the bundle cannot be read.
    #[error("cannot read {}: {source}; a bundle is a folder written by `unscene export`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The folder is the other kind that this software writes.
    #[error("{}: this is a run folder; make a bundle of it with `unscene export --run`", dir.display())]
    RunFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// The bundle's model does something else than is asked for.
    #[error("{}: this bundle's model was made to {found} and cannot {expected}; {}", dir.display(), takers(*found))]
    WrongTask {
        /// The bundle.
        dir: PathBuf,
        /// What it does.
        found: Task,
        /// What it should do.
        expected: Task,
    },
    /// `manifest.json` is wrong.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest's path.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A file is not the one that the manifest describes.
    #[error("{}: sha256 is {found}, the manifest says {expected}; the file was changed or damaged, export the bundle again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        found: String,
        /// The manifest's.
        expected: String,
    },
    /// The engine or device that was asked for is not to be had here.
    #[error("{requested} is not available: {reason}")]
    Unavailable {
        /// What was asked for, such as `device cuda:0`.
        requested: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The engine refuses the model.
    #[error("{engine} cannot load {}: {reason}", path.display())]
    Load {
        /// Engine and device.
        engine: String,
        /// The ONNX file.
        path: PathBuf,
        /// The engine's message.
        reason: String,
    },
    /// The engine failed while running.
    #[error("{engine} failed: {reason}")]
    Inference {
        /// Engine and device.
        engine: String,
        /// The engine's message.
        reason: String,
    },
    /// The video cannot be decoded.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The video has no frame.
    #[error("{name}: the video has no frame that can be decoded")]
    NoFrames {
        /// The video's name.
        name: String,
    },
    /// An argument of the caller is out of range.
    #[error("{what}: found {found}, expected {expected}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// Its value.
        found: String,
        /// The values allowed.
        expected: String,
    },
    /// The caller's control function asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// What takes bundles of a task.
fn takers(task: Task) -> &'static str {
    match task {
        Task::Classify => "`unscene predict`, `unscene eval action` and POST /v1/classify take it",
        Task::Localize => "`unscene predict`, `unscene eval localize` and POST /v1/localize take it",
        Task::Detect => "`unscene predict`, `unscene eval detect` and POST /v1/detect take it",
    }
}

/// The result of this crate's functions.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;
