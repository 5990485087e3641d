//! The run folder: what `init`, `import` and training write, and what `export` reads.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unscene_graph::Graph;

use crate::classifier::{Arch, ClassifierConfig};
use crate::manifest::{ClipInput, MANIFEST_FILE, ManifestError, Task, check_clips};
use crate::r3d::{ModelError, R3dVariant, Shortcut};
use crate::rc3d::Rc3dConfig;
use crate::vgg_ssd::SsdConfig;

/// The description of a run, `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RunConfig {
    /// The model.
    pub model: RunModel,
    /// Class names; output i of the model is `labels[i]`.
    pub labels: Vec<String>,
    /// How a clip is prepared.
    pub input: ClipInput,
    /// Frames from the start of a clip to the start of the next; clips do not overlap by default, as in the paper's test.
    pub stride_frames: usize,
    /// Frames a second that clips are sampled at; `None` takes every frame of the video, as the paper does.
    pub fps: Option<f64>,
    /// Where the weights come from: command, seed, file, versions.
    pub provenance: Map<String, Value>,
}

/// The model of a run, by what it was trained for.
#[derive(Debug, Clone, PartialEq)]
pub enum RunModel {
    /// Names the action of a clip.
    Classify(ClassifierConfig),
    /// Finds actions in long videos.
    Localize(Rc3dConfig),
    /// Finds who does what in a frame.
    Detect(SsdConfig),
}

impl RunModel {
    /// What it was trained for.
    pub fn task(&self) -> Task {
        match self {
            RunModel::Classify(_) => Task::Classify,
            RunModel::Localize(_) => Task::Localize,
            RunModel::Detect(_) => Task::Detect,
        }
    }

    /// Its backbone.
    pub fn arch(&self) -> Arch {
        match self {
            RunModel::Classify(config) => config.arch,
            RunModel::Localize(config) => Arch::R3d(config.arch),
            RunModel::Detect(SsdConfig { batch_norm, .. }) => Arch::Vgg16Ssd { batch_norm: *batch_norm },
        }
    }

    /// Number of its classes.
    pub fn classes(&self) -> usize {
        match self {
            RunModel::Classify(ClassifierConfig { classes, .. })
            | RunModel::Localize(Rc3dConfig { classes, .. })
            | RunModel::Detect(SsdConfig { classes, .. }) => *classes,
        }
    }

    /// Frames of what it takes at once, a clip, a buffer or a frame, and the side of their pictures in pixels.
    pub fn frames_and_size(&self) -> (usize, usize) {
        match self {
            RunModel::Classify(ClassifierConfig { frames, size, .. })
            | RunModel::Localize(Rc3dConfig { frames, size, .. }) => (*frames, *size),
            RunModel::Detect(SsdConfig { size, .. }) => (1, *size),
        }
    }

    /// The whole model, every parameter in it.
    ///
    /// # Errors
    /// When the settings make no model.
    pub fn graph(&self) -> Result<Graph, ModelError> {
        match self {
            RunModel::Classify(config) => config.graph(),
            RunModel::Localize(config) => config.graph(),
            RunModel::Detect(config) => config.graph(),
        }
    }

    /// The settings of a classifier.
    ///
    /// # Errors
    /// When it is something else.
    pub fn classifier(&self) -> Result<&ClassifierConfig, WrongTask> {
        match self {
            RunModel::Classify(config) => Ok(config),
            other => Err(WrongTask { found: other.task(), expected: Task::Classify }),
        }
    }

    /// The settings of a localizer.
    ///
    /// # Errors
    /// When it is something else.
    pub fn localizer(&self) -> Result<&Rc3dConfig, WrongTask> {
        match self {
            RunModel::Localize(config) => Ok(config),
            other => Err(WrongTask { found: other.task(), expected: Task::Localize }),
        }
    }

    /// The settings of a detector.
    ///
    /// # Errors
    /// When it is something else.
    pub fn detector(&self) -> Result<&SsdConfig, WrongTask> {
        match self {
            RunModel::Detect(config) => Ok(config),
            other => Err(WrongTask { found: other.task(), expected: Task::Detect }),
        }
    }
}

impl From<SsdConfig> for RunModel {
    fn from(config: SsdConfig) -> Self {
        RunModel::Detect(config)
    }
}

impl From<ClassifierConfig> for RunModel {
    fn from(config: ClassifierConfig) -> Self {
        RunModel::Classify(config)
    }
}

