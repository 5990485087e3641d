//! Work that outlives its request: a video is kept in a folder and looked at when there is room, and what comes of it is kept until
//! it is asked for.
//!
//! A job is what `POST /v1/predict` does. [`store`] has the rows, in a SQLite database or in PostgreSQL; [`folder`] has the videos, a file for
//! each job that has not ended; [`arrival`] makes a job of a video that has come; [`runner`] claims one job after the other. A job that was
//! accepted is in the database and on the disk before the client hears of it. One that was at work when a process ended is begun again, and
//! whoever ends it does so once: the row changes only from the state and the attempt that the work was begun in.

pub mod arrival;
pub mod folder;
pub mod runner;
pub mod store;

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use actix_web::web;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use utoipa::ToSchema;

use crate::admission::Admission;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::routes::waiting::{SoFar, Wanted};
use folder::Folder;
use store::{MOST_ATTEMPTS, Postgres, Sqlite, Store, StoreError};

/// The database of a service that shares it with no other.
const SQLITE: &str = "jobs.sqlite";
/// How long a video may be in a shared folder and have no row: another service may be taking it on.
const YOUNG: Duration = Duration::from_hours(24);

/// How many requests may wait for rows at a time, and how long one waits until it may.
const TURNS: usize = 8;
const TURN: Duration = Duration::from_secs(4);

/// Why there can be no jobs.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The folder cannot be used.
    #[error("{}: the folder of jobs cannot be used: {source}; choose another with --jobs DIR", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another service has it.
    #[error("{}: another service uses this folder of jobs; stop it, or choose another folder with --jobs DIR", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The database cannot be used.
    #[error(
        "{}: the database of jobs cannot be used: {source}; put back a copy of it, have `sqlite3 FILE .recover` \
         save what it can, or move the file away, which forgets its jobs", path.display()
    )]
    Store {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: StoreError,
    },
    /// The shared database cannot be used.
    #[error("{url}: the database of jobs cannot be used: {source}; --jobs-db names it, --jobs the folder beside it")]
    Shared {
        /// The database, without the password.
        url: String,
        /// What PostgreSQL says.
        source: StoreError,
    },
}

/// What is told of a job, as it is kept.
fn json(told: &impl Serialize) -> String {
    serde_json::to_string(told).expect("names and numbers can be written as JSON")
}

/// The jobs of a service. Clones share them.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    store: Box<dyn Store>,
    folder: Folder,
    /// Those at work.
    at_work: Mutex<HashMap<String, AtWork>>,
    /// Of requests that ask for rows.
    turns: Arc<Semaphore>,
    /// How many claim a job or work on one.
    busy: AtomicUsize,
    /// Changes whenever a job does.
    changed: watch::Sender<()>,
}

/// A job at work.
struct AtWork {
    attempt: u32,
    wanted: Wanted,
    /// Of its place in the service, as soon as it has one.
    place: Option<u64>,
}

/// How far the work on a job is.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct JobProgress {
    /// Clips, windows and frames that were looked at.
    pub clips: usize,
    /// How many there are, as far as the video's header knows.
    pub expected: usize,
    /// What was seen in them. Lists of jobs leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub so_far: Option<SoFar>,
}

