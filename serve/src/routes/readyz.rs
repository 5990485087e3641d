//! `GET /readyz` and `GET /startupz`: whether to send work here, and whether the start is over.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::State;

/// 200 with what really runs each model. 503 while they are loaded for the first time, once a shutdown has begun, and when there
/// is none or the thread of one has ended.
pub async fn readyz(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    if !state.registry.is_loaded() {
        return Err(ApiError::Loading);
    }
    let serving = state.registry.serving();
    if serving.is_empty() {
        return Err(ApiError::NotReady("no bundle is loaded; GET /v1/models says why".to_owned()));
    }
    if let Some(served) = serving.iter().find(|served| !served.model.graphs().is_alive()) {
        return Err(ApiError::NotReady(format!("the thread of `{}` has ended", served.model.name())));
    }
    let models: Vec<Value> = serving
        .iter()
        .map(|served| served.model.graphs())
        .map(|graphs| json!({ "name": graphs.name(), "engine": graphs.engine_name(), "device": graphs.device_name() }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "status": "ready", "models": models })))
}

/// 200 once the models were loaded for the first time.
pub async fn startupz(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    if state.registry.is_loaded() {
        Ok(HttpResponse::Ok().json(json!({ "status": "started" })))
    } else {
        Err(ApiError::Loading)
    }
}
