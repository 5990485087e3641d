//! What the routes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use unscene_engine::Model;

use crate::ServeOptions;
use crate::admission::Admission;
use crate::error::{ApiError, shorten};
use crate::metrics::Metrics;

/// The loaded models, the limits, and the counts.
pub struct State {
    /// The settings that the service started with.
    pub options: ServeOptions,
    /// The models in the order of the command line; never empty.
    pub models: Vec<Model>,
    /// Places and decoding slots.
    pub admission: Admission,
    /// What is counted.
    pub metrics: Metrics,
    /// Set when a shutdown has begun.
    pub draining: Arc<AtomicBool>,
}

impl State {
    /// The model of that name, or the first one.
    ///
    /// # Errors
    ///
    /// [`ApiError::UnknownModel`].
    pub fn model(&self, name: Option<&str>) -> Result<&Model, ApiError> {
        let Some(name) = name else { return Ok(&self.models[0]) };
        self.models.iter().find(|model| model.name() == name).ok_or_else(|| ApiError::UnknownModel {
            name: shorten(name),
            loaded: self.models.iter().map(|model| format!("`{}`", model.name())).collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether a shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
