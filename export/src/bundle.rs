//! From a run folder to a bundle: built beside its place, checked by running it, then renamed. What a bundle of each task holds
//! is said in [`crate::classify`], [`crate::localize`] and [`crate::detect`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use prost::Message;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use unscene_graph::Graph;
use unscene_models::manifest::{
    Dim, FileInfo, GraphFile, LocalizeInfo, MANIFEST_FILE, Manifest, Precision, Task, TensorInfo,
};
use unscene_models::run::{RunFolder, RunModel};
use unscene_models::vgg_ssd::DetectInfo;

use crate::check::{Reference, check};
use crate::classify::{self, CLASSIFIER_FILE};
use crate::{ExportError, Weights, fold_batch_norm, write_onnx};
use crate::{detect, localize};
use unscene_engine::proto::{self, BATCH};

/// What was written.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Exported {
    /// The bundle.
    pub bundle: PathBuf,
    /// Size of the ONNX files in bytes.
    pub bytes: usize,
    /// Number of ONNX nodes.
    pub nodes: usize,
    /// Arithmetic of the graphs.
    pub precision: Precision,
    /// Per engine, the largest difference from libtorch's outputs, each divided by the largest value of that output.
    pub parity: BTreeMap<String, f64>,
}

/// What is particular to a task: the graphs and their files, and what the manifest says about them.
pub(crate) struct Parts {
    pub graphs: Vec<(&'static str, Graph)>,
    pub localize: Option<LocalizeInfo>,
    pub detect: Option<DetectInfo>,
    /// The model's configuration.
    pub model: Value,
}

/// How to export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Arithmetic of the graph.
    pub precision: Precision,
    /// Also gives the pooled features, as a second output; of a classifier.
    pub features: bool,
    /// Also gives what class activation maps are made of: the last activations as another output, and the classifier's
    /// weights as a file.
    pub maps: bool,
    /// Replaces a bundle that is there.
    pub force: bool,
}

/// Exports a run folder as a bundle.
///
/// The bundle appears at `out` complete and checked, or not at all.
///
/// # Errors
/// When the run folder is incomplete or contradicts itself, an option is not for its task, `out` is taken, or the exported
/// model does not compute what the run's reference says.
pub fn export(run: &Path, out: &Path, options: &ExportOptions) -> Result<Exported, ExportError> {
    check_place(out, options.force, MANIFEST_FILE)?;
    let run = RunFolder::new(run);
    let config = run.read_config()?;
    let model_error = |source| ExportError::Model { path: run.config_path(), source };
    if config.model.task() != Task::Classify {
        classify::refuse(options, &run.dir, config.model.task())?;
    }
    let parts = match &config.model {
        RunModel::Classify(model) => classify::parts(model, options),
        RunModel::Localize(model) => localize::parts(model),
        RunModel::Detect(model) => detect::parts(model),
    };
    let parts = parts.map_err(model_error)?;
    let whole = config.model.graph().map_err(model_error)?;
    let bytes = read(&run.weights_path())?;
    let mut weights = Weights::read(&bytes, &whole, &run.weights_path())?;
    let weights_sha256 = sha256(&bytes);
    drop(bytes);
    let reference = Reference::read(&run.reference_path(), &whole, &config.input, &weights_sha256)?;
    let classifier = options.maps.then(|| classify::class_weights(&whole, &weights)).transpose()?;

    let written = parts.graphs.into_iter().map(|(file, graph)| {
        let folded = fold_batch_norm(graph, &mut weights);
        let mut model = write_onnx(&folded, &weights, options.precision);
        let about = [("model", &*config.model.arch().to_string()), ("weights_sha256", &weights_sha256)];
        proto::describe(&mut model, &about);
        let nodes = model.graph.as_ref().map_or(0, |graph| graph.node.len());
        let onnx = model.encode_to_vec();
        (graph_file(file, &folded, sha256(&onnx)), nodes, onnx)
    });
    let written: Vec<(GraphFile, usize, Vec<u8>)> = written.collect();
    drop(weights);
    let mut provenance = Map::new();
    provenance.insert("unscene".into(), env!("CARGO_PKG_VERSION").into());
    provenance.insert("date".into(), date().into());
    provenance.insert("run".into(), Value::Object(config.provenance.clone()));
    provenance.insert("weights_sha256".into(), weights_sha256.into());
    let mut manifest = Manifest {
        task: config.model.task(),
        labels: config.labels,
        input: config.input,
        stride_frames: config.stride_frames,
        fps: config.fps,
        graphs: written.iter().map(|one| one.0.clone()).collect(),
        localize: parts.localize,
        detect: parts.detect,
        classifier: classifier.as_ref().map(|bytes| FileInfo { file: CLASSIFIER_FILE.into(), sha256: sha256(bytes) }),
        parity: BTreeMap::new(),
        precision: options.precision,
        model: parts.model,
        provenance,
    };
    let partial = Partial::create(out)?;
    for (graph, _, onnx) in &written {
        write(&partial.0.join(&graph.file), onnx)?;
    }
    if let Some(bytes) = classifier {
        write(&partial.0.join(CLASSIFIER_FILE), &bytes)?;
    }
    let manifest_path = partial.0.join(MANIFEST_FILE);
    write(&manifest_path, manifest.to_json()?.as_bytes())?;
    let (bytes, nodes) = written.iter().fold((0, 0), |sum, (_, nodes, onnx)| (sum.0 + onnx.len(), sum.1 + nodes));
    drop(written);
    manifest.parity = check(&partial.0, &reference, options.precision)?;
    write(&manifest_path, manifest.to_json()?.as_bytes())?;
    partial.publish(out)?;
    Ok(Exported { bundle: out.to_path_buf(), bytes, nodes, precision: options.precision, parity: manifest.parity })
}

