//! `POST /v1/classify`: a video in, the actions in it out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use serde::{Serialize, Serializer};
use unscene_draw::{Canvas, heat_over};
use unscene_engine::{Classification, ClassifyOptions, Explanation, Model, Prediction};

use crate::admission::{Slot, Ticket};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::params::{ClassifyParams, Explain};
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
    let wants_picture = accepts_png(&request);
    let result = classify_upload(&state, request, payload, ticket, Arc::clone(&cancel.flag)).await;
    cancel.done = true;
    let mut answer = result?;
    let best = answer.explanations.iter_mut().flatten().next();
    match best.filter(|_| wants_picture) {
        Some(best) => Ok(HttpResponse::Ok().content_type("image/png").body(std::mem::take(&mut best.picture))),
        None => Ok(HttpResponse::Ok().json(answer)),
    }
}

/// Whether a client asked for a picture by name: browsers take anything, and are answered in JSON.
fn accepts_png(request: &HttpRequest) -> bool {
    let accept = request.headers().get_all("accept").filter_map(|value| value.to_str().ok());
    let mut kinds = accept.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or("").trim());
    kinds.next().is_some_and(|first| first.eq_ignore_ascii_case("image/png"))
}

/// What was found, and where.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    classification: Classification,
    /// One for each prediction, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanations: Option<Vec<Shown>>,
}

/// An explanation as clients get it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    prediction: Prediction,
    /// The clip that speaks for the class most.
    start_s: f64,
    end_s: f64,
    /// The frame in the picture.
    frame_s: f64,
    /// The map over that frame, a PNG in base64.
    #[serde(rename = "png", serialize_with = "as_base64")]
    picture: Vec<u8>,
}

fn as_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// About this wide is an explanation's picture, in pixels.
const PICTURE_PX: usize = 224;

impl Shown {
    fn new(found: Explanation) -> Result<Self, ApiError> {
        let Explanation { prediction, start_s, end_s, frame_s, rgb, map, size: (width, height), peak } = found;
        let enlarge = (PICTURE_PX / width).max(1);
        let mut canvas = Canvas::new((width * enlarge) as u32, (height * enlarge) as u32);
        canvas.paste(0, 0, &heat_over(&rgb, &map, peak), width as u32, enlarge as u32);
        let failed = |error| ApiError::Internal(format!("an explanation cannot be drawn: {error}"));
        Ok(Self { prediction, start_s, end_s, frame_s, picture: canvas.png().map_err(failed)? })
    }
}

async fn classify_upload(
    state: &web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
    ticket: Ticket,
    cancelled: Arc<AtomicBool>,
) -> Result<Answer, ApiError> {
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
    if params.explain.is_some() && !model.has_maps() {
        return Err(ApiError::BadParameter(format!(
            "`explain`: the model `{}` cannot say where it looks; export its bundle with --maps",
            model.name()
        )));
    }

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
    let explain = params.explain;
    let answer = web::block(move || run(&model, &upload, &options, explain, &cancelled, ticket, slot))
        .await
        .map_err(|error| ApiError::Internal(format!("the decoding thread of a request failed: {error}")))??;
    count(&state.metrics, &name, &answer.classification);
    Ok(answer)
}

/// Runs on a blocking thread. The places are given back when the work has really ended, which is later than the
/// request's own end when that was cancelled.
fn run(
    model: &Model,
    upload: &Upload,
    options: &ClassifyOptions,
    explain: Option<Explain>,
    cancelled: &AtomicBool,
    _ticket: Ticket,
    _slot: Slot,
) -> Result<Answer, ApiError> {
    let mut control = |_| {
        if cancelled.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let failed = |error| ApiError::from(error).map_detail(|text| upload.rename(&text));
    match explain {
        None => {
            let classification = model.classify(&upload.source(), options, &mut control).map_err(failed)?;
            Ok(Answer { classification, explanations: None })
        }
        Some(Explain::Cam) => {
            let (classification, found) = model.explain(&upload.source(), options, &mut control).map_err(failed)?;
            let explanations = found.into_iter().map(Shown::new).collect::<Result<_, _>>()?;
            Ok(Answer { classification, explanations: Some(explanations) })
        }
    }
}

fn count(metrics: &Metrics, model: &str, classification: &Classification) {
    let timing = &classification.timing;
    metrics.decode_seconds.with_label_values(&[model]).observe(timing.decode_s);
    metrics.inference_seconds.with_label_values(&[model]).observe(timing.inference_s);
    metrics.clips.with_label_values(&[model]).inc_by(classification.video.clips as u64);
}
