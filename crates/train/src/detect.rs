//! Training SSD: where in a frame who does what.
//!
//! Each frame's actors are matched with priors (`unscene_vision::match_priors`), and the network is to name these and move them
//! onto the actors ([`multibox_losses`]).

mod config;
mod losses;

use tch::{Device, Tensor};
use unscene_data::actors::{ActorBox, Actors, FrameAugmentation, FrameBatch, FrameEpoch, FrameLoader, FrameOptions};
use unscene_data::{ClipForm, Failure};
use unscene_models::run::RunConfig;
use unscene_models::vgg_ssd::names;
use unscene_vision::{Prior, encode_box, match_priors, priors};

pub use config::DetectConfig;
pub use losses::{PriorTargets, multibox_losses};

use crate::descent::{descend, mean_losses, nothing_read, there};
use crate::fit::{Metrics, Task, Training};
use crate::pretrain::{colours_of, form_of_start};
use crate::run::trained_run;
use crate::sgd::Rate;
use crate::start::{Started, start};
use crate::{Mode, Net, Sgd, TrainError};

/// Names of the two losses, in the order in which they are computed.
const LOSSES: [&str; 2] = ["offset_loss", "class_loss"];

/// Training a detector as a task of the loop.
pub struct Detecting {
    config: DetectConfig,
    form: ClipForm,
    labels: Vec<String>,
    model: Net,
    priors: Vec<Prior>,
    train: FrameLoader,
    val: FrameLoader,
    epochs: Option<FrameEpoch>,
    /// Frames that could not be read, not yet taken by the loop.
    failures: Vec<Failure>,
    started: Option<Started>,
    doubts: Vec<String>,
    device: Device,
}

impl Detecting {
    /// Finds the frames of the config's dataset, which was read, and makes the model.
    ///
    /// # Errors
    /// When a part is not there or nobody acts in it; when the run to
    /// begin with is of another model.
    pub fn new(config: DetectConfig, dataset: Actors, workers: usize, device: Device) -> Result<Self, TrainError> {
        if let Some(problem) = config.problem() {
            return Err(TrainError::Data(problem));
        }
        let graph = config.model.graph()?;
        let priors = priors_of(&config)?;
        if config.model.classes != dataset.labels.len() {
            let (found, expected) = (config.model.classes, dataset.labels.len());
            return Err(TrainError::Data(format!("the model has {found} classes, the dataset {expected} labels")));
        }
        let normalization = colours_of(config.model.clone());
        let size = config.model.size;
        let form =
            ClipForm { frames: 1, height: size, width: size, short_side: size, normalization, ..ClipForm::default() };
        let form = match &config.start {
            Some(spec) => ClipForm { normalization: form_of_start(form.clone(), spec)?.normalization, ..form },
            None => form,
        };
        let mut doubts = vec![];
        let mut loader = |name: &str, augmentation: Option<FrameAugmentation>, per_video: usize| {
            let part = part(&dataset, name, &mut doubts)?;
            let options = FrameOptions {
                size,
                normalization: form.normalization,
                augmentation,
                per_video,
                batch: config.batch,
                seed: config.seed,
                workers,
                max_failed: config.max_failed,
            };
            Ok::<_, TrainError>(FrameLoader::new(part, options)?)
        };
        let train = loader(&config.train_part, Some(config.augmentation.clone()), config.frames_per_video)?;
        let val = loader(&config.val_part, None, config.val_frames_per_video)?;
        if let Some(first) = dataset.skipped.first() {
            let (count, video, problem) = (dataset.skipped.len(), &first.video, &first.problem);
            doubts.push(format!("{count} annotations were left out, one of {video}: {problem}"));
        }
        let model = Net::init(graph, config.seed).to_device(device)?.computing(config.fit.precision);
        let labels = dataset.labels;
        let mut task = Detecting {
            config,
            form,
            labels,
            model,
            priors,
            train,
            val,
            epochs: None,
            failures: vec![],
            started: None,
            doubts,
            device,
        };
        if let Some(spec) = &task.config.start {
            task.started = Some(start(spec, &task.nets())?);
        }
        Ok(task)
    }

    /// The two losses of some frames.
    fn losses(&self, batch: &FrameBatch, mode: Mode) -> Result<[Tensor; 2], TrainError> {
        let size = self.config.model.size as i64;
        let frames = batch.boxes.len() as i64;
        let clips = Tensor::f_from_slice(&batch.input)?.f_reshape([frames, 3, 1, size, size])?;
        let clips = clips.f_to_device(self.device)?;
        let outputs = self.model.compute(&[(names::CLIP, &clips)], &[names::OFFSETS, names::CLASS_SCORES], mode)?;
        let targets = self.targets(&batch.boxes)?;
        multibox_losses(&outputs[0], &outputs[1], &targets)
    }

