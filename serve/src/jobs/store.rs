//! Jobs as rows of a SQLite database.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde::Serialize;
use utoipa::ToSchema;

/// Version of the tables; one that is not known is not touched.
const VERSION: i64 = 2;
/// How often a job is begun at most: one that ends the process each time must not do so for ever.
pub const MOST_ATTEMPTS: u32 = 3;
/// How long another process may hold the database before it is given up on: one that is about to end.
const BUSY: Duration = Duration::from_secs(2);

/// What there was first.
const JOBS: &str = "
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, parameters TEXT NOT NULL, bytes INTEGER NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        created_s REAL NOT NULL, started_s REAL, ended_s REAL,
        result TEXT, error TEXT
    ) WITHOUT ROWID;
    CREATE INDEX by_state ON jobs (state, id);
";
/// What came with version 2. Jobs that came in parts have the name that they were begun with, and wait since they are complete.
const UPLOADS: &str = "
    CREATE INDEX by_age ON jobs (state, created_s, id);
    ALTER TABLE jobs ADD COLUMN url TEXT;
    CREATE TABLE uploads (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, parameters TEXT NOT NULL, bytes INTEGER NOT NULL,
        metadata TEXT NOT NULL, changed_s REAL NOT NULL, has_come INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Its pages contradict each other.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is of another version of this program.
    #[error("its version is {0}, and this program knows {VERSION}")]
    Version(i64),
}

impl StoreError {
    /// Whether another process has the database.
    pub fn is_in_use(&self) -> bool {
        let code = if let Self::Sqlite(error) = self { error.sqlite_error_code() } else { None };
        matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }
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

impl ToSql for JobState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for JobState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::named(value.as_str()?).ok_or(FromSqlError::InvalidType)
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
    /// When it ended.
    pub ended_s: Option<f64>,
    /// What came of it, as JSON.
    pub result: Option<String>,
    /// What went wrong, as JSON.
    pub error: Option<String>,
}

/// The columns, as [`Job::of`] reads them.
const COLUMNS: &str =
    "id, owner, parameters, bytes, url, state, attempts, created_s, started_s, ended_s, result, error";

impl Job {
    fn of(row: &Row) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            owner: row.get(1)?,
            parameters: row.get(2)?,
            bytes: row.get::<_, i64>(3)?.unsigned_abs(),
            url: row.get(4)?,
            state: row.get(5)?,
            attempts: row.get(6)?,
            created_s: row.get(7)?,
            started_s: row.get(8)?,
            ended_s: row.get(9)?,
            result: row.get(10)?,
            error: row.get(11)?,
        })
    }
}

/// The database.
pub struct Store(Mutex<Connection>);

