//! `GET /readyz`: whether to send work here.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::State;

/// 200 with what really runs each model, or 503 once a shutdown has begun. The service listens only after every model
/// is loaded, so there is no third state.
pub async fn readyz(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let models: Vec<Value> = state
        .models
        .iter()
        .map(|model| model.graphs())
        .map(|graphs| json!({ "name": graphs.name(), "engine": graphs.engine_name(), "device": graphs.device_name() }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "status": "ready", "models": models })))
}
