//! Every failure of a request, its HTTP status, and its RFC 9457 document.
//!
//! This file is the only one that chooses a status.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;
use unscene_engine::EngineError;
use unscene_media::MediaError;
use unscene_models::manifest::Task;
use utoipa::ToSchema;

use crate::admission::Busy;
use crate::keys::Denied;

/// Media type of an RFC 9457 document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A query or form parameter is unknown, repeated or out of range.
    #[error("{0}")]
    BadParameter(String),
    /// The body is empty, cut short, or not the multipart form that it claims to be.
    #[error("{0}")]
    BadUpload(String),
    /// The tensors of a request are not those of the graph.
    #[error("{0}")]
    BadTensor(String),
    /// The body is compressed.
    #[error("the header content-encoding is `{0}`; send the body without compression")]
    Encoded(String),
    /// No bundle of that name is loaded.
    #[error("no model named `{name}` is loaded; loaded are {loaded}")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// What there is, as a list for people.
        loaded: String,
    },
    /// No bundle of the route's task is loaded.
    #[error("no model that can {task} is loaded; loaded are {loaded}")]
    NoModel {
        /// What the route does.
        task: Task,
        /// What there is, as a list for people.
        loaded: String,
    },
    /// The model that was asked for does something else than the route.
    #[error("the model `{name}` was made to {found}; POST /v1/{found} uses it")]
    WrongModel {
        /// What was asked for.
        name: String,
        /// What it does.
        found: Task,
    },
    /// The service has no jobs.
    #[error(
        "this service has no jobs; it has them when it is started with --jobs DIR, and POST /v1/predict answers at once"
    )]
    NoJobs,
    /// There is no job of that name, or it is somebody else's.
    #[error(
        "no job `{0}` is known here: it never was, was deleted, or ended too long ago; GET /v1/jobs lists those that are"
    )]
    UnknownJob(String),
    /// There is no upload of that name, or it is somebody else's.
    #[error(
        "no upload `{0}` is known here: it never was, is complete and a job of that name, was deleted, or nothing came of it for long; POST /v1/uploads begins one"
    )]
    UnknownUpload(String),
    /// A part does not begin where the last one ended.
    #[error("the part begins at byte {given}, and {found} have come; HEAD of the upload tells how many")]
    BadOffset {
        /// Where it begins.
        given: u64,
        /// Where it should.
        found: u64,
    },
    /// A part of the upload comes already.
    #[error("a part of this upload comes already; wait for its end, or a few seconds if its connection is lost")]
    UploadLocked,
    /// The client speaks another version of the protocol.
    #[error("the header tus-resumable is `{0}`; this service speaks version 1.0.0")]
    TusVersion(String),
    /// A part is told to be something else.
    #[error("the header content-type is `{0}`; parts of an upload are application/offset+octet-stream")]
    NotAPart(String),
    /// A video may not be fetched from there.
    #[error("`url` is `{url}`: {what}")]
    BadUrl {
        /// Where from, shortened.
        url: String,
        /// Why not.
        what: String,
    },
    /// A video could not be fetched.
    #[error("the video could not be fetched: {0}")]
    NotFetched(String),
    /// A job was begun too often.
    #[error(
        "the service ended {0} times while it worked on this job, which is not begun again; send the video again, or another"
    )]
    GivenUp(u32),
    /// No route has that path.
    #[error(
        "nothing is served at {0}; GET /v1/models lists the models, POST /v1/classify, /v1/localize, /v1/detect, /v1/predict and /v1/jobs take a video, and GET /openapi.json describes them all"
    )]
    NoSuchRoute(String),
    /// The route exists and does not take that method.
    #[error("{method} is not allowed here; use {allowed}")]
    MethodNotAllowed {
        /// The method of the request.
        method: String,
        /// The methods of the route, as the `Allow` header lists them.
        allowed: &'static str,
    },
    /// The client takes no kind of answer that there is.
    #[error("the header Accept takes none of the kinds of answer that there are here: {0}")]
    NotAcceptable(String),
    /// The body or the video is over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// An upload comes too slowly.
    #[error(
        "the upload brought fewer than {bytes} bytes in {seconds} s, and was ended so that others have room; send it again over a better connection"
    )]
    SlowUpload {
        /// The fewest that have to come.
        bytes: u64,
        /// In so many seconds.
        seconds: f64,
    },
    /// There is more to tell than an answer that is held in memory may be.
    #[error("the answer has more than {most} {what}, the most that it may have; {advice}")]
    LongAnswer {
        /// Of these.
        what: &'static str,
        /// So many at most.
        most: usize,
        /// What to do.
        advice: &'static str,
    },
    /// The body is not a video in a container and codec that the service reads.
    #[error("{0}")]
    NotAVideo(String),
    /// The body is a media file, and no prediction can be made from it.
    #[error("{0}")]
    Unprocessable(String),
    /// There is too much before the request.
    #[error("{0}")]
    Busy(#[from] Busy),
    /// There are as many streams as may be.
    #[error("{0} videos are sent while they are filmed, the most at a time (--max-streams); try again later")]
    ManyStreams(u64),
    /// The system has no room for the upload, on its disk or in its tables. The text is of the system and goes to the client.
    #[error("the service has no room for the upload now: {0}; try again later, or send less")]
    Exhausted(String),
    /// The database of jobs does not answer.
    #[error("the jobs cannot be reached now; try again later")]
    JobsAway,
    /// The request has no key, or one that may not do this now.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// The service has just started.
    #[error("the service is still loading its models; try again in a moment")]
    Loading,
    /// None of the models can answer.
    #[error("no model can answer: {0}")]
    NotReady(String),
    /// The model that the operator chose for a task is not there.
    #[error("{0}")]
    DefaultGone(String),
    /// A bundle was to be loaded again and cannot be.
    #[error("the model was not exchanged, and what was served before is served still: {0}")]
    BrokenBundle(String),
    /// Models are loaded again already.
    #[error("other models are loaded again now; try again when that has ended")]
    Reloading,
    /// The service is shutting down.
    #[error("the service is shutting down and takes no new work; send the request to another instance")]
    Draining,
    /// The request took longer than the service allows.
    #[error(
        "the request was not answered within {0} s and was cancelled; send less, or raise the header X-Request-Timeout-S or the service's --request-timeout-s (of a job, its --job-timeout-s)"
    )]
    Timeout(f64),
    /// The work was cancelled because nobody waits for it.
    #[error("the request was cancelled")]
    Cancelled,
    /// A failure of the service, not of the request. The text goes to the log, not to the client.
    #[error("{0}")]
    Internal(String),
}

