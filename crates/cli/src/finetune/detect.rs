//! `unscene finetune detect`: what a run has learned, to find who does what in frames.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use toml::{Table, Value};
use unscene_data::actors::ActorSpec;
use unscene_models::classifier::Arch;
use unscene_models::run::RunFolder;
use unscene_train::detect::{DetectConfig, Detecting};

use super::{check_model, refuse_parts, set_classes, start_with};
use crate::config;
use crate::training::{TrainingArgs, train_run};

/// Arguments of `unscene finetune detect`.
#[derive(Args)]
#[command(after_help = "\
Trains SSD on VGG-16: the run's VGG-16, pretrained on single frames, gives maps of a frame; new layers behind it say for each of many prior boxes what is in it and how far to move it. The run's classifier and adversaries are dropped; its width and colours are kept. Without --from it begins with random weights.
[model] has width, batch_norm (as the run, or false), size, the side of the square that frames are stretched to (300 for SSD300, less for laptops), and prior_scales, the sizes of priors as shares of it.

Examples:
  unscene finetune detect --from runs/debiased-frames --preset ucf24 --set data.annotations=ucf24 --set data.videos=UCF101 --out runs/ucf24
  unscene stage --crowded --preset demo --bias 0.1 --train 3000 --out crowded
  unscene finetune detect --config examples/detect_stage.toml --out runs/detect")]
pub struct DetectArgs {
    /// Run to begin with, from `unscene pretrain` or `import` with the arch vgg16-ssd or vgg16bn-ssd [default: random weights]
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingArgs,
}

/// Layers that no VGG-16 has, by how their names start.
const NEW_LAYERS: [&str; 4] = ["L2Norm", "extras", "loc", "conf"];

/// Trains, and writes the run folder.
pub fn run(args: DetectArgs) -> Result<()> {
    let file = args.training.config.as_deref();
    let mut table = config::read(args.training.preset, file, &args.training.settings)?;
    refuse_parts(&table, "with the losses of boxes")?;
    let asked = table.get("model").and_then(Value::as_table).cloned();
    if let Some(from) = &args.from {
        let run = RunFolder::new(from).read_config()?;
        let classifier = run.model.classifier().with_context(|| from.display().to_string())?;
        let Arch::Vgg16Ssd { batch_norm } = classifier.arch else {
            bail!(
                "{}: found the arch {}, expected vgg16-ssd or vgg16bn-ssd: a detector begins with a VGG-16",
                from.display(),
                classifier.arch
            )
        };
        let own = [("width", Value::Float(classifier.width)), ("batch_norm", Value::Boolean(batch_norm))];
        let own = Table::from_iter(own.map(|(name, value)| (name.to_string(), value)));
        let asked = asked.as_ref().map(|asked| asked.iter().filter(|(name, _)| own.contains_key(*name)));
        let asked: Option<Table> =
            asked.map(|asked| asked.map(|(name, value)| (name.clone(), value.clone())).collect());
        check_model(asked.as_ref(), &own).with_context(|| from.display().to_string())?;
        let model = table.entry("model").or_insert_with(|| Table::new().into());
        model.as_table_mut().context("model: expected a table")?.extend(own);
        let start = start_with(&mut table, from)?;
        start.entry("new_layers").or_insert_with(|| NEW_LAYERS.map(Value::from).to_vec().into());
    }
    let data = table.get("data").cloned().context("the config has no [data], which names the annotations")?;
    let data: ActorSpec = data.try_into().context("[data]")?;
    let dataset = data.load()?;
    set_classes(&mut table, asked.as_ref(), dataset.labels.len())?;
    let config: DetectConfig = config::parse(table, file)?;
    train_run(&config, &config.fit, &args.training, "finetune detect", |workers, device| {
        Detecting::new(config.clone(), dataset, workers, device)
    })
}
