//! `POST /v1/classify`: a video in, the actions in it out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use unscene_engine::{Classification, ClassifyOptions, Model};

use crate::admission::{Slot, Ticket};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::params::ClassifyParams;
use crate::state::State;
use crate::upload::{Upload, UploadRules, receive};

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
pub async fn classify(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let ticket = state.admission.enter().ok_or_else(|| ApiError::Busy(state.admission.capacity()))?;
    let timeout = state.options.request_timeout();
    let work = answer(state.clone(), request, payload, ticket);
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(ApiError::Timeout(timeout.as_secs_f64())))
}

async fn answer(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
    ticket: Ticket,
) -> Result<HttpResponse, ApiError> {
    let mut cancel =
        CancelOnDrop { flag: Arc::new(AtomicBool::new(false)), metrics: state.metrics.clone(), done: false };
    let result = classify_upload(&state, request, payload, ticket, Arc::clone(&cancel.flag)).await;
    cancel.done = true;
    let classification = result?;
    Ok(HttpResponse::Ok().json(classification))
}

async fn classify_upload(
    state: &web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
    ticket: Ticket,
    cancelled: Arc<AtomicBool>,
) -> Result<Classification, ApiError> {
    let mut params = ClassifyParams::from_query(request.query_string())?;
    // Before the upload, so that a wrong name costs no upload; once more after it, for a name in the form.
    state.model(params.model.as_deref())?;
    let rules = UploadRules {
        max_bytes: state.options.max_body_bytes(),
        spool_dir: state.options.spool_dir.clone(),
        received: state.metrics.received_bytes.clone(),
    };
    let upload = receive(&request, payload, &rules, &mut params).await?;
    let model = state.model(params.model.as_deref())?.clone();

    let waiting = Instant::now();
    let slot = state.admission.slot().await;
    state.metrics.wait_seconds.observe(waiting.elapsed().as_secs_f64());

    let options = ClassifyOptions {
        top_k: params.top_k.unwrap_or(ClassifyOptions::default().top_k),
        stride_frames: params.stride_frames,
        clips: params.clips.unwrap_or(false),
        limits: state.options.limits(),
        ..ClassifyOptions::default()
    };
    let name = model.name().to_owned();
    let classification = web::block(move || run(&model, &upload, &options, &cancelled, ticket, slot))
        .await
        .map_err(|error| ApiError::Internal(format!("the decoding thread of a request failed: {error}")))??;
    count(&state.metrics, &name, &classification);
    Ok(classification)
}

/// Runs on a blocking thread. The places are given back when the work has really ended, which is later than the
/// request's own end when that was cancelled.
fn run(
    model: &Model,
    upload: &Upload,
    options: &ClassifyOptions,
    cancelled: &AtomicBool,
    _ticket: Ticket,
    _slot: Slot,
) -> Result<Classification, ApiError> {
    let mut control = |_| {
        if cancelled.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    model
        .classify(&upload.source(), options, &mut control)
        .map_err(|error| ApiError::from(error).map_detail(|text| upload.rename(&text)))
}

fn count(metrics: &Metrics, model: &str, classification: &Classification) {
    let timing = &classification.timing;
    metrics.decode_seconds.with_label_values(&[model]).observe(timing.decode_s);
    metrics.inference_seconds.with_label_values(&[model]).observe(timing.inference_s);
    metrics.clips.with_label_values(&[model]).inc_by(classification.video.clips as u64);
}
