//! Debiased pretraining (paper, section 3): a video model against an adversary that sees the scene, and unsure where
//! nobody is.

mod config;
mod streams;

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use unscene_data::{Augmentation, Batch as DataBatch, ClipForm, Epoch, Failure, Loader, LoaderOptions, Part};
use unscene_models::heads::AdversaryConfig;
use unscene_models::manifest::ClipInput;
use unscene_models::r3d::ModelError;
use unscene_models::run::{RunConfig, RunFolder, RunModel};
use unscene_vision::Normalization;

pub use config::{AdversarySpec, ConfusionSpec, PretrainConfig, Statistics};
use streams::{check_labels, masked_loader, read_attributes};

use crate::descent::nothing_read;
use crate::fit::{Metrics, Task, Training};
use crate::method::{Adversary, Batch, masked_step, ordinary_step};
use crate::run::trained_run;
use crate::sgd::Rate;
use crate::start::{StartSpec, Started, start};
use crate::{Mode, Net, Sgd, TrainError};

/// Pretraining as a task of the loop.
pub struct Pretraining {
    config: PretrainConfig,
    form: ClipForm,
    labels: Vec<String>,
    model: Net,
    adversaries: Vec<Adversary>,
    /// For each adversary, items x classes.
    attributes: Vec<Tensor>,
    ordinary: Loader,
    masked: Option<Loader>,
    val: Loader,
    epochs: Option<(Epoch, Option<Epoch>)>,
    /// Videos that could not be read, not yet taken by the loop.
    failures: Vec<Failure>,
    /// What is doubtful about the data.
    doubts: Vec<String>,
    /// What the run to begin with gave.
    started: Option<Started>,
    device: Device,
}

impl Pretraining {
    /// Reads the lists and caches, and makes the nets.
    ///
    /// # Errors
    /// When a list or cache cannot be read or was made for other videos; when a part is not there or empty, a label has no
    /// video to train on, or nobody is in enough frames of any video for the masked stream.
    pub fn new(config: PretrainConfig, workers: usize, device: Device) -> Result<Self, TrainError> {
        if let Some(problem) = config.problem() {
            return Err(TrainError::Data(problem));
        }
        let dataset = config.data.load()?;
        let part = |name: &str| -> Result<Part, TrainError> {
            let names: Vec<&str> = dataset.parts.iter().map(|part| part.name.as_str()).collect();
            let part = dataset.part(name).filter(|part| !part.items.is_empty()).cloned();
            part.ok_or_else(|| {
                let there = names.join(", ");
                TrainError::Data(format!(
                    "the part {name:?} is not there or has no video on disk; the dataset has {there}"
                ))
            })
        };
        let (train, val) = (part(&config.train_part)?, part(&config.val_part)?);
        let parts = if config.train_part == config.val_part { vec![&train] } else { vec![&train, &val] };
        let mut doubts: Vec<String> = parts.into_iter().filter_map(Part::absent).collect();
        doubts.extend(dataset.doubts(&config.train_part, &config.val_part));
        check_labels(&dataset.labels, &train.items)?;
        if config.model.classes != dataset.labels.len() {
            let (found, expected) = (config.model.classes, dataset.labels.len());
            return Err(TrainError::Data(format!("the model has {found} classes, the dataset {expected} labels")));
        }

        let form = match &config.start {
            Some(spec) => form_of_start(config.clip_form(), spec)?,
            None => config.clip_form(),
        };
        let options = LoaderOptions {
            form: form.clone(),
            augmentation: config.augmentation.clone(),
            batch: config.batch,
            seed: config.seed,
            workers,
            max_failed: config.max_failed,
            ..LoaderOptions::default()
        };
        let ordinary = Loader::new(train.items.clone(), options.clone())?;
        let masked = config.confusion.as_ref().map(|spec| masked_loader(spec, &train.items, &options)).transpose()?;
        // Validation looks at the middle, always at the same moment.
        let still = LoaderOptions { augmentation: Augmentation::none(), seed: 0, ..options };
        let val = Loader::new(val.items, still)?;

        let precision = config.fit.precision;
        let model =
            Net::init(config.model.graph_with(&["features"])?, config.seed).to_device(device)?.computing(precision);
        let features = features_of(&model)?;
        let (mut adversaries, mut attributes) = (vec![], vec![]);
        for (number, spec) in config.adversaries.iter().enumerate() {
            let (classes, target) = read_attributes(spec, &train.items)?;
            let graph = AdversaryConfig::new(features, classes).graph().map_err(ModelError::from)?;
            let seed = config.seed.wrapping_add(1 + number as u64);
            let net = Net::init(graph, seed).to_device(device)?;
            adversaries.push(Adversary { net, lambda: spec.lambda, steps: spec.steps });
            attributes.push(target);
        }
        let labels = dataset.labels;
        let mut task = Pretraining {
            config,
            form,
            labels,
            model,
            adversaries,
            attributes,
            ordinary,
            masked,
            val,
            epochs: None,
            failures: vec![],
            doubts,
            started: None,
            device,
        };
        if let Some(spec) = &task.config.start {
            task.started = Some(start(spec, &task.nets())?);
            if let Some(layer) = &spec.from_layer {
                task.model = task.model.trained_from(layer)?;
            }
        }
        Ok(task)
    }

