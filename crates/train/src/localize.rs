//! Training R-C3D: where in a long video an action begins and ends.
//!
//! For each buffer of frames: the proposal subnet scores anchors, which are matched with the truth ([`anchor_losses`]); its best
//! guesses become proposals, of which some are drawn, cut out of the features ([`pool_segments`]), and given to the head, which
//! names what they show and corrects their ends ([`region_losses`]).

mod config;
mod losses;
mod pool;

use tch::{Device, Tensor};
use unscene_data::untrimmed::{Buffer, Untrimmed, buffer_items, buffers};
use unscene_data::{Augmentation, Batch as DataBatch, ClipForm, Epoch, Failure, Loader, LoaderOptions};
use unscene_models::rc3d::names;
use unscene_models::run::RunConfig;
use unscene_vision::{Segment, anchors as anchors_of, match_anchors, propose, sample_anchors, sample_regions};

pub use config::{BatchNorm, LocalizeConfig, TargetConfig};
pub use losses::{anchor_losses, region_losses};
pub use pool::pool_segments;

use crate::descent::{descend, mean_losses, nothing_read, there};
use crate::fit::{Metrics, Task, Training};
use crate::pretrain::{clips, colours_of, form_of_start};
use crate::random::Random;
use crate::run::{trained_run, values};
use crate::sgd::Rate;
use crate::start::{Started, start};
use crate::{Mode, Net, Sgd, TrainError};

/// Names of the four losses, in the order in which they are computed.
const LOSSES: [&str; 4] = ["anchor_loss", "anchor_offset_loss", "class_loss", "class_offset_loss"];

/// Training a localizer as a task of the loop.
pub struct Localizing {
    config: LocalizeConfig,
    form: ClipForm,
    labels: Vec<String>,
    model: Net,
    step_frames: usize,
    /// Of a whole buffer, steps x anchors of a step.
    anchors: Vec<Segment>,
    train: Part,
    val: Part,
    epochs: Option<Epoch>,
    epoch: usize,
    /// Videos that could not be read, not yet taken by the loop.
    failures: Vec<Failure>,
    started: Option<Started>,
    doubts: Vec<String>,
    device: Device,
}

/// Buffers, and what reads them.
struct Part {
    buffers: Vec<Buffer>,
    loader: Loader,
}

