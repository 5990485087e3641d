//! Rows of a SQLite database, which one service has for itself.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use super::{Job, JobState, MOST_ATTEMPTS, Partial, Store, StoreError, now_s, signed};

/// Version of the tables; one that is not known is not touched.
const VERSION: i64 = 2;
/// How long another process may hold the database before it is given up on: one that is about to end.
const BUSY: Duration = Duration::from_secs(2);

/// What there was first.
pub(super) const JOBS: &str = "
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

/// The columns, as [`job_of`] reads them.
const COLUMNS: &str =
    "id, owner, parameters, bytes, url, state, attempts, created_s, started_s, ended_s, result, error";
const COLUMNS_OF_UPLOADS: &str = "id, owner, parameters, bytes, metadata, changed_s, has_come";

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

/// A job, of its columns.
fn job_of(row: &Row) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        owner: row.get(1)?,
        parameters: row.get(2)?,
        bytes: row.get::<_, i64>(3)?.unsigned_abs(),
        url: row.get(4)?,
        state: row.get(5)?,
        attempts: row.get(6)?,
        created_s: row.get(7)?,
        started_s: row.get(8)?,
        progress: None,
        ended_s: row.get(9)?,
        result: row.get(10)?,
        error: row.get(11)?,
    })
}

/// An upload, of its columns.
fn upload_of(row: &Row) -> rusqlite::Result<Partial> {
    Ok(Partial {
        id: row.get(0)?,
        owner: row.get(1)?,
        parameters: row.get(2)?,
        bytes: row.get::<_, i64>(3)?.unsigned_abs(),
        metadata: row.get(4)?,
        changed_s: row.get(5)?,
        has_come: row.get(6)?,
    })
}

/// The database.
pub struct Sqlite(Mutex<Connection>);

