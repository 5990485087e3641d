//! Predictions of a classifier.

use std::io::Write;
use std::num::NonZero;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use unscene_engine::{Classification, ClassifyOptions, Crops, Model};
use unscene_media::Source;

use super::server::Query;
use super::{Bar, PredictArgs, keep, warn_of_damage, with_file};
use crate::interrupt;

/// What is only asked of classifiers.
#[derive(Args)]
#[command(next_help_heading = "With a classifier")]
pub struct ClassifyArgs {
    /// Number of classes to print [default: 5]
    #[arg(long, value_name = "K")]
    top_k: Option<NonZero<usize>>,
    /// Parts of the picture that are classified and averaged: center, or three along the longer side [default: center]
    #[arg(long, conflicts_with = "url")]
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

/// What a model here says of a video.
pub fn find(model: &Model, path: &Path, args: &PredictArgs) -> Result<Classification> {
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
    });
    Ok(found?)
}

/// The same for a service; what is not said is as here.
pub fn query(args: &PredictArgs) -> Query {
    let ClassifyArgs { top_k, clips, .. } = &args.classify;
    let top_k = top_k.map(|count| ("top_k", count.to_string()));
    let stride = args.stride_frames.map(|frames| ("stride_frames", frames.to_string()));
    let clips = clips.then(|| ("clips", "true".into()));
    [top_k, stride, clips].into_iter().flatten().collect()
}

/// Prints what was found in a video, and keeps it.
pub fn show(path: &Path, found: &Classification, args: &PredictArgs) -> Result<()> {
    warn_of_damage(path, &found.video);
    print(path, found, args.json)?;
    keep(path, found, args)
}

fn print(path: &Path, found: &Classification, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
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