impl Store {
    /// Opens it; makes it where there is none.
    ///
    /// # Errors
    ///
    /// When it is no database, is damaged, or of another version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        // Until this process ends: two services would each take the other's jobs for those of before.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        // What is committed is on the disk: an accepted job is promised.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if check != "ok" {
            return Err(StoreError::Damaged(check));
        }
        match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
            0 => connection.execute_batch(&format!("BEGIN;{JOBS}{UPLOADS}PRAGMA user_version = {VERSION};COMMIT"))?,
            1 => connection.execute_batch(&format!("BEGIN;{UPLOADS}PRAGMA user_version = {VERSION};COMMIT"))?,
            VERSION => {}
            other => return Err(StoreError::Version(other)),
        }
        Ok(Self(Mutex::new(connection)))
    }

    /// Accepts a job; of a video of so many bytes, or of one that is to be fetched.
    ///
    /// # Errors
    ///
    /// When it cannot be written; there is no such job then.
    pub fn accept(
        &self,
        id: &str,
        owner: &str,
        parameters: &str,
        bytes: u64,
        url: Option<&str>,
    ) -> Result<Job, StoreError> {
        let sql = format!(
            "INSERT INTO jobs (id, owner, parameters, bytes, url, state, created_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             RETURNING {COLUMNS}"
        );
        let values = params![id, owner, parameters, signed(bytes), url, JobState::Queued, now_s()];
        self.change(&sql, values)?.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
    }

    /// The job of that name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`], as of everything below.
    pub fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1");
        Ok(self.connection().query_row(&sql, [id], Job::of).optional()?)
    }

    /// The latest jobs of an owner before one, in a state or in any; the latest first.
    pub fn list(
        &self,
        owner: &str,
        state: Option<JobState>,
        before: Option<&str>,
        most: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE owner = ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR id < ?3)
             ORDER BY id DESC LIMIT ?4"
        );
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![owner, state, before, most as i64], Job::of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Begins the job that has waited longest.
    pub fn claim(&self) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_s = ?1
             WHERE id = (SELECT id FROM jobs WHERE state = 'queued' ORDER BY created_s, id LIMIT 1) RETURNING {COLUMNS}"
        );
        self.change(&sql, params![now_s()])
    }

    /// Has a job wait again that was begun and not ended, as if it had not been begun.
    pub fn put_back(&self, id: &str, attempt: u32) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET state = 'queued', attempts = attempts - 1, started_s = NULL
                   WHERE id = ?1 AND state = 'running' AND attempts = ?2";
        Ok(self.connection().execute(sql, params![id, attempt])? > 0)
    }

    /// Ends a job with its result or its error, each as JSON, if that attempt is the last one and has not ended. Whether it did.
    pub fn end(&self, id: &str, attempt: u32, outcome: &Result<String, String>) -> Result<bool, StoreError> {
        let (state, result, error) = match outcome {
            Ok(result) => (JobState::Done, Some(result), None),
            Err(error) => (JobState::Failed, None, Some(error)),
        };
        let sql = "UPDATE jobs SET state = ?2, result = ?3, error = ?4, ended_s = ?5
                   WHERE id = ?1 AND state = 'running' AND attempts = ?6";
        Ok(self.connection().execute(sql, params![id, state, result, error, now_s(), attempt])? > 0)
    }

    /// Forgets a job.
    pub fn forget(&self, id: &str) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM jobs WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Forgets those that ended so long ago, and the oldest as long as all results take more than so many bytes. How many there were.
    pub fn tidy(&self, keep: Duration, most_bytes: u64) -> Result<usize, StoreError> {
        let connection = self.connection();
        let old = "DELETE FROM jobs WHERE ended_s < ?1";
        let large = "DELETE FROM jobs WHERE id IN (SELECT id FROM (
                SELECT id, SUM(LENGTH(COALESCE(result, '')) + LENGTH(COALESCE(error, ''))) OVER (ORDER BY id DESC) AS total
                FROM jobs WHERE ended_s IS NOT NULL) WHERE total > ?1)";
        let gone = connection.execute(old, [now_s() - keep.as_secs_f64()])?;
        Ok(gone + connection.execute(large, [signed(most_bytes)])?)
    }

    /// How many jobs have not ended, with uploads, and bytes of their videos and of uploads when they are complete.
    pub fn waiting(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM (
                       SELECT bytes FROM jobs WHERE state IN ('queued', 'running') UNION ALL SELECT bytes FROM uploads)";
        let row = self.connection().query_row(sql, [], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?]))?;
        let [jobs, bytes] = row.map(i64::unsigned_abs);
        Ok((jobs, bytes))
    }

    /// After a start: what was at work waits again, but for what was begun so often that it is given up on, which fails with this
    /// error. The names of all that have not ended, and of those that are given up on.
    pub fn begin_again(&self, given_up: &str) -> Result<(HashSet<String>, Vec<String>), StoreError> {
        let connection = self.connection();
        let sql =
            "UPDATE jobs SET state = 'failed', error = ?1, ended_s = ?2 WHERE state = 'running' AND attempts >= ?3
                   RETURNING id";
        let mut statement = connection.prepare(sql)?;
        let failed = statement.query_map(params![given_up, now_s(), MOST_ATTEMPTS], |row| row.get(0))?;
        let failed = failed.collect::<Result<_, _>>()?;
        connection.execute("UPDATE jobs SET state = 'queued', started_s = NULL WHERE state = 'running'", [])?;
        let mut statement = connection.prepare("SELECT id FROM jobs WHERE state = 'queued'")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok((ids.collect::<Result<_, _>>()?, failed))
    }

    /// Changes a job, and gives it as it is then. In a transaction, because what goes wrong when a change is written is only told by its end.
    fn change(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Option<Job>, StoreError> {
        let connection = self.connection();
        let transaction = connection.unchecked_transaction()?;
        let job = transaction.query_row(sql, values, Job::of).optional()?;
        transaction.commit()?;
        Ok(job)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SQLite's integers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

mod uploads;
pub use uploads::Partial;

#[cfg(test)]
mod tests;
