//! Debiased pretraining (paper, section 3): a video model against an adversary that sees the scene, and unsure where
//! nobody is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use unscene_data::formats::DatasetSpec;
use unscene_data::{
    Augmentation, Batch as DataBatch, Cache, CacheKind, ClipForm, Epoch, Found, Item, Loader, LoaderOptions, Part,
    People, Sample, mask_people,
};
use unscene_models::heads::AdversaryConfig;
use unscene_models::r3d::{ModelError, R3dConfig};
use unscene_models::run::RunConfig;

use crate::fit::{FitConfig, Metrics, Task};
use crate::method::{Adversary, Batch, masked_step, ordinary_step};
use crate::{Mode, Net, Sgd, TrainError};

/// What a pretraining run is made of. Saved beside its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// The video model; `classes` is that of the dataset.
    pub model: R3dConfig,
    /// The dataset.
    pub data: DatasetSpec,
    /// The part that is trained on.
    #[serde(default = "train_part")]
    pub train_part: String,
    /// The part whose loss chooses the best epoch.
    #[serde(default = "val_part")]
    pub val_part: String,
    /// Frames per second of clips; every frame when not given.
    #[serde(default)]
    pub fps: Option<f64>,
    /// How clips vary.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Clips in a batch; 32 in the paper.
    #[serde(default = "batch")]
    pub batch: usize,
    /// What all chance is drawn from.
    #[serde(default)]
    pub seed: u64,
    /// Protected attributes; none is the baseline.
    #[serde(default, rename = "adversary")]
    pub adversaries: Vec<AdversarySpec>,
    /// The human-mask confusion; none is the baseline.
    #[serde(default)]
    pub confusion: Option<ConfusionSpec>,
    /// The loop.
    #[serde(default)]
    pub fit: FitConfig,
}

fn train_part() -> String {
    "train".into()
}

fn val_part() -> String {
    "val".into()
}

fn batch() -> usize {
    32
}

/// A protected attribute of every video, from a cache that `unscene annotate scenes` made: scenes, or any other labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdversarySpec {
    /// Its name in logs and snapshots.
    pub name: String,
    /// The cache.
    pub cache: PathBuf,
    /// How strongly features move against it.
    #[serde(default = "half")]
    pub lambda: f64,
    /// Whether the likeliest label stands for the distribution (an ablation of the paper).
    #[serde(default)]
    pub hard: bool,
}

fn half() -> f64 {
    0.5
}

/// The loss on clips whose people are masked out, from a cache that `unscene annotate people` made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfusionSpec {
    /// The cache.
    pub people: PathBuf,
    /// Weight of the entropy.
    #[serde(default = "one")]
    pub weight: f64,
    /// Boxes of at least this score are filled.
    #[serde(default = "min_score")]
    pub min_score: f32,
    /// Videos with somebody in at least this share of the frames take part.
    #[serde(default = "min_share")]
    pub min_share: f64,
}

fn one() -> f64 {
    1.0
}

fn min_score() -> f32 {
    0.3
}

fn min_share() -> f64 {
    0.7
}

/// Pretraining as a task of the loop.
pub struct Pretraining {
    config: PretrainConfig,
    labels: Vec<String>,
    model: Net,
    adversaries: Vec<Adversary>,
    /// For each adversary, items x classes.
    attributes: Vec<Tensor>,
    ordinary: Loader,
    masked: Option<Loader>,
    val: Loader,
    epochs: Option<(Epoch, Option<Epoch>)>,
    device: Device,
    /// Seconds that the current epoch waited for data.
    pub waited_s: f64,
}

impl Pretraining {
    /// Reads the lists and caches, and makes the nets.
    ///
    /// # Errors
    /// When a list or cache cannot be read or was made for other videos; when a part is not there or empty, a label has no
    /// video to train on, or nobody is in enough frames of any video for the masked stream.
    pub fn new(config: PretrainConfig, workers: usize, device: Device) -> Result<Self, TrainError> {
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
        check_labels(&dataset.labels, &train.items)?;
        if config.model.classes != dataset.labels.len() {
            let (found, expected) = (config.model.classes, dataset.labels.len());
            return Err(TrainError::Data(format!("the model has {found} classes, the dataset {expected} labels")));
        }

        let form = clip_form(&config);
        let options = LoaderOptions {
            form,
            augmentation: config.augmentation.clone(),
            batch: config.batch,
            seed: config.seed,
            workers,
            ..LoaderOptions::default()
        };
        let ordinary = Loader::new(train.items.clone(), options.clone())?;
        let masked = config.confusion.as_ref().map(|spec| masked_loader(spec, &train.items, &options)).transpose()?;
        // Validation looks at the middle, always at the same moment.
        let still = LoaderOptions { augmentation: Augmentation::none(), seed: 0, ..options };
        let val = Loader::new(val.items, still)?;

        let model = Net::init(config.model.graph_with_features()?, config.seed).to_device(device)?;
        let features = features_of(&model)?;
        let (mut adversaries, mut attributes) = (vec![], vec![]);
        for (number, spec) in config.adversaries.iter().enumerate() {
            let (classes, target) = read_attributes(spec, &train.items)?;
            let graph = AdversaryConfig::new(features, classes).graph().map_err(ModelError::from)?;
            let seed = config.seed.wrapping_add(1 + number as u64);
            let net = Net::init(graph, seed).to_device(device)?;
            adversaries.push(Adversary { net, lambda: spec.lambda });
            attributes.push(target);
        }
        let labels = dataset.labels;
        Ok(Pretraining {
            config,
            labels,
            model,
            adversaries,
            attributes,
            ordinary,
            masked,
            val,
            epochs: None,
            device,
            waited_s: 0.0,
        })
    }

