//! Videos that come in parts, as rows: what becomes of them when they are complete.

use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension, Row, params};

use super::{COLUMNS, Job, JobState, Store, StoreError, now_s, signed};

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

const COLUMNS_OF_UPLOADS: &str = "id, owner, parameters, bytes, metadata, changed_s, has_come";

impl Partial {
    /// Begins now.
    pub fn new(id: String, owner: String, parameters: String, bytes: u64, metadata: String) -> Self {
        Self { id, owner, parameters, bytes, metadata, changed_s: now_s(), has_come: false }
    }

    /// As it is when a part has come just now.
    pub fn continued(self) -> Self {
        Self { changed_s: now_s(), has_come: true, ..self }
    }

    fn of(row: &Row) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            owner: row.get(1)?,
            parameters: row.get(2)?,
            bytes: row.get::<_, i64>(3)?.unsigned_abs(),
            metadata: row.get(4)?,
            changed_s: row.get(5)?,
            has_come: row.get(6)?,
        })
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

impl Store {
    /// Notes an upload that begins.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`], as of everything below.
    pub fn begin_upload(&self, upload: &Partial) -> Result<(), StoreError> {
        let Partial { id, owner, parameters, bytes, metadata, changed_s, has_come } = upload;
        let sql = format!("INSERT INTO uploads ({COLUMNS_OF_UPLOADS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        let values = params![id, owner, parameters, signed(*bytes), metadata, changed_s, has_come];
        self.connection().execute(&sql, values)?;
        Ok(())
    }

    /// The upload of that name.
    pub fn upload(&self, id: &str) -> Result<Option<Partial>, StoreError> {
        let sql = format!("SELECT {COLUMNS_OF_UPLOADS} FROM uploads WHERE id = ?1");
        Ok(self.connection().query_row(&sql, [id], Partial::of).optional()?)
    }

    /// The names of all uploads.
    pub fn uploads(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT id FROM uploads")?;
        let ids = statement.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Notes that something of an upload has come.
    pub fn note_part(&self, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE uploads SET changed_s = ?2, has_come = TRUE WHERE id = ?1";
        self.connection().execute(sql, params![id, now_s()])?;
        Ok(())
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

    /// The names of those that are to be forgotten.
    pub fn expired_uploads(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(&format!("SELECT {COLUMNS_OF_UPLOADS} FROM uploads"))?;
        let uploads = statement.query_map([], Partial::of)?.collect::<Result<Vec<_>, _>>()?;
        Ok(uploads.into_iter().filter(Partial::is_expired).map(|upload| upload.id).collect())
    }
}
