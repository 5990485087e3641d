//! `unscene pretrain`: the three losses, from a config.

use anyhow::Result;
use clap::Args;
use unscene_train::pretrain::{PretrainConfig, Pretraining};

use crate::config;
use crate::training::{TrainingArgs, train_run};

/// Arguments of `unscene pretrain`.
#[derive(Args)]
#[command(after_help = "\
The config is a TOML file; examples/pretrain_stage.toml explains each setting. Without [[adversary]] and [confusion] it trains the baseline. --preset fills in what the config leaves open, --set changes single settings; --print-config shows what comes out.
--out is a run folder: config.json and weights.safetensors of the epoch with the lowest validation loss, metrics.jsonl with a line per epoch, and checkpoint/ to go on from. Ctrl-C makes a snapshot and ends; --resume goes on and computes the same numbers.

Example:
  unscene stage --out stage --preset demo
  unscene pretrain --config examples/pretrain_stage.toml --out runs/baseline
  unscene export --onnx --run runs/baseline --out bundles/baseline
  unscene pretrain --preset paper --set data.format=ucf101 --set data.annotations=ucfTrainTestlist --set data.videos=UCF-101 \\
      --set model.classes=101 --set val_part=test --device cuda:0 --out runs/ucf101")]
pub struct PretrainArgs {
    #[command(flatten)]
    training: TrainingArgs,
}

/// Trains, and writes the run folder.
pub fn run(args: PretrainArgs) -> Result<()> {
    let table = config::read(args.training.preset, args.training.config.as_deref(), &args.training.settings)?;
    let config: PretrainConfig = config::parse(table, args.training.config.as_deref())?;
    train_run(&config, &config.fit, &args.training, "pretrain", |workers, device| {
        Pretraining::new(config.clone(), workers, device)
    })
}