    /// Names of the classes.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The model, with the outputs `logits` and `features`.
    pub fn model(&self) -> &Net {
        &self.model
    }

    /// The run's description, for exporting what was trained: clips are prepared as training prepared them.
    pub fn run_config(&self) -> RunConfig {
        let mut provenance = serde_json::Map::new();
        provenance.insert("unscene_version".into(), env!("CARGO_PKG_VERSION").into());
        provenance.insert("command".into(), "pretrain".into());
        provenance.insert("config".into(), serde_json::json!(self.config));
        let mut run = RunConfig::new(self.config.model.clone(), self.labels.clone(), provenance);
        let ClipForm { short_side, normalization, fps, .. } = clip_form(&self.config);
        (run.input.short_side, run.fps) = (short_side, fps);
        (run.input.mean, run.input.std, run.input.range) = (normalization.mean, normalization.std, normalization.range);
        run
    }

    fn tensor(&self, batch: &DataBatch) -> Result<Tensor, TrainError> {
        clips(batch, &clip_form(&self.config), self.device)
    }
}

/// The form in which the model takes clips.
fn clip_form(config: &PretrainConfig) -> ClipForm {
    let R3dConfig { frames, size, .. } = config.model;
    ClipForm { frames, height: size, width: size, short_side: size, fps: config.fps, ..ClipForm::default() }
}

fn clips(batch: &DataBatch, form: &ClipForm, device: Device) -> Result<Tensor, TrainError> {
    let sides = [batch.len(), 3, form.frames, form.height, form.width].map(|side| side as i64);
    Ok(Tensor::from_slice(&batch.input).f_reshape(sides)?.f_to_device(device)?)
}

fn check_labels(labels: &[String], items: &[Item]) -> Result<(), TrainError> {
    let mut counts = vec![0; labels.len()];
    items.iter().for_each(|item| counts[item.label] += 1);
    let empty: Vec<&str> =
        labels.iter().zip(&counts).filter(|(_, n)| **n == 0).map(|(label, _)| label.as_str()).collect();
    if empty.is_empty() {
        return Ok(());
    }
    let (count, first) = (empty.len(), empty[0]);
    Err(TrainError::Data(format!(
        "{count} labels have no video to train on, {first:?} for one; `unscene data check` says more"
    )))
}

fn features_of(model: &Net) -> Result<usize, TrainError> {
    let graph = model.graph();
    let features =
        graph.outputs.iter().find(|(name, _)| name == "features").map(|(_, node)| graph.node(*node).shape[0]);
    features.ok_or_else(|| TrainError::Data("the model gives no features".into()))
}

/// The distributions of all items, one row each.
fn read_attributes(spec: &AdversarySpec, items: &[Item]) -> Result<(usize, Tensor), TrainError> {
    let cache = Cache::open(&spec.cache, CacheKind::Scenes)?;
    let classes = cache.labels().len();
    let mut rows = vec![0f32; items.len() * classes];
    let found = cache.read(items)?;
    for (annotation, row) in found.into_iter().zip(rows.chunks_exact_mut(classes.max(1))) {
        match annotation.map(|annotation| annotation.found) {
            Some(Found::Scenes(scores)) if spec.hard => {
                let top = (0..classes).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
                row[top] = 1.0;
            }
            Some(Found::Scenes(scores)) => row.copy_from_slice(&scores),
            // A video that the classifier could not read teaches the adversary nothing.
            _ => row.fill(1.0 / classes as f32),
        }
    }
    Ok((classes, Tensor::from_slice(&rows).f_reshape([items.len() as i64, classes as i64])?))
}

