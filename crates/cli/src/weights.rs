//! `unscene init` and `unscene import`: the two ways to a run folder before there is training.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use unscene_models::run::RunModel;
use unscene_train::ImportReport;

use crate::graph::ModelArgs;

/// Arguments of `unscene init`.
#[derive(Args)]
pub struct InitArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    classes: Classes,
    #[command(flatten)]
    task: TaskArgs,
    /// Seed of the random weights; the same seed gives the same weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run folder to make
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct TaskArgs {
    /// What the model is for
    #[arg(long, value_enum, default_value_t = ModelTask::Classify)]
    task: ModelTask,
}

impl TaskArgs {
    fn model(&self, args: &ModelArgs, classes: usize) -> Result<RunModel> {
        Ok(match self.task {
            ModelTask::Classify => args.config(classes).into(),
            ModelTask::Localize => args.localizer(classes)?.into(),
            ModelTask::Detect => args.detector(classes)?.into(),
        })
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ModelTask {
    /// Names the action of a video
    Classify,
    /// Finds actions in long videos (R-C3D)
    Localize,
    /// Finds who does what in a frame (SSD)
    Detect,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Classes {
    /// Number of classes; they are named class_0, class_1, ...
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Text file with one class name a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

/// Arguments of `unscene import`.
#[derive(Args)]
pub struct ImportArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Checkpoint: .pth or .pt of PyTorch (a state_dict, bare or under "state_dict"), or .safetensors
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Text file with one class name a line, in the order of the checkpoint's outputs
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Run folder to make
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Makes a run folder with random weights.
pub fn init(args: InitArgs) -> Result<()> {
    let labels = match (&args.classes.classes, &args.classes.labels) {
        (Some(count), _) => (0..*count).map(|index| format!("class_{index}")).collect(),
        (None, Some(path)) => read_labels(path)?,
        (None, None) => bail!("give --classes N or --labels FILE"),
    };
    let model = args.task.model(&args.model, labels.len())?;
    let config = unscene_train::init_run(model, labels, args.seed, &args.out)?;
    let (run, model, seed) = (args.out.display().to_string(), &config.model, args.seed);
    let parameters = model.graph()?.trainable_params();
    let mut out = std::io::stdout().lock();
    if args.json {
        let model = &json!(config)["model"];
        writeln!(out, "{:#}", json!({"run": run, "model": model, "parameters": parameters, "seed": seed}))?;
    } else {
        let (task, arch, classes) = (model.task(), model.arch(), model.classes());
        writeln!(out, "wrote {run}: {arch} to {task}, {classes} classes, {parameters} random parameters, seed {seed}")?;
    }
    Ok(())
}

/// Makes a run folder from a checkpoint.
pub fn import(args: ImportArgs) -> Result<()> {
    let labels = read_labels(&args.labels)?;
    let model = args.task.model(&args.model, labels.len())?;
    let report = unscene_train::import_run(model, &args.weights, labels, &args.out)?;
    let run = args.out.display().to_string();
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{:#}", json!({"run": run, "imported": report}))?,
        false => writeln!(out, "wrote {run}: {}", describe(&report))?,
    }
    Ok(())
}

fn describe(report: &ImportReport) -> String {
    let ImportReport { format, tensors, values, converted, stripped, ignored, heads, reduced, new, sha256 } = report;
    let mut text = format!("{tensors} tensors, {values} values from a {format} file (SHA-256 {sha256})");
    for (dtype, count) in converted {
        text += &format!("\n  {count} tensors of {dtype} became float32");
    }
    if *stripped > 0 {
        text += &format!("\n  {stripped} names lost 'module.' in front");
    }
    let (counters, others): (Vec<_>, Vec<_>) = ignored.iter().partition(|name| name.ends_with("num_batches_tracked"));
    if !counters.is_empty() {
        text += &format!("\n  {} counters (num_batches_tracked) were left out", counters.len());
    }
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|name| name.as_str()).collect();
        text += &format!("\n  not weights, left out: {}", names.join(", "));
    }
    if !heads.is_empty() {
        text += &format!("\n  heads that the model does not have, left out: {}", heads.join(", "));
    }
    if !reduced.is_empty() {
        text += &format!("\n  reduced: {}", reduced.join(", "));
    }
    if !new.is_empty() {
        text += &format!("\n  not in this file of a backbone, beginning with random weights: {}", new.join(", "));
    }
    text
}

fn read_labels(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read labels from {}", path.display()))?;
    let Ok(text) = String::from_utf8(bytes) else {
        bail!("{}: this is no UTF-8 text; expected one class name a line", path.display());
    };
    // Editors on Windows mark UTF-8 at the start, and many end a file with empty lines.
    let text = text.trim_start_matches('\u{feff}').trim_end();
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    if let Some(empty) = labels.iter().position(String::is_empty) {
        bail!("{}: line {} is empty; expected one class name a line", path.display(), empty + 1);
    }
    if labels.is_empty() {
        bail!("{}: no labels; expected one class name a line", path.display());
    }
    let mut lines = HashMap::new();
    for (line, label) in labels.iter().enumerate() {
        if let Some(first) = lines.insert(label, line) {
            bail!(
                "{}: lines {} and {} are both {label:?}; class names must differ",
                path.display(),
                first + 1,
                line + 1
            );
        }
    }
    Ok(labels)
}
