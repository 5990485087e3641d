//! `unscene finetune classify`: what a run has learned, to name the actions of another dataset.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use toml::{Table, Value};
use unscene_data::formats::DatasetSpec;
use unscene_models::run::RunFolder;
use unscene_train::pretrain::{PretrainConfig, Pretraining};

use super::{check_model, refuse_parts, start_with};
use crate::config;
use crate::training::{TrainingArgs, train_run};

/// Arguments of `unscene finetune classify`.
#[derive(Args)]
#[command(after_help = "\
The classifier of the run and its adversaries are dropped, everything before is taken over, and what was loaded is printed. The model's form (architecture, frames, size, fps) is the run's; its classes are the dataset's. Without --from it begins with random weights, and the config says the form ([model]).
The config is that of `unscene pretrain`, without adversaries and confusion: [data], [augmentation], [fit]. start.old_lr_factor gives layers that are taken over a learning rate of their own.

Examples:
  unscene finetune classify --from runs/debiased --preset paper --set data.format=ucf101 --set data.annotations=ucfTrainTestlist \\
      --set data.videos=UCF-101 --set val_part=test --out runs/ucf101-1
  unscene finetune classify --from runs/debiased --from-layer layer4 --config my.toml --out runs/mine")]
pub struct ClassifyArgs {
    /// Run to begin with, from `unscene pretrain` or `unscene import` [default: random weights]
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Train only from this layer on, such as layer4 (the paper's conv5) or fc
    #[arg(long, value_name = "LAYER", requires = "from")]
    from_layer: Option<String>,
    #[command(flatten)]
    training: TrainingArgs,
}

/// Trains, and writes the run folder.
pub fn run(args: ClassifyArgs) -> Result<()> {
    let file = args.training.config.as_deref();
    let mut table = config::read(args.training.preset, file, &args.training.settings)?;
    refuse_parts(&table, "with the cross-entropy of its labels alone")?;
    // What people ask for, and not what a preset fills in.
    let asked = config::read(None, file, &args.training.settings)?;
    let asked = asked.get("model").and_then(Value::as_table);
    if let Some(from) = &args.from {
        let run = RunFolder::new(from).read_config()?;
        // The form of clips is what the weights were trained with.
        let model = run.model.classifier().with_context(|| from.display().to_string())?;
        let model = Table::try_from(model)?;
        check_model(asked, &model).with_context(|| from.display().to_string())?;
        table.insert("model".into(), model.into());
        if let Some(fps) = run.fps {
            table.entry("fps").or_insert(fps.into());
        }
        let start = start_with(&mut table, from)?;
        start.entry("new_layers").or_insert_with(|| vec!["fc"].into());
        if let Some(layer) = &args.from_layer {
            start.insert("from_layer".into(), by_parameter(layer).into());
        }
    }
    let data = table.get("data").cloned().context("the config has no [data], which names the dataset")?;
    let data: DatasetSpec = data.try_into().context("[data]")?;
    if let Some(model) = table.get_mut("model").and_then(Value::as_table_mut) {
        let classes = Value::try_from(data.load()?.labels.len())?;
        if let Some(found) = asked.and_then(|asked| asked.get("classes")).filter(|found| **found != classes) {
            bail!("model.classes is {found}, and the dataset has {classes} labels; leave it out");
        }
        model.insert("classes".into(), classes);
    }
    let config: PretrainConfig = config::parse(table, file)?;
    train_run(&config, &config.fit, &args.training, "finetune classify", |workers, device| {
        Pretraining::new(config.clone(), workers, device)
    })
}

/// The paper counts conv1 to conv5; parameters are called conv1 and layer1 to layer4.
fn by_parameter(layer: &str) -> String {
    let number = layer.strip_prefix("conv").and_then(|number| number.parse::<usize>().ok());
    number.filter(|number| *number > 1).map_or(layer.to_string(), |number| format!("layer{}", number - 1))
}