    /// Names of the classes.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    fn tensor(&self, batch: &DataBatch) -> Result<Tensor, TrainError> {
        clips(batch, &self.form, self.device)
    }

    /// The next batches of both streams, for one step. Those of which no video could be read are left out.
    fn read(&mut self) -> Result<(Vec<DataBatch>, Vec<DataBatch>), TrainError> {
        let Some((ordinary, masked)) = &mut self.epochs else { return Ok((vec![], vec![])) };
        let most = self.config.fit.accumulate;
        let mut next = |stream: &mut Epoch| {
            let batches = stream.take(most).collect::<Result<Vec<_>, _>>()?;
            self.failures.extend(stream.take_failures());
            Ok::<_, TrainError>(batches.into_iter().filter(|batch| !batch.is_empty()).collect::<Vec<_>>())
        };
        let ordinary = next(ordinary)?;
        let masked = masked.as_mut().map(next).transpose()?.unwrap_or_default();
        Ok((ordinary, masked))
    }

    fn ordinary_batch(&self, batch: &DataBatch) -> Result<Batch, TrainError> {
        let rows = Tensor::from_slice(&batch.items.iter().map(|&item| item as i64).collect::<Vec<_>>());
        let of = |all: &Tensor| Ok(all.f_index_select(0, &rows)?.f_to_device(self.device)?);
        let attributes = self.attributes.iter().map(of).collect::<Result<Vec<_>, TrainError>>()?;
        Ok(Batch { clips: self.tensor(batch)?, labels: self.labels_of(batch)?, attributes })
    }

    fn labels_of(&self, batch: &DataBatch) -> Result<Tensor, TrainError> {
        let labels: Vec<i64> = batch.labels.iter().map(|&label| label as i64).collect();
        Ok(Tensor::from_slice(&labels).f_to_device(self.device)?)
    }
}

/// The colours of a model's family.
pub(crate) fn colours_of(model: impl Into<RunModel>) -> Normalization {
    normalization(&RunConfig::new(model, vec![], Default::default()).input)
}

fn normalization(input: &ClipInput) -> Normalization {
    Normalization { mean: input.mean, std: input.std, range: input.range }
}

/// Clips in colours as the weights that are taken over know them, which is not a matter of choice.
pub(crate) fn form_of_start(form: ClipForm, spec: &StartSpec) -> Result<ClipForm, TrainError> {
    let folder = RunFolder::new(&spec.run);
    if !folder.config_path().is_file() {
        return Ok(form);
    }
    let input = folder.read_config().map_err(|error| TrainError::format(&spec.run, error))?.input;
    let normalization = normalization(&input);
    let is_same_size = (input.height, input.width) == (form.height, form.width);
    let short_side = if is_same_size { input.short_side } else { form.short_side };
    Ok(ClipForm { normalization, short_side, ..form })
}

pub(crate) fn clips(batch: &DataBatch, form: &ClipForm, device: Device) -> Result<Tensor, TrainError> {
    let sides = [batch.len(), 3, form.frames, form.height, form.width].map(|side| side as i64);
    Ok(Tensor::from_slice(&batch.input).f_reshape(sides)?.f_to_device(device)?)
}

fn features_of(model: &Net) -> Result<usize, TrainError> {
    let graph = model.graph();
    let features =
        graph.outputs.iter().find(|(name, _)| name == "features").map(|(_, node)| graph.node(*node).shape[0]);
    features.ok_or_else(|| TrainError::Data("the model gives no features".into()))
}

impl Training for Pretraining {
    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn started(&self) -> Option<&Started> {
        self.started.as_ref()
    }

    fn model(&self) -> &Net {
        &self.model
    }

