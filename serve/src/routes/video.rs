//! What the routes that take a video have in common: admission, upload, a decoding slot, cancellation, and counting.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use unscene_engine::{Progress, Timing, VideoSummary};
use unscene_media::{DecodeOptions, Decoder, Frames, Limits, Source};

use crate::admission::{Slot, Ticket};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::params::Params;
use crate::state::State;
use crate::upload::{Upload, UploadRules, receive};

/// What a route does with a video, as its parameters say.
pub trait Work: Params + Send + 'static {
    /// What it is done with.
    type Models: Send + 'static;
    /// What comes of it.
    type Answer: Send + 'static;

    /// The models that are asked for.
    ///
    /// # Errors
    ///
    /// When there is one missing, or it cannot do what is asked.
    fn find(&self, state: &State) -> Result<Self::Models, ApiError>;

    /// Does it, on a blocking thread, until nobody waits for it.
    ///
    /// # Errors
    ///
    /// When the video cannot be used or the engine fails.
    fn run(self, models: &Self::Models, video: &Video) -> Result<Self::Answer, ApiError>;
}

/// What a model of one task does with the frames of a video, as its parameters say.
pub trait Look: Params + Send + 'static {
    /// The kind of model.
    type Model: Clone + Send + Sync + 'static;
    /// What it sees.
    type Answer: Send + 'static;

    /// The model that is asked for.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot do what is asked.
    fn model<'a>(&self, state: &'a State) -> Result<&'a Self::Model, ApiError>;

    /// Lets it look at the frames, which are those of the video.
    ///
    /// # Errors
    ///
    /// When the video cannot be used or the engine fails.
    fn look(self, model: &Self::Model, frames: impl Frames + Send, video: &Video) -> Result<Self::Answer, ApiError>;

    /// The model's name, and what there is to count.
    fn counts(answer: &Self::Answer) -> (&str, &VideoSummary, &Timing);

    /// Looks, and counts it.
    ///
    /// # Errors
    ///
    /// As [`look`](Self::look).
    fn look_and_count(
        self,
        model: &Self::Model,
        frames: impl Frames + Send,
        video: &Video,
    ) -> Result<Self::Answer, ApiError> {
        let answer = self.look(model, frames, video)?;
        let (model, seen, timing) = Self::counts(&answer);
        video.metrics.count(model, seen, timing);
        Ok(answer)
    }
}

/// A task's own route decodes for it alone.
impl<L: Look> Work for L {
    type Models = L::Model;
    type Answer = L::Answer;

    fn find(&self, state: &State) -> Result<L::Model, ApiError> {
        Ok(self.model(state)?.clone())
    }

    fn run(self, model: &L::Model, video: &Video) -> Result<L::Answer, ApiError> {
        self.look_and_count(model, video.decoder()?, video)
    }
}

/// An uploaded video while it is looked at. Dropping it gives back the place and the slot, when the work has really
/// ended: later than the request's own end when that was cancelled.
pub struct Video {
    upload: Upload,
    /// What it may be at most.
    pub limits: Limits,
    /// Where it is counted.
    pub metrics: Metrics,
    /// Until when somebody waits for it.
    pub wanted: Wanted,
    _ticket: Ticket,
    _slot: Slot,
}

impl Video {
    /// Its bytes.
    pub fn source(&self) -> Source {
        self.upload.source()
    }

    /// Its frames.
    ///
    /// # Errors
    ///
    /// When it is not a video, or over a limit.
    pub fn decoder(&self) -> Result<Decoder, ApiError> {
        let options = DecodeOptions { threads: 0, limits: self.limits, ..DecodeOptions::default() };
        Ok(Decoder::open(&self.source(), &options)?)
    }

    /// Ends work that nobody waits for.
    pub fn control(&self) -> impl FnMut(Progress) -> ControlFlow<()> {
        |_| if self.wanted.still() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// An error as the client is told of it.
    pub fn told(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::Cancelled if Instant::now() >= self.wanted.deadline => self.wanted.too_late(),
            error => error.map_detail(|text| self.upload.rename(&text)),
        }
    }
}

/// Until when somebody waits for an answer.
#[derive(Clone)]
pub struct Wanted {
    cancelled: Arc<AtomicBool>,
    timeout: Duration,
    deadline: Instant,
}

impl Wanted {
    /// For so long from now.
    pub fn within(timeout: Duration) -> Self {
        Self { cancelled: Arc::new(AtomicBool::new(false)), timeout, deadline: Instant::now() + timeout }
    }

    /// Whether somebody still waits.
    pub fn still(&self) -> bool {
        !self.cancelled.load(Ordering::Acquire) && Instant::now() < self.deadline
    }

