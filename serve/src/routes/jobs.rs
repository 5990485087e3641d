//! `/v1/jobs`: work that is asked for now and told of later.

use std::time::{Duration, Instant};

use actix_web::http::header::{CONTENT_LENGTH, LOCATION, TRANSFER_ENCODING};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use rusqlite::ErrorCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::accept::in_events;
use super::predict::Answers;
use super::video::{Work, thread_failed};
use super::waiting::Waiting;
use crate::access::key_of;
use crate::error::{ApiError, Problem, shorten};
use crate::jobs::arrival::Arriving;
use crate::jobs::store::{Job, JobState, StoreError};
use crate::jobs::{JobProgress, Jobs};
use crate::params::{JobParams, Params};
use crate::state::State;
use crate::upload::{UploadRules, receive};

/// Longest address of a video.
const MAX_URL: usize = 4096;
/// Jobs in one list, unless the request says otherwise, and at most.
const LISTED: usize = 50;
const MOST_LISTED: usize = 500;
/// How often a stream of events looks at its job while it is at work: progress is told no more often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Silence after which a stream of events says that it is still there.
const STILL_THERE: Duration = Duration::from_secs(15);
/// The header with which a client says what it has heard last.
const LAST_EVENT: &str = "last-event-id";

/// A job as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobInfo {
    id: String,
    state: JobState,
    /// What is asked for, as a query string.
    parameters: String,
    /// Size of the video; 0 when it is fetched.
    bytes: u64,
    /// Where the video is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    url: Option<String>,
    /// How often it was begun; more than once when the service ended meanwhile.
    attempts: u32,
    /// When it was accepted, in seconds since 1970.
    created_s: f64,
    /// When it was begun last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    started_s: Option<f64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ended_s: Option<f64>,
    /// While it is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    progress: Option<JobProgress>,
    /// What came of it: what POST /v1/predict answers. Lists of jobs leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Answers, required = false, nullable = false)]
    result: Option<Box<RawValue>>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Problem, required = false, nullable = false)]
    error: Option<Box<RawValue>>,
}

/// Jobs, the latest first.
#[derive(Serialize, ToSchema)]
pub struct JobList {
    jobs: Vec<JobInfo>,
}

/// Which jobs are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Those in this state; in any when absent.
    #[param(value_type = JobState, required = false, inline)]
    state: Option<String>,
    /// Those that were accepted before this job.
    #[param(value_type = String, required = false)]
    before: Option<String>,
    /// So many at most; 50 when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// `POST /v1/jobs`: takes a video and parameters as `/v1/predict` does, and answers as soon as they are kept.
pub async fn submit(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let jobs = of(&state)?;
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let asked = JobParams::from_query(request.query_string())?;
    asked.predict.find(&state)?;
    let mut waiting = Waiting::new(&state, &request)?;
    let result = match &asked.url {
        Some(url) => accept_url(&state, jobs, &request, &asked, url).await,
        None => waiting.wait(accept(&state, jobs, &request, payload, asked)).await,
    };
    let job = waiting.settle(result)?;
    state.metrics.jobs.with_label_values(&["accepted"]).inc();
    jobs.note_change();
    let location = (LOCATION, format!("/v1/jobs/{}", job.id));
    Ok(HttpResponse::Accepted().insert_header(location).json(describe(&state, jobs, job, true)))
}

/// Takes the upload, within a place as every upload, and makes it a job.
async fn accept(
    state: &web::Data<State>,
    jobs: &Jobs,
    request: &HttpRequest,
    payload: web::Payload,
    mut asked: JobParams,
) -> Result<Job, ApiError> {
    let place = state.admission.enter()?;
    let arriving = Arriving::new(jobs.clone());
    let rules = UploadRules { kept: Some(jobs.folder().arriving(&arriving.id)), ..UploadRules::of(state) };
    let upload = receive(request, payload, &rules, &mut asked).await?;
    asked.predict.find(state)?;
    let (limits, workers, size) = (state.options.limits(), state.workers.clone(), upload.size()? as u64);
    // What is no video is said now, and not when nobody looks any more.
    let probe = state.admission.probe().await;
    let looked = web::block(move || (workers.probe(&upload.source(), &limits), place, probe)).await;
    looked.map_err(thread_failed)?.0?;

    let (owner, parameters, most) = (key_of(request), asked.query(), state.options.jobs_max_bytes());
    jobs.ask(move |_| arriving.accept(&owner, &parameters, size, most)).await
}