    fn run_config(&self, command: &str) -> RunConfig {
        trained_run(self.config.model.clone(), &self.labels, &self.form, command, &self.config)
    }
}

impl Task for Pretraining {
    fn nets(&self) -> Vec<(&str, &Net)> {
        let adversaries = self.config.adversaries.iter().zip(&self.adversaries);
        std::iter::once(("model", &self.model))
            .chain(adversaries.map(|(spec, adversary)| (spec.name.as_str(), &adversary.net)))
            .collect()
    }

    fn steps(&self) -> usize {
        self.ordinary.batches().div_ceil(self.config.fit.accumulate)
    }

    fn start_epoch(&mut self, epoch: usize, first_step: usize) -> Result<(), TrainError> {
        let first_batch = first_step * self.config.fit.accumulate;
        let masked = self.masked.as_ref().map(|loader| loader.epoch(epoch as u64, first_batch));
        self.epochs = Some((self.ordinary.epoch(epoch as u64, first_batch), masked));
        for (spec, adversary) in self.config.adversaries.iter().zip(&mut self.adversaries) {
            let share = (epoch + 1) as f64 / (spec.ramp_epochs + 1) as f64;
            adversary.lambda = spec.lambda * share.min(1.0);
        }
        Ok(())
    }

    fn rates(&self, epoch: usize) -> Vec<Rate> {
        let lr = self.config.fit.sgd.lr;
        let old =
            self.started.iter().zip(&self.config.start).flat_map(|(started, spec)| started.rates(spec, epoch, lr));
        let adversaries = self.config.adversaries.iter().enumerate();
        let adversaries = adversaries.map(|(position, spec)| Rate {
            net: 1 + position,
            prefix: String::new(),
            factor: spec.lr_factor,
            decays: true,
        });
        old.chain(adversaries).collect()
    }

    fn step(&mut self, sgd: &mut Sgd) -> Result<Metrics, TrainError> {
        let waiting = Instant::now();
        let (ordinary, masked) = self.read()?;
        if ordinary.is_empty() || (masked.is_empty() && self.masked.is_some()) {
            return Ok(Metrics::new());
        }
        let waited_s = waiting.elapsed().as_secs_f64();

        let batches = ordinary.iter().map(|batch| self.ordinary_batch(batch)).collect::<Result<Vec<_>, _>>()?;
        drop(ordinary);
        let losses = ordinary_step(&self.model, &self.adversaries, sgd, &batches)?;
        drop(batches);
        let mut metrics = Metrics::from([
            ("action_loss".to_string(), losses.action),
            ("accuracy".to_string(), losses.accuracy),
            ("waited_s".to_string(), waited_s),
        ]);
        for (spec, loss) in self.config.adversaries.iter().zip(losses.adversaries) {
            metrics.insert(format!("{}_loss", spec.name), loss);
        }
        if let Some(spec) = &self.config.confusion {
            let clips = masked.iter().map(|batch| self.tensor(batch)).collect::<Result<Vec<_>, _>>()?;
            let mode = match spec.statistics {
                Statistics::Batch => Mode::Train,
                Statistics::Running => Mode::Eval,
            };
            let unsure = masked_step(&self.model, sgd, &clips, spec.weight, mode)?;
            metrics.insert("entropy".to_string(), unsure);
        }
        Ok(metrics)
    }

    fn validate(&mut self) -> Result<Metrics, TrainError> {
        let (mut loss, mut right, mut clips) = (0.0, 0.0, 0.0);
        let mut batches = self.val.epoch(0, 0);
        for batch in batches.by_ref() {
            let batch = batch?;
            if batch.is_empty() {
                continue;
            }
            let labels = self.labels_of(&batch)?;
            let logits = tch::no_grad(|| self.model.forward(&self.tensor(&batch)?, Mode::Eval))?.swap_remove(0);
            let n = batch.len() as f64;
            let mean = logits.f_cross_entropy_loss::<&Tensor>(&labels, None, tch::Reduction::Mean, -100, 0.0)?;
            loss += n * mean.f_double_value(&[])?;
            right += logits.f_argmax(1, false)?.f_eq_tensor(&labels)?.f_sum(Kind::Float)?.f_double_value(&[])?;
            clips += n;
        }
        self.failures.extend(batches.take_failures());
        if clips == 0.0 {
            return Err(nothing_read(&self.config.val_part, &self.failures));
        }
        Ok(Metrics::from([("loss".into(), loss / clips), ("accuracy".into(), right / clips), ("clips".into(), clips)]))
    }

    fn take_failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }
}
