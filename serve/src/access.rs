//! One log line and one count for each request, and its time, which ends when its answer does.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes};

use crate::state::State;

/// A request from its head to the end of its answer. Dropped early when the client leaves: Actix drops the handler's
/// future or the answer's body then.
struct Watched {
    state: web::Data<State>,
    start: Instant,
    method: Method,
    path: String,
    peer: Option<String>,
    /// The route's pattern and the status, once the answer has begun.
    answer: Option<(String, StatusCode)>,
    complete: bool,
}

impl Watched {
    /// Counts an answer that begins.
    fn answered(&mut self, route: Option<String>, status: StatusCode) {
        // The pattern, never the path: a client must not be able to make up labels.
        let route = route.unwrap_or_else(|| "unmatched".to_owned());
        self.state.metrics.requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
        self.answer = Some((route, status));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let (metrics, seconds) = (&self.state.metrics, self.start.elapsed().as_secs_f64());
        metrics.in_flight.dec();
        if let Some((route, _)) = &self.answer {
            metrics.request_seconds.with_label_values(&[route.as_str()]).observe(seconds);
        }
        let what = match (self.complete, self.state.is_draining(), &self.answer) {
            (true, ..) => "request",
            (false, true, _) => "no answer or half of one: dropped by the shutdown",
            (false, false, None) => "client left before the answer",
            (false, false, Some(_)) => "client left before the end of the answer",
        };
        tracing::info!(
            target: "unscene_serve::access",
            method = %self.method,
            path = %self.path,
            status = self.answer.as_ref().map(|(_, status)| status.as_u16()),
            seconds,
            peer = self.peer,
            "{what}"
        );
    }
}

/// An answer's body, which ends the watch when it ends or is dropped.
struct WatchedBody {
    body: BoxBody,
    watched: Watched,
}

impl MessageBody for WatchedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = self.body.as_pin_mut().poll_next(cx);
        self.watched.complete |= matches!(polled, Poll::Ready(None));
        polled
    }
}

/// Counts, times and logs a request.
pub async fn log(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    state.metrics.in_flight.inc();
    let mut watched = Watched {
        state,
        start: Instant::now(),
        method: request.method().clone(),
        path: crate::error::shorten(request.path()),
        peer: request.peer_addr().map(|peer| peer.to_string()),
        answer: None,
        complete: false,
    };
    let response = next.call(request).await.inspect_err(|error| {
        watched.answered(None, error.as_response_error().status_code());
        watched.complete = true;
    })?;
    watched.answered(response.request().match_pattern(), response.status());
    Ok(response.map_body(|_, body| {
        let body = body.boxed();
        // A body of nothing is not asked for.
        watched.complete = matches!(body.size(), BodySize::None | BodySize::Sized(0));
        WatchedBody { body, watched }
    }))
}
