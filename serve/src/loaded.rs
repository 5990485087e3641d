//! A loaded model of any task.

use unscene_engine::{Bundle, Detector, EngineError, EngineOptions, Graphs, Localizer, Model};
use unscene_models::manifest::Task;

/// A model and what it does. Clones share it.
#[derive(Clone)]
pub enum Loaded {
    /// Names the action of a video.
    Classifier(Model),
    /// Finds actions in long videos.
    Localizer(Localizer),
    /// Finds actors in frames.
    Detector(Detector),
}

impl Loaded {
    /// Loads a bundle.
    ///
    /// # Errors
    ///
    /// As [`Model::load`], [`Localizer::load`] and [`Detector::load`].
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self, EngineError> {
        Ok(match bundle.manifest.task {
            Task::Classify => Self::Classifier(Model::load(bundle, options)?),
            Task::Localize => Self::Localizer(Localizer::load(bundle, options)?),
            Task::Detect => Self::Detector(Detector::load(bundle, options)?),
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

    /// The model, if it detects.
    pub fn detector(&self) -> Option<&Detector> {
        if let Self::Detector(model) = self { Some(model) } else { None }
    }

    /// Its graphs: its name, its description, and what runs it.
    pub fn graphs(&self) -> &Graphs {
        match self {
            Self::Classifier(model) => model.graphs(),
            Self::Localizer(model) => model.graphs(),
            Self::Detector(model) => model.graphs(),
        }
    }

    /// The bundle folder's name.
    pub fn name(&self) -> &str {
        self.graphs().name()
    }

    /// What it does.
    pub fn task(&self) -> Task {
        self.graphs().manifest().task
    }
}
