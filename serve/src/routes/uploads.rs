//! `/v1/uploads`: videos that come in parts and over connections that break, by the tus protocol (version 1.0.0, with its extensions
//! creation, termination and expiration; <https://tus.io/protocols/resumable-upload>). A complete upload is a job of the same name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, HttpDate, LOCATION};
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::jobs::of;
use super::video::{Work, thread_failed};
use super::waiting::{Waiting, Wanted};
use crate::access::key_of;
use crate::admission::Place;
use crate::error::{ApiError, shorten};
use crate::jobs::Jobs;
use crate::jobs::arrival::{Coming, new_id};
use crate::jobs::store::{Job, Partial};
use crate::params::{JobParams, Params};
use crate::state::State;
use crate::upload::{UploadRules, arriving, write_part};

/// Version of the protocol.
pub const VERSION: &str = "1.0.0";
/// The header that has it, in requests and in answers.
pub const RESUMABLE: &str = "tus-resumable";
/// Size of the video.
const LENGTH: &str = "upload-length";
/// Where a part begins, and how much has come.
const OFFSET: &str = "upload-offset";
/// What the client says of the video, for itself.
const METADATA: &str = "upload-metadata";
/// Longest value of it.
const MAX_METADATA: usize = 2048;
/// How long a request waits for the end of another for the same upload.
const SOON: Duration = Duration::from_secs(2);
/// Media type of a part.
pub const PART: &str = "application/offset+octet-stream";

/// `OPTIONS /v1/uploads`: what there is of the protocol.
pub async fn options(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    of(&state)?;
    let most = state.options.max_body_bytes().min(state.options.jobs_max_bytes());
    let mut answer = HttpResponse::NoContent();
    answer.insert_header(("tus-version", VERSION)).insert_header(("tus-extension", "creation,termination,expiration"));
    Ok(answer.insert_header(("tus-max-size", most.to_string())).finish())
}

/// `POST /v1/uploads`: begins one. What is asked of the job is in the query, as of `POST /v1/jobs`.
pub async fn create(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let jobs = begin(&state, &request)?.clone();
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let (bytes, most) = (number(&request, LENGTH)?, state.options.max_body_bytes());
    let asked = JobParams::from_query(request.query_string())?;
    if asked.url.is_some() {
        return Err(ApiError::BadParameter("`url` is for POST /v1/jobs; an upload brings its video".to_owned()));
    }
    asked.predict.find(&state)?;
    if bytes > most {
        return Err(ApiError::TooLarge(format!(
            "the video has {bytes} bytes, and this service takes {most} at most (--max-body-mib); send less"
        )));
    }
    let metadata = text(&request, METADATA).unwrap_or_default();
    if bytes == 0 || metadata.len() > MAX_METADATA {
        return Err(ApiError::BadParameter(match bytes {
            0 => format!("the header {LENGTH} is 0; a video has more"),
            _ => format!("the header {METADATA} is longer than {MAX_METADATA} bytes; leave some of it out"),
        }));
    }
    let upload = Partial::new(new_id(), key_of(&request), asked.query(), bytes, metadata);
    let (location, expires) = (format!("/v1/uploads/{}", upload.id), expires(&upload));
    let most = state.options.jobs_max_bytes();
    jobs.ask_in_turn(move |jobs| jobs.begin_upload(&upload, most)).await?;
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).insert_header(expires).finish())
}

