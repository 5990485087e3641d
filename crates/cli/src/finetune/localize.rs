//! `unscene finetune localize`: what a run has learned, to find actions in long videos.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use toml::{Table, Value};
use unscene_data::untrimmed::UntrimmedSpec;
use unscene_models::rc3d::NEW_LAYERS;
use unscene_models::run::RunFolder;
use unscene_train::localize::{BatchNorm, LocalizeConfig, Localizing};

use super::{check_model, refuse_parts, set_classes, start_with};
use crate::config;
use crate::training::{TrainingArgs, train_run};

/// Arguments of `unscene finetune localize`.
#[derive(Args)]
#[command(after_help = "\
Trains R-C3D: the stages of the run up to layer3 look at buffers of frames, a new subnet proposes segments in them, and layer4 with a new classifier names these and corrects their ends. The run's classifier and adversaries are dropped. Its architecture, width and colours are kept; the frames of a buffer, their size, rate and the lengths of anchors are settings ([model], fps), so that short videos and small machines work. Without --from it begins with random weights, and [model] says the architecture.
The defaults are those of R-C3D.pytorch on THUMOS14: buffers of 768 frames at 25 fps, BatchNorm and the first layers as they were.

Examples:
  unscene finetune localize --from runs/debiased --preset thumos14 --set data.annotations=annotations --set data.videos=videos --out runs/thumos
  unscene stage --untrimmed --preset demo --bias 0.1 --out untrimmed
  unscene finetune localize --from runs/debiased --config examples/localize_stage.toml --out runs/localize
  unscene eval localize --run runs/localize --part test")]
pub struct LocalizeArgs {
    /// Run to begin with, from `unscene pretrain`, `finetune classify` or `import` [default: random weights]
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingArgs,
}

/// What a localizer takes over from the run to begin with; everything else of its model is a setting.
const TAKEN_OVER: [&str; 2] = ["arch", "width"];

/// Trains, and writes the run folder.
pub fn run(args: LocalizeArgs) -> Result<()> {
    let file = args.training.config.as_deref();
    let mut table = config::read(args.training.preset, file, &args.training.settings)?;
    refuse_parts(&table, "with the losses of proposals and segments")?;
    let asked = config::read(None, file, &args.training.settings)?;
    let asked = asked.get("model").and_then(Value::as_table);
    if let Some(from) = &args.from {
        let run = RunFolder::new(from).read_config()?;
        let classifier = run.model.classifier().with_context(|| from.display().to_string())?;
        let mut own = Table::try_from(classifier)?;
        own.retain(|name, _| TAKEN_OVER.contains(&name));
        let asked: Option<Table> = asked.map(|asked| {
            asked.iter().filter(|(name, _)| own.contains_key(*name)).map(|(n, v)| (n.clone(), v.clone())).collect()
        });
        check_model(asked.as_ref(), &own).with_context(|| from.display().to_string())?;
        let model = table.entry("model").or_insert_with(|| Table::new().into());
        model.as_table_mut().context("model: expected a table")?.extend(own);
        let start = start_with(&mut table, from)?;
        start.entry("new_layers").or_insert_with(|| vec![NEW_LAYERS].into());
    } else if table.get("batch_norm").and_then(Value::as_str) == Some("fixed") && !table.contains_key("start") {
        bail!(
            "batch_norm is \"fixed\", but there is no run whose statistics could stay: name one with --from, or leave it out"
        );
    }
    let data = table.get("data").cloned().context("the config has no [data], which names the annotations")?;
    let data: UntrimmedSpec = data.try_into().context("[data]")?;
    let dataset = data.load()?;
    set_classes(&mut table, asked, dataset.labels.len())?;
    let mut config: LocalizeConfig = config::parse(table, file)?;
    if config.start.is_none() {
        config.batch_norm = BatchNorm::Trained;
    }
    train_run(&config, &config.fit, &args.training, "finetune localize", |workers, device| {
        Localizing::new(config.clone(), dataset, workers, device)
    })
}