/// Makes a job of a video that is to be fetched when its turn has come.
async fn accept_url(
    state: &State,
    jobs: &Jobs,
    request: &HttpRequest,
    asked: &JobParams,
    url: &str,
) -> Result<Job, ApiError> {
    if url.len() > MAX_URL {
        return Err(ApiError::BadParameter(format!("`url` is longer than {MAX_URL} bytes")));
    }
    let has_body = request.headers().get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body || request.headers().contains_key(TRANSFER_ENCODING) {
        return Err(ApiError::BadParameter("there is a `url` and a body; give one of the two".to_owned()));
    }
    state.fetcher(url)?.address(url)?;
    let (owner, parameters, url) = (key_of(request), asked.query(), url.to_owned());
    jobs.ask_in_turn(move |jobs| jobs.accept_url(&owner, &parameters, &url)).await
}

/// `GET /v1/jobs`: those of the request's API key, the latest first.
pub async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let jobs = of(&state)?;
    let asked = web::Query::<ListParams>::from_query(request.query_string());
    let asked = asked.map_err(|error| ApiError::BadParameter(format!("the query string cannot be read: {error}")))?;
    let ListParams { state: named, before, limit } = asked.into_inner();
    let unknown = |name: &str| {
        ApiError::BadParameter(format!("`state` is `{}`; give queued, running, done or failed", shorten(name)))
    };
    let wanted = named.map(|name| JobState::named(&name).ok_or_else(|| unknown(&name))).transpose()?;
    let limit = limit.unwrap_or(LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(ApiError::BadParameter(format!("`limit` is {limit}; give a number from 1 to {MOST_LISTED}")));
    }
    let owner = key_of(&request);
    let found = jobs.ask_in_turn(move |jobs| jobs.store().list(&owner, wanted, before.as_deref(), limit)).await?;
    let found = found.into_iter().map(|job| describe(&state, jobs, job, false)).collect();
    Ok(HttpResponse::Ok().json(JobList { jobs: found }))
}

/// `GET /v1/jobs/{id}`.
pub async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let (jobs, job) = find(&state, &request, &id).await?;
    Ok(HttpResponse::Ok().json(describe(&state, jobs, job, true)))
}

