//! `GET /metrics`: the Prometheus text format.

use std::sync::PoisonError;

use actix_web::{HttpResponse, web};

use crate::error::ApiError;
use crate::state::State;

/// Reads the gauges that are kept elsewhere, then writes everything.
pub async fn metrics(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    state.metrics.admitted.set(gauge(state.admission.requests()));
    // One at a time: these are put together from several steps.
    let _scraping = state.metrics.scraping.lock().unwrap_or_else(PoisonError::into_inner);
    let deaths = &state.metrics.worker_deaths;
    deaths.inc_by(state.workers.deaths().saturating_sub(deaths.get()));
    state.metrics.streams.set(gauge(state.streams_open()));
    state.metrics.open_videos.set(gauge(state.admission.open()));
    state.metrics.clips_left.set(gauge(state.admission.clips()));
    state.metrics.clips_per_second.set(state.admission.clips_per_s());
    state.metrics.queue_depth.reset();
    for served in state.registry.serving().iter() {
        let model = &served.model;
        state.metrics.queue_depth.with_label_values(&[model.name()]).set(gauge(model.graphs().queue_depth()));
    }
    let (kind, text) = state
        .metrics
        .encode()
        .map_err(|error| ApiError::Internal(format!("the metrics cannot be written: {error}")))?;
    Ok(HttpResponse::Ok().content_type(kind).body(text))
}
