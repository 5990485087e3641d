//! What is measured: a run, computed by libtorch, or a bundle, computed by an engine. Clips are prepared in the same way.

use std::error::Error;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use unscene_data::ClipForm;
use unscene_engine::{Bundle, DeviceChoice, EngineChoice, EngineOptions, Network};
use unscene_eval::Outputs;
use unscene_models::manifest::ClipInput;
use unscene_vision::Normalization;

/// Arguments that name a model, and what computes it.
#[derive(Args)]
pub struct SubjectArgs {
    #[command(flatten)]
    model: ModelArgs,
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

/// A model that takes clips.
pub struct Subject {
    model: Model,
    labels: Vec<String>,
    form: ClipForm,
    name: String,
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
    /// Loads the model. `needs_features` refuses one that gives only logits.
    pub fn open(&self, needs_features: bool) -> Result<Subject> {
        #[cfg(feature = "train")]
        if let Some(dir) = &self.model.run {
            let device = self.libtorch_device()?;
            let folder = unscene_models::run::RunFolder::new(dir);
            let config = folder.read_config()?;
            let weights = unscene_train::read_weights(&folder.weights_path())?;
            let net =
                unscene_train::Net::from_weights(config.model.graph_with_features()?, &weights)?.to_device(device)?;
            let form = form(&config.input, config.fps);
            let place = if device.is_cuda() { "a GPU" } else { "the CPU" };
            let name = format!("{} by libtorch on {place}", dir.display());
            return Ok(Subject { model: Model::Run(Box::new(net)), labels: config.labels, form, name });
        }
        let Some(dir) = &self.model.bundle else { bail!("name a model by --bundle") };
        let bundle = Bundle::open(dir)?;
        let has_features = bundle.manifest.graphs[0].outputs.iter().any(|output| output.name == "features");
        if needs_features && !has_features {
            bail!("{}: it gives no features; export it with --features", dir.display());
        }
        let options = EngineOptions { engine: self.engine, device: self.device, ..EngineOptions::default() };
        let form = form(&bundle.manifest.input, bundle.manifest.fps);
        let network = Network::load(&bundle.model_path(), &[3, form.frames, form.height, form.width], &options)?;
        let name = format!("{} by {} on {}", dir.display(), network.engine_name(), network.device_name());
        Ok(Subject { model: Model::Bundle(Box::new(network)), labels: bundle.manifest.labels.clone(), form, name })
    }
}

#[cfg(feature = "train")]
impl SubjectArgs {
    /// Where libtorch runs a run: with `auto`, on the first GPU that it can use.
    fn libtorch_device(&self) -> Result<unscene_train::Device> {
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
                let mut outputs = net.infer(input, &[n, 3, frames, height, width])?.into_iter();
                Ok(Outputs { logits: outputs.next().unwrap_or_default(), features: outputs.next().unwrap_or_default() })
            }
            Model::Bundle(network) => {
                let mut outputs = Outputs::default();
                for array in network.run(input, n)? {
                    match array.name.as_str() {
                        "logits" => outputs.logits = array.values,
                        "features" => outputs.features = array.values,
                        _ => {}
                    }
                }
                Ok(outputs)
            }
        }
    }
}