/// The videos with somebody in enough of their frames, repeated until they are as many as all.
fn masked_loader(spec: &ConfusionSpec, items: &[Item], options: &LoaderOptions) -> Result<Loader, TrainError> {
    let cache = Cache::open(&spec.people, CacheKind::People)?;
    let mut people: HashMap<String, People> = HashMap::new();
    let mut chosen: Vec<&Item> = vec![];
    for (item, annotation) in items.iter().zip(cache.read(items)?) {
        let Some(Found::People(frames)) = annotation.map(|annotation| annotation.found) else { continue };
        let found = People::new(frames, spec.min_score);
        if found.share_of_frames() >= spec.min_share {
            people.insert(item.id.clone(), found);
            chosen.push(item);
        }
    }
    if chosen.is_empty() {
        return Err(TrainError::Data(format!(
            "{}: in none of {} videos is somebody in at least {:.0} % of the frames with a score of {}; lower min_share or \
             min_score, or look at `unscene annotate preview`",
            spec.people.display(),
            items.len(),
            spec.min_share * 100.0,
            spec.min_score
        )));
    }
    let repeated: Vec<Item> = chosen.iter().cycle().take(items.len()).map(|item| (*item).clone()).collect();
    let size = (options.form.width, options.form.height);
    let change = move |item: &Item, sample: &mut Sample| {
        if let Some(people) = people.get(&item.id) {
            mask_people(sample, people, size);
        }
        Ok(())
    };
    // Other clips than the ordinary stream has at the same time.
    let seed = options.seed ^ 0x6d61_736b;
    Ok(Loader::new(repeated, LoaderOptions { change: Some(Arc::new(change)), seed, ..options.clone() })?)
}

impl Task for Pretraining {
    fn nets(&self) -> Vec<(&str, &Net)> {
        let adversaries = self.config.adversaries.iter().zip(&self.adversaries);
        std::iter::once(("model", &self.model))
            .chain(adversaries.map(|(spec, adversary)| (spec.name.as_str(), &adversary.net)))
            .collect()
    }

    fn steps(&self) -> usize {
        self.ordinary.batches()
    }

    fn start_epoch(&mut self, epoch: usize, first_step: usize) -> Result<(), TrainError> {
        let masked = self.masked.as_ref().map(|loader| loader.epoch(epoch as u64, first_step));
        self.epochs = Some((self.ordinary.epoch(epoch as u64, first_step), masked));
        self.waited_s = 0.0;
        Ok(())
    }

    fn step(&mut self, sgd: &mut Sgd) -> Result<Metrics, TrainError> {
        let no_batch = || TrainError::Data("the videos of a whole batch could not be read".into());
        let waiting = Instant::now();
        let (ordinary, masked) = self.epochs.as_mut().ok_or_else(no_batch)?;
        let batch = ordinary.next().ok_or_else(no_batch)??;
        let masked = masked.as_mut().map(|masked| masked.next().ok_or_else(no_batch)?.map_err(TrainError::from));
        let masked = masked.transpose()?;
        let waited_s = waiting.elapsed().as_secs_f64();
        self.waited_s += waited_s;

        let labels: Vec<i64> = batch.labels.iter().map(|&label| label as i64).collect();
        let labels = Tensor::from_slice(&labels).f_to_device(self.device)?;
        let items: Vec<i64> = batch.items.iter().map(|&item| item as i64).collect();
        let rows = Tensor::from_slice(&items);
        let of = |all: &Tensor| Ok(all.f_index_select(0, &rows)?.f_to_device(self.device)?);
        let attributes = self.attributes.iter().map(of).collect::<Result<Vec<_>, TrainError>>()?;
        let clips = self.tensor(&batch)?;
        let given = Batch { clips: &clips, labels: &labels, attributes: &attributes };
        let losses = ordinary_step(&self.model, &self.adversaries, sgd, &given)?;
        let right =
            losses.logits.f_argmax(1, false)?.f_eq_tensor(&labels)?.f_to_kind(Kind::Float)?.f_mean(Kind::Float)?;
        let mut metrics = Metrics::from([
            ("action_loss".to_string(), losses.action),
            ("accuracy".to_string(), right.f_double_value(&[])?),
            ("waited_s".to_string(), waited_s),
        ]);
        for (spec, loss) in self.config.adversaries.iter().zip(losses.adversaries) {
            metrics.insert(format!("{}_loss", spec.name), loss);
        }
        if let (Some(batch), Some(spec)) = (masked, &self.config.confusion) {
            let unsure = masked_step(&self.model, sgd, &self.tensor(&batch)?, spec.weight)?;
            metrics.insert("entropy".to_string(), unsure);
        }
        Ok(metrics)
    }

    fn validate(&mut self) -> Result<Metrics, TrainError> {
        let (mut loss, mut right, mut clips) = (0.0, 0.0, 0.0);
        for batch in self.val.epoch(0, 0) {
            let batch = batch?;
            let labels: Vec<i64> = batch.labels.iter().map(|&label| label as i64).collect();
            let labels = Tensor::from_slice(&labels).f_to_device(self.device)?;
            let logits = tch::no_grad(|| self.model.forward(&self.tensor(&batch)?, Mode::Eval))?.swap_remove(0);
            let n = batch.len() as f64;
            let mean = logits.f_cross_entropy_loss::<&Tensor>(&labels, None, tch::Reduction::Mean, -100, 0.0)?;
            loss += n * mean.f_double_value(&[])?;
            right += logits.f_argmax(1, false)?.f_eq_tensor(&labels)?.f_sum(Kind::Float)?.f_double_value(&[])?;
            clips += n;
        }
        Ok(Metrics::from([("loss".into(), loss / clips), ("accuracy".into(), right / clips), ("clips".into(), clips)]))
    }
}