    fn too_late(&self) -> ApiError {
        ApiError::Timeout(self.timeout.as_secs_f64())
    }
}

/// Who waits for an answer: when it is dropped, the thread that works for it is told to stop. Actix drops a handler's
/// future, or the body of an answer, when the client has left.
pub struct Waiting {
    /// For who works.
    pub wanted: Wanted,
    metrics: Metrics,
    settled: bool,
}

impl Waiting {
    /// From now on, as long as a request may take.
    pub fn new(state: &State) -> Self {
        let wanted = Wanted::within(state.options.request_timeout());
        Self { wanted, metrics: state.metrics.clone(), settled: false }
    }

    /// What comes of the work, or [`ApiError::Timeout`] when the time is over.
    ///
    /// # Errors
    ///
    /// As the work.
    pub async fn wait<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let result = tokio::time::timeout_at(self.wanted.deadline.into(), work).await;
        result.unwrap_or_else(|_| Err(self.wanted.too_late()))
    }

    /// Notes how the work ended, and gives it back.
    ///
    /// # Errors
    ///
    /// As the work.
    pub fn settle<T>(&mut self, result: Result<T, ApiError>) -> Result<T, ApiError> {
        self.settled = !matches!(result, Err(ApiError::Timeout(_)));
        result
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.wanted.cancelled.store(true, Ordering::Release);
        if !self.settled {
            self.metrics.cancelled.inc();
        }
    }
}

/// Takes the video as the body or as the multipart field `video`; parameters from the query or the form. Answers with what `body`
/// makes of what came of the work.
///
/// # Errors
///
/// [`ApiError`].
pub async fn take<W: Work>(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
    body: impl FnOnce(W::Answer) -> Body + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let mut waiting = Waiting::new(&state);
    let run = move |params: W, models: &W::Models, video: &Video| params.run(models, video).map(body);
    let work = start(state, request, payload, waiting.wanted.clone(), run);
    let result = waiting.wait(async { work.await?.await }).await;
    let Body { kind, bytes } = waiting.settle(result)?;
    Ok(HttpResponse::Ok().content_type(kind).body(bytes))
}

/// An answer as it is sent. It is written where the work is done, within the request's slot: text may be long, and HTTP workers are few.
pub struct Body {
    kind: &'static str,
    bytes: Vec<u8>,
}

impl Body {
    /// The answer as JSON.
    pub fn json(answer: impl Serialize) -> Self {
        let bytes = serde_json::to_vec(&answer).expect("names and numbers can be written as JSON");
        Self { kind: "application/json", bytes }
    }

    /// A picture instead of the answer.
    pub fn png(bytes: Vec<u8>) -> Self {
        Self { kind: "image/png", bytes }
    }
}

/// Takes a video as [`take`] does, up to where `run` has begun on a blocking thread; gives what comes of that.
///
/// # Errors
///
/// [`ApiError`].
pub async fn start<W: Work, A: Send + 'static>(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
    wanted: Wanted,
    run: impl FnOnce(W, &W::Models, &Video) -> Result<A, ApiError> + Send + 'static,
) -> Result<impl Future<Output = Result<A, ApiError>>, ApiError> {
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let ticket = state.admission.enter().ok_or_else(|| ApiError::Busy(state.admission.capacity()))?;
    let mut params = W::from_query(request.query_string())?;
    // Before the upload, so that a wrong name costs no upload; once more after it, for a name in the form.
    params.find(&state)?;
    let rules = UploadRules {
        max_bytes: state.options.max_body_bytes(),
        spool_dir: state.options.spool_dir.clone(),
        received: state.metrics.received_bytes.clone(),
    };
    let upload = receive(&request, payload, &rules, &mut params).await?;
    let models = params.find(&state)?;

    let waiting = Instant::now();
    let slot = state.admission.slot().await;
    state.metrics.wait_seconds.observe(waiting.elapsed().as_secs_f64());

    let (limits, metrics) = (state.options.limits(), state.metrics.clone());
    let video = Video { upload, limits, metrics, wanted, _ticket: ticket, _slot: slot };
    let work = web::block(move || run(params, &models, &video).map_err(|error| video.told(error)));
    Ok(async {
        work.await.map_err(|error| ApiError::Internal(format!("the decoding thread of a request failed: {error}")))?
    })
}

/// Whether a client asked for this kind of answer by name: browsers take anything, and are answered in JSON.
pub fn asks_for(request: &HttpRequest, kind: &str) -> bool {
    let accept = request.headers().get_all("accept").filter_map(|value| value.to_str().ok());
    let mut kinds = accept.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or("").trim());
    kinds.next().is_some_and(|first| first.eq_ignore_ascii_case(kind))
}
