//! `unscene annotate truth` and `compare`: caches and the exact truth of a Stage set.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use unscene_annotate::{people_agreement, people_truth, scene_agreement, scene_truth};

/// Arguments of `unscene annotate truth`.
#[derive(Args)]
pub struct TruthArgs {
    /// Folder that `unscene stage` made
    #[arg(long, value_name = "DIR")]
    stage: PathBuf,
    /// Cache of scenes to write
    #[arg(long, value_name = "FILE", required_unless_present = "people")]
    scenes: Option<PathBuf>,
    /// Cache of people to write
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
}

/// Arguments of `unscene annotate compare`.
#[derive(Args)]
pub struct CompareArgs {
    /// Folder that `unscene stage` made
    #[arg(long, value_name = "DIR")]
    stage: PathBuf,
    /// Cache of its scenes
    #[arg(long, value_name = "FILE")]
    scenes: Option<PathBuf>,
    /// Cache of its people
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Writes the truth.
pub fn truth(args: &TruthArgs) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(cache) = &args.scenes {
        let videos = scene_truth(&args.stage, cache)?;
        writeln!(out, "wrote {}: the scenes of {videos} videos", cache.display())?;
    }
    if let Some(cache) = &args.people {
        let videos = people_truth(&args.stage, cache)?;
        writeln!(out, "wrote {}: the people of {videos} videos", cache.display())?;
    }
    Ok(())
}

/// Prints how far caches agree with the truth.
pub fn compare(args: &CompareArgs) -> Result<()> {
    if args.scenes.is_none() && args.people.is_none() {
        bail!("name a cache by --scenes, --people or both");
    }
    let scenes = args.scenes.as_ref().map(|cache| scene_agreement(cache, &args.stage)).transpose()?;
    let people = args.people.as_ref().map(|cache| people_agreement(cache, &args.stage)).transpose()?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", json!({"scenes": scenes, "people": people}))?;
        return Ok(());
    }
    if let Some(found) = scenes {
        writeln!(out, "scenes of {} of {} videos", found.videos, found.of)?;
        writeln!(out, "  true scene is the likeliest  {:>5.1} %", found.accuracy * 100.0)?;
        writeln!(out, "  mean probability of it       {:>5.1} %", found.probability * 100.0)?;
        writeln!(
            out,
            "  purity of the labels         {:>5.1} %  ({} labels in use, {:.1} % by chance)",
            found.purity * 100.0,
            found.labels_used,
            found.chance * 100.0
        )?;
    }
    if let Some(found) = people {
        writeln!(out, "people of {} of {} videos, {} frames, at IoU 0.5", found.videos, found.of, found.frames)?;
        writeln!(out, "  people that are found        {:>5.1} %", found.recall * 100.0)?;
        writeln!(out, "  boxes that are right         {:>5.1} %", found.precision * 100.0)?;
        writeln!(out, "  mean overlap with the best   {:>5.3}", found.mean_iou)?;
        writeln!(out, "  part of a person covered     {:>5.1} %", found.covered * 100.0)?;
    }
    Ok(())
}
