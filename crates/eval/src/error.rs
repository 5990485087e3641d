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
