//! Works off the jobs, one after the other, when there is room beside the requests of those who wait.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;

use super::store::{Job, JobState, StoreError};
use super::{AtWork, Jobs};
use crate::admission::Place;
use crate::error::ApiError;
use crate::params::{Params, PredictParams};
use crate::routes::predict::Answers;
use crate::routes::video::{Video, Wanted, look, thread_failed};
use crate::state::State;
use crate::upload::Upload;

/// After which a job that finds the service full tries again, and one that finds nothing to do looks again: another process may
/// have left something in the database.
const PAUSE: Duration = Duration::from_millis(250);
/// Time from one look for results that are too old to the next.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Works until a shutdown begins.
pub async fn work(state: web::Data<State>, jobs: Jobs) {
    let mut changes = jobs.changes();
    while !state.is_draining() {
        let claimed = match on_store(&jobs, |jobs| jobs.store().claim()).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, "no job can be claimed");
                tokio::time::sleep(4 * PAUSE).await;
                continue;
            }
        };
        match claimed {
            Some(job) => one(&state, &jobs, job).await,
            None => drop(tokio::time::timeout(4 * PAUSE, changes.changed()).await),
        }
    }
}

/// Removes results that are too old, now and then.
pub async fn tidy(state: web::Data<State>, jobs: Jobs) {
    while !state.is_draining() {
        let (keep, most) = (state.options.jobs_keep(), state.options.jobs_max_bytes());
        match on_store(&jobs, move |jobs| jobs.store().tidy(keep, most)).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(jobs = gone, "old results are gone"),
            Err(error) => tracing::error!(%error, "old results cannot be removed"),
        }
        tokio::time::sleep(TIDY_EVERY).await;
    }
}

/// Does something with the database on a thread that may wait for the disk.
///
/// # Errors
///
/// As what is done.
pub async fn on_store<T: Send + 'static>(
    jobs: &Jobs,
    work: impl FnOnce(&Jobs) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let jobs = jobs.clone();
    let done = web::block(move || work(&jobs)).await;
    done.unwrap_or_else(|_| Err(StoreError::Damaged("a thread that read it failed".to_owned())))
}

/// Does one job, and notes what came of it.
async fn one(state: &web::Data<State>, jobs: &Jobs, job: Job) {
    let wanted = Wanted::within(state.options.job_timeout());
    jobs.at_work().insert(job.id.clone(), AtWork { wanted: wanted.clone(), place: None });
    jobs.note_change();
    tracing::info!(job = job.id, attempt = job.attempts, "job begun");
    let result = run(state, jobs, &job, &wanted).await;
    jobs.at_work().remove(&job.id);
    let (id, attempt) = (job.id.clone(), job.attempts);
    let noted = match result {
        Err(ApiError::Cancelled) if state.is_draining() => {
            // Its video stays.
            on_store(jobs, move |jobs| jobs.store().put_back(&id, attempt)).await.map(|_| ())
        }
        result => {
            let (end, text) = match result {
                Ok(answers) => (JobState::Done, serde_json::to_string(&answers)),
                Err(error) => (JobState::Failed, serde_json::to_string(&error.problem())),
            };
            let text = text.expect("names and numbers can be written as JSON");
            let of = move |wanted| (end == wanted).then_some(text.clone());
            let (done, failed) = (of(JobState::Done), of(JobState::Failed));
            let noted =
                on_store(jobs, move |jobs| jobs.store().end(&id, attempt, end, done.as_deref(), failed.as_deref()));
            let noted = noted.await;
            if matches!(noted, Ok(true)) {
                state.metrics.jobs.with_label_values(&[end.name()]).inc();
                tracing::info!(job = job.id, state = end.name(), "job ended");
            }
            jobs.folder().remove(&job.id);
            noted.map(|_| ())
        }
    };
    if let Err(error) = noted {
        tracing::error!(job = job.id, %error, "what came of a job cannot be written; it is done again after the next start");
    }
    jobs.note_change();
}

async fn run(state: &web::Data<State>, jobs: &Jobs, job: &Job, wanted: &Wanted) -> Result<Answers, ApiError> {
    let params = PredictParams::from_query(&job.parameters)?;
    let lost = |error: io::Error| ApiError::Internal(format!("the video of a job cannot be read: {error}"));
    let (folder, id) = (jobs.clone(), job.id.clone());
    let file = web::block(move || folder.folder().video(&id)).await.map_err(thread_failed)?.map_err(lost)?;
    let place = enter(state, wanted).await?;
    if let Some(work) = jobs.at_work().get_mut(&job.id) {
        work.place = Some(place.number());
    }
    let run = |params: PredictParams, models: &_, video: &Video| crate::routes::video::Work::run(params, models, video);
    look(state.clone(), params, Upload::kept(Arc::new(file)), place, wanted.clone(), run).await?.await
}

/// Takes a place in the service, when there is one.
async fn enter(state: &State, wanted: &Wanted) -> Result<Place, ApiError> {
    loop {
        if !wanted.still() || state.is_draining() {
            return Err(wanted.told(ApiError::Cancelled));
        }
        match state.admission.enter() {
            Ok(place) => return Ok(place),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