/// `HEAD /v1/uploads/{id}`: how much has come.
pub async fn head(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let jobs = begin(&state, &request)?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "no-store"));
    // Before it is looked at, so that it is what it was found to be.
    let coming = blocking(jobs, &id, |jobs, id| jobs.come(id)).await?;
    let (bytes, offset) = match find(jobs, &request, &id).await? {
        Found::Partial(upload) => {
            let offset = offset(jobs, &upload).await?;
            // The process ended between the last byte and the job.
            if let Some(coming) = coming.filter(|_| offset == upload.bytes) {
                let job = end(&state, Arc::new(coming), state.admission.enter()?).await?;
                answer.insert_header(job_of(&job));
            }
            if !upload.metadata.is_empty() {
                answer.insert_header((METADATA, upload.metadata.as_str()));
            }
            answer.insert_header(expires(&upload));
            (upload.bytes, offset)
        }
        Found::Job(job) => {
            answer.insert_header(job_of(&job));
            (job.bytes, job.bytes)
        }
    };
    Ok(answer.insert_header((LENGTH, bytes.to_string())).insert_header((OFFSET, offset.to_string())).finish())
}

/// `PATCH /v1/uploads/{id}`: the next part. After the last one Content-Location says where the job is.
pub async fn append(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let mut waiting = Waiting::new(&state, &request)?;
    let wanted = waiting.wanted.clone();
    let result = append_part(state, &request, payload, &id, wanted).await;
    waiting.settle(result)
}

async fn append_part(
    state: web::Data<State>,
    request: &HttpRequest,
    payload: web::Payload,
    id: &str,
    wanted: Wanted,
) -> Result<HttpResponse, ApiError> {
    let jobs = begin(&state, request)?.clone();
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let kind = text(request, CONTENT_TYPE.as_str()).unwrap_or_default();
    if !kind.eq_ignore_ascii_case(PART) {
        return Err(ApiError::NotAPart(shorten(&kind)));
    }
    let given = number(request, OFFSET)?;
    let place = state.admission.enter()?;
    let coming = come_soon(&jobs, id).await?;
    let upload = match find(&jobs, request, id).await? {
        Found::Partial(upload) => upload,
        Found::Job(job) if given == job.bytes => return Ok(complete(&job)),
        Found::Job(job) => return Err(ApiError::BadOffset { given, found: job.bytes }),
    };
    let coming = Arc::new(coming.ok_or(ApiError::UploadLocked)?);
    let found = offset(&jobs, &upload).await?;
    if given != found {
        return Err(ApiError::BadOffset { given, found });
    }
    let rest = upload.bytes.saturating_sub(found);
    let announced = text(request, CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok());
    if let Some(length) = announced.filter(|length| *length > rest) {
        return Err(ApiError::BadUpload(format!("the part has {length} bytes, and the upload lacks {rest}")));
    }
    let rules = UploadRules { max_bytes: rest, ..UploadRules::of(&state) };
    let body = arriving(request, payload, &rules)?;
    // By itself: it ends what it has begun when the client leaves and this is dropped.
    let brought = actix_web::rt::spawn(async move {
        let opened = coming.clone();
        let file = web::block(move || opened.file()).await.map_err(thread_failed)??;
        let (written, ended) = write_part(body, Arc::new(file), found, &wanted).await;
        if written > 0 {
            let noted = coming.clone();
            web::block(move || noted.note()).await.map_err(thread_failed)??;
        }
        ended?;
        if written < rest {
            let mut answer = HttpResponse::NoContent();
            answer.insert_header((OFFSET, (found + written).to_string())).insert_header(expires(&upload.continued()));
            return Ok(answer.finish());
        }
        Ok(complete(&end(&state, coming, place).await?))
    });
    brought
        .await
        .map_err(|error| ApiError::Internal(format!("the task that took a part of an upload failed: {error}")))?
}

/// `DELETE /v1/uploads/{id}`: forgets one that is not complete.
pub async fn delete(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let jobs = begin(&state, &request)?;
    let coming = come_soon(jobs, &id).await?;
    match find(jobs, &request, &id).await? {
        Found::Partial(_) => {
            let coming = coming.ok_or(ApiError::UploadLocked)?;
            web::block(move || coming.forget()).await.map_err(thread_failed)??;
            Ok(HttpResponse::NoContent().finish())
        }
        Found::Job(_) => Err(ApiError::UnknownUpload(shorten(&id))),
    }
}

