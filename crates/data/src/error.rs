//! What can go wrong between a list of videos and a batch of clips.

use std::path::PathBuf;

use unscene_media::MediaError;

/// Why a dataset could not be read. Each variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file is not in its format.
    #[error("{}{}: {problem}", path.display(), line.map(|line| format!(" line {line}")).unwrap_or_default())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where there is one.
        line: Option<u64>,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// A cache cannot be used.
    #[error("{}: {problem}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// Settings that make no sense together.
    #[error("{problem}")]
    Options {
        /// Which, what was found and what was expected.
        problem: String,
    },
    /// More videos than allowed could not be read.
    #[error(
        "stopped after {failed} of {of} videos could not be used, more than the {:.1} % that may fail; the first: {first}",
        allowed * 100.0
    )]
    TooManyFailures {
        /// How many so far.
        failed: usize,
        /// Videos in all.
        of: usize,
        /// Share that may fail.
        allowed: f64,
        /// What was wrong with the first.
        first: String,
    },
    /// A fault in this program.
    #[error("internal error while reading videos: {problem}")]
    Internal {
        /// What happened.
        problem: String,
    },
    /// A list asks for a part that its video does not have.
    #[error("{name}: there is no frame from {start_s:.3} s to {end_s:.3} s, {has}; correct the times in the list")]
    Span {
        /// The video.
        name: String,
        /// Where the part should start.
        start_s: f64,
        /// Where it should end.
        end_s: f64,
        /// How long the video is, as far as it says.
        has: String,
    },
    /// A video cannot be decoded.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Of this crate.
pub type Result<T, E = DataError> = std::result::Result<T, E>;
