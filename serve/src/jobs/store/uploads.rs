//! Videos that come in parts, as rows: what becomes of them when they are complete.

use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension, params};

use super::{COLUMNS, Job, JobState, Store, StoreError, now_s, signed};

/// How long an upload is kept of which nothing more comes.
const KEPT: Duration = Duration::from_hours(24);

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
    /// When the last part came, in seconds since 1970.
    pub changed_s: f64,
}

impl Partial {
    /// Begins now.
    pub fn new(id: String, owner: String, parameters: String, bytes: u64, metadata: String) -> Self {
        Self { id, owner, parameters, bytes, metadata, changed_s: now_s() }
    }

    /// When it is forgotten, if nothing more comes.
    pub fn expires(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(self.changed_s).unwrap_or_default() + KEPT
    }
}

impl Store {
    /// Notes an upload that begins.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`], as of everything below.
    pub fn begin_upload(&self, upload: &Partial) -> Result<(), StoreError> {
        let Partial { id, owner, parameters, bytes, metadata, changed_s } = upload;
        let sql =
            "INSERT INTO uploads (id, owner, parameters, bytes, metadata, changed_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection().execute(sql, params![id, owner, parameters, signed(*bytes), metadata, changed_s])?;
        Ok(())
    }

    /// The upload of that name.
    pub fn upload(&self, id: &str) -> Result<Option<Partial>, StoreError> {
        let sql = "SELECT id, owner, parameters, bytes, metadata, changed_s FROM uploads WHERE id = ?1";
        let found = self.connection().query_row(sql, [id], |row| {
            Ok(Partial {
                id: row.get(0)?,
                owner: row.get(1)?,
                parameters: row.get(2)?,
                bytes: row.get::<_, i64>(3)?.unsigned_abs(),
                metadata: row.get(4)?,
                changed_s: row.get(5)?,
            })
        });
        Ok(found.optional()?)
    }

    /// The names of all uploads.
    pub fn uploads(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT id FROM uploads")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Notes that a part has come. Whether there still is such an upload.
    pub fn note_part(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE uploads SET changed_s = ?2 WHERE id = ?1";
        Ok(self.connection().execute(sql, params![id, now_s()])? > 0)
    }

    /// Makes a job of a complete upload; none when there is no such upload.
    pub fn accept_upload(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let connection = self.connection();
        let transaction = connection.unchecked_transaction()?;
        let sql = format!(
            "INSERT INTO jobs (id, owner, parameters, bytes, state, created_s)
             SELECT id, owner, parameters, bytes, ?2, ?3 FROM uploads WHERE id = ?1 RETURNING {COLUMNS}"
        );
        let job = transaction.query_row(&sql, params![id, JobState::Queued, now_s()], Job::of).optional()?;
        transaction.execute("DELETE FROM uploads WHERE id = ?1", [id])?;
        transaction.commit()?;
        Ok(job)
    }

    /// Forgets an upload.
    pub fn forget_upload(&self, id: &str) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM uploads WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Forgets those of which nothing has come for long; their names.
    pub fn expire_uploads(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("DELETE FROM uploads WHERE changed_s < ?1 RETURNING id")?;
        let ids = statement.query_map([now_s() - KEPT.as_secs_f64()], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}
