//! `GET /v1/models`: what is loaded, what runs it, and what it takes. `POST /v1/models/{name}/reload` loads one again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::{HttpResponse, web};
use serde::Serialize;
use unscene_engine::{EngineError, Model};
use unscene_models::manifest::{ClipInput, Precision, Task};
use utoipa::ToSchema;

use super::detect::MAX_BOXES;
use crate::error::ApiError;
use crate::registry::Served;
use crate::state::{State, on_a_thread};

/// What is served.
#[derive(Serialize, ToSchema)]
pub struct ModelList {
    /// In the order of the command line, then of names.
    models: Vec<ModelInfo>,
    /// Bundles that could not be loaded.
    not_loaded: Vec<NotLoaded>,
    /// Whether there are jobs.
    jobs: bool,
    limits: RequestLimits,
}

/// A model that is served.
#[derive(Serialize, ToSchema)]
pub struct ModelInfo {
    name: String,
    /// Whether it answers requests of its task that name no model.
    default: bool,
    task: Task,
    /// Name and version of what runs it.
    engine: String,
    /// Such as `cpu` or `cuda:0`.
    device: String,
    /// Clips in a batch at most.
    max_batch: usize,
    /// When it was loaded, in seconds since 1970.
    loaded_s: f64,
    precision: Precision,
    input: ClipInput,
    /// Sampled frames from one clip to the next, unless a request says otherwise.
    stride_frames: usize,
    /// Sampled frames per second; `null` is every frame of the video.
    fps: Option<f64>,
    /// Ways to explain that it knows: `cam` or none.
    explain: Vec<&'static str>,
    /// Per engine, the largest difference from libtorch when it was exported, divided by the largest value.
    parity: BTreeMap<String, f64>,
    labels: Vec<String>,
}

/// A bundle that could not be loaded.
#[derive(Serialize, ToSchema)]
pub struct NotLoaded {
    name: String,
    /// Why.
    error: String,
    /// When that was found, in seconds since 1970.
    since_s: f64,
}

/// What a request may be at most.
#[derive(Serialize, ToSchema)]
pub struct RequestLimits {
    max_body_bytes: u64,
    max_duration_s: f64,
    /// Width times height of a frame.
    max_pixels: u64,
    max_frames: u64,
    request_timeout_s: f64,
    /// Clips that may come before those of a request.
    queue_clips: usize,
    /// Boxes in an answer that does not come line by line.
    max_boxes: usize,
}

/// Every model with its task, whether it is the default of it, engine, device, labels, input and limits; and what could not be
/// loaded.
pub async fn models(state: web::Data<State>) -> HttpResponse {
    let serving = state.registry.serving();
    let broken = state.registry.broken().into_iter();
    let options = &state.options;
    HttpResponse::Ok().json(ModelList {
        models: serving.iter().map(|served| describe(&state, served)).collect(),
        not_loaded: broken
            .map(|(name, broken)| NotLoaded { name, error: broken.reason, since_s: seconds(broken.since) })
            .collect(),
        jobs: state.jobs.is_some(),
        limits: RequestLimits {
            max_body_bytes: options.max_body_bytes(),
            max_duration_s: options.max_duration_s,
            max_pixels: options.max_pixels,
            max_frames: options.max_frames,
            request_timeout_s: options.request_timeout_s,
            queue_clips: options.queue_clips,
            max_boxes: MAX_BOXES,
        },
    })
}

/// Loads the bundle of a model again and answers with what is served from then on.
///
/// # Errors
///
/// [`ApiError::UnknownModel`] when there is none, [`ApiError::BrokenBundle`] when it cannot be loaded; then all stays as it was.
/// [`ApiError::Reloading`] when many are asked for at once.
pub async fn reload(state: web::Data<State>, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    if !state.registry.is_loaded() {
        return Err(ApiError::Loading);
    }
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let reload = state.reloads.clone().try_acquire_owned().map_err(|_| ApiError::Reloading)?;
    let (shared, wanted): (_, Arc<str>) = (state.clone(), name.as_str().into());
    let reloaded = on_a_thread({
        let wanted = wanted.clone();
        move || {
            // Until it has ended, whether or not somebody still waits for it.
            let _reload = reload;
            shared.registry.reload(&wanted)
        }
    });
    let reloaded = reloaded.await.ok_or_else(|| ApiError::Internal("loading a model failed".to_owned()))?;
    // As it was noted: without the path of the folder.
    let noted =
        |error: EngineError| state.registry.broken().remove(&*wanted).map_or(error.to_string(), |broken| broken.reason);
    if !reloaded.map_err(|error| ApiError::BrokenBundle(noted(error)))? {
        return Err(state.unknown(&wanted));
    }
    let serving = state.registry.serving();
    let served = serving.iter().find(|served| *served.model.name() == *wanted).ok_or_else(|| state.unknown(&wanted))?;
    Ok(HttpResponse::Ok().json(describe(&state, served)))
}

fn describe(state: &State, served: &Served) -> ModelInfo {
    let model = &served.model;
    let graphs = model.graphs();
    let manifest = graphs.manifest();
    let default = state.registry.default_of(model.task());
    let can_explain = model.classifier().is_some_and(Model::has_maps);
    ModelInfo {
        name: model.name().to_owned(),
        default: default.is_ok_and(|default| default.is_some_and(|default| default.model.name() == model.name())),
        task: manifest.task,
        engine: graphs.engine_name().to_owned(),
        device: graphs.device_name().to_owned(),
        max_batch: graphs.batch(),
        loaded_s: seconds(served.since),
        precision: manifest.precision,
        input: manifest.input.clone(),
        stride_frames: manifest.stride_frames,
        fps: manifest.fps,
        explain: if can_explain { vec!["cam"] } else { vec![] },
        parity: manifest.parity.clone(),
        labels: manifest.labels.clone(),
    }
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
