//! The tables, and the folder of videos that belongs to them.

use std::fs;
use std::path::{Path, PathBuf};

use tokio_postgres::Client;
use uuid::Uuid;

use super::link::of;
use crate::jobs::store::StoreError;

/// Version of the tables; one that is not known is not touched.
const VERSION: i32 = 1;
/// What is locked while they are made: "unscene", as a number.
const LOCK: i64 = 0x75_6e73_6365_6e65;

const TABLES: &str = "
    CREATE TABLE unscene_jobs (
        id TEXT COLLATE \"C\" PRIMARY KEY, owner TEXT NOT NULL, parameters TEXT NOT NULL, bytes BIGINT NOT NULL, url TEXT,
        state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, held_until TIMESTAMPTZ,
        created_s DOUBLE PRECISION NOT NULL, started_s DOUBLE PRECISION, ended_s DOUBLE PRECISION,
        progress TEXT, result TEXT, error TEXT
    );
    CREATE INDEX unscene_jobs_by_age ON unscene_jobs (state, created_s, id);
    CREATE TABLE unscene_uploads (
        id TEXT COLLATE \"C\" PRIMARY KEY, owner TEXT NOT NULL, parameters TEXT NOT NULL, bytes BIGINT NOT NULL,
        metadata TEXT NOT NULL, changed_s DOUBLE PRECISION NOT NULL, has_come BOOLEAN NOT NULL
    );
    CREATE TABLE unscene_tables (version INTEGER NOT NULL, folder TEXT NOT NULL);
";

/// Makes the tables where there are none, and with them the folder of their videos, within that of jobs: a database and the folder that belongs
/// to it are not to be mixed up with others. That folder.
///
/// # Errors
///
/// As [`Postgres::open`](super::Postgres::open).
pub async fn set_up(client: &mut Client, jobs: &Path) -> Result<PathBuf, StoreError> {
    let transaction = client.transaction().await.map_err(of)?;
    // Services that start together make them once.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(of)?;
    let known = transaction.query_one("SELECT to_regclass('unscene_tables') IS NOT NULL", &[]).await.map_err(of)?;
    if !known.get::<_, bool>(0) {
        let name = Uuid::now_v7().to_string();
        let folder = jobs.join(&name);
        transaction.batch_execute(TABLES).await.map_err(of)?;
        transaction.execute("INSERT INTO unscene_tables VALUES ($1, $2)", &[&VERSION, &name]).await.map_err(of)?;
        // Before anybody else can know of it.
        let made = fs::create_dir_all(&folder);
        made.map_err(|error| StoreError::Folder(format!("{}: it cannot be made: {error}", folder.display())))?;
        transaction.commit().await.map_err(of)?;
        return Ok(folder);
    }
    let row = transaction.query_one("SELECT version, folder FROM unscene_tables", &[]).await.map_err(of)?;
    let (version, name): (i32, String) = (row.get(0), row.get(1));
    if version != VERSION {
        return Err(StoreError::Version { found: version.into(), known: VERSION.into() });
    }
    let folder = jobs.join(&name);
    if !folder.is_dir() {
        return Err(StoreError::Folder(format!(
            "the videos of its jobs are in a folder named {name}, which is not in {}; give --jobs the folder that all services with this \
             database share, or, if that is lost, make an empty one of that name",
            jobs.display()
        )));
    }
    Ok(folder)
}
