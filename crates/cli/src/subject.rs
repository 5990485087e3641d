//! What is measured: a run, computed by libtorch, or a bundle, computed by an engine. Clips are prepared in the same way.

use std::error::Error;
use std::path::{Path, PathBuf};

#[cfg(feature = "train")]
use anyhow::Context;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value};
use unscene_data::ClipForm;
use unscene_engine::{Bundle, DeviceChoice, EngineChoice, EngineOptions, Network};
use unscene_eval::Outputs;
use unscene_models::manifest::ClipInput;
use unscene_vision::{ClassWeights, Normalization};

/// Arguments that name a model, and what computes it.
#[derive(Args)]
pub struct SubjectArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Arguments that say what computes a model.
#[derive(Args)]
pub struct EngineArgs {
    /// Engine that runs a bundle: auto, ort or tract
    #[arg(long, default_value_t = EngineChoice::Auto)]
    #[cfg_attr(feature = "train", arg(conflicts_with = "run"))]
    engine: EngineChoice,
    /// auto, cpu, cuda:0 and so on; for a bundle tensorrt:0 as well
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct ModelArgs {
    /// The run folder of a training
    #[cfg(feature = "train")]
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    /// The exported bundle
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
}

/// Arguments that name models of one kind.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct ModelsArgs {
    /// The run folder of a training; repeat for several
    #[cfg(feature = "train")]
    #[arg(long = "run", id = "run", value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The exported bundle; repeat for several
    #[arg(long = "bundle", id = "bundle", value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelPath {
    /// The run folder of a training.
    #[cfg(feature = "train")]
    Run(PathBuf),
    /// An exported bundle.
    Bundle(PathBuf),
}

impl ModelPath {
    /// Where it lies, from the root on.
    fn parts(&self) -> Vec<String> {
        let dir = match self {
            #[cfg(feature = "train")]
            ModelPath::Run(dir) => dir,
            ModelPath::Bundle(dir) => dir,
        };
        let dir = dir.canonicalize().unwrap_or(dir.clone());
        dir.iter().map(|part| part.to_string_lossy().into_owned()).collect()
    }
}

/// What to call models: by their folders, and by as many of those around as tell them apart: `a/run` and `b/run`. As names of
/// files, with `_` for `/`, they differ as well.
pub fn names(models: &[ModelPath]) -> Vec<String> {
    let parts: Vec<Vec<String>> = models.iter().map(ModelPath::parts).collect();
    let last = |parts: &[String], count: usize| parts[parts.len().saturating_sub(count)..].join("/");
    let name = |own: &Vec<String>| {
        let is_taken = |name: &str, count: usize| {
            let is_same = |other: &str| other.replace('/', "_") == name.replace('/', "_");
            parts.iter().any(|other| other != own && is_same(&last(other, count)))
        };
        let mut names = (1..=own.len()).map(|count| (last(own, count), count));
        names.clone().find(|(name, count)| !is_taken(name, *count)).or(names.next_back()).unwrap_or_default().0
    };
    parts.iter().map(name).collect()
}

impl ModelsArgs {
    /// The models, in the order they are named.
    pub fn paths(&self) -> Vec<ModelPath> {
        let bundles = self.bundles.iter().cloned().map(ModelPath::Bundle);
        #[cfg(feature = "train")]
        return self.runs.iter().cloned().map(ModelPath::Run).chain(bundles).collect();
        #[cfg(not(feature = "train"))]
        bundles.collect()
    }
}

/// A model that takes clips.
pub struct Subject {
    model: Model,
    labels: Vec<String>,
    form: ClipForm,
    name: String,
    provenance: Map<String, Value>,
    maps: Option<ClassWeights>,
}

enum Model {
    #[cfg(feature = "train")]
    Run(Box<unscene_train::Net>),
    Bundle(Box<Network>),
}

fn form(input: &ClipInput, fps: Option<f64>) -> ClipForm {
    let ClipInput { frames, height, width, short_side, mean, std, range, .. } = input.clone();
    let normalization = Normalization { mean, std, range };
    ClipForm { frames, height, width, short_side, fps, normalization, ..ClipForm::default() }
}

impl SubjectArgs {
    /// Loads the model, which must give these outputs beside its logits.
    pub fn open(&self, outputs: &[&str]) -> Result<Subject> {
        #[cfg(feature = "train")]
        if let Some(run) = &self.model.run {
            return self.engine.open(&ModelPath::Run(run.clone()), outputs);
        }
        let Some(bundle) = &self.model.bundle else { bail!("name a model by --bundle") };
        self.engine.open(&ModelPath::Bundle(bundle.clone()), outputs)
    }
}

impl EngineArgs {
    /// Loads a model, which must give these outputs beside its logits.
    pub fn open(&self, model: &ModelPath, outputs: &[&str]) -> Result<Subject> {
        match model {
            #[cfg(feature = "train")]
            ModelPath::Run(dir) => self.open_run(dir, outputs),
            ModelPath::Bundle(dir) => self.open_bundle(dir, outputs),
        }
    }

    /// How an engine is to run a bundle.
    pub fn options(&self) -> EngineOptions {
        EngineOptions { engine: self.engine, device: self.device, ..EngineOptions::default() }
    }