impl Localizing {
    /// Finds the buffers of the config's dataset, which was read, and makes the model.
    ///
    /// # Errors
    /// When the annotations cannot be right; when a part is not there or has no buffer with an action; when
    /// the run to begin with is of another model.
    pub fn new(
        config: LocalizeConfig,
        mut dataset: Untrimmed,
        workers: usize,
        device: Device,
    ) -> Result<Self, TrainError> {
        if let Some(problem) = config.problem() {
            return Err(TrainError::Data(problem));
        }
        let graph = config.model.graph()?;
        let step_frames = config.model.step_frames()?;
        let anchors = anchors_of(config.model.frames / step_frames, step_frames, &config.model.anchors);

        if config.model.classes != dataset.labels.len() {
            let (found, expected) = (config.model.classes, dataset.labels.len());
            return Err(TrainError::Data(format!("the model has {found} classes, the dataset {expected} labels")));
        }
        let form = clip_form(&config);
        let form = match &config.start {
            // The run's clips are shorter, and their middle may be cut out of another size; their colours are what matters.
            Some(spec) => ClipForm { normalization: form_of_start(form.clone(), spec)?.normalization, ..form },
            None => form,
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
        let mut doubts = vec![];
        let train = Part::new(&config, &mut dataset, &config.train_part, options.clone(), &mut doubts)?;
        // Validation looks at the middle that tests cut out, always the same.
        let share = config.model.size as f64 / form.short_side as f64;
        let middle = Augmentation { scales: vec![share.min(1.0)], ..Augmentation::none() };
        let still = LoaderOptions { augmentation: middle, seed: 0, batch: 1, ..options };
        let val = Part::new(&config, &mut dataset, &config.val_part, still, &mut doubts)?;

        let model = Net::init(graph, config.seed).to_device(device)?.computing(config.fit.precision);
        let mut task = Localizing {
            config,
            form,
            labels: dataset.labels,
            model,
            step_frames,
            anchors,
            train,
            val,
            epochs: None,
            epoch: 0,
            failures: vec![],
            started: None,
            doubts,
            device,
        };
        if let Some(spec) = &task.config.start {
            task.started = Some(start(spec, &task.nets())?);
            task.model = task.model.trained_from(&task.config.train_from)?;
            if task.config.batch_norm == BatchNorm::Fixed {
                task.model = task.model.with_fixed_batch_norm()?;
            }
        }
        Ok(task)
    }

    /// The four losses of some buffers of a part: those of anchors means over buffers, those of regions over the regions of all
    /// buffers. `chance` decides which examples are drawn.
    fn losses(&self, part: &Part, batch: &DataBatch, chance: u64, mode: Mode) -> Result<[Tensor; 4], TrainError> {
        let clips = clips(batch, &self.form, self.device)?;
        let outputs = [names::ANCHOR_SCORES, names::ANCHOR_OFFSETS, names::FEATURES];
        let [scores, offsets, features] = exactly(self.model.compute(&[(names::CLIP, &clips)], &outputs, mode)?)?;
        drop(clips);
        let mut anchor = vec![];
        let (mut pooled, mut regions, mut truths, mut labels) = (vec![], vec![], vec![], vec![]);
        for (row, &item) in batch.items.iter().enumerate() {
            let buffer = &part.buffers[item];
            let of_row = |tensor: &Tensor| tensor.f_get(row as i64);
            let (scores, offsets) = (of_row(&scores)?, of_row(&offsets)?);
            let wanted: Vec<Segment> = buffer.segments.iter().map(|one| Segment::new(one.start, one.end)).collect();
            let mut random = Random::new(mix(chance, item as u64));
            let mut below = |n: usize| ((random.uniform() * n as f64) as usize).min(n - 1);

            let frames = buffer.frames_in_video as f64;
            let mut targets = match_anchors(&self.anchors, &wanted, frames, &self.config.targets.anchor_rule());
            let TargetConfig { anchors: most, anchor_share, .. } = self.config.targets;
            sample_anchors(&mut targets, most, anchor_share, &mut below);
            anchor.push(anchor_losses(&scores, &offsets, &targets, &self.anchors, &wanted)?);

            let steps = self.anchors.len() / self.config.model.anchors.len();
            let rule = self.config.targets.proposal_rule();
            let proposals = propose(&values(&scores)?, &values(&offsets)?, &self.anchors, steps, frames, &rule);
            let proposals: Vec<Segment> = proposals.iter().map(|one| one.segment).collect();
            let mut drawn = sample_regions(&proposals, &wanted, &self.config.targets.region_rule(), &mut below);
            if drawn.is_empty() {
                continue;
            }
            let segments: Vec<Segment> = drawn.iter().map(|one| one.segment).collect();
            pooled.push(pool_segments(&of_row(&features)?, &segments, self.step_frames)?);
            // Truths of all buffers in one list.
            drawn.iter_mut().filter_map(|one| one.truth.as_mut()).for_each(|truth| *truth += truths.len());
            regions.extend(drawn);
            truths.extend(wanted);
            labels.extend(buffer.segments.iter().map(|one| one.label));
        }
        let [class, offset] = match pooled.is_empty() {
            true => {
                let nothing = features.f_sum(tch::Kind::Float)?.f_mul_scalar(0.0)?;
                [nothing.shallow_clone(), nothing]
            }
            false => {
                let pooled = Tensor::f_cat(&pooled, 0)?;
                let outputs = [names::CLASS_SCORES, names::CLASS_OFFSETS];
                let given = [(names::REGIONS, &pooled)];
                let [scores, offsets] = exactly(self.model.compute(&given, &outputs, mode)?)?;
                region_losses(&scores, &offsets, &regions, &truths, &labels)?
            }
        };
        let mean = |at: usize| -> Result<Tensor, TrainError> {
            let all: Vec<&Tensor> = anchor.iter().map(|losses| &losses[at]).collect();
            Ok(Tensor::f_stack(&all, 0)?.f_mean(tch::Kind::Float)?)
        };
        Ok([mean(0)?, mean(1)?, class, offset])
    }
}

impl Part {
    fn new(
        config: &LocalizeConfig,
        dataset: &mut Untrimmed,
        name: &str,
        options: LoaderOptions,
        doubts: &mut Vec<String>,
    ) -> Result<Self, TrainError> {
        let spec = config.buffers();
        let found = buffers(dataset, name, &spec, options.max_failed, config.data.skip_bad)?;
        let part = dataset.part(name).ok_or_else(|| TrainError::Data(format!("the part {name:?} is not there")))?;
        if let Some(first) = part.missing.first() {
            let (missing, of) = (part.missing.len(), part.videos.len());
            doubts.push(format!("{missing} of {of} videos of {name:?} are not on disk, {first:?} for one"));
        }
        if let Some(first) = found.skipped.first() {
            let (count, video, problem) = (found.skipped.len(), &first.video, &first.problem);
            doubts.push(format!("{count} segments of {name:?} were left out, one of {video}: {problem}"));
        }
        if let Some(first) = found.unreadable.first() {
            let (count, id, reason) = (found.unreadable.len(), &first.id, &first.reason);
            doubts.push(format!("{count} videos of {name:?} cannot be read, {id} for one: {reason}"));
        }
        let buffers = found.buffers;
        let loader = Loader::new(buffer_items(part, &buffers, &spec)?, options)?;
        Ok(Part { buffers, loader })
    }
}

impl Training for Localizing {
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
        let LocalizeConfig { model, .. } = &self.config;
        let mut run = trained_run(model.clone(), &self.labels, &self.form, command, &self.config);
        // Half a buffer: an action that one window cuts lies whole in the next, up to that length.
        run.stride_frames = (model.frames / 2).max(1);
        run
    }
}

