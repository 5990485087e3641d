//! `GET /metrics`: the Prometheus text format.

use actix_web::{HttpResponse, web};

use crate::error::ApiError;
use crate::state::State;

/// Reads the gauges that are kept elsewhere, then writes everything.
pub async fn metrics(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    state.metrics.admitted.set(gauge(state.admission.entered()));
    state.metrics.decoding.set(gauge(state.admission.decoding()));
    for model in &state.models {
        state.metrics.queue_depth.with_label_values(&[model.name()]).set(gauge(model.graphs().queue_depth()));
    }
    let (kind, text) = state
        .metrics
        .encode()
        .map_err(|error| ApiError::Internal(format!("the metrics cannot be written: {error}")))?;
    Ok(HttpResponse::Ok().content_type(kind).body(text))
}
