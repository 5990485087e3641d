//! Jobs and uploads as rows, in a database of this service alone or in one that several share.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

mod partial;
mod postgres;
mod sqlite;

pub use partial::Partial;
pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// How often a job is begun at most: one that ends the process each time must not do so for ever.
pub const MOST_ATTEMPTS: u32 = 3;
/// How long a service that says nothing holds a job of a shared database.
pub const HELD: Duration = Duration::from_secs(20);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL says so.
    #[error("{0}")]
    Postgres(String),
    /// PostgreSQL cannot be reached, or does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The folder of its videos is not there.
    #[error("{0}")]
    Folder(String),
    /// Its pages contradict each other.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is of another version of this program.
    #[error("its version is {found}, and this program knows {known}")]
    Version {
        /// Of the database.
        found: i64,
        /// Of the program.
        known: i64,
    },
}

/// The rows.
pub trait Store: Send + Sync {
    /// Whether other services use them too.
    fn is_shared(&self) -> bool;

    /// Accepts a job; of a video of so many bytes, or of one that is to be fetched.
    ///
    /// # Errors
    ///
    /// When it cannot be written, as of everything below. There is no such job then, unless the database is [`StoreError::Unreachable`]: it may
    /// have written it and been unable to say so.
    fn accept(&self, id: &str, owner: &str, parameters: &str, bytes: u64, url: Option<&str>)
    -> Result<Job, StoreError>;

    /// The job of that name.
    fn job(&self, id: &str) -> Result<Option<Job>, StoreError>;

    /// The latest jobs of an owner before one, in a state or in any, without their results; the latest first.
    fn list(
        &self,
        owner: &str,
        state: Option<JobState>,
        before: Option<&str>,
        most: usize,
    ) -> Result<Vec<Job>, StoreError>;

    /// Begins the job that has waited longest.
    fn claim(&self) -> Result<Option<Job>, StoreError>;

    /// Says that an attempt goes on, and how far it is, as JSON. Whether it is still the last one.
    fn keep(&self, id: &str, attempt: u32, progress: Option<&str>) -> Result<bool, StoreError>;

    /// Has a job wait again that was begun and not ended, as if it had not been begun.
    fn put_back(&self, id: &str, attempt: u32) -> Result<bool, StoreError>;

    /// Ends a job with its result or its error, each as JSON, if that attempt is the last one and has not ended. Whether it did.
    fn end(&self, id: &str, attempt: u32, outcome: &Result<String, String>) -> Result<bool, StoreError>;

    /// Has those wait again that were begun by a service which has ended since; but what was begun so often that it is given up on fails
    /// with this error. The names of those. Of a database that is not shared: to be called before the first job is claimed.
    fn begin_again(&self, given_up: &str) -> Result<Vec<String>, StoreError>;

    /// The names of all jobs that have not ended.
    fn unended(&self) -> Result<HashSet<String>, StoreError>;

    /// Forgets a job.
    fn forget(&self, id: &str) -> Result<(), StoreError>;

    /// Forgets those that ended so long ago, and the oldest as long as all results take more than so many bytes. How many there were.
    fn tidy(&self, keep: Duration, most_bytes: u64) -> Result<usize, StoreError>;

    /// How many jobs have not ended, with uploads, and bytes of their videos and of uploads when they are complete.
    fn waiting(&self) -> Result<(u64, u64), StoreError>;

    /// Notes an upload that begins.
    fn begin_upload(&self, upload: &Partial) -> Result<(), StoreError>;

    /// The upload of that name.
    fn upload(&self, id: &str) -> Result<Option<Partial>, StoreError>;

    /// All uploads.
    fn uploads(&self) -> Result<Vec<Partial>, StoreError>;

    /// Notes that something of an upload has come.
    fn note_part(&self, id: &str) -> Result<(), StoreError>;

    /// Makes a job of a complete upload; none when there is no such upload.
    fn accept_upload(&self, id: &str) -> Result<Option<Job>, StoreError>;

    /// Forgets an upload.
    fn forget_upload(&self, id: &str) -> Result<(), StoreError>;
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits.
    Queued,
    /// It is worked on.
    Running,
    /// There is a result.
    Done,
    /// There is an error.
    Failed,
}

impl JobState {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Queued, "queued"), (Self::Running, "running"), (Self::Done, "done"), (Self::Failed, "failed")];

    /// As it is told and stored.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// The state of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(state, _)| *state)
    }

    /// Whether it stays so.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name; those of jobs, and of uploads, that are begun later are greater.
    pub id: String,
    /// The name of the API key that it came with, or nothing.
    pub owner: String,
    /// What is asked for, as a query string.
    pub parameters: String,
    /// Size of the video; 0 when it is fetched.
    pub bytes: u64,
    /// Where the video is fetched from, if it did not come with the job.
    pub url: Option<String>,
    /// How far it is.
    pub state: JobState,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was accepted, in seconds since 1970.
    pub created_s: f64,
    /// When it was begun last.
    pub started_s: Option<f64>,
    /// How far the work is, as JSON, if a service that shares the database has told it.
    pub progress: Option<String>,
    /// When it ended.
    pub ended_s: Option<f64>,
    /// What came of it, as JSON.
    pub result: Option<String>,
    /// What went wrong, as JSON.
    pub error: Option<String>,
}

/// Integers of databases have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;
