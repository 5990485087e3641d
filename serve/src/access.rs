//! One log line and one count for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use prometheus::IntGauge;

use crate::state::State;

/// Lowers the count of requests in flight even when the client leaves and the future is dropped, and says so then.
struct InFlight {
    count: IntGauge,
    start: Instant,
    path: String,
    draining: Arc<AtomicBool>,
    answered: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.dec();
        if !self.answered {
            let seconds = self.start.elapsed().as_secs_f64();
            let why = match self.draining.load(Ordering::Acquire) {
                true => "no answer: dropped by the shutdown",
                false => "client left before the answer",
            };
            tracing::info!(target: "unscene_serve::access", path = %self.path, seconds, "{why}");
        }
    }
}

/// Counts, times and logs a request.
pub async fn log(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let start = Instant::now();
    let method = request.method().clone();
    let path = crate::error::shorten(request.path());
    let peer = request.peer_addr();
    state.metrics.in_flight.inc();
    let (count, draining) = (state.metrics.in_flight.clone(), state.draining.clone());
    let mut in_flight = InFlight { count, start, path, draining, answered: false };

    let result = next.call(request).await;
    in_flight.answered = true;
    let response = result?;

    // The pattern, never the path: a client must not be able to make up labels.
    let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let status = response.status();
    let seconds = start.elapsed().as_secs_f64();
    state.metrics.requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
    state.metrics.request_seconds.with_label_values(&[route.as_str()]).observe(seconds);
    tracing::info!(
        target: "unscene_serve::access",
        %method,
        path = %in_flight.path,
        status = status.as_u16(),
        seconds,
        peer = peer.map(tracing::field::display),
        "request"
    );
    Ok(response)
}
