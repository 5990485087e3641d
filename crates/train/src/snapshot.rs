//! Snapshots of training: everything that going on needs, in files that are whole or not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use unscene_data::Failure;

use crate::run::{shape, values};
use crate::schedule::ScheduleState;
use crate::weights::{read_weights, to_safetensors, write_whole};
use crate::{Net, Sgd, TrainError};

/// Where training stands. Random numbers need no place here: they are drawn from seed, epoch and item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch in work, from 0.
    pub epoch: usize,
    /// Steps of it that are done.
    pub step: usize,
    /// The learning rate's rule.
    pub schedule: ScheduleState,
    /// The lowest validation loss and its epoch.
    pub best: Option<(f64, usize)>,
    /// Sums over the steps of the epoch in work.
    pub sums: BTreeMap<String, f64>,
    /// Steps of it that had nothing to learn from.
    #[serde(default)]
    pub skipped: usize,
    /// Videos of it that could not be read, each once.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// The run's config, to be compared when it goes on.
    pub config: serde_json::Value,
}

impl Progress {
    /// Adds videos that could not be read. A stream may have a video several times.
    pub(crate) fn failed(&mut self, failures: Vec<Failure>) {
        for failure in failures {
            if !self.failures.contains(&failure) {
                self.failures.push(failure);
            }
        }
    }
}

/// The folder of a run's snapshots: the last two, and the best.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
}

/// The folder of snapshots in that of a run.
pub const CHECKPOINT: &str = "checkpoint";
pub(crate) const BEST: &str = "best.safetensors";

impl Snapshots {
    /// In a folder, which is made. What a killed program was writing there is removed.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        std::fs::create_dir_all(dir).map_err(TrainError::io(dir))?;
        for entry in std::fs::read_dir(dir).map_err(TrainError::io(dir))?.flatten() {
            if entry.file_name().to_string_lossy().contains(".safetensors.partial-") {
                std::fs::remove_file(entry.path()).map_err(TrainError::io(&entry.path()))?;
            }
        }
        Ok(Snapshots { dir: dir.to_path_buf() })
    }

    /// Path of the best.
    pub fn best(&self) -> PathBuf {
        self.dir.join(BEST)
    }

    /// The others, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<PathBuf>, TrainError> {
        let entries = std::fs::read_dir(&self.dir).map_err(TrainError::io(&self.dir))?;
        let is_one = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("epoch-") && name.ends_with(".safetensors")
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_one).collect();
        // Numbers have leading zeros.
        paths.sort();
        Ok(paths)
    }

    /// Writes a snapshot, and removes all but the last two.
    ///
    /// # Errors
    /// When it cannot be written, and [`TrainError::Exploded`] when a value is not a number: nobody could go on from there.
    /// Older ones are kept then.
    pub fn save(&self, nets: &[(&str, &Net)], sgd: &Sgd, progress: &Progress) -> Result<(), TrainError> {
        let name = format!("epoch-{:05}-step-{:07}.safetensors", progress.epoch, progress.step);
        save(&self.dir.join(name), nets, Some(sgd), progress)?;
        let paths = self.list()?;
        for old in &paths[..paths.len().saturating_sub(2)] {
            std::fs::remove_file(old).map_err(TrainError::io(old))?;
        }
        Ok(())
    }

    /// Writes the best, without what only going on needs.
    ///
    /// # Errors
    /// As [`Snapshots::save`].
    pub fn save_best(&self, nets: &[(&str, &Net)], progress: &Progress) -> Result<(), TrainError> {
        save(&self.best(), nets, None, progress)
    }
}

fn save(path: &Path, nets: &[(&str, &Net)], sgd: Option<&Sgd>, progress: &Progress) -> Result<(), TrainError> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (name, net) in nets {
        for (spec, tensor) in net.params() {
            tensors.push((format!("net.{name}.{}", spec.name), spec.shape.clone(), values(tensor)?));
        }
    }
    for (name, tensor) in sgd.into_iter().flat_map(Sgd::state) {
        tensors.push((format!("sgd.{name}"), shape(tensor), values(tensor)?));
    }
    let broken = tensors.iter().find(|(_, _, values)| !values.iter().all(|value| value.is_finite()));
    if let Some((name, _, _)) = broken {
        return Err(TrainError::Exploded { tensor: name.clone() });
    }
    let state = serde_json::to_string(progress).map_err(|error| TrainError::format(path, error))?;
    let metadata = BTreeMap::from([("progress".to_string(), state)]);
    let named = tensors.iter().map(|(name, shape, values)| (name.as_str(), shape.clone(), values.clone()));
    let bytes = to_safetensors(named, metadata).map_err(|problem| TrainError::format(path, problem))?;
    write_whole(path, &bytes)
}

/// Reads a snapshot into nets of the same graphs, and the optimiser's momentum into `sgd`.
///
/// # Errors
/// When the file is damaged or of other nets; nets and optimiser are unchanged then.
pub fn load(path: &Path, nets: &[(&str, &Net)], sgd: &mut Sgd) -> Result<Progress, TrainError> {
    let progress = read_progress(path)?;
    let mut weights = read_weights(path)?;
    let mut found = Vec::new();
    for (name, net) in nets {
        for (spec, tensor) in net.params() {
            let full = format!("net.{name}.{}", spec.name);
            match weights.tensors.remove(&full) {
                Some(value) if value.shape == spec.shape => found.push((tensor, value)),
                Some(value) => {
                    let problem = format!("{full} has the sides {:?}, expected {:?}", value.shape, spec.shape);
                    return Err(TrainError::format(path, problem));
                }
                None => return Err(TrainError::format(path, format!("{full} is missing: it is of another model"))),
            }
        }
    }
    let device = nets.first().and_then(|(_, net)| net.params().next()).map_or(tch::Device::Cpu, |(_, t)| t.device());
    let mut momentum = Vec::new();
    for (name, value) in weights.tensors {
        let Some(name) = name.strip_prefix("sgd.") else { continue };
        momentum.push((name.to_string(), value.to_tensor()?.f_to_device(device)?));
    }
    for (tensor, value) in found {
        value.copy_to(tensor)?;
    }
    sgd.set_state(momentum);
    Ok(progress)
}

/// Where the training of a snapshot stood.
///
/// # Errors
/// When the file is no snapshot.
pub fn read_progress(path: &Path) -> Result<Progress, TrainError> {
    let bytes = std::fs::read(path).map_err(TrainError::io(path))?;
    let damaged = |problem: String| TrainError::format(path, format!("damaged snapshot: {problem}"));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|entries| entries.get("progress"));
    let text = text.ok_or_else(|| damaged("it does not say where training stood".into()))?;
    serde_json::from_str(text).map_err(|error| damaged(error.to_string()))
}
