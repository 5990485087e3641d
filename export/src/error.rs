use std::path::PathBuf;

/// Why a bundle could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The run's `config.json` cannot be used.
    #[error(transparent)]
    Run(#[from] unscene_models::run::RunError),
    /// The run names a model that cannot be built.
    #[error("{path}: {source}")]
    Model {
        /// The run's `config.json`.
        path: PathBuf,
        /// What is wrong with the model.
        source: unscene_models::r3d::ModelError,
    },
    /// An option is not for models of the run's task.
    #[error("{option} is for models that classify; {run} was trained to {task}, export it without")]
    Option {
        /// The option.
        option: &'static str,
        /// The run folder.
        run: PathBuf,
        /// What its model was trained for.
        task: unscene_models::manifest::Task,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bundle's place cannot be written.
    #[error("{path} cannot be made: {source}; choose another --out")]
    Write {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not in the safetensors format.
    #[error("{path}: not a safetensors file: {source}; make the run folder again")]
    SafeTensors {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: safetensors::SafeTensorError,
    },
    /// The weights are not those of the model.
    #[error("{path} does not fit the model in config.json: {}", problems.join("; "))]
    Weights {
        /// The file.
        path: PathBuf,
        /// Every tensor that is missing, unknown or of another shape or type.
        problems: Vec<String>,
    },
    /// `reference.safetensors` cannot serve as a reference.
    #[error("{path}: {problem}; make it again with `unscene init` or `unscene import`")]
    Reference {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// The folder to write holds something.
    #[error("{0} exists and is not empty; choose another folder or replace it with --force")]
    Occupied(PathBuf),
    /// `--force` was asked to replace something that was not written here.
    #[error("{path} holds no {marker}, so that --force does not remove it; choose another folder")]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// The file that it would have.
        marker: &'static str,
    },
    /// The system does not let the program listen for signals.
    #[error("cannot listen for Ctrl-C: {0}")]
    Signal(String),
    /// The bundle to write models for Triton of cannot be read.
    #[error(transparent)]
    Bundle(#[from] unscene_engine::EngineError),
    /// The manifest contradicts itself.
    #[error(transparent)]
    Manifest(#[from] unscene_models::manifest::ManifestError),
    /// The written bundle cannot be run.
    #[error("the exported model does not run in {engine}: {source}")]
    Engine {
        /// The engine.
        engine: &'static str,
        /// Why.
        source: unscene_engine::EngineError,
    },
    /// The written bundle computes something else than the run.
    #[error(
        "the exported model differs from the run in {engine}: largest difference {found:e} of the largest value, \
         allowed {allowed:e}; no bundle was written"
    )]
    Parity {
        /// The engine.
        engine: &'static str,
        /// Largest difference divided by the largest value of the output.
        found: f64,
        /// The tolerance of the precision.
        allowed: f64,
    },
}

impl ExportError {
    /// Whether what the caller gave cannot be used, rather than the export having failed.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Engine { .. } | Self::Parity { .. } | Self::Signal(_))
    }
}