    fn open_bundle(&self, dir: &Path, outputs: &[&str]) -> Result<Subject> {
        let bundle = Bundle::open(dir)?;
        let given = &bundle.manifest.graphs[0].outputs;
        if let Some(missing) = outputs.iter().find(|name| !given.iter().any(|output| output.name == **name)) {
            bail!("{}: it gives no {missing}; export it with --{missing}", dir.display());
        }
        let options = self.options();
        let form = form(&bundle.manifest.input, bundle.manifest.fps);
        let network = Network::load(&bundle.model_path(), &[3, form.frames, form.height, form.width], &options)?;
        let name = format!("{} by {} on {}", dir.display(), network.engine_name(), network.device_name());
        let trained_by = bundle.manifest.provenance.get("run").and_then(|run| run.as_object()).cloned();
        let provenance = trained_by.unwrap_or_default();
        let labels = bundle.manifest.labels.clone();
        let maps = bundle.class_weights()?.map(|(_, weights)| weights);
        Ok(Subject { model: Model::Bundle(Box::new(network)), labels, form, name, provenance, maps })
    }
}

#[cfg(feature = "train")]
impl EngineArgs {
    fn open_run(&self, dir: &Path, outputs: &[&str]) -> Result<Subject> {
        let device = self.libtorch_device()?;
        let folder = unscene_models::run::RunFolder::new(dir);
        let config = folder.read_config()?;
        let weights = unscene_train::read_weights(&folder.weights_path())?;
        let classifier = config.model.classifier().with_context(|| dir.display().to_string())?;
        let net = unscene_train::Net::from_weights(classifier.graph_with(outputs)?, &weights)?.to_device(device)?;
        let form = form(&config.input, config.fps);
        let place = if device.is_cuda() { "a GPU" } else { "the CPU" };
        let name = format!("{} by libtorch on {place}", dir.display());
        let maps = class_weights(&net)?;
        let (labels, provenance) = (config.labels, config.provenance);
        Ok(Subject { model: Model::Run(Box::new(net)), labels, form, name, provenance, maps })
    }

    /// Where libtorch runs a run: with `auto`, on the first GPU that it can use.
    pub fn libtorch_device(&self) -> Result<unscene_train::Device> {
        use unscene_train::{Device, open_device};
        let device = match self.device {
            DeviceChoice::Auto if open_device(Device::Cuda(0)).is_ok() => Device::Cuda(0),
            DeviceChoice::Auto | DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda(number) => Device::Cuda(number as usize),
            DeviceChoice::TensorRt(_) => bail!("--device {}: libtorch has no TensorRT; name a --bundle", self.device),
        };
        open_device(device)?;
        Ok(device)
    }
}

/// The classifier of a net with the output `maps`.
#[cfg(feature = "train")]
fn class_weights(net: &unscene_train::Net) -> Result<Option<ClassWeights>> {
    let graph = net.graph();
    let Some((_, maps)) = graph.outputs.iter().find(|(name, _)| name == "maps") else { return Ok(None) };
    let sides: [usize; 4] =
        graph.node(*maps).shape.clone().try_into().expect("maps are channels, frames, height, width");
    let weights = net.values(&format!("{}.weight", unscene_models::classifier::CLASSIFIER))?;
    Ok(Some(ClassWeights { weights, sides }))
}

impl Subject {
    /// Names of the classes.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How clips are prepared.
    pub fn form(&self) -> &ClipForm {
        &self.form
    }

    /// Which model it is, and what computes it.
    pub fn describe(&self) -> &str {
        &self.name
    }

    /// What turns the output `maps` into class activation maps; there when that output was asked for.
    pub fn class_weights(&self) -> Option<&ClassWeights> {
        self.maps.as_ref()
    }

    /// How it was trained: `command` and `config`, as far as that is known.
    pub fn provenance(&self) -> &Map<String, Value> {
        &self.provenance
    }

    /// Runs an empty clip: what cannot run is found out before videos are read.
    pub fn warm_up(&mut self) -> Result<()> {
        let input = vec![0.0; self.form.dims().len()];
        let outputs = self.run(&input, 1).map_err(|error| anyhow::anyhow!("{}: {error}", self.name))?;
        if outputs.logits.len() != self.labels.len() {
            bail!("{}: it gives {} logits for {} labels", self.name, outputs.logits.len(), self.labels.len());
        }
        Ok(())
    }

    /// Computes n clips, n x 3 x frames x height x width.
    pub fn run(&mut self, input: &[f32], n: usize) -> Result<Outputs, Box<dyn Error + Send + Sync>> {
        match &mut self.model {
            #[cfg(feature = "train")]
            Model::Run(net) => {
                let ClipForm { frames, height, width, .. } = self.form;
                let mut outputs = Outputs::default();
                let names = net.graph().outputs.iter().map(|(name, _)| name.as_str());
                for (name, values) in names.zip(net.infer(input, &[n, 3, frames, height, width])?) {
                    outputs.set(name, values);
                }
                Ok(outputs)
            }
            Model::Bundle(network) => {
                let mut outputs = Outputs::default();
                for array in network.run(input, n)? {
                    outputs.set(&array.name, array.values);
                }
                Ok(outputs)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_one_name_are_told_apart_by_the_folders_around() {
        let named = |dirs: &[&str]| names(&dirs.iter().map(|dir| ModelPath::Bundle(dir.into())).collect::<Vec<_>>());
        assert_eq!(named(&["/m/a/run", "/m/b/other"]), ["run", "other"]);
        assert_eq!(named(&["/m/a/run", "/m/b/run", "/m/b/other"]), ["a/run", "b/run", "other"]);
        assert_eq!(named(&["/m/a/b/run", "/n/a/b/run"]), ["m/a/b/run", "n/a/b/run"]);
        // One model twice has one name.
        assert_eq!(named(&["/m/a/run", "/m/a/run"]), ["run", "run"]);
    }
}
