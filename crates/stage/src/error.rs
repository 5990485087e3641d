//! What can go wrong while a set is made.

use std::path::PathBuf;

use unscene_media::MediaError;

/// Why a set could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// A setting that makes no sense.
    #[error("{name} is {found}; expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The folder holds something else.
    #[error("{}: {problem}; choose another --out, or remove it", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What is there.
        problem: String,
    },
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A video could not be encoded.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The caller asked to stop. What is finished stays, and the same call goes on from there.
    #[error("interrupted: {done} of {of} videos are done; the same command goes on from there")]
    Interrupted {
        /// Videos that are on disk.
        done: usize,
        /// Videos of the set.
        of: usize,
    },
}
