//! What the routes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use unscene_media::{DecodeWorkers, Turns};
use unscene_models::manifest::Task;

use crate::ServeOptions;
use crate::admission::Admission;
use crate::error::{ApiError, shorten};
use crate::fetch::Fetcher;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::loaded::Loaded;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::service::StartError;

/// Time from one look for changed keys to the next.
const KEYS_EVERY: Duration = Duration::from_secs(1);
/// Time from one try of a model that fails to the next.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// Models that are loaded again by request, or wait for it, at most.
pub const RELOADS: usize = 4;

/// Does what may take minutes, and what nobody waits for when the process is to end: unlike a blocking task of the HTTP server, such a
/// thread does not hold up the end. `None` when it panicked.
pub async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || drop(done.send(work())));
    result.await.ok()
}

/// The loaded models, the limits, and the counts.
pub struct State {
    /// The settings that the service started with.
    pub options: ServeOptions,
    /// The models.
    pub registry: Registry,
    /// Permits to load models again by request: each takes a thread, and the memory of a model.
    pub reloads: Arc<Semaphore>,
    /// Places, and slots for open videos.
    pub admission: Admission,
    /// Processes that videos are decoded in.
    pub workers: DecodeWorkers,
    /// Turns in which frames are decoded.
    pub turns: Turns,
    /// What is counted.
    pub metrics: Metrics,
    /// Work that outlives its request, where there is any.
    pub jobs: Option<Jobs>,
    /// Permits for videos that are sent while they are filmed.
    pub streams: Arc<Semaphore>,
    /// Gets videos of jobs from elsewhere, where the operator has named any place.
    pub fetcher: Option<Fetcher>,
    /// API keys, where there are any.
    pub keys: Option<Keys>,
    /// Set when a shutdown has begun.
    pub draining: Arc<AtomicBool>,
}

impl State {
    /// What gets videos from elsewhere.
    ///
    /// # Errors
    ///
    /// [`ApiError::BadUrl`] where no place is named.
    pub fn fetcher(&self, url: &str) -> Result<&Fetcher, ApiError> {
        let what = "the operator of this service has named no place to fetch from with --fetch-host or --fetch-bucket";
        self.fetcher.as_ref().ok_or_else(|| ApiError::BadUrl { url: shorten(url), what: what.to_owned() })
    }

    /// Videos that are sent while they are filmed, now.
    pub fn streams_open(&self) -> usize {
        (self.options.max_streams as usize).saturating_sub(self.streams.available_permits())
    }

    /// The model of that name, or the default of the task. `of` gives a model's own kind where it is of the task.
    ///
    /// # Errors
    ///
    /// [`ApiError::Loading`], [`ApiError::UnknownModel`], [`ApiError::NoModel`], and [`ApiError::WrongModel`] for a model of
    /// another task.
    pub fn model<T: Clone>(
        &self,
        name: Option<&str>,
        task: Task,
        of: impl Fn(&Loaded) -> Option<&T>,
    ) -> Result<T, ApiError> {
        if !self.registry.is_loaded() {
            return Err(ApiError::Loading);
        }
        let Some(name) = name else {
            let default = self.registry.default_of(task).map_err(ApiError::DefaultGone)?;
            let model = default.as_ref().and_then(|served| of(&served.model)).cloned();
            return model.ok_or_else(|| ApiError::NoModel { task, loaded: self.loaded() });
        };
        let serving = self.registry.serving();
        let named = serving.iter().find(|served| served.model.name() == name);
        let named = named.ok_or_else(|| self.unknown(name))?;
        let model = of(&named.model).cloned();
        model.ok_or_else(|| ApiError::WrongModel { name: shorten(name), found: named.model.task() })
    }

    /// The error of a name that no model has.
    pub fn unknown(&self, name: &str) -> ApiError {
        ApiError::UnknownModel { name: shorten(name), loaded: self.loaded() }
    }

    /// Whether there is a model of the task, or there should be one.
    pub fn has(&self, task: Task) -> bool {
        self.registry.default_of(task).map_or(true, |default| default.is_some())
    }

    /// The models as a list for people.
    fn loaded(&self) -> String {
        let serving = self.registry.serving();
        let models = serving.iter().map(|served| format!("`{}` ({})", served.model.name(), served.model.task()));
        let models = models.collect::<Vec<_>>().join(", ");
        if models.is_empty() { "none".to_owned() } else { models }
    }

    /// Loads the models for the first time, on a blocking thread.
    ///
    /// # Errors
    ///
    /// As [`Registry::load`].
    pub async fn load_models(self: &Arc<Self>) -> Result<(), StartError> {
        let state = self.clone();
        let loaded = on_a_thread(move || state.registry.load()).await;
        loaded.unwrap_or_else(|| Err(StartError::Server(std::io::Error::other("loading the models failed"))))
    }

    /// Looks for changed keys again and again, until a shutdown begins.
    pub async fn follow_keys(self: &Arc<Self>) {
        let Some(keys) = self.keys.clone() else { return };
        while !self.is_draining() {
            tokio::time::sleep(KEYS_EVERY).await;
            let keys = keys.clone();
            let _panicked = on_a_thread(move || keys.refresh()).await;
        }
    }

    /// Has models that have failed of late run once more now and then, until a shutdown begins: while `/readyz` says that they cannot,
    /// no request may come that would find out that they can.
    pub async fn try_failing_models(self: &Arc<Self>) {
        while !self.is_draining() {
            tokio::time::sleep(TRY_EVERY).await;
            let serving = self.registry.serving();
            for served in serving.iter().filter(|served| served.model.graphs().trouble().is_some()) {
                let model = served.model.clone();
                let _panicked = on_a_thread(move || model.graphs().try_again()).await;
            }
        }
    }

    /// Looks for changed bundles again and again, until a shutdown begins.
    pub async fn follow_models(self: &Arc<Self>) {
        let Some(every) = self.options.reload_every() else { return };
        while !self.is_draining() {
            tokio::time::sleep(every).await;
            let state = self.clone();
            // A panic is in the log; the next look may go better.
            let _panicked = on_a_thread(move || state.registry.refresh_all()).await;
        }
    }

    /// Whether a shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
