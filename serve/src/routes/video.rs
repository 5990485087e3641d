//! What the routes that take a video have in common: admission, upload, a decoding slot, cancellation, and counting.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::error::BlockingError;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use unscene_engine::{Graphs, Progress, Timing, VideoSummary};
use unscene_media::{DecodeOptions, DecodeWorkers, Frames, IsolatedDecoder, Limits, Turns, VideoInfo};

use super::accept::{JSON, PNG};
use super::waiting::{Waiting, Waits, Wanted};
use crate::admission::Place;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::options::cores;
use crate::params::Params;
use crate::slots::Slot;
use crate::state::State;
use crate::upload::{Upload, UploadRules, receive};

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
    place: Arc<Place>,
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
        // FFmpeg decodes some frames to find out what there is.
        Ok(self.turns.take(|| self.workers.open(&self.upload.source(), &options))?)
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
    let run = move |params: W, models: &W::Models, video: &Video| {
        let answer = params.run(models, video).and_then(body)?;
        Ok((answer.kind, Sent::new(answer.bytes, video.place.clone())))
    };
    let work = start(state, request, payload, waiting.wanted.clone(), run);
    let result = waiting.wait(async { work.await?.await }).await;
    let (kind, body) = waiting.settle(result)?;
    Ok(HttpResponse::Ok().content_type(kind).body(body))
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

/// An answer on its way. It goes out in small parts, and keeps the place of its request until the last: of answers that nobody reads
/// there are no more than of requests.
pub struct Sent {
    rest: Bytes,
    _place: Arc<Place>,
}

/// Bytes of an answer that are on their way at once.
const PART: usize = 64 << 10;

impl Sent {
    /// The answer to the request that has the place.
    pub fn new(answer: Vec<u8>, place: Arc<Place>) -> Self {
        Self { rest: answer.into(), _place: place }
    }
}

impl MessageBody for Sent {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let rest = &mut self.get_mut().rest;
        let part = rest.split_to(PART.min(rest.len()));
        Poll::Ready((!part.is_empty()).then_some(Ok(part)))
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
    let waits = Waits::begin(&state);

    // Before it waits, so that it is refused at once if it is no video, or if there are too many clips before its own.
    let probe = state.admission.probe().instrument(info_span!("wait for a look at the header")).await;
    let (workers, looked_at) = (state.workers.clone(), upload.source());
    // The place goes with the work: who hangs up must not make room for more of it.
    let look = move || (workers.probe(&looked_at, &limits), place, probe);
    let look = web::block(look).instrument(info_span!("look at the header"));
    let (info, place, probe) = look.await.map_err(thread_failed)?;
    drop(probe);
    let expected = info.map_err(ApiError::from).and_then(|info| Ok(place.expect(params.clips(&models, &info))?));
    let slot = waits.slot(&state, &place, expected).await?;
    let (workers, turns, metrics) = (state.workers.clone(), state.turns.clone(), state.metrics.clone());
    let place = Arc::new(place);
    let video = Video { upload, limits, metrics, wanted, workers, turns, place, _slot: slot };
    let span = info_span!("decode and infer", decode_s = Empty, inference_s = Empty);
    let work = move || span.in_scope(|| run(params, &models, &video).map_err(|error| video.wanted.told(error)));
    let work = web::block(work);
    Ok(async { work.await.map_err(thread_failed)? })
}

/// The error of a thread that panicked.
pub fn thread_failed(error: BlockingError) -> ApiError {
    ApiError::Internal(format!("the thread that worked for a request failed: {error}"))
}
