//! What the routes that take a video have in common: admission, upload, a decoding slot, cancellation, and counting.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::error::BlockingError;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use unscene_engine::{Graphs, Progress, Timing, VideoSummary};
use unscene_media::{DecodeOptions, DecodeWorkers, Frames, IsolatedDecoder, Limits, Turns, VideoInfo};

use super::accept::{JSON, PNG};
use crate::admission::{Place, Slot};
use crate::error::{ApiError, shorten};
use crate::metrics::Metrics;
use crate::options::{cores, positive_seconds};
use crate::params::Params;
use crate::state::State;
use crate::upload::{Upload, UploadRules, receive};

/// The header with which a client says how many seconds it waits at most.
const TIMEOUT: &str = "x-request-timeout-s";

/// Threads that decode one video at most: each takes memory.
const MAX_THREADS: usize = 8;

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

    /// The clips, windows or frames that a video has for them, as far as its header knows.
    fn clips(&self, models: &Self::Models, info: &VideoInfo) -> usize;

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
    fn model(&self, state: &State) -> Result<Self::Model, ApiError>;

    /// The model's graphs.
    fn graphs(model: &Self::Model) -> &Graphs;

    /// Sampled frames from one clip to the next, where that is asked for.
    fn stride_frames(&self) -> Option<usize>;

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
        Span::current().record("decode_s", timing.decode_s).record("inference_s", timing.inference_s);
        video.metrics.count(model, seen, timing);
        Ok(answer)
    }
}

/// A task's own route decodes for it alone.
impl<L: Look> Work for L {
    type Models = L::Model;
    type Answer = L::Answer;

    fn find(&self, state: &State) -> Result<L::Model, ApiError> {
        self.model(state)
    }

    fn clips(&self, model: &L::Model, info: &VideoInfo) -> usize {
        L::graphs(model).clips_of(info.length_s(), info.fps, self.stride_frames())
    }

    fn run(self, model: &L::Model, video: &Video) -> Result<L::Answer, ApiError> {
        self.look_and_count(model, video.decoder()?, video)
    }
}

/// An uploaded video while it is looked at. Dropping it gives back the place and the slot, when the work has really
/// ended: later than the request's own end when that was cancelled.
pub struct Video {
    upload: Upload,
    limits: Limits,
    /// Where it is counted.
    pub metrics: Metrics,
    /// Until when somebody waits for it.
    pub wanted: Wanted,
    workers: DecodeWorkers,
    turns: Turns,
    place: Place,
    _slot: Slot,
}

impl Video {
    /// Its frames, decoded in a process of their own.
    ///
    /// # Errors
    ///
    /// When it is not a video, or over a limit.
    pub fn decoder(&self) -> Result<IsolatedDecoder, ApiError> {
        // Threads of FFmpeg make one video faster, and several slower.
        let threads = if self.place.is_alone() { cores().min(MAX_THREADS) } else { 1 };
        let options =
            DecodeOptions { threads, limits: self.limits, turns: Some(self.turns.clone()), ..DecodeOptions::default() };
        Ok(self.workers.open(&self.upload.source(), &options)?)
    }

