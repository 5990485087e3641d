//! Works off the jobs, one after the other, when there is room beside the requests of those who wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix_web::web;

use super::store::{HELD, Job, StoreError};
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

/// Time from one count of those that wait to the next.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How often jobs of other services are looked for, and how often others are told that those of this one go on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// Works until a shutdown begins.
pub async fn work(state: web::Data<State>, jobs: Jobs) {
    let mut changes = jobs.changes();
    while !state.is_draining() {
        let busy = Busy::new(&jobs);
        // A service that lost its file system must not take the jobs of those that have it, and fail them.
        let claim = |jobs: &Jobs| match jobs.folder().is_there() {
            true => jobs.store().claim(),
            false => Err(StoreError::Folder("the folder of its videos is gone".to_owned())),
        };
        let claimed = jobs.ask(claim).await;
        if let Ok(Some(job)) = claimed {
            one(&state, &jobs, job).await;
            continue;
        }
        drop(busy);
        match claimed {
            Err(error) => {
                tracing::error!(%error, "no job can be claimed");
                tokio::time::sleep(4 * PAUSE).await;
            }
            _ if jobs.store().is_shared() => {
                let _others_tell_nothing = tokio::time::timeout(LOOK_EVERY, changes.changed()).await;
            }
            _ => drop(changes.changed().await),
        }
    }
}

/// Somebody who claims a job or works on one, until dropped.
struct Busy<'a>(&'a Jobs);

impl<'a> Busy<'a> {
    fn new(jobs: &'a Jobs) -> Self {
        jobs.0.busy.fetch_add(1, Ordering::AcqRel);
        Self(jobs)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

/// With others that share the jobs: says again and again that those of this service go on, and has those wait again whose service says nothing.
pub async fn keep(state: web::Data<State>, jobs: Jobs) {
    let mut heard_since = None;
    while !state.is_draining() || jobs.is_at_work() {
        let shared = state.clone();
        // After a time without a database, all services have to say first that theirs go on.
        let is_trusted = heard_since.is_some_and(|since: Instant| since.elapsed() >= HELD);
        let kept = move |jobs: &Jobs| -> Result<(), StoreError> {
            jobs.keep(&shared.admission)?;
            if is_trusted { jobs.begin_again(&shared.metrics) } else { Ok(()) }
        };
        match jobs.ask(kept).await {
            Ok(()) => drop(heard_since.get_or_insert_with(Instant::now)),
            Err(error) => {
                heard_since = None;
                tracing::error!(%error, "it cannot be said that jobs go on; if that lasts, other services begin them again");
            }
        }
        tokio::time::sleep(KEEP_EVERY).await;
    }
}

/// Removes results and uploads that are too old, and counts those that wait, now and then.
pub async fn tidy(state: web::Data<State>, jobs: Jobs) {
    let mut tidied = None;
    while !state.is_draining() {
        if tidied.is_none_or(|at: Instant| at.elapsed() >= TIDY_EVERY) {
            tidied = Some(Instant::now());
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
        }
        match jobs.ask(|jobs| jobs.store().waiting()).await {
            Ok((waiting, bytes)) => {
                state.metrics.jobs_waiting.set(waiting as i64);
                state.metrics.jobs_waiting_bytes.set(bytes as i64);
            }
            Err(error) => tracing::error!(%error, "those that wait cannot be counted"),
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}

/// Does one job, and notes what came of it.
async fn one(state: &web::Data<State>, jobs: &Jobs, job: Job) {
    let wanted = Wanted::within(state.options.job_timeout()).with_so_far();
    let at_work = AtWork { attempt: job.attempts, wanted: wanted.clone(), place: None };
    if let Some(lost) = jobs.at_work().insert(job.id.clone(), at_work) {
        // An attempt that was taken for lost.
        lost.wanted.give_up();
    }
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
        // Somebody else may have it, or have put it back: that it was stopped here is no outcome.
        Err(ApiError::Cancelled) if wanted.is_given_up() => leave(jobs, &job).await,
        result => note(state, jobs, &job, result).await,
    }
    jobs.at_work().extract_if(|id, work| *id == job.id && work.attempt == job.attempts).for_each(drop);
    jobs.note_change();
}

/// Notes what came of a job. As long as that cannot be written, its video stays, and it is tried again.
async fn note(state: &State, jobs: &Jobs, job: &Job, result: Result<Answers, ApiError>) {
    let outcome = Arc::new(result.map(|answers| json(&answers)).map_err(|error| json(&error.problem())));
    loop {
        let (id, attempt, told) = (job.id.clone(), job.attempts, outcome.clone());
        match jobs.ask(move |jobs| jobs.store().end(&id, attempt, &told)).await {
            Ok(true) => {
                let state_name = if outcome.is_ok() { "done" } else { "failed" };
                state.metrics.jobs.with_label_values(&[state_name]).inc();
                tracing::info!(job = job.id, state = state_name, "job ended");
                return jobs.folder().remove(&job.id);
            }
            Ok(false) => return leave(jobs, job).await,
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

/// Leaves a job that was deleted, or taken for lost and begun elsewhere: then its video is still needed.
async fn leave(jobs: &Jobs, job: &Job) {
    let id = job.id.clone();
    match jobs.ask(move |jobs| jobs.store().job(&id)).await {
        Ok(Some(found)) if !found.state.is_end() => {}
        Ok(_) => jobs.folder().remove(&job.id),
        Err(error) => {
            tracing::error!(job = job.id, %error, "the video of a job that was stopped stays until a later start")
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
    if let Some(work) = jobs.at_work().get_mut(&job.id).filter(|work| work.attempt == job.attempts) {
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
