//! `GET /v1/models`: what is loaded, what runs it, and what it takes.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use unscene_engine::Model;

use crate::state::State;

/// Every model with its task, whether it is the first of it, engine, device, labels, input and limits.
pub async fn models(state: web::Data<State>) -> HttpResponse {
    let models: Vec<Value> = state
        .models
        .iter()
        .map(|model| {
            let graphs = model.graphs();
            let manifest = graphs.manifest();
            let first = state.models.iter().find(|other| other.task() == model.task());
            let can_explain = model.classifier().is_some_and(Model::has_maps);
            json!({
                "name": model.name(),
                "default": first.is_some_and(|first| first.name() == model.name()),
                "task": manifest.task,
                "engine": graphs.engine_name(),
                "device": graphs.device_name(),
                "precision": manifest.precision,
                "input": manifest.input,
                "stride_frames": manifest.stride_frames,
                "fps": manifest.fps,
                "explain": if can_explain { vec!["cam"] } else { vec![] },
                "parity": manifest.parity,
                "labels": manifest.labels,
            })
        })
        .collect();
    let options = &state.options;
    HttpResponse::Ok().json(json!({
        "models": models,
        "limits": {
            "max_body_bytes": options.max_body_bytes(),
            "max_duration_s": options.max_duration_s,
            "max_pixels": options.max_pixels,
            "max_frames": options.max_frames,
            "request_timeout_s": options.request_timeout_s,
        },
    }))
}
