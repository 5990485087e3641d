//! Works off the jobs, one after the other, when there is room beside the requests of those who wait.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;

use super::store::Job;
use super::{AtWork, Jobs, json};
use crate::admission::Place;
use crate::error::ApiError;
use crate::params::{Params, PredictParams};
use crate::routes::predict::Answers;
use crate::routes::video::{Work, look, thread_failed};
use crate::routes::waiting::Wanted;
use crate::state::State;
use crate::upload::{Upload, UploadRules};

/// After which a job that finds the service full tries again, and what could not be read or written.
const PAUSE: Duration = Duration::from_millis(250);
/// Time from one look for results that are too old to the next.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Works until a shutdown begins.
pub async fn work(state: web::Data<State>, jobs: Jobs) {
    let mut changes = jobs.changes();
    while !state.is_draining() {
        match jobs.ask(|jobs| jobs.store().claim()).await {
            Ok(Some(job)) => one(&state, &jobs, job).await,
            Ok(None) => drop(changes.changed().await),
            Err(error) => {
                tracing::error!(%error, "no job can be claimed");
                tokio::time::sleep(4 * PAUSE).await;
            }
        }
    }
}

/// Removes results and uploads that are too old, now and then.
pub async fn tidy(state: web::Data<State>, jobs: Jobs) {
    while !state.is_draining() {
        let (keep, most) = (state.options.jobs_keep(), state.options.jobs_max_bytes());
        match jobs.ask(move |jobs| jobs.store().tidy(keep, most)).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(jobs = gone, "old results are gone"),
            Err(error) => tracing::error!(%error, "old results cannot be removed"),
        }
        match jobs.ask(|jobs| jobs.expire_uploads()).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(uploads = gone, "uploads of which nothing came any more are gone"),
            Err(error) => tracing::error!(%error, "old uploads cannot be removed"),
        }
        tokio::time::sleep(TIDY_EVERY).await;
    }
}

/// Does one job, and notes what came of it.
async fn one(state: &web::Data<State>, jobs: &Jobs, job: Job) {
    let wanted = Wanted::within(state.options.job_timeout()).with_so_far();
    jobs.at_work().insert(job.id.clone(), AtWork { wanted: wanted.clone(), place: None });
    jobs.note_change();
    tracing::info!(job = job.id, attempt = job.attempts, "job begun");
    match run(state, jobs, &job, &wanted).await {
        // The next start goes on with it; its video stays.
        Err(ApiError::Cancelled) if state.is_draining() => {
            let (id, attempt) = (job.id.clone(), job.attempts);
            if let Err(error) = jobs.ask(move |jobs| jobs.store().put_back(&id, attempt)).await {
                tracing::error!(job = job.id, %error, "a job that was stopped counts as begun");
            }
        }
        result => note(state, jobs, &job, result).await,
    }
    jobs.at_work().remove(&job.id);
    jobs.note_change();
}

/// Notes what came of a job. As long as that cannot be written, its video stays, and it is tried again.
async fn note(state: &State, jobs: &Jobs, job: &Job, result: Result<Answers, ApiError>) {
    let outcome = Arc::new(result.map(|answers| json(&answers)).map_err(|error| json(&error.problem())));
    loop {
        let (id, attempt, told) = (job.id.clone(), job.attempts, outcome.clone());
        match jobs.ask(move |jobs| jobs.store().end(&id, attempt, &told)).await {
            Ok(ended) => {
                let state_name = if outcome.is_ok() { "done" } else { "failed" };
                // Otherwise it was deleted meanwhile.
                if ended {
                    state.metrics.jobs.with_label_values(&[state_name]).inc();
                    tracing::info!(job = job.id, state = state_name, "job ended");
                }
                return jobs.folder().remove(&job.id);
            }
            Err(error) if state.is_draining() => {
                return tracing::error!(job = job.id, %error, "what came of a job is lost; the next start does it again");
            }
            Err(error) => {
                tracing::error!(job = job.id, %error, "what came of a job cannot be written yet");
                tokio::time::sleep(4 * PAUSE).await;
            }
        }
    }
}

async fn run(state: &web::Data<State>, jobs: &Jobs, job: &Job, wanted: &Wanted) -> Result<Answers, ApiError> {
    let params = PredictParams::from_query(&job.parameters)?;
    let upload = match &job.url {
        Some(url) => fetch(state, url, wanted).await?,
        None => kept(jobs, &job.id).await?,
    };
    let place = enter(state, wanted).await?;
    if let Some(work) = jobs.at_work().get_mut(&job.id) {
        work.place = Some(place.number());
    }
    look(state.clone(), params, upload, place, wanted.clone(), PredictParams::run).await?.await
}

/// The video of a job that came with one.
async fn kept(jobs: &Jobs, id: &str) -> Result<Upload, ApiError> {
    let lost = |error: io::Error| ApiError::Internal(format!("the video of a job cannot be read: {error}"));
    let (jobs, id) = (jobs.clone(), id.to_owned());
    let file = web::block(move || jobs.folder().video(&id)).await.map_err(thread_failed)?.map_err(lost)?;
    Ok(Upload::kept(Arc::new(file)))
}

/// Fetches the video of a job, as long as it is wanted.
async fn fetch(state: &State, url: &str, wanted: &Wanted) -> Result<Upload, ApiError> {
    let (fetcher, rules) = (state.fetcher(url)?, UploadRules::of(state));
    let unwanted = async {
        while wanted.still() && !state.is_draining() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        upload = fetcher.fetch(url, &rules) => upload,
        () = unwanted => Err(wanted.told(ApiError::Cancelled)),
    }
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
