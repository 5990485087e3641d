//! What the routes that take a video have in common: admission, upload, a decoding slot, cancellation, and counting.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use actix_web::{HttpRequest, web};
use unscene_engine::{Progress, Timing, VideoSummary};
use unscene_media::{Limits, Source};

use crate::admission::{Slot, Ticket};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::params::Params;
use crate::state::State;
use crate::upload::{Upload, UploadRules, receive};

/// What a route does with a video, as its parameters say.
pub trait Work: Params + Send + 'static {
    /// What it is done with.
    type Model: Clone + Send + 'static;
    /// What comes of it.
    type Answer: Send + 'static;

    /// The model that is asked for.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot do what is asked.
    fn find<'a>(&self, state: &'a State) -> Result<&'a Self::Model, ApiError>;

    /// Does it, on a blocking thread. `Break` of `control` ends it.
    ///
    /// # Errors
    ///
    /// When the video cannot be used or the engine fails.
    fn run(
        self,
        model: &Self::Model,
        source: &Source,
        limits: Limits,
        control: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self::Answer, ApiError>;

    /// The model's name, and what there is to count.
    fn counts(answer: &Self::Answer) -> (&str, &VideoSummary, &Timing);
}

/// Tells the decoding thread to stop when nobody waits for its answer any more: the client left, or time ran out.
/// Actix drops a handler's future in the first case and [`tokio::time::timeout`] in the second.
struct CancelOnDrop {
    flag: Arc<AtomicBool>,
    metrics: Metrics,
    done: bool,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Release);
        if !self.done {
            self.metrics.cancelled.inc();
        }
    }
}

/// Takes the video as the body or as the multipart field `video`; parameters from the query or the form.
pub async fn take<W: Work>(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<W::Answer, ApiError> {
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let ticket = state.admission.enter().ok_or_else(|| ApiError::Busy(state.admission.capacity()))?;
    let timeout = state.options.request_timeout();
    let mut cancel =
        CancelOnDrop { flag: Arc::new(AtomicBool::new(false)), metrics: state.metrics.clone(), done: false };
    let work = work::<W>(&state, request, payload, ticket, Arc::clone(&cancel.flag));
    let result = tokio::time::timeout(timeout, work).await;
    cancel.done = result.is_ok();
    result.unwrap_or_else(|_| Err(ApiError::Timeout(timeout.as_secs_f64())))
}

async fn work<W: Work>(
    state: &web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
    ticket: Ticket,
    cancelled: Arc<AtomicBool>,
) -> Result<W::Answer, ApiError> {
    let mut params = W::from_query(request.query_string())?;
    // Before the upload, so that a wrong name costs no upload; once more after it, for a name in the form.
    params.find(state)?;
    let rules = UploadRules {
        max_bytes: state.options.max_body_bytes(),
        spool_dir: state.options.spool_dir.clone(),
        received: state.metrics.received_bytes.clone(),
    };
    let upload = receive(&request, payload, &rules, &mut params).await?;
    let model = params.find(state)?.clone();

    let waiting = Instant::now();
    let slot = state.admission.slot().await;
    state.metrics.wait_seconds.observe(waiting.elapsed().as_secs_f64());

    let limits = state.options.limits();
    let answer = web::block(move || run(params, &model, &upload, limits, &cancelled, ticket, slot))
        .await
        .map_err(|error| ApiError::Internal(format!("the decoding thread of a request failed: {error}")))??;
    let (model, video, timing) = W::counts(&answer);
    state.metrics.decode_seconds.with_label_values(&[model]).observe(timing.decode_s);
    state.metrics.inference_seconds.with_label_values(&[model]).observe(timing.inference_s);
    state.metrics.clips.with_label_values(&[model]).inc_by(video.clips as u64);
    Ok(answer)
}

/// Runs on a blocking thread. The places are given back when the work has really ended, which is later than the
/// request's own end when that was cancelled.
fn run<W: Work>(
    params: W,
    model: &W::Model,
    upload: &Upload,
    limits: Limits,
    cancelled: &AtomicBool,
    _ticket: Ticket,
    _slot: Slot,
) -> Result<W::Answer, ApiError> {
    let mut control = |_| {
        if cancelled.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let answer = params.run(model, &upload.source(), limits, &mut control);
    answer.map_err(|error| error.map_detail(|text| upload.rename(&text)))
}