impl From<Rc3dConfig> for RunModel {
    fn from(config: Rc3dConfig) -> Self {
        RunModel::Localize(config)
    }
}

/// A model of another task than is needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this model was trained to {found}, and one to {expected} is needed here")]
pub struct WrongTask {
    /// What it was trained for.
    pub found: Task,
    /// What is needed.
    pub expected: Task,
}

/// [`RunConfig`] as it is written: the task says how the model is to be read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    task: Task,
    model: Value,
    labels: Vec<String>,
    input: ClipInput,
    stride_frames: usize,
    fps: Option<f64>,
    provenance: Map<String, Value>,
}

impl TryFrom<Written> for RunConfig {
    type Error = serde_json::Error;

    fn try_from(written: Written) -> Result<Self, serde_json::Error> {
        let Written { task, model, labels, input, stride_frames, fps, provenance } = written;
        let model = match task {
            Task::Classify => RunModel::Classify(serde_json::from_value(model)?),
            Task::Localize => RunModel::Localize(serde_json::from_value(model)?),
            Task::Detect => RunModel::Detect(serde_json::from_value(model)?),
        };
        Ok(RunConfig { model, labels, input, stride_frames, fps, provenance })
    }
}

impl From<RunConfig> for Written {
    fn from(config: RunConfig) -> Self {
        let RunConfig { model, labels, input, stride_frames, fps, provenance } = config;
        let task = model.task();
        let model = match model {
            RunModel::Classify(config) => serde_json::json!(config),
            RunModel::Localize(config) => serde_json::json!(config),
            RunModel::Detect(config) => serde_json::json!(config),
        };
        Written { task, model, labels, input, stride_frames, fps, provenance }
    }
}

/// The paths in a run folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// The folder.
    pub dir: PathBuf,
}

/// A run folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file is missing or cannot be read.
    #[error(
        "{path}: {source}; a run folder is made by `unscene pretrain`, `finetune`, `init` or `import`; a training that was stopped goes on with --resume"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `config.json` is not a run's description.
    #[error("{path}: not a run's config.json: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// Two fields of `config.json` contradict each other.
    #[error("{path}: {problem}")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
}

impl RunConfig {
    /// A run whose clips are prepared as the authors of the model's family test them:
    ///
    /// - `hara`: RGB in 0..255 minus the mean of ActivityNet, as the paper's release does.
    /// - `hara-b`: RGB in 0..1, mean and deviation of Kinetics, the defaults of kenshohara/3D-ResNets-PyTorch.
    /// - `torchvision`: short side 128 for a crop of 112, 15 frames per second, RGB in 0..1 with its own mean and
    ///   deviation (`R3D_18_Weights.KINETICS400_V1`; its 128 x 171 is the short side of 128 for videos of 4:3).
    /// - `vgg16-ssd`, `vgg16bn-ssd`: RGB in 0..1 with the mean and deviation of ImageNet, as torchvision's `vgg16`. Weights of other origin have
    ///   other colours, which `unscene import` knows.
    pub fn new(model: impl Into<RunModel>, labels: Vec<String>, provenance: Map<String, Value>) -> Self {
        let model = model.into();
        let (frames, size) = model.frames_and_size();
        let (short_side, mean, std, range, fps) = match model.arch() {
            Arch::R3d(arch) => match arch.variant {
                R3dVariant::Hara(Shortcut::A) => (size, [114.7748, 107.7354, 99.4750], [1.0; 3], 255.0, None),
                R3dVariant::Hara(Shortcut::B) => (size, [0.4345, 0.4051, 0.3775], [0.2768, 0.2713, 0.2737], 1.0, None),
                R3dVariant::Torchvision => {
                    (size * 8 / 7, [0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989], 1.0, Some(15.0))
                }
            },
            Arch::Vgg16Ssd { .. } => (size, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 1.0, None),
        };
        // A localizer has a rate: that of R-C3D, where the family has none.
        let fps = match model {
            RunModel::Classify(_) | RunModel::Detect(_) => fps,
            RunModel::Localize(_) => fps.or(Some(25.0)),
        };
        let channels = "RGB".into();
        let input = ClipInput { frames, height: size, width: size, short_side, mean, std, channels, range };
        // Single frames follow each other as far apart as clips of the paper, and not all are looked at.
        let stride_frames = match model {
            RunModel::Classify(ClassifierConfig { arch: Arch::Vgg16Ssd { .. }, .. }) => 16,
            _ => frames,
        };
        Self { model, labels, input, stride_frames, fps, provenance }
    }
}

