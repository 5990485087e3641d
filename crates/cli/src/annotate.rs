//! `unscene annotate`: scenes and people of a dataset, found once by other models and kept in a file.

mod preview;
mod stage;

use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde_json::json;
use unscene_annotate::{AnnotateOptions, FrameModel, ImportOptions, Report, annotate, import, read_labels};
use unscene_data::{CacheKind, Item, Looks};
use unscene_engine::{DeviceChoice, EngineChoice, EngineOptions};

use crate::data::DatasetArgs;
use crate::interrupt;

/// Arguments of `unscene annotate`.
#[derive(Args)]
pub struct AnnotateArgs {
    #[command(subcommand)]
    command: AnnotateCommand,
}

#[derive(Subcommand)]
enum AnnotateCommand {
    /// Gives every video a distribution over scenes, with an ONNX classifier
    Scenes(ScenesArgs),
    /// Finds the people in every video, with an ONNX detector
    People(PeopleArgs),
    /// Takes over the scenes or people that the paper's release (SDN) found
    Import(ImportArgs),
    /// Writes the exact truth of a Stage set into caches
    Truth(stage::TruthArgs),
    /// Draws what caches say: boxes, masked frames, the likeliest scenes
    Preview(preview::PreviewArgs),
    /// Compares a cache with the exact truth of a Stage set
    Compare(stage::CompareArgs),
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Cache to write; an unfinished one of the same model and settings is continued
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Frames that the model looks at together, where it can
    #[arg(long, default_value_t = 16, value_name = "N")]
    batch: usize,
    /// Threads that decode; 0 is one per core
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Share of the videos that may be unreadable
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    max_failed: f64,
    /// auto, ort or tract
    #[arg(long, default_value_t = EngineChoice::Auto)]
    engine: EngineChoice,
    /// auto, cpu, cuda:N or tensorrt:N
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Threads of the engine; 0 is one per core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `unscene annotate scenes`.
#[derive(Args)]
#[command(after_help = "\
The model is an ONNX classifier with a config (see examples/scenes_squeezenet_places365.json), or a bundle of a network of single frames that `unscene export` wrote, which needs none.
The cache is a SQLite file: the likeliest scene of every video is in the table `scenes`.

Example:
  unscene annotate scenes --model places365.onnx --config examples/scenes_squeezenet_places365.json --labels categories_places365.txt \\
      --format ucf101 --annotations ucfTrainTestlist --videos UCF-101 --out ucf101-scenes.sqlite")]
struct ScenesArgs {
    /// ONNX file, or bundle
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// How the model wants its pictures, and what its output means
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Names of the scenes, one per line [default: the config's]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Frames looked at per second of video
    #[arg(long, default_value_t = 1.0, value_name = "FPS")]
    fps: f64,
    #[command(flatten)]
    run: RunArgs,
}

/// Arguments of `unscene annotate people`.
#[derive(Args)]
#[command(after_help = "\
The config says the form of the detector's outputs: torchvision, yolo or distance_maps (PicoDet, NanoDet). See examples/people_picodet.json and examples/people_yolo.json.
Boxes of a frame hold until the next frame that was looked at.

Example:
  unscene annotate people --model picodet.onnx --config examples/people_picodet.json --annotations my-videos.csv --out people.sqlite")]
struct PeopleArgs {
    /// ONNX file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// How the model wants its pictures, and what its outputs mean
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Look at every K-th frame
    #[arg(long, default_value_t = 4, value_name = "K")]
    every: usize,
    #[command(flatten)]
    run: RunArgs,
}

/// Arguments of `unscene annotate import`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  unscene annotate import scenes --npy places_data/*train*.npy --labels categories_places365.txt \\
      --format json --annotations kinetics.json --videos jpg --part train --out kinetics-scenes.sqlite
  unscene annotate import people --npy detections/detection_train_merged_rearranged.npy --picture-height 240 \\
      --format kinetics --annotations kinetics400 --videos k400 --part train --out kinetics-people.sqlite")]
struct ImportArgs {
    /// What the files hold
    kind: ImportKind,
    /// NumPy files of the release
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    npy: Vec<PathBuf>,
    /// Names of the scenes, one per line
    #[arg(long, value_name = "FILE", required_if_eq("kind", "scenes"))]
    labels: Option<PathBuf>,
    /// Height of the pictures that boxes are in, 240 in the release [default: the videos' own]
    #[arg(long, value_name = "PX")]
    picture_height: Option<NonZero<u32>>,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Cache to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Share of the videos that may be unreadable, or absent from the files
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    max_failed: f64,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ImportKind {
    /// places_data: probabilities of scenes
    Scenes,
    /// detections: boxes of people
    People,
}

/// Runs `unscene annotate`.
pub fn run(args: AnnotateArgs) -> Result<()> {
    // Loading a model takes a while, and is not the moment to end without a word.
    interrupt::listen()?;
    match args.command {
        AnnotateCommand::Scenes(args) => {
            if !(args.fps > 0.0 && args.fps <= 1000.0) {
                bail!("--fps: found {}, expected above 0 and at most 1000", args.fps);
            }
            let engine = args.run.engine_options();
            let model = FrameModel::scenes(&args.model, args.config.as_deref(), args.labels.as_deref(), &engine)?;
            annotate_with(model, Looks::PerSecond(args.fps), &args.run)
        }
        AnnotateCommand::People(args) => {
            if args.every == 0 {
                bail!("--every: found 0, expected at least 1");
            }
            let model = FrameModel::people(&args.model, &args.config, &args.run.engine_options())?;
            annotate_with(model, Looks::Every(args.every), &args.run)
        }
        AnnotateCommand::Import(args) => import_from(&args),
        AnnotateCommand::Truth(args) => stage::truth(&args),
        AnnotateCommand::Preview(args) => preview::draw(&args),
        AnnotateCommand::Compare(args) => stage::compare(&args),
    }
}

impl RunArgs {
    fn engine_options(&self) -> EngineOptions {
        let (engine, device, threads) = (self.engine, self.device, self.threads);
        EngineOptions { engine, device, threads, ..EngineOptions::default() }
    }
}

fn annotate_with(mut model: FrameModel, looks: Looks, args: &RunArgs) -> Result<()> {
    let start = Instant::now();
    if !(1..=1024).contains(&args.batch) || !(0.0..=1.0).contains(&args.max_failed) {
        bail!("--batch must be from 1 to 1024 and --max-failed from 0 to 1");
    }
    let dataset = args.dataset.load()?;
    let missing: usize = dataset.parts.iter().map(|part| part.missing.len()).sum();
    let items: Vec<Item> = dataset.parts.into_iter().flat_map(|part| part.items).collect();
    if items.is_empty() {
        bail!("none of the {missing} videos listed is there; check --videos");
    }
    let bar = ProgressBar::new(items.len() as u64);
    let style = "annotating {wide_bar} {pos}/{len} videos, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    let options = AnnotateOptions { looks, batch: args.batch, workers: args.workers, max_failed: args.max_failed };
    let report = annotate(&mut model, &items, &options, &args.out, &|progress| {
        bar.set_position(progress.videos as u64);
        bar.set_message(format!("{:.0} frames/s", progress.frames as f64 / start.elapsed().as_secs_f64()));
        interrupt::control()
    });
    bar.finish_and_clear();
    print(&report?, &args.out, start, missing, &model.runs_on(), args.json)
}

fn import_from(args: &ImportArgs) -> Result<()> {
    let start = Instant::now();
    if !(0.0..=1.0).contains(&args.max_failed) {
        bail!("--max-failed must be from 0 to 1");
    }
    let dataset = args.dataset.load()?;
    let missing: usize = dataset.parts.iter().map(|part| part.missing.len()).sum();
    let items: Vec<Item> = dataset.parts.into_iter().flat_map(|part| part.items).collect();
    let options = ImportOptions {
        labels: args.labels.as_deref().map(read_labels).transpose()?.unwrap_or_default(),
        picture_height: args.picture_height.map(NonZero::get),
        max_failed: args.max_failed,
    };
    let kind = match args.kind {
        ImportKind::Scenes => CacheKind::Scenes,
        ImportKind::People => CacheKind::People,
    };
    let report = import(kind, &args.npy, &items, &dataset.labels, &options, &args.out)?;
    print(&report, &args.out, start, missing, "imported", args.json)
}

/// What was done, for people or programs.
fn print(report: &Report, out_path: &Path, start: Instant, missing: usize, how: &str, as_json: bool) -> Result<()> {
    let Report { videos, kept, frames, people, frames_with_people, failures } = report;
    let mut out = std::io::stdout().lock();
    if as_json {
        let report = json!({
            "cache": out_path, "videos": videos, "kept": kept, "missing": missing, "frames": frames, "people": people,
            "frames_with_people": frames_with_people, "unreadable": failures, "engine": how,
        });
        writeln!(out, "{report:#}")?;
        return Ok(());
    }
    if *videos == 0 && failures.is_empty() {
        writeln!(out, "{}: nothing to do, {kept} videos were done already", out_path.display())?;
        return Ok(());
    }
    let seconds = start.elapsed();
    let speed = *frames as f64 / seconds.as_secs_f64();
    writeln!(
        out,
        "wrote {}: {videos} videos, {frames} frames in {} ({speed:.0} frames/s, {how})",
        out_path.display(),
        HumanDuration(seconds),
    )?;
    if *frames_with_people > 0 {
        let share = *frames_with_people as f64 / *frames as f64 * 100.0;
        writeln!(out, "  {people} people, somebody in {share:.1} % of the frames")?;
    }
    if *kept > 0 {
        writeln!(out, "  {kept} videos were done already")?;
    }
    if missing > 0 {
        writeln!(out, "  {missing} videos are missing; `unscene data check` names them")?;
    }
    for failure in failures {
        writeln!(out, "  unreadable: {}", failure.reason)?;
    }
    Ok(())
}
