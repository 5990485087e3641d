//! What the routes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use unscene_models::manifest::Task;

use crate::ServeOptions;
use crate::admission::Admission;
use crate::error::{ApiError, shorten};
use crate::loaded::Loaded;
use crate::metrics::Metrics;

/// The loaded models, the limits, and the counts.
pub struct State {
    /// The settings that the service started with.
    pub options: ServeOptions,
    /// The models in the order of the command line; never empty.
    pub models: Vec<Loaded>,
    /// Places and decoding slots.
    pub admission: Admission,
    /// What is counted.
    pub metrics: Metrics,
    /// Set when a shutdown has begun.
    pub draining: Arc<AtomicBool>,
}

impl State {
    /// The model of that name, or the first of the task. `of` gives a model's own kind where it is of the task.
    ///
    /// # Errors
    ///
    /// [`ApiError::UnknownModel`], [`ApiError::NoModel`], and [`ApiError::WrongModel`] for a model of another task.
    pub fn model<'a, T>(
        &'a self,
        name: Option<&str>,
        task: Task,
        of: impl Fn(&'a Loaded) -> Option<&'a T>,
    ) -> Result<&'a T, ApiError> {
        let Some(name) = name else {
            return self.models.iter().find_map(of).ok_or_else(|| ApiError::NoModel { task, loaded: self.loaded() });
        };
        let named = self.models.iter().find(|model| model.name() == name);
        let named = named.ok_or_else(|| ApiError::UnknownModel { name: shorten(name), loaded: self.loaded() })?;
        of(named).ok_or_else(|| ApiError::WrongModel { name: shorten(name), found: named.task() })
    }

    /// Whether a model of the task is loaded.
    pub fn has(&self, task: Task) -> bool {
        self.models.iter().any(|model| model.task() == task)
    }

    /// The models as a list for people.
    fn loaded(&self) -> String {
        let models = self.models.iter().map(|model| format!("`{}` ({})", model.name(), model.task()));
        models.collect::<Vec<_>>().join(", ")
    }

    /// Whether a shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
