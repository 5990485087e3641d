//! Predictions of a classifier.

use std::io::Write;
use std::num::NonZero;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use unscene_engine::{Classification, ClassifyOptions, Crops, Model};
use unscene_media::Source;

use super::{Bar, PredictArgs, warn_of_damage, with_file};
use crate::interrupt;

/// What is only asked of classifiers.
#[derive(Args)]
#[command(next_help_heading = "With the bundle of a classifier")]
pub struct ClassifyArgs {
    /// Number of classes to print [default: 5]
    #[arg(long, value_name = "K")]
    top_k: Option<NonZero<usize>>,
    /// Parts of the picture that are classified and averaged: center, or three along the longer side [default: center]
    #[arg(long)]
    crops: Option<Crops>,
    /// Also give the scores of every clip, with its times
    #[arg(long)]
    clips: bool,
}

impl ClassifyArgs {
    /// An option that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        let given = [("--top-k", self.top_k.is_some()), ("--crops", self.crops.is_some()), ("--clips", self.clips)];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

pub fn predict(model: &Model, path: &Path, args: &PredictArgs) -> Result<()> {
    let ClassifyArgs { top_k, crops, clips } = &args.classify;
    let defaults = ClassifyOptions::default();
    let options = ClassifyOptions {
        top_k: top_k.map_or(defaults.top_k, NonZero::get),
        stride_frames: args.stride_frames,
        crops: crops.unwrap_or_default(),
        clips: *clips,
        ..defaults
    };
    let mut bar = Bar::new(path);
    let source = Source::Path(path.to_path_buf());
    let found = model.classify(&source, &options, &mut |progress| {
        bar.update(progress);
        interrupt::control()
    })?;
    drop(bar);
    print(path, &found, args.json)
}

fn print(path: &Path, found: &Classification, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    warn_of_damage(path, &found.video);
    if json {
        writeln!(out, "{}", with_file(path, found)?)?;
        return Ok(());
    }
    writeln!(out, "{} ({} clips, {} on {})", path.display(), found.video.clips, found.engine, found.device)?;
    for prediction in &found.predictions {
        writeln!(out, "  {:>7.3} %  {}", prediction.score * 100.0, prediction.label)?;
    }
    for clip in found.clips.iter().flatten() {
        write!(out, "  {:>8.2} s .. {:>8.2} s", clip.start_s, clip.end_s)?;
        if let Some(best) = clip.predictions.first() {
            write!(out, "  {:>7.3} %  {}", best.score * 100.0, best.label)?;
        }
        writeln!(out)?;
    }
    Ok(())
}
