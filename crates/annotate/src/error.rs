//! What can go wrong while annotating.

use std::path::PathBuf;

use unscene_data::DataError;
use unscene_engine::EngineError;
use unscene_vision::DetectorError;

/// Why a dataset could not be annotated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotateError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A config or a file of labels says what makes no sense.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// The model's outputs do not fit the config.
    #[error("{model}: {problem}")]
    Output {
        /// The model's file.
        model: String,
        /// What the model gives and what was expected.
        problem: String,
    },
    /// A detector's outputs do not fit the config.
    #[error("{model}: {source}")]
    Detector {
        /// The model's file.
        model: String,
        /// What the model gives and what was expected.
        #[source]
        source: DetectorError,
    },
    /// The user stopped it. What is done is kept.
    #[error("interrupted: {done} of {of} videos are done; give the same command to go on")]
    Interrupted {
        /// Videos that are done.
        done: usize,
        /// Videos in all.
        of: usize,
    },
    /// The model cannot be loaded or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A dataset or a cache cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Of this crate.
pub type Result<T, E = AnnotateError> = std::result::Result<T, E>;
