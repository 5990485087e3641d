//! Rows of a PostgreSQL database, which several services share.
//!
//! A service that works on a job holds it for [`HELD`], and says again and again that it goes on. One that has ended does not, and
//! then the job waits again. The times of this are the database's own. If it had not ended, and nobody else has begun the job meanwhile, it
//! has it again by saying so, or by ending it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Row;

mod link;
mod tables;

use super::{HELD, Job, JobState, MOST_ATTEMPTS, Partial, Store, StoreError, now_s, signed};
use link::Link;

/// The columns, as [`job_of`] reads them.
const COLUMNS: &str =
    "id, owner, parameters, bytes, url, state, attempts, created_s, started_s, progress, ended_s, result, error";
const COLUMNS_OF_UPLOADS: &str = "id, owner, parameters, bytes, metadata, changed_s, has_come";

/// A job, of its columns.
fn job_of(row: &Row) -> Result<Job, StoreError> {
    let state: String = row.get(5);
    let unknown = || StoreError::Damaged(format!("there is a job in the state `{state}`"));
    Ok(Job {
        id: row.get(0),
        owner: row.get(1),
        parameters: row.get(2),
        bytes: row.get::<_, i64>(3).unsigned_abs(),
        url: row.get(4),
        state: JobState::named(&state).ok_or_else(unknown)?,
        attempts: row.get::<_, i32>(6).unsigned_abs(),
        created_s: row.get(7),
        started_s: row.get(8),
        progress: row.get(9),
        ended_s: row.get(10),
        result: row.get(11),
        error: row.get(12),
    })
}

/// An upload, of its columns.
fn upload_of(row: &Row) -> Partial {
    Partial {
        id: row.get(0),
        owner: row.get(1),
        parameters: row.get(2),
        bytes: row.get::<_, i64>(3).unsigned_abs(),
        metadata: row.get(4),
        changed_s: row.get(5),
        has_come: row.get(6),
    }
}

/// That an attempt, `$2`, at a job, `$1`, is the last one and has not ended. One that was taken for lost waits, and counts still.
const ATTEMPT: &str = "id = $1 AND attempts = $2 AND state IN ('running', 'queued')";

/// PostgreSQL's integers are small, and have a sign.
fn number(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}

/// The database.
pub struct Postgres {
    link: Link,
    /// Another connection, so that long results do not delay what is said of jobs at work.
    keeping: Link,
}

impl Postgres {
    /// Opens it, and makes the tables where there are none. Gives the folder of its videos too, within that of jobs.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, is of another version, or has its videos elsewhere.
    pub fn open(url: &str, jobs: &Path) -> Result<(Self, PathBuf), StoreError> {
        let [link, keeping] = [Link::new(url)?, Link::new(url)?];
        let folder = link.apart(async |client| tables::set_up(client, jobs).await)?;
        Ok((Self { link, keeping }, folder))
    }

    /// Where it is, without the password.
    pub fn place(url: &str) -> &str {
        link::address(url).unwrap_or("--jobs-db")
    }

    fn one(&self, sql: &str, values: &link::Values<'_>) -> Result<Option<Job>, StoreError> {
        self.link.query(sql, values)?.first().map(job_of).transpose()
    }
}

