//! A video that comes in parts, as a row, and how long it is kept.

use std::time::{Duration, SystemTime};

use super::now_s;

/// How long an upload is kept of which nothing more comes, and one of which nothing has come at all.
const KEPT: Duration = Duration::from_hours(24);
const KEPT_EMPTY: Duration = Duration::from_mins(10);

/// A video that comes in parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// Its name, and that of its job.
    pub id: String,
    /// The name of the API key that it came with, or nothing.
    pub owner: String,
    /// What is asked of the job, as a query string.
    pub parameters: String,
    /// Size of the video when it is complete.
    pub bytes: u64,
    /// What the client says of it, for itself.
    pub metadata: String,
    /// When it was begun, or when the last part came, in seconds since 1970.
    pub changed_s: f64,
    /// Whether something of it has come.
    pub has_come: bool,
}

impl Partial {
    /// Begins now.
    pub fn new(id: String, owner: String, parameters: String, bytes: u64, metadata: String) -> Self {
        Self { id, owner, parameters, bytes, metadata, changed_s: now_s(), has_come: false }
    }

    /// As it is when a part has come just now.
    pub fn continued(self) -> Self {
        Self { changed_s: now_s(), has_come: true, ..self }
    }

    /// When it is forgotten, if nothing more comes.
    pub fn expires(&self) -> SystemTime {
        let kept = if self.has_come { KEPT } else { KEPT_EMPTY };
        SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(self.changed_s).unwrap_or_default() + kept
    }

    /// Whether that was before now.
    pub fn is_expired(&self) -> bool {
        self.expires() < SystemTime::now()
    }
}