impl Task for Localizing {
    fn nets(&self) -> Vec<(&str, &Net)> {
        vec![("model", &self.model)]
    }

    fn steps(&self) -> usize {
        self.train.loader.batches().div_ceil(self.config.fit.accumulate)
    }

    fn start_epoch(&mut self, epoch: usize, first_step: usize) -> Result<(), TrainError> {
        self.epochs = Some(self.train.loader.epoch(epoch as u64, first_step * self.config.fit.accumulate));
        self.epoch = epoch;
        Ok(())
    }

    fn rates(&self, epoch: usize) -> Vec<Rate> {
        let lr = self.config.fit.sgd.lr;
        self.started.iter().zip(&self.config.start).flat_map(|(started, spec)| started.rates(spec, epoch, lr)).collect()
    }

    fn step(&mut self, sgd: &mut Sgd) -> Result<Metrics, TrainError> {
        let mut epochs = self.epochs.take().ok_or_else(|| TrainError::Data("a step before its epoch".into()))?;
        let batches = there(epochs.by_ref().take(self.config.fit.accumulate), DataBatch::is_empty);
        let chance = mix(self.config.seed, self.epoch as u64);
        let losses = |batch: &DataBatch| self.losses(&self.train, batch, chance, Mode::Train);
        let metrics = descend(&self.model, sgd, LOSSES, batches, losses);
        self.failures.extend(epochs.take_failures());
        self.epochs = Some(epochs);
        metrics
    }

    fn validate(&mut self) -> Result<Metrics, TrainError> {
        let mut epoch = self.val.loader.epoch(0, 0);
        let losses = |batch: &DataBatch| self.losses(&self.val, batch, 0, Mode::Eval);
        let found = mean_losses(LOSSES, there(epoch.by_ref(), DataBatch::is_empty), losses)?;
        self.failures.extend(epoch.take_failures());
        let (mut metrics, buffers) = found.ok_or_else(|| nothing_read(&self.config.val_part, &self.failures))?;
        metrics.insert("buffers".into(), buffers);
        Ok(metrics)
    }

    fn take_failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }
}

/// The form of buffers, in the colours of the model's family.
fn clip_form(config: &LocalizeConfig) -> ClipForm {
    let normalization = colours_of(config.model.clone());
    let size = config.model.size;
    let short_side = config.short_side().unwrap_or(size);
    config.buffers().form(ClipForm { height: size, width: size, short_side, normalization, ..ClipForm::default() })
}

/// The tensors that were asked for.
fn exactly<const N: usize>(tensors: Vec<Tensor>) -> Result<[Tensor; N], TrainError> {
    tensors.try_into().map_err(|found: Vec<Tensor>| TrainError::Node {
        node: "output".into(),
        problem: format!("{} tensors, expected {N}", found.len()),
    })
}

/// One number of two that says nothing of either.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(b);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}
