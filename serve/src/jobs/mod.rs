//! Work that outlives its request: a video is kept in a folder and looked at when there is room, and what comes of it is kept until
//! it is asked for.
//!
//! A job is what `POST /v1/predict` does. [`store`] has the rows, in a SQLite database; [`folder`] has the videos, a file for each job
//! that has not ended; [`arrival`] makes a job of a video that has come; [`runner`] claims one job after the other. A job that was accepted is in the database and on the disk before
//! the client hears of it. One that was at work when the process ended is begun again, and whoever ends it does so once: the row
//! changes only from the state and the attempt that the work was begun in.

pub mod arrival;
pub mod folder;
pub mod runner;
pub mod store;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::web;
use serde::Serialize;
use tokio::sync::watch;

use crate::admission::Admission;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::routes::waiting::{SoFar, Wanted};
use folder::Folder;
use store::{MOST_ATTEMPTS, Store, StoreError};

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
}

/// What is told of a job, as it is kept.
fn json(told: &impl Serialize) -> String {
    serde_json::to_string(told).expect("names and numbers can be written as JSON")
}

/// The jobs of a service. Clones share them.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    store: Store,
    folder: Folder,
    /// Those at work.
    at_work: Mutex<HashMap<String, AtWork>>,
    /// Uploads that are changed.
    coming: Mutex<HashSet<String>>,
    /// Held while a video is taken on.
    taking_on: Mutex<()>,
    /// Changes whenever a job does.
    changed: watch::Sender<()>,
}

/// A job at work.
struct AtWork {
    wanted: Wanted,
    /// Of its place in the service, as soon as it has one.
    place: Option<u64>,
}

impl Jobs {
    /// Opens the folder. What was at work when the process ended last waits again.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub fn open(options: &ServeOptions, metrics: &Metrics) -> Result<Option<Self>, JobsError> {
        let Some(dir) = &options.jobs else { return Ok(None) };
        let folder = Folder::open(dir).map_err(|source| JobsError::Folder { folder: dir.clone(), source })?;
        let path = dir.join("jobs.sqlite");
        let given_up = json(&ApiError::GivenUp(MOST_ATTEMPTS).problem());
        let opened = Store::open(&path).and_then(|store| {
            let ((unended, failed), uploads) = (store.begin_again(&given_up)?, store.uploads()?);
            Ok((store, unended, failed, uploads.into_iter().collect()))
        });
        let (store, unended, failed, uploads) = opened.map_err(|source| match source {
            source if source.is_in_use() => JobsError::InUse { folder: dir.clone() },
            source => JobsError::Store { path, source },
        })?;
        folder.keep(&unended, &uploads).map_err(|source| JobsError::Folder { folder: dir.clone(), source })?;
        for id in failed {
            metrics.jobs.with_label_values(&["failed"]).inc();
            tracing::warn!(
                job = id,
                attempts = MOST_ATTEMPTS,
                "job given up: the service ended each time it worked on it"
            );
        }
        if !unended.is_empty() {
            tracing::info!(jobs = unended.len(), "jobs of before go on");
        }
        Ok(Some(Self(Arc::new(Inner {
            store,
            folder,
            at_work: Mutex::default(),
            coming: Mutex::default(),
            taking_on: Mutex::default(),
            changed: watch::Sender::new(()),
        }))))
    }

    /// The rows.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Does something with them on a thread that may wait for the disk.
    ///
    /// # Errors
    ///
    /// As what is done.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let jobs = self.clone();
        let done = web::block(move || work(&jobs)).await;
        done.unwrap_or_else(|_| Err(StoreError::Damaged("a thread that read it failed".to_owned())))
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

    /// Clips done and clips expected of a job at work, and what was seen in them.
    pub fn progress(&self, id: &str, admission: &Admission) -> Option<(usize, usize, SoFar)> {
        let at_work = self.at_work();
        let work = at_work.get(id)?;
        let (clips, expected) = admission.progress(work.place?)?;
        Some((clips, expected, work.wanted.so_far()))
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

    /// Whether a job is worked on, or what came of one is being noted.
    pub fn is_at_work(&self) -> bool {
        !self.at_work().is_empty()
    }

    fn coming(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_work(&self) -> MutexGuard<'_, HashMap<String, AtWork>> {
        self.0.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
