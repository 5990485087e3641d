//! The run folder: what `init`, `import` and training write, and what `export` reads.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::manifest::ClipInput;
use crate::r3d::R3dConfig;

/// The description of a run, `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The model.
    pub model: R3dConfig,
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
    #[error("{path}: {source}; a run folder is made by `unscene init` or `unscene import`")]
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
    /// A run with the paper's preprocessing: RGB in 0..255 minus the mean of ActivityNet, divided by 1.
    ///
    /// The mean is that of the paper's release and of kenshohara/3D-ResNets-PyTorch.
    pub fn new(model: R3dConfig, labels: Vec<String>, provenance: Map<String, Value>) -> Self {
        let input = ClipInput {
            frames: model.frames,
            height: model.size,
            width: model.size,
            short_side: model.size,
            mean: [114.7748, 107.7354, 99.4750],
            std: [1.0; 3],
            channels: "RGB".into(),
            range: 255.0,
        };
        let stride_frames = model.frames;
        Self { model, labels, input, stride_frames, fps: None, provenance }
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

    /// `reference.safetensors`: tensors `input` and `logits` (what libtorch computed in eval mode from `input`), and the
    /// metadata entry `weights_sha256`, the hash of `weights.safetensors` they belong to.
    pub fn reference_path(&self) -> PathBuf {
        self.dir.join("reference.safetensors")
    }

    /// Reads and checks `config.json`.
    pub fn read_config(&self) -> Result<RunConfig, RunError> {
        let path = self.config_path();
        let text = std::fs::read_to_string(&path).map_err(|source| RunError::Read { path: path.clone(), source })?;
        let config: RunConfig =
            serde_json::from_str(&text).map_err(|source| RunError::Parse { path: path.clone(), source })?;
        check(&config, &path)?;
        Ok(config)
    }
}

fn check(config: &RunConfig, path: &Path) -> Result<(), RunError> {
    let problem = |problem: String| Err(RunError::Inconsistent { path: path.to_path_buf(), problem });
    let (model, input) = (&config.model, &config.input);
    if config.labels.len() != model.classes {
        return problem(format!("model.classes is {}, but there are {} labels", model.classes, config.labels.len()));
    }
    if [input.frames, input.height, input.width] != [model.frames, model.size, model.size] {
        return problem(format!(
            "the model takes {} frames of {size} x {size}, but input says {} frames of {} x {}",
            model.frames,
            input.frames,
            input.height,
            input.width,
            size = model.size
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let model = R3dConfig::new("r3d18-hara".parse().unwrap(), 2);
        let mut config = RunConfig::new(model, vec!["a".into(), "b".into()], Map::new());
        let path = Path::new("config.json");
        assert!(check(&config, path).is_ok());
        config.input.frames = 8;
        assert!(check(&config, path).unwrap_err().to_string().contains("8 frames"));
        config.labels.pop();
        assert!(check(&config, path).unwrap_err().to_string().contains("there are 1 labels"));
    }

    #[test]
    fn the_config_survives_json() {
        let model = R3dConfig::new("r3d34-hara-b".parse().unwrap(), 1);
        let config = RunConfig::new(model, vec!["a".into()], Map::new());
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains("r3d34-hara-b"), "{text}");
        assert_eq!(serde_json::from_str::<RunConfig>(&text).unwrap(), config);
    }
}
