//! `GET /v1/models`: what is loaded, what runs it, and what it takes. `POST /v1/models/{name}/reload` loads one again.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use unscene_engine::{EngineError, Model};

use crate::error::ApiError;
use crate::registry::Served;
use crate::state::{State, on_a_thread};

/// Every model with its task, whether it is the default of it, engine, device, labels, input and limits; and what could not be
/// loaded.
pub async fn models(state: web::Data<State>) -> HttpResponse {
    let serving = state.registry.serving();
    let models: Vec<Value> = serving.iter().map(|served| describe(&state, served)).collect();
    let broken = state.registry.broken();
    let broken = broken
        .iter()
        .map(|(name, broken)| json!({ "name": name, "error": broken.reason, "since_s": seconds(broken.since) }));
    let options = &state.options;
    HttpResponse::Ok().json(json!({
        "models": models,
        "not_loaded": broken.collect::<Vec<_>>(),
        "limits": {
            "max_body_bytes": options.max_body_bytes(),
            "max_duration_s": options.max_duration_s,
            "max_pixels": options.max_pixels,
            "max_frames": options.max_frames,
            "request_timeout_s": options.request_timeout_s,
            "queue_clips": options.queue_clips,
        },
    }))
}

/// Loads the bundle of a model again and answers with what is served from then on.
///
/// # Errors
///
/// [`ApiError::UnknownModel`] when there is none, [`ApiError::BrokenBundle`] when it cannot be loaded; then all stays as it was.
pub async fn reload(state: web::Data<State>, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    if !state.registry.is_loaded() {
        return Err(ApiError::Loading);
    }
    let (shared, wanted): (_, Arc<str>) = (state.clone(), name.as_str().into());
    let reloaded = on_a_thread({
        let wanted = wanted.clone();
        move || shared.registry.reload(&wanted)
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

fn describe(state: &State, served: &Served) -> Value {
    let model = &served.model;
    let graphs = model.graphs();
    let manifest = graphs.manifest();
    let default = state.registry.default_of(model.task());
    let can_explain = model.classifier().is_some_and(Model::has_maps);
    json!({
        "name": model.name(),
        "default": default.is_some_and(|default| default.model.name() == model.name()),
        "task": manifest.task,
        "engine": graphs.engine_name(),
        "device": graphs.device_name(),
        "max_batch": graphs.batch(),
        "loaded_s": seconds(served.since),
        "precision": manifest.precision,
        "input": manifest.input,
        "stride_frames": manifest.stride_frames,
        "fps": manifest.fps,
        "explain": if can_explain { vec!["cam"] } else { vec![] },
        "parity": manifest.parity,
        "labels": manifest.labels,
    })
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