impl Jobs {
    /// Opens the database and the folder. What was at work when the process ended last waits again.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub fn open(options: &ServeOptions, metrics: &Metrics) -> Result<Option<Self>, JobsError> {
        let Some(dir) = &options.jobs else { return Ok(None) };
        // On a thread that may wait for a database, whoever calls.
        let opened = thread::scope(|scope| scope.spawn(|| Self::open_in(dir, options, metrics)).join());
        opened.unwrap_or_else(|panic| resume_unwind(panic)).map(Some)
    }

    fn open_in(dir: &Path, options: &ServeOptions, metrics: &Metrics) -> Result<Self, JobsError> {
        let unusable = |source| JobsError::Folder { folder: dir.to_path_buf(), source };
        std::fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir)).map_err(unusable)?;
        let (store, path) = open_store(dir, options.jobs_db.as_deref())?;
        let folder = Folder::open(path).map_err(unusable)?;
        // That the file system has locks is found out now.
        drop(folder.alone().map_err(unusable)?);
        let jobs = Self(Arc::new(Inner {
            store,
            folder,
            at_work: Mutex::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
            busy: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        }));
        let of_store = |source| store_error(dir, options.jobs_db.as_deref(), source);
        if !jobs.store().is_shared() {
            jobs.begin_again(metrics).map_err(of_store)?;
        }
        // First the uploads: one that becomes a job meanwhile is among these or those.
        let uploads = jobs.store().uploads().map_err(of_store)?.into_iter().map(|upload| upload.id).collect();
        let unended = jobs.store().unended().map_err(of_store)?;
        let young = if jobs.store().is_shared() { YOUNG } else { Duration::ZERO };
        jobs.folder().keep(&unended, &uploads, young).map_err(unusable)?;
        match &options.jobs_db {
            Some(url) => {
                let folder = jobs.folder().path().display();
                tracing::info!(database = Postgres::place(url), %folder, jobs = unended.len(), "jobs are shared");
            }
            None if !unended.is_empty() => tracing::info!(jobs = unended.len(), "jobs of before go on"),
            None => {}
        }
        Ok(jobs)
    }

    /// The rows.
    pub fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    /// Has jobs wait again whose service has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn begin_again(&self, metrics: &Metrics) -> Result<(), StoreError> {
        for id in self.store().begin_again(&json(&ApiError::GivenUp(MOST_ATTEMPTS).problem()))? {
            metrics.jobs.with_label_values(&["failed"]).inc();
            tracing::warn!(
                job = id,
                attempts = MOST_ATTEMPTS,
                "job given up: the service ended each time it worked on it"
            );
            self.folder().remove(&id);
        }
        Ok(())
    }

    /// Does something with them on a thread that may wait for the disk or the database.
    ///
    /// # Errors
    ///
    /// As what is done.
    pub async fn ask<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let jobs = self.clone();
        let done = web::block(move || work(&jobs)).await;
        done.unwrap_or_else(|_| Err(StoreError::Damaged("a thread that read it failed".to_owned()).into()))
    }

    /// As [`ask`](Self::ask), for requests that have no place in the service: a database that hangs must not take all threads.
    ///
    /// # Errors
    ///
    /// As what is done, or that it was not its turn for long.
    pub async fn ask_in_turn<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let turn = tokio::time::timeout(TURN, self.0.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(StoreError::Unreachable(format!("no turn to ask it for {} s", TURN.as_secs())).into());
        };
        self.ask(move |jobs| {
            let _turn = turn;
            work(jobs)
        })
        .await
    }

    /// The videos.
    pub fn folder(&self) -> &Folder {
        &self.0.folder
    }

    /// To wait for changes.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Says that a job has changed.
    pub fn note_change(&self) {
        self.0.changed.send_replace(());
    }

    /// How far an attempt at a job is that is at work here.
    pub fn progress(&self, id: &str, attempt: u32, admission: &Admission) -> Option<JobProgress> {
        let at_work = self.at_work();
        let work = at_work.get(id).filter(|work| work.attempt == attempt)?;
        let (clips, expected) = admission.progress(work.place?)?;
        Some(JobProgress { clips, expected, so_far: Some(work.wanted.so_far()) })
    }

    /// Says of all jobs that are at work here that they go on, and how far they are. Those that were forgotten elsewhere, or taken for lost, stop.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn keep(&self, admission: &Admission) -> Result<(), StoreError> {
        let at_work: Vec<_> = self.at_work().iter().map(|(id, work)| (id.clone(), work.attempt)).collect();
        for (id, attempt) in at_work {
            let progress = self.progress(&id, attempt, admission).as_ref().map(json);
            if self.store().keep(&id, attempt, progress.as_deref())? {
                continue;
            }
            if let Some(work) = self.at_work().get(&id).filter(|work| work.attempt == attempt) {
                tracing::warn!(job = id, attempt, "job stopped: it was deleted, or another service has begun it again");
                work.wanted.give_up();
            }
        }
        Ok(())
    }

    /// Forgets a job. If it is worked on, that stops soon.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn forget(&self, id: &str) -> Result<(), StoreError> {
        self.0.store.forget(id)?;
        if let Some(work) = self.at_work().get(id) {
            work.wanted.give_up();
        } else {
            self.0.folder.remove(id);
        }
        self.note_change();
        Ok(())
    }

    /// Stops all work, which begins again with the next start.
    pub fn stop(&self) {
        for work in self.at_work().values() {
            work.wanted.give_up();
        }
        self.note_change();
    }

    /// Whether a job is claimed or worked on, or what came of one is being noted.
    pub fn is_at_work(&self) -> bool {
        self.0.busy.load(Ordering::Acquire) > 0
    }

    fn at_work(&self) -> MutexGuard<'_, HashMap<String, AtWork>> {
        self.0.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows, and the folder of their videos.
fn open_store(dir: &Path, url: Option<&str>) -> Result<(Box<dyn Store>, PathBuf), JobsError> {
    let opened = match url {
        Some(url) => Postgres::open(url, dir).map(|(store, folder)| (Box::new(store) as Box<dyn Store>, folder)),
        None => Sqlite::open(&dir.join(SQLITE)).map(|store| (Box::new(store) as Box<dyn Store>, dir.join("uploads"))),
    };
    opened.map_err(|source| store_error(dir, url, source))
}

fn store_error(dir: &Path, url: Option<&str>, source: StoreError) -> JobsError {
    match url {
        Some(url) => JobsError::Shared { url: Postgres::place(url).to_owned(), source },
        None if Sqlite::is_in_use(&source) => JobsError::InUse { folder: dir.to_path_buf() },
        None => JobsError::Store { path: dir.join(SQLITE), source },
    }
}