impl Sqlite {
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
            found => return Err(StoreError::Version { found, known: VERSION }),
        }
        Ok(Self(Mutex::new(connection)))
    }

    /// Whether an error says that another process has the database.
    pub fn is_in_use(error: &StoreError) -> bool {
        let code = if let StoreError::Sqlite(error) = error { error.sqlite_error_code() } else { None };
        matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// Changes a job, and gives it as it is then. In a transaction, because what goes wrong when a change is written is only told by its end.
    fn change(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Option<Job>, StoreError> {
        let connection = self.connection();
        let transaction = connection.unchecked_transaction()?;
        let job = transaction.query_row(sql, values, job_of).optional()?;
        transaction.commit()?;
        Ok(job)
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Sqlite {
    fn is_shared(&self) -> bool {
        false
    }

    fn accept(
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

    fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1");
        Ok(self.connection().query_row(&sql, [id], job_of).optional()?)
    }

    fn list(
        &self,
        owner: &str,
        state: Option<JobState>,
        before: Option<&str>,
        most: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let sql = format!(
            "SELECT {} FROM jobs WHERE owner = ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR id < ?3)
             ORDER BY id DESC LIMIT ?4",
            COLUMNS.replace("result", "NULL")
        );
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![owner, state, before, most as i64], job_of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn claim(&self) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_s = ?1
             WHERE id = (SELECT id FROM jobs WHERE state = 'queued' ORDER BY created_s, id LIMIT 1) RETURNING {COLUMNS}"
        );
        self.change(&sql, params![now_s()])
    }

    fn keep(&self, id: &str, attempt: u32, _progress: Option<&str>) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND state = 'running' AND attempts = ?2)";
        Ok(self.connection().query_row(sql, params![id, attempt], |row| row.get(0))?)
    }

    fn put_back(&self, id: &str, attempt: u32) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET state = 'queued', attempts = attempts - 1, started_s = NULL
                   WHERE id = ?1 AND state = 'running' AND attempts = ?2";
        Ok(self.connection().execute(sql, params![id, attempt])? > 0)
    }

    fn end(&self, id: &str, attempt: u32, outcome: &Result<String, String>) -> Result<bool, StoreError> {
        let (state, result, error) = match outcome {
            Ok(result) => (JobState::Done, Some(result), None),
            Err(error) => (JobState::Failed, None, Some(error)),
        };
        let sql = "UPDATE jobs SET state = ?2, result = ?3, error = ?4, ended_s = ?5
                   WHERE id = ?1 AND state = 'running' AND attempts = ?6";
        Ok(self.connection().execute(sql, params![id, state, result, error, now_s(), attempt])? > 0)
    }

    fn forget(&self, id: &str) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM jobs WHERE id = ?1", [id])?;
        Ok(())
    }

    fn tidy(&self, keep: Duration, most_bytes: u64) -> Result<usize, StoreError> {
        let connection = self.connection();
        let old = "DELETE FROM jobs WHERE ended_s < ?1";
        let large = "DELETE FROM jobs WHERE id IN (SELECT id FROM (
                SELECT id, SUM(LENGTH(COALESCE(result, '')) + LENGTH(COALESCE(error, ''))) OVER (ORDER BY id DESC) AS total
                FROM jobs WHERE ended_s IS NOT NULL) WHERE total > ?1)";
        let gone = connection.execute(old, [now_s() - keep.as_secs_f64()])?;
        Ok(gone + connection.execute(large, [signed(most_bytes)])?)
    }

    fn waiting(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM (
                       SELECT bytes FROM jobs WHERE state IN ('queued', 'running') UNION ALL SELECT bytes FROM uploads)";
        let row = self.connection().query_row(sql, [], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?]))?;
        let [jobs, bytes] = row.map(i64::unsigned_abs);
        Ok((jobs, bytes))
    }

    fn begin_again(&self, given_up: &str) -> Result<Vec<String>, StoreError> {
        let connection = self.connection();
        let sql =
            "UPDATE jobs SET state = 'failed', error = ?1, ended_s = ?2 WHERE state = 'running' AND attempts >= ?3
                   RETURNING id";
        let mut statement = connection.prepare(sql)?;
        let failed = statement.query_map(params![given_up, now_s(), MOST_ATTEMPTS], |row| row.get(0))?;
        let failed = failed.collect::<Result<_, _>>()?;
        connection.execute("UPDATE jobs SET state = 'queued', started_s = NULL WHERE state = 'running'", [])?;
        Ok(failed)
    }

    fn unended(&self) -> Result<HashSet<String>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT id FROM jobs WHERE state IN ('queued', 'running')")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    fn begin_upload(&self, upload: &Partial) -> Result<(), StoreError> {
        let Partial { id, owner, parameters, bytes, metadata, changed_s, has_come } = upload;
        let sql = format!("INSERT INTO uploads ({COLUMNS_OF_UPLOADS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        let values = params![id, owner, parameters, signed(*bytes), metadata, changed_s, has_come];
        self.connection().execute(&sql, values)?;
        Ok(())
    }

    fn upload(&self, id: &str) -> Result<Option<Partial>, StoreError> {
        let sql = format!("SELECT {COLUMNS_OF_UPLOADS} FROM uploads WHERE id = ?1");
        Ok(self.connection().query_row(&sql, [id], upload_of).optional()?)
    }

    fn uploads(&self) -> Result<Vec<Partial>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(&format!("SELECT {COLUMNS_OF_UPLOADS} FROM uploads"))?;
        let uploads = statement.query_map([], upload_of)?;
        Ok(uploads.collect::<Result<_, _>>()?)
    }

    fn note_part(&self, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE uploads SET changed_s = ?2, has_come = TRUE WHERE id = ?1";
        self.connection().execute(sql, params![id, now_s()])?;
        Ok(())
    }

    fn accept_upload(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let connection = self.connection();
        let transaction = connection.unchecked_transaction()?;
        let sql = format!(
            "INSERT INTO jobs (id, owner, parameters, bytes, state, created_s)
             SELECT id, owner, parameters, bytes, ?2, ?3 FROM uploads WHERE id = ?1 RETURNING {COLUMNS}"
        );
        let job = transaction.query_row(&sql, params![id, JobState::Queued, now_s()], job_of).optional()?;
        transaction.execute("DELETE FROM uploads WHERE id = ?1", [id])?;
        transaction.commit()?;
        Ok(job)
    }

    fn forget_upload(&self, id: &str) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM uploads WHERE id = ?1", [id])?;
        Ok(())
    }
}