/// The short name of a problem, beside the response that tells it.
pub struct Reason(pub &'static str);

/// What is wrong: an RFC 9457 document.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// What kind it is of: `urn:unscene:problem:` and a name.
    r#type: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was found, what was expected, and what to do.
    detail: String,
}

impl ApiError {
    /// Status, short name (the end of the problem's `type`) and title of each kind.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadParameter(_) => (StatusCode::BAD_REQUEST, "bad-parameter", "A parameter is wrong"),
            Self::BadUpload(_) => (StatusCode::BAD_REQUEST, "bad-upload", "The upload cannot be read"),
            Self::BadTensor(_) => (StatusCode::BAD_REQUEST, "bad-tensor", "A tensor is wrong"),
            Self::Encoded(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded", "The body is compressed"),
            Self::UnknownModel { .. } | Self::NoModel { .. } => {
                (StatusCode::NOT_FOUND, "unknown-model", "No such model")
            }
            Self::WrongModel { .. } => (StatusCode::BAD_REQUEST, "wrong-model", "The model is of another task"),
            Self::NoJobs => (StatusCode::NOT_FOUND, "no-jobs", "The service has no jobs"),
            Self::UnknownJob(_) => (StatusCode::NOT_FOUND, "unknown-job", "No such job"),
            Self::UnknownUpload(_) => (StatusCode::NOT_FOUND, "unknown-upload", "No such upload"),
            Self::BadOffset { .. } => (StatusCode::CONFLICT, "bad-offset", "The part is not the next one"),
            Self::UploadLocked => (StatusCode::LOCKED, "upload-locked", "A part of the upload comes already"),
            Self::TusVersion(_) => (StatusCode::PRECONDITION_FAILED, "tus-version", "Another version of the protocol"),
            Self::NotAPart(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-part", "The body is no part of an upload"),
            Self::BadUrl { .. } => (StatusCode::BAD_REQUEST, "bad-url", "The video may not be fetched from there"),
            Self::NotFetched(_) => (StatusCode::BAD_GATEWAY, "not-fetched", "The video could not be fetched"),
            Self::GivenUp(_) => (StatusCode::INTERNAL_SERVER_ERROR, "given-up", "The job was begun too often"),
            Self::NoSuchRoute(_) => (StatusCode::NOT_FOUND, "not-found", "No such path"),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "No such kind of answer"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is over a limit"),
            Self::SlowUpload { .. } => (StatusCode::REQUEST_TIMEOUT, "slow-upload", "The upload is too slow"),
            Self::LongAnswer { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "answer-too-large", "The answer is over a limit")
            }
            Self::NotAVideo(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-video", "The upload is not a video"),
            Self::Unprocessable(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable-video", "The video cannot be used")
            }
            Self::Busy(Busy::Requests { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "The service is full")
            }
            Self::Busy(Busy::Clips { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-clips", "The service has too much to do")
            }
            Self::ManyStreams(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-streams", "The service is full"),
            Self::Denied(Denied::NoKey | Denied::UnknownKey) => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "An API key is needed")
            }
            Self::Denied(Denied::Scope(_)) => (StatusCode::FORBIDDEN, "forbidden", "The API key is for something else"),
            Self::Denied(Denied::Rate { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "key-rate", "The API key is used too often")
            }
            Self::Exhausted(_) => (StatusCode::SERVICE_UNAVAILABLE, "exhausted", "The service has no room"),
            Self::JobsAway => (StatusCode::SERVICE_UNAVAILABLE, "jobs-away", "The jobs cannot be reached"),
            Self::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading", "The service is starting"),
            Self::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The service has no model"),
            Self::DefaultGone(_) => (StatusCode::SERVICE_UNAVAILABLE, "default-gone", "The default model is gone"),
            Self::BrokenBundle(_) => (StatusCode::UNPROCESSABLE_ENTITY, "broken-bundle", "The bundle cannot be loaded"),
            Self::Reloading => (StatusCode::CONFLICT, "reloading", "Models are loaded again already"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", "The service is shutting down"),
            Self::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "timeout", "The request took too long"),
            Self::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "cancelled", "The request was cancelled"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed"),
        }
    }
}