    /// Notes how far work has come, and ends it when nobody waits for it.
    pub fn control(&self) -> impl FnMut(Progress) -> ControlFlow<()> {
        let mut noted = 0;
        move |progress| {
            self.place.done(progress.clips.saturating_sub(noted));
            noted = progress.clips;
            if self.wanted.still() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
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

    /// Nobody waits any more.
    pub fn give_up(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether somebody still waits.
    pub fn still(&self) -> bool {
        !self.cancelled.load(Ordering::Acquire) && Instant::now() < self.deadline
    }

    /// An error as the client is told of it.
    pub fn told(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::Cancelled if Instant::now() >= self.deadline => self.too_late(),
            error => error,
        }
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
    /// From now on, as long as a request may take, or less where its header says so.
    ///
    /// # Errors
    ///
    /// When the header is no time.
    pub fn new(state: &State, request: &HttpRequest) -> Result<Self, ApiError> {
        let most = state.options.request_timeout();
        let timeout = match request.headers().get(TIMEOUT) {
            None => most,
            Some(value) => {
                let text = value.to_str().unwrap_or("?");
                let seconds = positive_seconds(text.trim());
                let wrong =
                    |error: String| ApiError::BadParameter(format!("the header {TIMEOUT}: {}", shorten(&error)));
                Duration::from_secs_f64(seconds.map_err(wrong)?).min(most)
            }
        };
        Ok(Self { wanted: Wanted::within(timeout), metrics: state.metrics.clone(), settled: false })
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
        self.wanted.give_up();
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
    body: impl FnOnce(W::Answer) -> Result<Body, ApiError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let mut waiting = Waiting::new(&state, &request)?;
    let run = move |params: W, models: &W::Models, video: &Video| params.run(models, video).and_then(body);
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
        Self { kind: JSON, bytes }
    }

    /// A picture instead of the answer.
    pub fn png(bytes: Vec<u8>) -> Self {
        Self { kind: PNG, bytes }
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
    let place = state.admission.enter()?;
    let mut params = W::from_query(request.query_string())?;
    // Before the upload, so that a wrong name costs no upload; once more after it, for a name in the form.
    params.find(&state)?;
    let rules = UploadRules::of(&state);
    let upload = receive(&request, payload, &rules, &mut params);
    let upload = upload.instrument(info_span!("upload")).await?;
    look(state, params, upload, place, wanted, run).await
}

/// From a complete upload to where `run` has begun on a blocking thread; gives what comes of that.
///
/// # Errors
///
/// [`ApiError`].
pub async fn look<W: Work, A: Send + 'static>(
    state: web::Data<State>,
    params: W,
    upload: Upload,
    place: Place,
    wanted: Wanted,
    run: impl FnOnce(W, &W::Models, &Video) -> Result<A, ApiError> + Send + 'static,
) -> Result<impl Future<Output = Result<A, ApiError>>, ApiError> {
    let models = params.find(&state)?;
    let limits = state.options.limits();

    // Before it waits, so that it is refused at once if it is no video, or if there are too many clips before its own.
    let probe = state.admission.probe().instrument(info_span!("wait for a look at the header")).await;
    let (workers, looked_at) = (state.workers.clone(), upload.source());
    // The place goes with the work: who hangs up must not make room for more of it.
    let look = move || (workers.probe(&looked_at, &limits), place, probe);
    let look = web::block(look).instrument(info_span!("look at the header"));
    let (info, place, probe) = look.await.map_err(thread_failed)?;
    drop(probe);
    let info = info?;
    place.expect(params.clips(&models, &info))?;

    let slot = wait_for_slot(&state).await;
    let (workers, turns, metrics) = (state.workers.clone(), state.turns.clone(), state.metrics.clone());
    let video = Video { upload, limits, metrics, wanted, workers, turns, place, _slot: slot };
    let span = info_span!("decode and infer", decode_s = Empty, inference_s = Empty);
    let work = move || span.in_scope(|| run(params, &models, &video).map_err(|error| video.wanted.told(error)));
    let work = web::block(work);
    Ok(async { work.await.map_err(thread_failed)? })
}

/// Waits for the slot of a video that is opened, or of tensors that are read.
pub async fn wait_for_slot(state: &State) -> Slot {
    let waiting = Instant::now();
    let slot = state.admission.slot().instrument(info_span!("wait for a slot")).await;
    state.metrics.wait_seconds.observe(waiting.elapsed().as_secs_f64());
    slot
}

/// The error of a thread that panicked.
pub fn thread_failed(error: BlockingError) -> ApiError {
    ApiError::Internal(format!("the decoding thread of a request failed: {error}"))
}
