//! The training loop that all tasks share: epochs, schedule, metrics, snapshots, resuming.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use unscene_data::{Failure, json_differences};
use unscene_models::run::RunConfig;

use crate::events::EventFile;
use crate::schedule::Schedule;
use crate::sgd::Rate;
use crate::snapshot::{CHECKPOINT, Progress, Snapshots, load, read_progress};
use crate::start::Started;
use crate::weights::write_whole;
use crate::{Net, Precision, Sgd, SgdConfig, TrainError};

/// Values by name, such as `action_loss`.
pub type Metrics = BTreeMap<String, f64>;

/// What a task brings to the loop.
pub trait Task {
    /// The nets that are trained, by name; the same at each call.
    fn nets(&self) -> Vec<(&str, &Net)>;

    /// Steps of an epoch.
    fn steps(&self) -> usize;

    /// Gets ready for an epoch, from one of its steps on. The same epoch gives the same steps, wherever it is entered.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn start_epoch(&mut self, epoch: usize, first_step: usize) -> Result<(), TrainError>;

    /// Learning rates that differ in an epoch.
    fn rates(&self, _epoch: usize) -> Vec<Rate> {
        vec![]
    }

    /// Does one step, and says what came out; nothing when none of its videos could be read.
    ///
    /// # Errors
    /// When the data cannot be read or the loss is not a number.
    fn step(&mut self, sgd: &mut Sgd) -> Result<Metrics, TrainError>;

    /// Measures the model; `loss` is among the values.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn validate(&mut self) -> Result<Metrics, TrainError>;

    /// The videos that could not be read since the last call, in training or validation.
    fn take_failures(&mut self) -> Vec<Failure> {
        vec![]
    }
}

/// A task whose result is a run folder.
pub trait Training: Task {
    /// What is doubtful about the data, for people.
    fn doubts(&self) -> &[String];

    /// What was taken over from the run to begin with.
    fn started(&self) -> Option<&Started>;

    /// The model that the run folder holds.
    fn model(&self) -> &Net;

    /// The run's description, for exporting what was trained: videos are prepared as training prepared them. `command` is what
    /// was called.
    fn run_config(&self, command: &str) -> RunConfig;
}

/// So many of an epoch's failures are named in `metrics.jsonl`; all are counted.
const NAMED: usize = 20;

/// Which epoch the run is left with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// That of the lowest validation loss.
    #[default]
    Best,
    /// The last: where there is nothing to validate on but what is tested.
    Last,
}

/// Settings of the loop. The defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// Epochs in all.
    pub epochs: usize,
    /// The optimiser.
    pub sgd: SgdConfig,
    /// How its rate falls.
    pub schedule: Schedule,
    /// Batches that a step takes together, for batches larger than memory.
    pub accumulate: usize,
    /// In what precision convolutions are computed.
    pub precision: Precision,
    /// Which epoch the run is left with.
    pub keep: Keep,
    /// Seconds between snapshots within an epoch; at its end there is always one.
    pub snapshot_every_s: f64,
}

impl Default for FitConfig {
    fn default() -> Self {
        let (sgd, schedule) = (SgdConfig::default(), Schedule::default());
        FitConfig {
            epochs: 100,
            sgd,
            schedule,
            accumulate: 1,
            precision: Precision::default(),
            keep: Keep::default(),
            snapshot_every_s: 600.0,
        }
    }
}

/// What happens, for whoever watches.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Training goes on from a snapshot.
    Resumed {
        /// Where it stood.
        epoch: usize,
        /// Where it stood.
        step: usize,
    },
    /// A step is done.
    Step {
        /// From 0.
        epoch: usize,
        /// Done in this epoch.
        step: usize,
        /// Steps of the epoch.
        steps: usize,
        /// The learning rate of the model's fastest layers.
        lr: f64,
        /// Of this step.
        metrics: &'a Metrics,
    },
    /// Videos of an epoch that could not be read, where there were some. Comes before the epoch is over.
    Failed {
        /// From 0.
        epoch: usize,
        /// Each once.
        failures: &'a [Failure],
    },
    /// An epoch is over: a line of `metrics.jsonl`.
    Epoch(&'a Value),
}

/// Called for every event; `Break` makes a snapshot and ends.
pub type Watch<'a> = dyn Fn(Event<'_>) -> ControlFlow<()> + 'a;

/// How training ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All epochs are over; the lowest validation loss and its epoch.
    Finished {
        /// Lowest validation loss.
        best_loss: f64,
        /// Its epoch, from 0.
        best_epoch: usize,
    },
    /// The watcher said so; the same call goes on.
    Interrupted {
        /// The epoch in work.
        epoch: usize,
        /// Steps of it that are done.
        step: usize,
    },
}