impl Store for Postgres {
    fn is_shared(&self) -> bool {
        true
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
            "INSERT INTO unscene_jobs (id, owner, parameters, bytes, url, state, created_s) VALUES ($1, $2, $3, $4, $5, 'queued', $6)
             RETURNING {COLUMNS}"
        );
        let job = self.one(&sql, &[&id, &owner, &parameters, &signed(bytes), &url, &now_s()])?;
        job.ok_or_else(|| StoreError::Damaged("a job that was written is not there".to_owned()))
    }

    fn job(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.one(&format!("SELECT {COLUMNS} FROM unscene_jobs WHERE id = $1"), &[&id])
    }

    fn list(
        &self,
        owner: &str,
        state: Option<JobState>,
        before: Option<&str>,
        most: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let sql = format!(
            "SELECT {} FROM unscene_jobs
             WHERE owner = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR id < $3)
             ORDER BY id DESC LIMIT $4",
            COLUMNS.replace("result", "NULL::text")
        );
        let rows = self.link.query(&sql, &[&owner, &state.map(JobState::name), &before, &(most as i64)])?;
        rows.iter().map(job_of).collect()
    }

    fn claim(&self) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "UPDATE unscene_jobs SET state = 'running', attempts = attempts + 1, started_s = $1, progress = NULL, {HELD}
             WHERE id = (SELECT id FROM unscene_jobs WHERE state = 'queued' ORDER BY created_s, id LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING {COLUMNS}",
            HELD = held("$2")
        );
        self.one(&sql, &[&now_s(), &HELD.as_secs_f64()])
    }

    fn keep(&self, id: &str, attempt: u32, progress: Option<&str>) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE unscene_jobs SET state = 'running', {HELD}, progress = COALESCE($4, progress) WHERE {ATTEMPT} RETURNING id",
            HELD = held("$3")
        );
        Ok(!self.keeping.query(&sql, &[&id, &number(attempt), &HELD.as_secs_f64(), &progress])?.is_empty())
    }

    fn put_back(&self, id: &str, attempt: u32) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE unscene_jobs SET state = 'queued', attempts = attempts - 1, started_s = NULL, progress = NULL WHERE {ATTEMPT}
             RETURNING id"
        );
        Ok(!self.link.query(&sql, &[&id, &number(attempt)])?.is_empty())
    }

    fn end(&self, id: &str, attempt: u32, outcome: &Result<String, String>) -> Result<bool, StoreError> {
        let (state, result, error) = match outcome {
            Ok(result) => (JobState::Done, Some(result), None),
            Err(error) => (JobState::Failed, None, Some(error)),
        };
        let sql = format!(
            "UPDATE unscene_jobs SET state = $3, result = $4, error = $5, ended_s = $6, progress = NULL WHERE {ATTEMPT} RETURNING id"
        );
        let rows = self.link.query(&sql, &[&id, &number(attempt), &state.name(), &result, &error, &now_s()])?;
        Ok(!rows.is_empty())
    }

    fn begin_again(&self, given_up: &str) -> Result<Vec<String>, StoreError> {
        let sql = "UPDATE unscene_jobs SET progress = NULL,
                 state = CASE WHEN attempts >= $3 THEN 'failed' ELSE 'queued' END,
                 error = CASE WHEN attempts >= $3 THEN $1 END,
                 ended_s = CASE WHEN attempts >= $3 THEN $2::DOUBLE PRECISION END
             WHERE state = 'running' AND held_until < now() RETURNING id, state";
        let lost = self.keeping.query(sql, &[&given_up, &now_s(), &number(MOST_ATTEMPTS)])?;
        let (failed, again): (Vec<_>, Vec<_>) =
            lost.iter().partition(|row| row.get::<_, &str>(1) == JobState::Failed.name());
        for row in again {
            tracing::warn!(job = row.get::<_, &str>(0), "the service that had this job says nothing; it waits again");
        }
        Ok(failed.iter().map(|row| row.get(0)).collect())
    }

    fn unended(&self) -> Result<HashSet<String>, StoreError> {
        let rows = self.link.query("SELECT id FROM unscene_jobs WHERE state IN ('queued', 'running')", &[])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn forget(&self, id: &str) -> Result<(), StoreError> {
        self.link.query("DELETE FROM unscene_jobs WHERE id = $1", &[&id]).map(drop)
    }

    fn tidy(&self, keep: Duration, most_bytes: u64) -> Result<usize, StoreError> {
        let old = "DELETE FROM unscene_jobs WHERE ended_s < $1 RETURNING id";
        let large = "DELETE FROM unscene_jobs WHERE id IN (SELECT id FROM (
                SELECT id, SUM(OCTET_LENGTH(COALESCE(result, '')) + OCTET_LENGTH(COALESCE(error, ''))) OVER (ORDER BY id DESC) AS total
                FROM unscene_jobs WHERE ended_s IS NOT NULL) AS ended WHERE total > $1) RETURNING id";
        let gone = self.link.query(old, &[&(now_s() - keep.as_secs_f64())])?.len();
        Ok(gone + self.link.query(large, &[&signed(most_bytes)])?.len())
    }

    fn waiting(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT COUNT(*), COALESCE(SUM(bytes), 0)::BIGINT FROM (
                       SELECT bytes FROM unscene_jobs WHERE state IN ('queued', 'running') UNION ALL SELECT bytes FROM unscene_uploads) AS waiting";
        let rows = self.link.query(sql, &[])?;
        let [jobs, bytes] = [0, 1].map(|at| rows.first().map_or(0, |row| row.get::<_, i64>(at).unsigned_abs()));
        Ok((jobs, bytes))
    }

    fn begin_upload(&self, upload: &Partial) -> Result<(), StoreError> {
        let Partial { id, owner, parameters, bytes, metadata, changed_s, has_come } = upload;
        let sql = format!("INSERT INTO unscene_uploads ({COLUMNS_OF_UPLOADS}) VALUES ($1, $2, $3, $4, $5, $6, $7)");
        self.link.query(&sql, &[id, owner, parameters, &signed(*bytes), metadata, changed_s, has_come]).map(drop)
    }

    fn upload(&self, id: &str) -> Result<Option<Partial>, StoreError> {
        let rows =
            self.link.query(&format!("SELECT {COLUMNS_OF_UPLOADS} FROM unscene_uploads WHERE id = $1"), &[&id])?;
        Ok(rows.first().map(upload_of))
    }

    fn uploads(&self) -> Result<Vec<Partial>, StoreError> {
        let rows = self.link.query(&format!("SELECT {COLUMNS_OF_UPLOADS} FROM unscene_uploads"), &[])?;
        Ok(rows.iter().map(upload_of).collect())
    }

    fn note_part(&self, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE unscene_uploads SET changed_s = $2, has_come = TRUE WHERE id = $1";
        self.link.query(sql, &[&id, &now_s()]).map(drop)
    }

    fn accept_upload(&self, id: &str) -> Result<Option<Job>, StoreError> {
        let sql = format!(
            "WITH come AS (DELETE FROM unscene_uploads WHERE id = $1 RETURNING id, owner, parameters, bytes)
             INSERT INTO unscene_jobs (id, owner, parameters, bytes, state, created_s)
             SELECT id, owner, parameters, bytes, 'queued', $2 FROM come RETURNING {COLUMNS}"
        );
        self.one(&sql, &[&id, &now_s()])
    }

    fn forget_upload(&self, id: &str) -> Result<(), StoreError> {
        self.link.query("DELETE FROM unscene_uploads WHERE id = $1", &[&id]).map(drop)
    }
}

/// That a job is held from now on; the value of that name is how long.
fn held(seconds: &str) -> String {
    format!("held_until = now() + {seconds}::DOUBLE PRECISION * INTERVAL '1 second'")
}
