//! `unscene finetune`: what a run has learned, on another dataset; a subcommand per task.

mod classify;
mod detect;
mod localize;

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use toml::{Table, Value};

/// Arguments of `unscene finetune`.
#[derive(Args)]
pub struct FinetuneArgs {
    #[command(subcommand)]
    command: FinetuneCommand,
}

#[derive(Subcommand)]
enum FinetuneCommand {
    /// Trains a classifier of actions
    Classify(classify::ClassifyArgs),
    /// Trains a localizer: where in long videos an action begins and ends
    Localize(localize::LocalizeArgs),
    /// Trains a detector: who does what in each frame
    Detect(detect::DetectArgs),
}

/// Trains, and writes the run folder.
pub fn run(args: FinetuneArgs) -> Result<()> {
    match args.command {
        FinetuneCommand::Classify(args) => classify::run(args),
        FinetuneCommand::Localize(args) => localize::run(args),
        FinetuneCommand::Detect(args) => detect::run(args),
    }
}

/// An error for parts of a config that only pretraining has.
fn refuse_parts(config: &Table, how: &str) -> Result<()> {
    match ["adversary", "confusion"].into_iter().find(|part| config.contains_key(*part)) {
        Some(part) => bail!("[{part}] belongs to `unscene pretrain`: a transfer trains {how}"),
        None => Ok(()),
    }
}

/// The table `start` of the config, which begins with a run.
fn start_with<'a>(config: &'a mut Table, from: &Path) -> Result<&'a mut Table> {
    let start = config.entry("start").or_insert_with(|| Table::new().into());
    let start = start.as_table_mut().context("start: expected a table")?;
    start.insert("run".into(), from.to_str().with_context(|| format!("{}: not Unicode", from.display()))?.into());
    Ok(start)
}

/// Gives the model of the config an output for each label. `asked` is what people ask of the model.
fn set_classes(config: &mut Table, asked: Option<&Table>, labels: usize) -> Result<()> {
    let classes = Value::try_from(labels)?;
    if let Some(found) = asked.and_then(|asked| asked.get("classes")).filter(|found| **found != classes) {
        bail!("model.classes is {found}, and the dataset has {classes} labels; leave it out");
    }
    let model = config.entry("model").or_insert_with(|| Table::new().into());
    model.as_table_mut().context("model: expected a table")?.insert("classes".into(), classes);
    Ok(())
}

/// What is asked of the model must be what the run has, its classes apart.
fn check_model(asked: Option<&Table>, run: &Table) -> Result<()> {
    for (name, found) in asked.into_iter().flatten().filter(|(name, _)| *name != "classes") {
        let number = |value: &Value| value.as_float().or(value.as_integer().map(|whole| whole as f64));
        let Some(own) = run.get(name) else { bail!("there is no setting model.{name}") };
        if own != found && (number(own).is_none() || number(own) != number(found)) {
            bail!("model.{name} is {found}, and the run's is {own}; a transfer keeps the run's model: leave it out");
        }
    }
    Ok(())
}
