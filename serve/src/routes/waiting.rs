//! Who waits for an answer and until when, and what waits for its turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use prometheus::Histogram;
use serde::{Deserialize, Serialize};
use tracing::{Instrument, info_span};
use unscene_engine::{FoundFrame, Prediction};
use utoipa::ToSchema;

use crate::admission::Place;
use crate::error::{ApiError, shorten};
use crate::metrics::Metrics;
use crate::options::positive_seconds;
use crate::slots::Slot;
use crate::state::State;

/// The header with which a client says how many seconds it waits at most.
const TIMEOUT: &str = "x-request-timeout-s";

/// Until when somebody waits for an answer, and what they may hear before it.
#[derive(Clone)]
pub struct Wanted {
    cancelled: Arc<AtomicBool>,
    timeout: Duration,
    deadline: Instant,
    so_far: Option<Arc<Mutex<SoFar>>>,
}

/// What was seen last of a video that is still looked at. Segments are only known at its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SoFar {
    /// The classes, over the clips so far; best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub classify: Option<Vec<Prediction>>,
    /// The last frame, and who acts in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detect: Option<FoundFrame>,
}

impl Wanted {
    /// For so long from now.
    pub fn within(timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        Self { cancelled: Arc::new(AtomicBool::new(false)), timeout, deadline, so_far: None }
    }

    /// By somebody who may ask what was seen so far.
    pub fn with_so_far(self) -> Self {
        Self { so_far: Some(Arc::default()), ..self }
    }

    /// Notes what was seen, for who may ask.
    pub fn note(&self, note: impl FnOnce(&mut SoFar)) {
        if let Some(so_far) = &self.so_far {
            note(&mut so_far.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// What was seen so far.
    pub fn so_far(&self) -> SoFar {
        let mut seen = SoFar::default();
        self.note(|so_far| seen = so_far.clone());
        seen
    }

    /// Until when.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Nobody waits any more.
    pub fn give_up(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether nobody waits any more, whatever the time.
    pub fn is_given_up(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether somebody still waits.
    pub fn still(&self) -> bool {
        !self.is_given_up() && Instant::now() < self.deadline
    }

    /// An error as the client is told of it.
    pub fn told(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::Cancelled if Instant::now() >= self.deadline => self.too_late(),
            error => error,
        }
    }

    fn too_late(&self) -> ApiError {
        ApiError::Timeout(self.timeout.as_secs_f64())
    }
}

/// Who waits for an answer: when it is dropped, the thread that works for it is told to stop. Actix drops a handler's
/// future, or the body of an answer, when the client has left.
pub struct Waiting {
    /// For who works.
    pub wanted: Wanted,
    metrics: Metrics,
    settled: bool,
}

impl Waiting {
    /// From now on, as long as a request may take, or less where its header says so.
    ///
    /// # Errors
    ///
    /// When the header is no time.
    pub fn new(state: &State, request: &HttpRequest) -> Result<Self, ApiError> {
        let most = state.options.request_timeout();
        let timeout = match request.headers().get(TIMEOUT) {
            None => most,
            Some(value) => {
                let text = shorten(value.to_str().unwrap_or("?").trim());
                let seconds = positive_seconds(&text);
                let wrong = |error: String| ApiError::BadParameter(format!("the header {TIMEOUT}: {error}"));
                Duration::from_secs_f64(seconds.map_err(wrong)?).min(most)
            }
        };
        Ok(Self::within(state, timeout))
    }

    /// For so long from now.
    pub fn within(state: &State, timeout: Duration) -> Self {
        Self { wanted: Wanted::within(timeout), metrics: state.metrics.clone(), settled: false }
    }

    /// What comes of the work, or [`ApiError::Timeout`] when the time is over.
    ///
    /// # Errors
    ///
    /// As the work.
    pub async fn wait<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let result = tokio::time::timeout_at(self.wanted.deadline.into(), work).await;
        result.unwrap_or_else(|_| Err(self.wanted.too_late()))
    }

    /// Notes how the work ended, and gives it back.
    ///
    /// # Errors
    ///
    /// As the work.
    pub fn settle<T>(&mut self, result: Result<T, ApiError>) -> Result<T, ApiError> {
        self.settled = !matches!(result, Err(ApiError::Timeout(_)));
        result
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.wanted.give_up();
        if !self.settled {
            self.metrics.cancelled.inc();
        }
    }
}

/// A complete upload that waits until it may be opened. How long is counted when it ends, in whatever way: the longest waits are those
/// that are given up. What is refused did not wait.
pub struct Waits {
    since: Instant,
    seconds: Histogram,
    is_refused: bool,
}

impl Waits {
    /// From now on.
    pub fn begin(state: &State) -> Self {
        Self { since: Instant::now(), seconds: state.metrics.wait_seconds.clone(), is_refused: false }
    }

    /// The slot of a video that is opened, or of tensors that are read, unless that was not `expected`.
    ///
    /// # Errors
    ///
    /// What is in `expected`.
    pub async fn slot(
        mut self,
        state: &State,
        place: &Place,
        expected: Result<(), ApiError>,
    ) -> Result<Slot, ApiError> {
        self.is_refused = expected.is_err();
        expected?;
        Ok(state.admission.slot(place).instrument(info_span!("wait for a slot")).await)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.is_refused {
            self.seconds.observe(self.since.elapsed().as_secs_f64());
        }
    }
}