/// Trains, from the newest snapshot in `dir/checkpoint` where there is one. Interrupted and called again, it computes the
/// same numbers as without interruption.
///
/// Writes `metrics.jsonl`, a line per epoch, the same for TensorBoard in `tensorboard/`, and `checkpoint/`: the last two
/// snapshots and the best.
///
/// # Errors
/// [`TrainError::OtherConfig`] when the snapshot is of a run with another config; whatever the task reports.
pub fn fit(
    task: &mut dyn Task,
    config: &FitConfig,
    run_config: &Value,
    dir: &Path,
    watch: &Watch<'_>,
) -> Result<Outcome, TrainError> {
    let snapshots = Snapshots::open(&dir.join(CHECKPOINT))?;
    let mut sgd = Sgd::new(config.sgd);
    let mut progress = Progress {
        epoch: 0,
        step: 0,
        schedule: Default::default(),
        best: None,
        sums: Metrics::new(),
        skipped: 0,
        failures: vec![],
        config: run_config.clone(),
    };
    if let Some(newest) = newest(&snapshots)? {
        let found = read_progress(&newest)?.config;
        let mut differences = json_differences("", &found, run_config);
        // How many videos may fail changes no number: after an error it may be raised.
        differences.retain(|difference| !difference.starts_with("max_failed: "));
        if !differences.is_empty() {
            return Err(TrainError::OtherConfig { path: newest, differences: differences.join("; ") });
        }
        progress = load(&newest, &task.nets(), &mut sgd)?;
        let (epoch, step) = (progress.epoch, progress.step);
        let _ = watch(Event::Resumed { epoch, step });
    }
    let log = dir.join("metrics.jsonl");
    cut_log(&log, progress.epoch)?;

    let mut curves = EventFile::create(&dir.join("tensorboard"))?;
    let mut saved = Instant::now();
    while progress.epoch < config.epochs {
        let (epoch, steps) = (progress.epoch, task.steps());
        sgd.config.lr = config.sgd.lr * progress.schedule.factor;
        task.start_epoch(epoch, progress.step)?;
        sgd.rates = task.rates(epoch);
        let lr = task.nets().first().map_or(sgd.config.lr, |(_, model)| sgd.fastest(0, model));
        let start = Instant::now();
        while progress.step < steps {
            let metrics = task.step(&mut sgd).map_err(|error| error.at(epoch, progress.step + 1))?;
            progress.step += 1;
            progress.skipped += usize::from(metrics.is_empty());
            progress.failed(task.take_failures());
            for (name, value) in &metrics {
                *progress.sums.entry(name.clone()).or_default() += value;
            }
            let step = progress.step;
            let stop = watch(Event::Step { epoch, step, steps, lr, metrics: &metrics }).is_break();
            if stop || saved.elapsed() > Duration::from_secs_f64(config.snapshot_every_s) {
                snapshots.save(&task.nets(), &sgd, &progress).map_err(|error| error.at(epoch, step))?;
                saved = Instant::now();
            }
            if stop {
                return Ok(Outcome::Interrupted { epoch, step });
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let validated = task.validate()?;
        let loss = validated.get("loss").copied().unwrap_or(f64::NAN);
        if !loss.is_finite() {
            return Err(TrainError::Diverged { what: "validation", value: loss }.at(epoch, steps));
        }
        progress.failed(task.take_failures());
        let done = steps.saturating_sub(progress.skipped).max(1) as f64;
        let means: Metrics = progress.sums.iter().map(|(name, sum)| (name.clone(), sum / done)).collect();
        let waited_s = progress.sums.get("waited_s").copied().unwrap_or(0.0);
        let line = json!({
            "epoch": epoch, "lr": lr, "train": means, "val": validated,
            "seconds": seconds, "waited_s": waited_s,
            "failed": progress.failures.len(), "failures": progress.failures.iter().take(NAMED).collect::<Vec<_>>(),
        });
        append(&log, &line)?;
        let named = |part: &'static str, values: &Metrics| {
            values.iter().map(move |(name, value)| (format!("{part}/{name}"), *value)).collect::<Vec<_>>()
        };
        let lr = [("lr".to_string(), lr)];
        curves.scalars(epoch + 1, &[named("train", &means), named("val", &validated), lr.into()].concat())?;

        let is_kept = config.keep == Keep::Last || progress.best.is_none_or(|(best, _)| loss < best);
        config.schedule.advance(&mut progress.schedule, loss, config.epochs);
        let failures = std::mem::take(&mut progress.failures);
        (progress.epoch, progress.step, progress.skipped) = (epoch + 1, 0, 0);
        progress.sums.clear();
        if is_kept {
            progress.best = Some((loss, epoch));
            snapshots.save_best(&task.nets(), &progress).map_err(|error| error.at(epoch, steps))?;
        }
        snapshots.save(&task.nets(), &sgd, &progress).map_err(|error| error.at(epoch, steps))?;
        saved = Instant::now();
        if !failures.is_empty() {
            let _ = watch(Event::Failed { epoch, failures: &failures });
        }
        if watch(Event::Epoch(&line)).is_break() && progress.epoch < config.epochs {
            return Ok(Outcome::Interrupted { epoch: progress.epoch, step: 0 });
        }
    }
    let (best_loss, best_epoch) = progress.best.unwrap_or((f64::NAN, 0));
    Ok(Outcome::Finished { best_loss, best_epoch })
}

/// The newest snapshot that can be read. A damaged one, which a failing disk may leave, is passed over when there is an
/// older one.
fn newest(snapshots: &Snapshots) -> Result<Option<std::path::PathBuf>, TrainError> {
    let mut paths = snapshots.list()?;
    while let Some(path) = paths.pop() {
        if paths.is_empty() || read_progress(&path).is_ok() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Leaves the lines of epochs before `epoch`: later ones belong to work that is done again.
fn cut_log(path: &Path, epoch: usize) -> Result<(), TrainError> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    let is_kept = |line: &&str| {
        serde_json::from_str::<Value>(line)
            .is_ok_and(|line| line["epoch"].as_u64().is_some_and(|e| (e as usize) < epoch))
    };
    let kept: String = text.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect();
    if kept == text { Ok(()) } else { write_whole(path, kept.as_bytes()) }
}

fn append(path: &Path, line: &Value) -> Result<(), TrainError> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{line}")).map_err(TrainError::io(path))
}
