//! Who a request is from and whether it may be; and one log line and one count for each, and its time, which ends when its answer
//! does.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes};
use actix_web::{Error, HttpMessage, HttpRequest};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::error::Reason;
use crate::keys::Scope;
use crate::routes::page;
use crate::state::State;
use crate::telemetry::{continue_trace, name_span};

/// A request from its head to the end of its answer. Dropped early when the client leaves: Actix drops the handler's
/// future or the answer's body then.
struct Watched {
    state: web::Data<State>,
    start: Instant,
    method: Method,
    path: String,
    id: String,
    peer: Option<String>,
    /// In traces; ends with this.
    _span: Span,
    /// The name of the API key.
    key: Option<String>,
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
            key = self.key,
            id = self.id,
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

/// The header that a request may bring its name in, and that the answer has it in.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name of a request that is taken over.
const MAX_ID: usize = 128;

/// The request's own name, if it has one that can stand in a log, or a new one.
fn id_of(request: &ServiceRequest) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_fit = |id: &&str| (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    given.filter(is_fit).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// The name of the API key that a request came with.
struct KeyName(String);

/// The name of the API key that a request came with; nothing where the service has no keys.
pub fn key_of(request: &HttpRequest) -> String {
    request.extensions().get().map(|KeyName(name)| name.clone()).unwrap_or_default()
}

/// What a request needs a key for, by its path as routes see it, with escapes undone; probes and the page, which asks for one, need none.
fn scope_of(path: &str) -> Option<Scope> {
    match path {
        "/livez" | "/readyz" | "/startupz" | "/v2/health/live" | "/v2/health/ready" | "/openapi.json" => None,
        path if path == page::PAGE || path.starts_with(page::FILES) => None,
        "/metrics" => Some(Scope::Admin),
        path if path.starts_with("/v1/models/") && path.ends_with("/reload") => Some(Scope::Admin),
        _ => Some(Scope::Predict),
    }
}

/// Lets in what comes with a key that may do this, where the service has keys.
pub async fn guard(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let (Some(keys), Some(scope)) = (&state.keys, scope_of(request.match_info().as_str())) {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match keys.check(header, scope) {
            Ok(name) => drop(request.extensions_mut().insert(KeyName(name))),
            Err(denied) => {
                let answer = crate::kserve::error_response(request.path(), denied.into());
                return Ok(request.into_response(answer).map_into_right_body());
            }
        }
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

/// Counts, times and logs a request.
pub async fn log(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    state.metrics.in_flight.inc();
    let id = id_of(&request);
    let method = request.method().as_str();
    let span = tracing::info_span!(
        "request",
        id,
        "otel.kind" = "server",
        "http.request.method" = method,
        "http.route" = Empty,
        "http.response.status_code" = Empty
    );
    continue_trace(&span, request.headers());
    let mut watched = Watched {
        state,
        start: Instant::now(),
        method: request.method().clone(),
        path: crate::error::shorten(request.path()),
        id,
        peer: request.peer_addr().map(|peer| peer.to_string()),
        _span: span.clone(),
        key: None,
        answer: None,
        complete: false,
    };
    let mut response = next.call(request).instrument(span.clone()).await.inspect_err(|error| {
        watched.answered(None, error.as_response_error().status_code());
        watched.complete = true;
    })?;
    watched.answered(response.request().match_pattern(), response.status());
    let route = response.request().match_pattern().unwrap_or_default();
    span.record("http.route", &route).record("http.response.status_code", response.status().as_u16());
    name_span(&span, format!("{} {route}", watched.method).trim_end().to_owned());
    watched.key = response.request().extensions().get().map(|KeyName(name)| name.clone());
    if let Ok(id) = HeaderValue::from_str(&watched.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(Reason(reason)) = response.response().extensions().get() {
        watched.state.metrics.rejected.with_label_values(&[*reason]).inc();
    }
    Ok(response.map_body(|_, body| {
        let body = body.boxed();
        // A body of nothing is not asked for.
        watched.complete = matches!(body.size(), BodySize::None | BodySize::Sized(0));
        WatchedBody { body, watched }
    }))
}
