use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tch::Tensor;
use unscene_data::ClipForm;
use unscene_models::reference::{ROWS, reference_inputs};
use unscene_models::run::{RunConfig, RunFolder, RunModel};

use crate::weights::{sha256, to_safetensors, write_whole};
use crate::{Mode, Net, TrainError};

/// Writes a run folder with random weights.
///
/// # Errors
/// As [`write_run`], and a configuration that is not a model.
pub fn init_run(
    model: impl Into<RunModel>,
    labels: Vec<String>,
    seed: u64,
    out: &Path,
) -> Result<RunConfig, TrainError> {
    let model = model.into();
    let net = Net::init(model.graph()?, seed);
    let provenance = provenance([("command", json!("init")), ("seed", json!(seed))]);
    let config = RunConfig::new(model, labels, provenance);
    write_run(out, &config, &net)?;
    Ok(config)
}

/// The config of a run that was trained on clips of a form, with all that it was trained with.
pub(crate) fn trained_run(
    model: impl Into<RunModel>,
    labels: &[String],
    form: &ClipForm,
    command: &str,
    config: &impl Serialize,
) -> RunConfig {
    let provenance = provenance([("command", json!(command)), ("config", json!(config))]);
    let mut run = RunConfig::new(model, labels.to_vec(), provenance);
    let ClipForm { short_side, normalization, fps, .. } = form.clone();
    (run.input.short_side, run.fps) = (short_side, fps);
    (run.input.mean, run.input.std, run.input.range) = (normalization.mean, normalization.std, normalization.range);
    run
}

pub(crate) fn provenance<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    let version = [("unscene_version", json!(env!("CARGO_PKG_VERSION")))];
    version.into_iter().chain(entries).map(|(key, value)| (key.to_string(), value)).collect()
}

/// Writes a run folder: `config.json`, `weights.safetensors`, and `reference.safetensors` with what the net
/// computes from [`reference_inputs`] in eval mode.
///
/// The folder appears whole or not at all: it is made beside and renamed.
///
/// # Errors
/// [`TrainError::Occupied`] if `dir` holds anything, [`TrainError::Labels`] if the labels are not one per class, and
/// failures to compute or write.
pub fn write_run(dir: &Path, config: &RunConfig, net: &Net) -> Result<(), TrainError> {
    if config.labels.len() != config.model.classes() {
        return Err(TrainError::Labels { classes: config.model.classes(), labels: config.labels.len() });
    }
    refuse_occupied(dir)?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(TrainError::io(parent))?;
    }
    let beside = beside(dir);
    let written = std::fs::create_dir(&beside)
        .map_err(TrainError::io(&beside))
        .and_then(|()| fill(&RunFolder::new(&beside), config, net))
        .and_then(|()| std::fs::rename(&beside, dir).map_err(TrainError::io(dir)));
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&beside);
    }
    written
}

/// Completes the folder of a training run, in which snapshots and logs are already: `config.json`, `weights.safetensors`
/// and `reference.safetensors`, the config last, so that the folder is a run once it is there.
///
/// # Errors
/// As [`write_run`], but for what the folder holds.
pub fn finish_run(dir: &Path, config: &RunConfig, net: &Net) -> Result<(), TrainError> {
    if config.labels.len() != config.model.classes() {
        return Err(TrainError::Labels { classes: config.model.classes(), labels: config.labels.len() });
    }
    fill(&RunFolder::new(dir), config, net)
}

/// A folder on the same file system.
fn beside(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    dir.with_file_name(format!(".{name}.partial-{}", std::process::id()))
}

pub(crate) fn refuse_occupied(dir: &Path) -> Result<(), TrainError> {
    let occupied = || Err(TrainError::Occupied { path: dir.to_path_buf() });
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => occupied(),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            std::io::ErrorKind::NotADirectory => occupied(),
            _ => Err(TrainError::io(dir)(error)),
        },
    }
}

fn fill(folder: &RunFolder, config: &RunConfig, net: &Net) -> Result<(), TrainError> {
    let weights_sha256 = net.save(&folder.weights_path())?;

    let path = folder.reference_path();
    let graph = config.model.graph()?;
    let inputs = reference_inputs(&graph, &config.input);
    let given = graph.inputs.iter().zip(&inputs).map(|(&node, (name, values))| {
        let sides: Vec<i64> = [ROWS].iter().chain(&graph.node(node).shape).map(|&side| side as i64).collect();
        Ok((name.as_str(), Tensor::from_slice(values).f_reshape(sides)?))
    });
    let given = given.collect::<Result<Vec<_>, TrainError>>()?;
    let given: Vec<(&str, &Tensor)> = given.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let names: Vec<&str> = graph.outputs.iter().map(|(name, _)| name.as_str()).collect();
    let outputs = tch::no_grad(|| net.compute(&given, &names, Mode::Eval))?;
    let tensors = names.iter().zip(&outputs).map(|(name, output)| Ok((*name, shape(output), values(output)?)));
    let tensors = tensors.collect::<Result<Vec<_>, TrainError>>()?;
    let metadata = BTreeMap::from([("weights_sha256".to_string(), weights_sha256)]);
    let bytes = to_safetensors(tensors, metadata).map_err(|problem| TrainError::format(&path, problem))?;
    write_whole(&path, &bytes)?;
    let path = folder.config_path();
    let text = serde_json::to_string_pretty(config).map_err(|error| TrainError::format(&path, error))?;
    write_whole(&path, (text + "\n").as_bytes())
}

impl Net {
    /// Writes all parameters and running statistics as float32 safetensors, whole or not at all. Returns the file's SHA-256.
    pub fn save(&self, path: &Path) -> Result<String, TrainError> {
        let tensors = self
            .params()
            .map(|(spec, tensor)| Ok((spec.name.as_str(), spec.shape.clone(), values(tensor)?)))
            .collect::<Result<Vec<_>, TrainError>>()?;
        let bytes = to_safetensors(tensors, BTreeMap::new()).map_err(|problem| TrainError::format(path, problem))?;
        write_whole(path, &bytes)?;
        Ok(sha256(&bytes))
    }
}

pub(crate) fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().map(|size| size as usize).collect()
}

/// Values in row-major order, from any device.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, TrainError> {
    let flat = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view(-1)?;
    Ok(Vec::try_from(flat)?)
}
