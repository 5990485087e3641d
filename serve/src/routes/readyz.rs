//! `GET /readyz` and `GET /startupz`: whether to send work here, and whether the start is over.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::livez::Health;
use crate::error::ApiError;
use crate::state::State;

/// A service that takes work.
#[derive(Serialize, ToSchema)]
pub struct Ready {
    status: &'static str,
    models: Vec<ReadyModel>,
}

/// A model, and what really runs it.
#[derive(Serialize, ToSchema)]
pub struct ReadyModel {
    name: String,
    engine: String,
    device: String,
}

/// 200 with what really runs each model. 503 while they are loaded for the first time, once a shutdown has begun, and when there
/// is none or one of them fails again and again, or hangs.
pub async fn readyz(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(readiness(&state)?))
}

/// What runs each model, when there is one and all of them can.
///
/// # Errors
///
/// [`ApiError::Draining`], [`ApiError::Loading`], [`ApiError::NotReady`].
pub fn readiness(state: &State) -> Result<Ready, ApiError> {
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
    let mut troubles =
        serving.iter().filter_map(|served| Some((served.model.name(), served.model.graphs().trouble()?)));
    if let Some((name, trouble)) = troubles.next() {
        return Err(ApiError::NotReady(format!("`{name}`: {trouble}")));
    }
    let models = serving.iter().map(|served| served.model.graphs()).map(|graphs| ReadyModel {
        name: graphs.name().to_owned(),
        engine: graphs.engine_name().to_owned(),
        device: graphs.device_name().to_owned(),
    });
    Ok(Ready { status: "ready", models: models.collect() })
}

/// 200 once the models were loaded for the first time.
pub async fn startupz(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    if state.registry.is_loaded() { Ok(Health::answer("started")) } else { Err(ApiError::Loading) }
}
