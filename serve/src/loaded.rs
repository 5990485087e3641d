//! A loaded model of any task.

use unscene_engine::{Bundle, EngineError, EngineOptions, Localizer, Model};
use unscene_models::manifest::{Manifest, Task};

/// A model and what it does.
pub enum Loaded {
    /// Names the action of a video.
    Classifier(Model),
    /// Finds actions in long videos.
    Localizer(Localizer),
}

impl Loaded {
    /// Loads a bundle.
    ///
    /// # Errors
    ///
    /// As [`Model::load`] and [`Localizer::load`].
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self, EngineError> {
        Ok(match bundle.manifest.task {
            // A detector is refused there, by name.
            Task::Classify | Task::Detect => Self::Classifier(Model::load(bundle, options)?),
            Task::Localize => Self::Localizer(Localizer::load(bundle, options)?),
        })
    }

    /// The model, if it classifies.
    pub fn classifier(&self) -> Option<&Model> {
        if let Self::Classifier(model) = self { Some(model) } else { None }
    }

    /// The model, if it localizes.
    pub fn localizer(&self) -> Option<&Localizer> {
        if let Self::Localizer(model) = self { Some(model) } else { None }
    }

    /// The bundle folder's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Classifier(model) => model.name(),
            Self::Localizer(model) => model.name(),
        }
    }

    /// The bundle's description.
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::Classifier(model) => model.manifest(),
            Self::Localizer(model) => model.manifest(),
        }
    }

    /// What it does.
    pub fn task(&self) -> Task {
        self.manifest().task
    }

    /// Name and version of the engine that runs it.
    pub fn engine_name(&self) -> &str {
        match self {
            Self::Classifier(model) => model.engine_name(),
            Self::Localizer(model) => model.engine_name(),
        }
    }

    /// The device that it runs on.
    pub fn device_name(&self) -> &str {
        match self {
            Self::Classifier(model) => model.device_name(),
            Self::Localizer(model) => model.device_name(),
        }
    }

    /// Batches waiting for its thread.
    pub fn queue_depth(&self) -> usize {
        match self {
            Self::Classifier(model) => model.queue_depth(),
            Self::Localizer(model) => model.queue_depth(),
        }
    }
}