/// The right to change an upload, if it is to be had soon: the last request may not have ended what its client has left.
async fn come_soon(jobs: &Jobs, id: &str) -> Result<Option<Coming>, ApiError> {
    let until = Instant::now() + SOON;
    loop {
        match blocking(jobs, id, |jobs, id| jobs.come(id)).await? {
            None if Instant::now() < until => tokio::time::sleep(SOON / 40).await,
            coming => return Ok(coming),
        }
    }
}

/// Makes a job of a complete upload. On one thread, so that it is not left half done when the client leaves.
async fn end(state: &State, coming: Arc<Coming>, place: Place) -> Result<Job, ApiError> {
    let (workers, limits) = (state.workers.clone(), state.options.limits());
    let probe = state.admission.probe().await;
    let ended = web::block(move || {
        let _held = (place, probe);
        coming.end(&workers, &limits)
    });
    let job = ended.await.map_err(thread_failed)??;
    state.metrics.jobs.with_label_values(&["accepted"]).inc();
    Ok(job)
}

/// The jobs, for a request of this version of the protocol. One that names none is taken for it.
fn begin<'a>(state: &'a State, request: &HttpRequest) -> Result<&'a Jobs, ApiError> {
    match text(request, RESUMABLE) {
        Some(version) if version != VERSION => Err(ApiError::TusVersion(shorten(&version))),
        _ => of(state),
    }
}

/// What has that name.
enum Found {
    Partial(Partial),
    /// All of it came.
    Job(Job),
}

/// What has that name, if it is of the request's API key.
async fn find(jobs: &Jobs, request: &HttpRequest, id: &str) -> Result<Found, ApiError> {
    let owner = key_of(request);
    blocking(jobs, id, move |jobs, id| {
        if let Some(upload) = jobs.store().upload(id)?.filter(|upload| upload.owner == owner) {
            return Ok(Found::Partial(upload));
        }
        let job = jobs.store().job(id)?.filter(|job| job.owner == owner);
        job.map(Found::Job).ok_or_else(|| ApiError::UnknownUpload(shorten(id)))
    })
    .await
}

/// How many bytes have come.
async fn offset(jobs: &Jobs, upload: &Partial) -> Result<u64, ApiError> {
    let size = |jobs: &Jobs, id: &str| jobs.folder().part(id)?.metadata().map(|file| file.len());
    blocking(jobs, &upload.id, move |jobs, id| size(jobs, id).map_err(|_| ApiError::UnknownUpload(shorten(id)))).await
}

/// Does something with an upload on a thread that may wait for the disk and the database.
async fn blocking<T: Send + 'static>(
    jobs: &Jobs,
    id: &str,
    work: impl FnOnce(&Jobs, &str) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let id = id.to_owned();
    jobs.ask_in_turn(move |jobs| work(jobs, &id)).await
}

/// The answer to the last part.
fn complete(job: &Job) -> HttpResponse {
    let mut answer: HttpResponseBuilder = HttpResponse::build(StatusCode::NO_CONTENT);
    answer.insert_header((OFFSET, job.bytes.to_string())).insert_header(job_of(job)).finish()
}

fn job_of(job: &Job) -> (actix_web::http::header::HeaderName, String) {
    (CONTENT_LOCATION, format!("/v1/jobs/{}", job.id))
}

fn expires(upload: &Partial) -> (&'static str, String) {
    ("upload-expires", HttpDate::from(upload.expires()).to_string())
}

fn text(request: &HttpRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name)?;
    Some(value.to_str().unwrap_or("?").trim().to_owned())
}

fn number(request: &HttpRequest, name: &str) -> Result<u64, ApiError> {
    let value = text(request, name);
    let wrong = |what: String| ApiError::BadParameter(format!("the header {name} {what}; give a number of bytes"));
    let value = value.ok_or_else(|| wrong("is not there".to_owned()))?;
    value.parse().map_err(|_| wrong(format!("is `{}`", shorten(&value))))
}