/// `DELETE /v1/jobs/{id}`: forgets it; if it is worked on, that stops.
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let (jobs, job) = find(&state, &request, &id).await?;
    jobs.ask_in_turn(move |jobs| jobs.forget(&job.id)).await?;
    state.metrics.jobs.with_label_values(&["deleted"]).inc();
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /v1/jobs/{id}/events`: the job whenever it has changed, until it has ended. An event tells all of it, and its name is that of
/// what it tells: a client that comes back with the name of the last one hears of nothing twice, and misses nothing that matters.
pub async fn events(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let (jobs, job) = find(&state, &request, &id).await?;
    let changes = jobs.changes();
    let last = request.headers().get(LAST_EVENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if job.state.is_end() && describe(&state, jobs, job, false).mark() == last {
        // Browsers come back after every end but this one.
        return Ok(HttpResponse::NoContent().finish());
    }
    let begin = Events { changes, state, request, id: id.into_inner(), last, has_ended: false };
    Ok(in_events(stream::unfold(begin, |mut events| async {
        let text = events.next().await?;
        Some((Bytes::from(text), events))
    })))
}

/// Events of a job that are still to come.
struct Events {
    changes: tokio::sync::watch::Receiver<()>,
    state: web::Data<State>,
    request: HttpRequest,
    id: String,
    last: String,
    has_ended: bool,
}

impl Events {
    /// The next one; none after the last.
    async fn next(&mut self) -> Option<String> {
        let silent_since = Instant::now();
        while !self.has_ended {
            let (jobs, job) = match find(&self.state, &self.request, &self.id).await {
                Ok(found) => found,
                // No news: who listens would not come back.
                Err(ApiError::JobsAway) if silent_since.elapsed() < STILL_THERE && !self.state.is_draining() => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(ApiError::JobsAway) if !self.state.is_draining() => return Some(": still there\n\n".to_owned()),
                Err(_) => return None,
            };
            self.has_ended = job.state.is_end();
            let name = job.state.name();
            let told = describe(&self.state, jobs, job, true);
            let mark = told.mark();
            if mark != self.last {
                let data = serde_json::to_string(&told).expect("names and numbers can be written as JSON");
                self.last = mark;
                return Some(format!("id: {}\nevent: {name}\ndata: {data}\n\n", self.last));
            }
            if silent_since.elapsed() >= STILL_THERE {
                return Some(": still there\n\n".to_owned());
            }
            if self.state.is_draining() {
                return None;
            }
            let _ = tokio::time::timeout(LOOK_EVERY, self.changes.changed()).await;
        }
        None
    }
}

impl JobInfo {
    /// What an event that tells of it is called.
    fn mark(&self) -> String {
        let clips = self.progress.as_ref().map_or(0, |progress| progress.clips);
        format!("{}-{}-{clips}", self.attempts, self.state.name())
    }
}

/// The jobs, where the service has any.
///
/// # Errors
///
/// [`ApiError::NoJobs`].
pub fn of(state: &State) -> Result<&Jobs, ApiError> {
    state.jobs.as_ref().ok_or(ApiError::NoJobs)
}

/// The job of that name, if it is of the request's API key, and the jobs.
async fn find<'a>(state: &'a State, request: &HttpRequest, id: &str) -> Result<(&'a Jobs, Job), ApiError> {
    let (jobs, asked) = (of(state)?, id.to_owned());
    let found = jobs.ask_in_turn(move |jobs| jobs.store().job(&asked)).await?;
    let owner = key_of(request);
    let job = found.filter(|job| job.owner == owner).ok_or_else(|| ApiError::UnknownJob(shorten(id)))?;
    Ok((jobs, job))
}

/// A job as clients see it; with what came of it, if that is asked for.
fn describe(state: &State, jobs: &Jobs, job: Job, is_whole: bool) -> JobInfo {
    let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
    let told = || serde_json::from_str(job.progress.as_deref()?).ok();
    let at_work =
        (job.state == JobState::Running).then(|| jobs.progress(&job.id, job.attempts, &state.admission).or_else(told));
    let progress =
        at_work.flatten().map(|progress| JobProgress { so_far: progress.so_far.filter(|_| is_whole), ..progress });
    JobInfo {
        id: job.id,
        state: job.state,
        parameters: job.parameters,
        bytes: job.bytes,
        url: job.url,
        attempts: job.attempts,
        created_s: job.created_s,
        started_s: job.started_s,
        ended_s: job.ended_s,
        progress,
        result: raw(job.result.filter(|_| is_whole)),
        error: raw(job.error),
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Sqlite(rusqlite::Error::SqliteFailure(code, _))
                if matches!(code.code, ErrorCode::DiskFull | ErrorCode::SystemIoFailure) =>
            {
                tracing::error!(%error, "the jobs cannot be written");
                Self::Exhausted("the disk of the jobs is full, or fails".to_owned())
            }
            // Who works off the jobs has it in the log.
            StoreError::Unreachable(_) => Self::JobsAway,
            _ => Self::Internal(format!("the database of jobs: {error}")),
        }
    }
}