impl ApiError {
    /// An answer with this document, and the status and headers of the error.
    pub fn response(&self, document: impl Serialize) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CACHE_CONTROL, "no-store"));
        match self {
            Self::MethodNotAllowed { allowed, .. } => {
                response.insert_header((ALLOW, *allowed));
            }
            Self::Busy(busy) => {
                response.insert_header((RETRY_AFTER, busy.retry_after_s()));
            }
            Self::Denied(Denied::Rate { retry_after_s, .. }) => {
                response.insert_header((RETRY_AFTER, *retry_after_s));
            }
            Self::Denied(Denied::NoKey | Denied::UnknownKey) => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer"));
            }
            Self::Draining | Self::Loading => {
                response.insert_header((RETRY_AFTER, 1_u64));
            }
            Self::Exhausted(_) | Self::ManyStreams(_) | Self::JobsAway => {
                response.insert_header((RETRY_AFTER, 10_u64));
            }
            Self::TusVersion(_) => {
                response.insert_header(("tus-version", "1.0.0"));
            }
            Self::Encoded(_) => {
                response.insert_header((ACCEPT_ENCODING, "identity"));
            }
            _ => {}
        }
        // For whoever counts answers.
        response.extensions_mut().insert(Reason(self.kind().1));
        response.content_type(PROBLEM_JSON).json(document)
    }

    /// What a client is told. What it is not told goes to the log.
    pub fn problem(&self) -> Problem {
        let (status, name, title) = self.kind();
        let detail = if let Self::Internal(text) = self {
            tracing::error!(error = %text, "request failed inside the service");
            "the service failed while it handled this request; its log says why".to_owned()
        } else {
            self.to_string()
        };
        Problem { r#type: format!("urn:unscene:problem:{name}"), title, status: status.as_u16(), detail }
    }
}

impl Problem {
    /// What was found, what was expected, and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.kind().0
    }

    fn error_response(&self) -> HttpResponse {
        self.response(self.problem())
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::Media(error) => error.into(),
            EngineError::NoFrames { .. } => Self::Unprocessable(detail),
            EngineError::Argument { .. } => Self::BadParameter(detail),
            EngineError::Cancelled => Self::Cancelled,
            // The bundle, the engine or the device: nothing that a client can mend.
            _ => Self::Internal(detail),
        }
    }
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        let detail = error.to_string();
        match error {
            MediaError::NotAVideo { .. } | MediaError::UnsupportedCodec { .. } | MediaError::IndexAtEnd { .. } => {
                Self::NotAVideo(detail)
            }
            MediaError::Limit { .. } => Self::TooLarge(detail),
            MediaError::NoVideoStream { .. }
            | MediaError::Truncated { .. }
            | MediaError::Corrupt { .. }
            | MediaError::Crashed { .. }
            | MediaError::OutOfMemory { .. }
            | MediaError::View { .. } => Self::Unprocessable(detail),
            _ => Self::Internal(detail),
        }
    }
}

/// Answers a path that no route has.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let error = ApiError::NoSuchRoute(format!("`{}`", shorten(request.path())));
    crate::kserve::error_response(request.path(), error)
}

/// A client's own text, short and printable enough to be repeated in an answer.
pub fn shorten(text: &str) -> String {
    const KEPT: usize = 64;
    let mut short: String = text.chars().take(KEPT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(KEPT).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