/// The manifest's entry for a graph.
fn graph_file(file: &str, graph: &Graph, sha256: String) -> GraphFile {
    let tensor = |name: &str, shape: &[usize]| TensorInfo {
        name: name.into(),
        shape: std::iter::once(Dim::Symbol(BATCH.into())).chain(shape.iter().map(|&size| Dim::Fixed(size))).collect(),
    };
    let inputs = graph.inputs.iter().map(|&node| graph.node(node)).map(|node| tensor(&node.name, &node.shape));
    let outputs = graph.outputs.iter().map(|(name, node)| tensor(name, &graph.node(*node).shape));
    GraphFile { file: file.into(), sha256, inputs: inputs.collect(), outputs: outputs.collect() }
}

/// The time in UTC to the second: `2026-01-31T09:05:00Z`.
fn date() -> String {
    let now = time::OffsetDateTime::now_utc();
    let (hour, minute, second) = now.to_hms();
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", now.year(), u8::from(now.month()), now.day())
}

/// A bundle in the making; removed when dropped before it is published.
pub(crate) struct Partial(pub PathBuf);

/// The bundle in the making, for [`abandon`].
static IN_WORK: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Removes what an export under way has written so far. For handlers of signals that then end the program; an export
/// that is just taking its place is complete and stays. Returns whether there was one.
pub fn abandon() -> bool {
    // The lock is never held while something can panic.
    let in_work = IN_WORK.lock().ok().and_then(|mut dir| dir.take());
    // An export that finds a file gone removes the rest too: of two who do so, each may find less than it has listed.
    in_work.is_some_and(|dir| (0..10).any(|_| fs::remove_dir_all(&dir).is_ok() || !dir.exists()))
}

impl Partial {
    pub fn create(out: &Path) -> Result<Self, ExportError> {
        let dir = beside(out, "partial");
        let error = |source| ExportError::Write { path: out.to_path_buf(), source };
        fs::create_dir_all(&dir).map_err(error)?;
        if let Ok(mut in_work) = IN_WORK.lock() {
            *in_work = Some(dir.clone());
        }
        Ok(Self(dir))
    }

    pub fn publish(self, out: &Path) -> Result<(), ExportError> {
        // From here on a signal must not remove it.
        if let Ok(mut in_work) = IN_WORK.lock() {
            *in_work = None;
        }
        let error = |source| ExportError::Io { path: out.to_path_buf(), source };
        // The old bundle stays complete until the new one can take its place.
        let old = beside(out, "old");
        match fs::rename(out, &old) {
            Ok(()) => {}
            Err(problem) if problem.kind() == ErrorKind::NotFound => {}
            Err(problem) => return Err(error(problem)),
        }
        if let Err(problem) = fs::rename(&self.0, out) {
            // Without an old bundle there is nothing to put back.
            let _ = fs::rename(&old, out);
            return Err(error(problem));
        }
        match fs::remove_dir_all(&old) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(ExportError::Io { path: old, source }),
            _ => Ok(()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After publishing there is nothing to remove; a folder that cannot be removed is harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A hidden path in the same folder, so that renaming never copies.
fn beside(out: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(out.file_name().unwrap_or_default());
    name.push(format!(".{what}-{}", std::process::id()));
    out.with_file_name(name)
}

/// An error for a place that holds something, unless it is to be replaced and holds `marker`, which says that it is ours.
pub(crate) fn check_place(out: &Path, force: bool, marker: &'static str) -> Result<(), ExportError> {
    let error = |source| ExportError::Io { path: out.to_path_buf(), source };
    if out.file_name().is_none() {
        return Err(error(std::io::Error::new(ErrorKind::InvalidInput, "not the name of a folder; name a new one")));
    }
    let mut entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Ok(()),
        Err(problem) => return Err(error(problem)),
    };
    match (entries.next().is_none(), force, out.join(marker).is_file()) {
        (true, ..) | (_, true, true) => Ok(()),
        (_, true, false) => Err(ExportError::NotOurs { path: out.to_path_buf(), marker }),
        (_, false, _) => Err(ExportError::Occupied(out.to_path_buf())),
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ExportError> {
    fs::read(path).map_err(|source| ExportError::Io { path: path.to_path_buf(), source })
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    fs::write(path, bytes).map_err(|source| ExportError::Io { path: path.to_path_buf(), source })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
