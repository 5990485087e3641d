use std::path::PathBuf;

use thiserror::Error;

/// What can go wrong while a model is measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Videos, lists or caches.
    #[error(transparent)]
    Data(#[from] unscene_data::DataError),
    /// The model failed on a batch.
    #[error("the model: {0}")]
    Model(Box<dyn std::error::Error + Send + Sync>),
    /// The model gives something else than was asked for.
    #[error("{0}")]
    Outputs(String),
    /// Too many videos could not be read.
    #[error(
        "{failed} of {of} videos could not be read, {:.1} % are allowed; the first: {first}; `unscene data check` names all",
        allowed * 100.0
    )]
    TooManyFailures {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
        /// As a share.
        allowed: f64,
        /// Its name and why.
        first: String,
    },
    /// There is too little to measure on.
    #[error("{0}")]
    TooFew(String),
    /// A file names what cannot be scored.
    #[error(
        "{}: {bad} of {of} {what} cannot be scored; the first: {first}; correct the file, or leave them out with --skip-bad",
        path.display()
    )]
    Bad {
        /// The file.
        path: PathBuf,
        /// Of what, in the plural.
        what: &'static str,
        /// How many.
        bad: usize,
        /// Of how many.
        of: usize,
        /// Its place, and what was found and expected.
        first: String,
    },
    /// The watcher said stop.
    #[error("interrupted: {done} of {of} videos scored")]
    Interrupted {
        /// Videos scored.
        done: usize,
        /// Of how many.
        of: usize,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, EvalError>;
