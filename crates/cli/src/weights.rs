//! `unscene init` and `unscene import`: the two ways to a run folder before there is training.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::graph::ModelArgs;

/// Arguments of `unscene init`.
#[derive(Args)]
pub struct InitArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    classes: Classes,
    /// Seed of the random weights; the same seed gives the same weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run folder to make
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Classes {
    /// Number of classes; they are named class_0, class_1, ...
    #[arg(long)]
    classes: Option<usize>,
    /// Text file with one class name a line
    #[arg(long)]
    labels: Option<PathBuf>,
}

/// Arguments of `unscene import`.
#[derive(Args)]
pub struct ImportArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Checkpoint: .pth or .pt of PyTorch (a state_dict, bare or under "state_dict"), or .safetensors
    #[arg(long)]
    weights: PathBuf,
    /// Text file with one class name a line, in the order of the checkpoint's outputs
    #[arg(long)]
    labels: PathBuf,
    /// Run folder to make
    #[arg(long)]
    out: PathBuf,
}

/// Makes a run folder with random weights.
pub fn init(args: InitArgs) -> Result<()> {
    let labels = match (&args.classes.classes, &args.classes.labels) {
        (Some(count), _) => (0..*count).map(|index| format!("class_{index}")).collect(),
        (None, Some(path)) => read_labels(path)?,
        (None, None) => bail!("give --classes N or --labels FILE"),
    };
    unscene_train::init_run(args.model.config(labels.len()), labels, args.seed, &args.out)?;
    println!("{}", args.out.display());
    Ok(())
}

/// Makes a run folder from a checkpoint.
pub fn import(args: ImportArgs) -> Result<()> {
    let labels = read_labels(&args.labels)?;
    unscene_train::import_run(args.model.config(labels.len()), &args.weights, labels, &args.out)?;
    println!("{}", args.out.display());
    Ok(())
}

fn read_labels(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read labels from {}", path.display()))?;
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    if let Some(empty) = labels.iter().position(String::is_empty) {
        bail!("{}: line {} is empty; expected one class name a line", path.display(), empty + 1);
    }
    if labels.is_empty() {
        bail!("{}: no labels; expected one class name a line", path.display());
    }
    Ok(labels)
}