    /// What each prior is to say of each frame.
    fn targets(&self, frames: &[Vec<ActorBox>]) -> Result<PriorTargets, TrainError> {
        let count = self.priors.len();
        let (mut classes, mut offsets) = (vec![0i64; frames.len() * count], vec![0f32; 4 * frames.len() * count]);
        for (frame, actors) in frames.iter().enumerate() {
            let truths: Vec<[f32; 4]> = actors.iter().map(|actor| actor.corners).collect();
            for (at, matched) in match_priors(&self.priors, &truths, self.config.match_iou).into_iter().enumerate() {
                let Some(actor) = matched.map(|number| actors[number]) else { continue };
                let place = frame * count + at;
                classes[place] = 1 + actor.label as i64;
                offsets[4 * place..][..4].copy_from_slice(&encode_box(self.priors[at], actor.corners));
            }
        }
        let sides = [frames.len() as i64, count as i64];
        Ok(PriorTargets {
            classes: Tensor::f_from_slice(&classes)?.f_reshape(sides)?,
            offsets: Tensor::f_from_slice(&offsets)?.f_reshape([sides[0], sides[1], 4])?,
        })
    }
}

/// The priors of a config's model, in the order of its outputs.
fn priors_of(config: &DetectConfig) -> Result<Vec<Prior>, TrainError> {
    Ok(priors(config.model.size, &config.model.maps()?))
}

fn part<'a>(
    dataset: &'a Actors,
    name: &str,
    doubts: &mut Vec<String>,
) -> Result<&'a unscene_data::actors::ActorPart, TrainError> {
    let Some(part) = dataset.part(name) else {
        let names: Vec<&str> = dataset.parts.iter().map(|part| part.name.as_str()).collect();
        let names = names.join(", ");
        return Err(TrainError::Data(format!("there is no part {name:?}; the annotations have {names}")));
    };
    if let Some(first) = part.missing.first() {
        let (missing, of) = (part.missing.len(), part.videos.len());
        doubts.push(format!("{missing} of {of} videos of {name:?} are not on disk, {first:?} for one"));
    }
    Ok(part)
}

impl Training for Detecting {
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
        let mut run = trained_run(self.config.model.clone(), &self.labels, &self.form, command, &self.config);
        run.stride_frames = 1;
        run
    }
}

impl Task for Detecting {
    fn nets(&self) -> Vec<(&str, &Net)> {
        vec![("model", &self.model)]
    }

    fn steps(&self) -> usize {
        self.train.batches().div_ceil(self.config.fit.accumulate)
    }

    fn start_epoch(&mut self, epoch: usize, first_step: usize) -> Result<(), TrainError> {
        self.epochs = Some(self.train.epoch(epoch as u64, first_step * self.config.fit.accumulate));
        Ok(())
    }

    fn rates(&self, epoch: usize) -> Vec<Rate> {
        let lr = self.config.fit.sgd.lr;
        let started = self.started.iter().zip(&self.config.start);
        let layers: Vec<Rate> = started.flat_map(|(started, spec)| started.rates(spec, epoch, lr)).collect();
        let factor =
            |name: &str| layers.iter().find(|rate| name.starts_with(&rate.prefix)).map_or(1.0, |rate| rate.factor);
        let biases = self.model.params().filter(|(spec, _)| spec.name.ends_with(".bias"));
        let biases = biases.map(|(spec, _)| Rate {
            net: 0,
            prefix: spec.name.clone(),
            factor: self.config.bias_lr_factor * factor(&spec.name),
            decays: false,
        });
        // The first that fits counts.
        biases.chain(layers.iter().cloned()).collect()
    }

    fn step(&mut self, sgd: &mut Sgd) -> Result<Metrics, TrainError> {
        let mut epochs = self.epochs.take().ok_or_else(|| TrainError::Data("a step before its epoch".into()))?;
        let batches = there(epochs.by_ref().take(self.config.fit.accumulate), FrameBatch::is_empty);
        let losses = |batch: &FrameBatch| self.losses(batch, Mode::Train);
        let metrics = descend(&self.model, sgd, LOSSES, batches, losses);
        self.failures.extend(epochs.take_failures());
        self.epochs = Some(epochs);
        metrics
    }

    fn validate(&mut self) -> Result<Metrics, TrainError> {
        let mut epoch = self.val.epoch(0, 0);
        let losses = |batch: &FrameBatch| self.losses(batch, Mode::Eval);
        let found = mean_losses(LOSSES, there(epoch.by_ref(), FrameBatch::is_empty), losses)?;
        self.failures.extend(epoch.take_failures());
        let (metrics, _) = found.ok_or_else(|| nothing_read(&self.config.val_part, &self.failures))?;
        Ok(metrics)
    }

    fn take_failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }
}
