//! `GET /v1/models`: what is loaded, what runs it, and what it takes.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::state::State;

/// Every model with its task, engine, device, labels, input and limits.
pub async fn models(state: web::Data<State>) -> HttpResponse {
    let models: Vec<Value> = state
        .models
        .iter()
        .enumerate()
        .map(|(index, model)| {
            let manifest = model.manifest();
            json!({
                "name": model.name(),
                "default": index == 0,
                "task": manifest.task,
                "engine": model.engine_name(),
                "device": model.device_name(),
                "precision": manifest.precision,
                "input": manifest.input,
                "stride_frames": manifest.stride_frames,
                "fps": manifest.fps,
                "explain": if model.has_maps() { vec!["cam"] } else { vec![] },
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
