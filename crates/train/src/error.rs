use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use unscene_models::r3d::ModelError;

/// What can go wrong between a model and its weights.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration is not a model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not weights, or is damaged.
    #[error("{path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// The tensors of a file are not those of the model.
    #[error(
        "{path}: these weights are not of this model; {}: {misfits}", misfits.advice()
    )]
    Misfit {
        /// The file.
        path: PathBuf,
        /// Every tensor that does not fit.
        misfits: Misfits,
    },
    /// The number of class names is not the number of outputs.
    #[error("the model has {classes} classes, but there are {labels} labels; give one label per class")]
    Labels {
        /// Outputs of the model.
        classes: usize,
        /// Names given.
        labels: usize,
    },
    /// A run would be written over something else.
    #[error("{path} exists and is not an empty folder; choose another folder or remove it")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// An input does not fit the graph.
    #[error("input '{node}': found shape {found}, expected {expected}")]
    Input {
        /// The graph's input.
        node: String,
        /// Shape of the tensor given.
        found: String,
        /// Shape that the graph takes.
        expected: String,
    },
    /// The graph cannot be run in this way.
    #[error("node '{node}': {problem}")]
    Node {
        /// Where.
        node: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The dataset or its annotations do not do for training.
    #[error("{0}")]
    Data(String),
    /// A list, a video or a cache cannot be read.
    #[error(transparent)]
    Reading(#[from] unscene_data::DataError),
    /// Training cannot go on from a snapshot of another run.
    #[error(
        "{}: made with another config ({differences}); give the old values, or train in another folder",
        path.display()
    )]
    OtherConfig {
        /// The snapshot.
        path: PathBuf,
        /// Each as `name: old, now new`.
        differences: String,
    },
    /// A loss is no longer a number.
    #[error(
        "the {what} loss is {value}: training has diverged; lower the learning rate or lambda, clip gradients, or check the \
         input for values that are not numbers"
    )]
    Diverged {
        /// Which loss.
        what: &'static str,
        /// NaN or infinite.
        value: f64,
    },
    /// Weights, or the optimiser's momentum, are no longer numbers, although every loss was one.
    #[error(
        "{tensor} holds values that are not numbers: training has diverged, and this state is not saved; lower the learning rate \
         or lambda, or clip gradients"
    )]
    Exploded {
        /// The first such tensor, as snapshots call it.
        tensor: String,
    },
    /// Training stopped at a step of an epoch.
    #[error("epoch {}, step {step}: {source}", epoch + 1)]
    Stopped {
        /// From 0.
        epoch: usize,
        /// From 1.
        step: usize,
        /// Why.
        source: Box<TrainError>,
    },
    /// A layer that the model does not have.
    #[error("there is no layer {layer:?}; the model has {layers}")]
    Layer {
        /// As it was asked for.
        layer: String,
        /// Those of the model.
        layers: String,
    },
    /// A device that is not there.
    #[error("{device}: {problem}")]
    Device {
        /// As it was asked for.
        device: String,
        /// What there is instead.
        problem: String,
    },
    /// libtorch's CUDA library is there but cannot be opened.
    #[error(
        "{path}: cannot be opened: {source}; install the CUDA libraries it was built for, or use a CPU build of libtorch"
    )]
    Cuda {
        /// `libtorch_cuda.so`.
        path: PathBuf,
        /// What the dynamic linker says.
        source: libloading::Error,
    },
    /// There was not enough memory, in that of the GPU or of the machine.
    #[error(
        "out of memory: reduce batch (and raise fit.accumulate by as much, for the same steps), model.frames, model.size or \
         model.width, or set fit.precision to bfloat16 on a GPU; the last snapshot is kept (libtorch: {0})"
    )]
    Memory(String),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(tch::TchError),
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        let text = error.to_string();
        // What the allocators of CUDA and of the CPU say.
        if !["out of memory", "can't allocate memory", "not enough memory"].iter().any(|part| text.contains(part)) {
            return TrainError::Torch(error);
        }
        TrainError::Memory(text.lines().next().unwrap_or_default().to_string())
    }
}

impl TrainError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Says when training diverged; other errors stay as they are.
    pub(crate) fn at(self, epoch: usize, step: usize) -> Self {
        match self {
            Self::Diverged { .. } | Self::Exploded { .. } => Self::Stopped { epoch, step, source: Box::new(self) },
            other => other,
        }
    }

    pub(crate) fn format(path: &Path, problem: impl fmt::Display) -> Self {
        Self::Format { path: path.to_path_buf(), problem: problem.to_string() }
    }
}

/// Every difference between the tensors that a model needs and those that a file has, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfits {
    /// Needed, not in the file: name and shape.
    pub missing: Vec<(String, Vec<usize>)>,
    /// In the file, not needed: name and shape.
    pub extra: Vec<(String, Vec<usize>)>,
    /// Of another shape: name, shape in the file, shape needed.
    pub reshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Misfits {
    /// What is most likely wrong.
    fn advice(&self) -> String {
        // Only the last layer's outputs differ: the labels are not those of the checkpoint.
        let outputs = |(name, found, needed): &(String, Vec<usize>, Vec<usize>)| {
            let is_head = name.starts_with("fc.") && found.get(1..) == needed.get(1..);
            is_head.then(|| (found.first().copied(), needed.first().copied()))
        };
        let heads: Option<Vec<_>> = self.reshaped.iter().map(outputs).collect();
        match heads.as_deref() {
            Some([(Some(found), Some(needed)), ..]) if self.missing.is_empty() && self.extra.is_empty() => {
                format!("there are {needed} labels, and the checkpoint has {found} outputs")
            }
            _ => "choose the architecture and labels they were made with".into(),
        }
    }

    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.reshaped.is_empty()
    }
}

/// On one line: `1 missing: fc.bias (5); 2 extra: scene.bias (2), scene.weight (2 x 8); 1 misshapen: fc.weight (2 x 8,
/// expected 5 x 8)`.
impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |(name, shape): &(String, Vec<usize>)| format!("{name} ({})", by(shape));
        let kinds = [
            ("missing", self.missing.iter().map(named).collect::<Vec<_>>()),
            ("extra", self.extra.iter().map(named).collect()),
            (
                "misshapen",
                self.reshaped
                    .iter()
                    .map(|(name, found, expected)| format!("{name} ({}, expected {})", by(found), by(expected)))
                    .collect(),
            ),
        ];
        let found = kinds.iter().filter(|(_, names)| !names.is_empty());
        let text: Vec<String> =
            found.map(|(kind, names)| format!("{} {kind}: {}", names.len(), names.join(", "))).collect();
        f.write_str(&text.join("; "))
    }
}

/// `64 x 3 x 7 x 7 x 7`; a single value is `scalar`.
pub(crate) fn by<T: ToString>(shape: &[T]) -> String {
    match shape {
        [] => "scalar".into(),
        sizes => sizes.iter().map(T::to_string).collect::<Vec<_>>().join(" x "),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn what_runs_out_of_memory_says_what_to_reduce() {
        // A pebibyte.
        let refused = Tensor::f_zeros([1 << 48], (Kind::Float, Device::Cpu)).unwrap_err();
        let error = TrainError::from(refused);
        assert!(matches!(error, TrainError::Memory(_)), "{error}");
        assert!(error.to_string().contains("reduce batch"), "{error}");
        let refused = Tensor::f_zeros([2], (Kind::Float, Device::Cpu)).unwrap().f_view([3]).unwrap_err();
        assert!(matches!(TrainError::from(refused), TrainError::Torch(_)));
    }
}