impl RunFolder {
    /// Names the files of a folder; touches nothing.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// `config.json`, a [`RunConfig`].
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// `weights.safetensors`: every parameter of the graph by name, float32.
    pub fn weights_path(&self) -> PathBuf {
        self.dir.join("weights.safetensors")
    }

    /// `reference.safetensors`: what libtorch computed in eval mode from [`reference_inputs`], each output by its name, and the
    /// metadata entry `weights_sha256`, the hash of `weights.safetensors` they belong to.
    ///
    /// [`reference_inputs`]: crate::reference::reference_inputs
    pub fn reference_path(&self) -> PathBuf {
        self.dir.join("reference.safetensors")
    }

    /// Reads and checks `config.json`.
    pub fn read_config(&self) -> Result<RunConfig, RunError> {
        let path = self.config_path();
        if !path.exists() && self.dir.join(MANIFEST_FILE).is_file() {
            let problem = "this is a bundle, exported already; a run folder has a config.json".into();
            return Err(RunError::Inconsistent { path: self.dir.clone(), problem });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| RunError::Read { path: path.clone(), source })?;
        let config: RunConfig =
            serde_json::from_str(&text).map_err(|source| RunError::Parse { path: path.clone(), source })?;
        check(&config, &path)?;
        Ok(config)
    }
}

fn check(config: &RunConfig, path: &Path) -> Result<(), RunError> {
    let problem = |problem: String| Err(RunError::Inconsistent { path: path.to_path_buf(), problem });
    let (classes, input) = (config.model.classes(), &config.input);
    let (frames, size) = config.model.frames_and_size();
    if config.labels.len() != classes {
        return problem(format!("model.classes is {classes}, but there are {} labels", config.labels.len()));
    }
    if [input.frames, input.height, input.width] != [frames, size, size] {
        return problem(format!(
            "the model takes {frames} frames of {size} x {size}, but input says {} frames of {} x {}",
            input.frames, input.height, input.width,
        ));
    }
    if matches!(config.model, RunModel::Localize(_)) && config.fps.is_none() {
        return problem("fps is null, but a localizer knows lengths by frames: give the rate it was trained at".into());
    }
    match check_clips(&config.labels, input, config.stride_frames, config.fps) {
        Err(ManifestError::Field { field, found, expected }) => {
            problem(format!("`{field}` is {found}, expected {expected}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let model = ClassifierConfig::new("r3d18-hara".parse().unwrap(), 2);
        let mut config = RunConfig::new(model, vec!["a".into(), "b".into()], Map::new());
        let path = Path::new("config.json");
        assert!(check(&config, path).is_ok());
        config.input.frames = 8;
        assert!(check(&config, path).unwrap_err().to_string().contains("8 frames"));
        config.input.frames = 16;
        config.fps = Some(-3.0);
        assert!(check(&config, path).unwrap_err().to_string().contains("config.json: `fps` is -3, expected"));
        config.labels.pop();
        assert!(check(&config, path).unwrap_err().to_string().contains("there are 1 labels"));
    }

    #[test]
    fn misspelt_fields_are_named() {
        let model = ClassifierConfig::new("r3d10-hara".parse().unwrap(), 1);
        let text = serde_json::to_string(&RunConfig::new(model, vec!["a".into()], Map::new())).unwrap();
        for (from, to) in
            [("\"channels\"", "\"chanels\""), ("\"stride_frames\"", "\"stride\""), ("\"width\":1.0", "\"widht\":1.0")]
        {
            assert!(text.contains(from), "{from} in {text}");
            let error = serde_json::from_str::<RunConfig>(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(to.split('"').nth(1).unwrap()), "{error}");
        }
    }

    #[test]
    fn the_config_survives_json() {
        let model = ClassifierConfig::new("r3d34-hara-b".parse().unwrap(), 1);
        for (model, part) in [
            (RunModel::from(model), "r3d34-hara-b"),
            (SsdConfig { size: 96, ..SsdConfig::new(1) }.into(), "\"task\":\"detect\""),
        ] {
            let config = RunConfig::new(model, vec!["a".into()], Map::new());
            assert!(check(&config, Path::new("config.json")).is_ok());
            let text = serde_json::to_string(&config).unwrap();
            assert!(text.contains(part), "{text}");
            assert_eq!(serde_json::from_str::<RunConfig>(&text).unwrap(), config);
        }
    }
}
