//! `unscene data`: looks at a dataset before weeks of training on it.

mod actors;
mod untrimmed;

use std::fmt;
use std::io::{StdoutLock, Write};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use unscene_data::actors::{ActorFormat, ActorSpec};
use unscene_data::formats::{DatasetSpec, Format};
use unscene_data::untrimmed::{Doubt, UntrimmedFormat, UntrimmedSpec};
use unscene_data::{CheckControl, CheckOptions, CheckReport, ClipForm, Dataset, PartReport, check, videos_to_check};

use crate::interrupt;

/// Lines of names shown of each kind; `--json` has all.
const SHOWN: usize = 5;

/// How a dataset is listed: labelled clips, long videos in which actions begin and end, or actors with a box in every frame.
#[derive(Clone, Copy)]
enum AnyFormat {
    Clips(Format),
    Untrimmed(UntrimmedFormat),
    Actors(ActorFormat),
}

impl fmt::Display for AnyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyFormat::Clips(format) => format.fmt(f),
            AnyFormat::Untrimmed(format) => format.fmt(f),
            AnyFormat::Actors(format) => format.fmt(f),
        }
    }
}

impl FromStr for AnyFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let special = text.parse().map(AnyFormat::Untrimmed).or_else(|_| text.parse().map(AnyFormat::Actors));
        let untrimmed = UntrimmedFormat::ALL.map(UntrimmedFormat::name).join(", ");
        let actors = ActorFormat::ALL.map(ActorFormat::name).join(", ");
        special.or_else(|_| {
            let clips = text.parse().map(AnyFormat::Clips);
            clips.map_err(|error| format!("{error}, or of untrimmed videos {untrimmed}, or of actors {actors}"))
        })
    }
}

/// The parts that training looks for where nothing else is set.
const TRAIN: &str = "train";
const VAL: &str = "val";

/// Arguments that name a dataset.
#[derive(Args)]
pub struct DatasetArgs {
    /// csv, ucf101, hmdb51, diving48, kinetics, mini-kinetics or json (3D-ResNets-PyTorch); for localization thumos14 or
    /// activitynet; for detection actors (this project's JSON), ucf24, gttubes (JHMDB-GT.pkl) or jhmdb
    #[arg(long, default_value_t = AnyFormat::Clips(Format::Csv))]
    format: AnyFormat,
    /// The list, or the folder of lists
    #[arg(long, value_name = "PATH")]
    annotations: PathBuf,
    /// Folder that the lists' paths start at; ucf101 needs it [default: that of the lists]
    #[arg(long, value_name = "DIR")]
    videos: Option<PathBuf>,
    /// Number of the official split, for ucf101, hmdb51, ucf24, gttubes and jhmdb
    #[arg(long, default_value_t = 1, value_name = "N")]
    split: u32,
    /// Only this part, such as train; repeat for several [default: all]
    #[arg(long = "part", value_name = "NAME")]
    parts: Vec<String>,
}

impl DatasetArgs {
    /// Reads the lists.
    pub fn load(&self) -> Result<Dataset> {
        self.only_parts(self.load_all()?)
    }

    /// Reads the lists, whatever `--part` says.
    fn load_all(&self) -> Result<Dataset> {
        let DatasetArgs { format, annotations, videos, split, .. } = self;
        let format = match *format {
            AnyFormat::Clips(format) => format,
            AnyFormat::Untrimmed(format) => bail!(
                "{format} lists untrimmed videos, which are for localization; this needs a dataset of labelled clips"
            ),
            AnyFormat::Actors(format) => {
                bail!("{format} lists actors, which are for detection; this needs a dataset of labelled clips")
            }
        };
        let spec = DatasetSpec { format, annotations: annotations.clone(), videos: videos.clone(), split: *split };
        Ok(spec.load()?)
    }

    fn only_parts(&self, mut dataset: Dataset) -> Result<Dataset> {
        let parts = &self.parts;
        self.check_parts(dataset.parts.iter().map(|part| part.name.as_str()))?;
        if !parts.is_empty() {
            dataset.parts.retain(|part| parts.contains(&part.name));
        }
        Ok(dataset)
    }

    /// The dataset, when it is one of untrimmed videos.
    fn untrimmed(&self, skip_bad: bool) -> Option<UntrimmedSpec> {
        let AnyFormat::Untrimmed(format) = self.format else { return None };
        let (annotations, videos) = (self.annotations.clone(), self.videos.clone());
        Some(UntrimmedSpec { format, annotations, videos, skip_bad })
    }

    /// The dataset, when it is one of actors.
    fn actors(&self, skip_bad: bool) -> Option<ActorSpec> {
        let AnyFormat::Actors(format) = self.format else { return None };
        let (annotations, videos) = (self.annotations.clone(), self.videos.clone());
        Some(ActorSpec { format, annotations, videos, split: self.split, skip_bad })
    }

    /// All parts that are asked for must be there.
    fn check_parts<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let names: Vec<&str> = names.collect();
        if let Some(unknown) = self.parts.iter().find(|part| !names.contains(&part.as_str())) {
            bail!("{}: there is no part {unknown:?}; it has {}", self.annotations.display(), names.join(", "));
        }
        Ok(())
    }
}

/// Arguments of `unscene data`.
#[derive(Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    /// Reads a clip of every video, and says what is missing, unreadable, too short or rare
    Check(CheckArgs),
}

/// Arguments of `unscene data check`.
#[derive(Args)]
#[command(after_help = "\
Exit code 2 when training on the dataset would fail: no video is found, a label has none to train on, or more than --max-failed cannot be read. What is trained on is the part `train`; where there is none, the only part, or the one that --part names.

Examples:
  unscene data check --annotations my-videos.csv
  unscene data check --format ucf101 --annotations ucfTrainTestlist --videos UCF-101 --split 1
  unscene data check --format kinetics --annotations kinetics400 --videos k400 --sample 500
  unscene data check --format thumos14 --annotations thumos14/annotations --videos thumos14/videos
  unscene data check --format jhmdb --annotations jhmdb --videos jhmdb/Rename_Images --split 1

docs/datasets.md says for every format where to get it and how to lay it out.")]
struct CheckArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Frames of a clip; shorter videos are counted. Not for untrimmed videos and actors
    #[arg(long, default_value_t = 16, value_name = "N")]
    frames: usize,
    /// Read about this many videos of each part, spread over it [default: all]
    #[arg(long, default_value_t = 0, value_name = "N", hide_default_value = true)]
    sample: usize,
    /// Threads that read; 0 is one per core
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Share of the videos that may be unreadable
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    max_failed: f64,
    /// Leave out and count annotations that cannot be right, such as segments that end before they begin or boxes without
    /// area; otherwise they are an error. For untrimmed videos and actors
    #[arg(long)]
    skip_bad: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `unscene data`.
pub fn run(args: DataArgs) -> Result<()> {
    let DataCommand::Check(args) = args.command;
    if args.frames == 0 || !(0.0..=1.0).contains(&args.max_failed) {
        bail!("--frames must be at least 1 and --max-failed from 0 to 1");
    }
    if let Some(spec) = args.dataset.untrimmed(args.skip_bad) {
        return untrimmed::check(&spec, &args);
    }
    if let Some(spec) = args.dataset.actors(args.skip_bad) {
        return actors::check(&spec, &args);
    }
    let whole = args.dataset.load_all()?;
    let names: Vec<String> = whole.parts.iter().map(|part| part.name.clone()).collect();
    let dataset = args.dataset.only_parts(whole)?;
    let train_part = match dataset.parts.as_slice() {
        _ if names.iter().any(|name| name == TRAIN) => Some(TRAIN.to_string()),
        [only] => Some(only.name.clone()),
        _ => None,
    };
    let options = CheckOptions {
        form: ClipForm { frames: args.frames, ..ClipForm::default() },
        sample: args.sample,
        workers: args.workers,
        max_failed: args.max_failed,
        train_part: train_part.clone(),
    };
    let report = watched(videos_to_check(&dataset, &options), |control| check(&dataset, &options, control))??;

    let trained = train_part.as_deref().unwrap_or(TRAIN);
    let others = dataset.parts.iter().filter(|part| part.name != trained);
    let doubts: Vec<String> = others.flat_map(|part| dataset.doubts(trained, &part.name)).collect();
    let mut out = std::io::stdout().lock();
    if args.json {
        let (parts, problems) = (&report.parts, &report.problems);
        let result = json!({
            "labels": dataset.labels, "train_part": train_part, "parts": parts, "problems": problems, "doubts": doubts,
        });
        writeln!(out, "{result:#}")?;
    } else {
        print(&mut out, &dataset, &report)?;
        for doubt in &doubts {
            writeln!(out, "warning: {doubt}")?;
        }
        if let Some(settings) = settings(train_part.as_deref(), &names) {
            writeln!(out, "{settings}")?;
        }
    }
    refuse(&report.problems)
}

/// Checks so many videos behind a bar. Ctrl-C is an error, whatever was found until then.
fn watched<R>(videos: usize, check: impl FnOnce(&CheckControl<'_>) -> R) -> Result<R> {
    let style = "reading {wide_bar} {pos}/{len} videos, {per_sec:0}, {eta} left";
    let bar = ProgressBar::new(videos as u64).with_style(ProgressStyle::with_template(style)?);
    interrupt::listen()?;
    let found = check(&|done| {
        bar.set_position(done as u64);
        interrupt::control()
    });
    let done = bar.position() as usize;
    bar.finish_and_clear();
    match interrupt::control().is_break() {
        true => Err(crate::failure::Interrupted { done, of: videos, what: "videos" }.into()),
        false => Ok(found),
    }
}

/// What was found in untrimmed videos or in those of actors, and what of the annotations was left out.
#[derive(Serialize)]
struct Found<'a, P> {
    labels: &'a [String],
    parts: &'a [P],
    skipped: &'a [Doubt],
    problems: &'a [String],
}

/// Tells it as JSON or as `print` does; problems are an error. Without `videos` only the annotations were looked at.
fn tell<P: Serialize>(
    args: &CheckArgs,
    found: &Found<'_, P>,
    videos: Option<&PathBuf>,
    print: impl FnOnce(&mut StdoutLock<'_>) -> Result<()>,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", json!(found))?;
    } else {
        print(&mut out)?;
        if videos.is_none() {
            writeln!(out, "only the annotations were looked at; name the folder of the videos with --videos")?;
        }
    }
    refuse(found.problems)
}

fn refuse(problems: &[String]) -> Result<()> {
    match problems.is_empty() {
        true => Ok(()),
        false => bail!("training would fail: {}", problems.join("; ")),
    }
}

/// Tables with their numbers on the right.
fn aligned(out: &mut impl Write, tables: [Table; 2]) -> Result<()> {
    for mut table in tables {
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        writeln!(out, "{table}")?;
    }
    Ok(())
}

/// Some of the names of a kind, a line each.
fn names(out: &mut impl Write, part: &str, what: &str, names: &[String]) -> Result<()> {
    for name in names.iter().take(SHOWN) {
        writeln!(out, "  {part} {what}: {name}")?;
    }
    if names.len() > SHOWN {
        writeln!(out, "  {part} {what}: and {} more (--json names all)", names.len() - SHOWN)?;
    }
    Ok(())
}

/// An annotation that cannot be right, in a line.
fn shown(doubt: &Doubt) -> String {
    let line = doubt.line.map(|line| format!(" line {line}")).unwrap_or_default();
    format!("{}{line}: {}: {}", doubt.path.display(), doubt.video, doubt.problem)
}

/// What to set for training on a dataset whose parts are not called as training expects.
fn settings(train_part: Option<&str>, names: &[String]) -> Option<String> {
    let train_part = train_part?;
    let mut settings = String::new();
    if train_part != TRAIN {
        settings += &format!(" --set train_part={train_part}");
    }
    if !names.iter().any(|name| name == VAL) {
        let other = names.iter().find(|name| *name != train_part);
        settings += &format!(" --set val_part={}", other.map_or(train_part, String::as_str));
    }
    (!settings.is_empty()).then(|| format!("train with{settings}"))
}

fn print(out: &mut impl Write, dataset: &Dataset, report: &CheckReport) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "part",
        "found",
        "missing",
        "read",
        "unreadable",
        "too short",
        "labels",
        "videos per label",
        "clips/s",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for part in &report.parts {
        let PartReport { name, found, missing, read, unreadable, too_short, clips_per_second, .. } = part;
        let mut counts: Vec<usize> = part.per_label.iter().map(|label| label.videos).collect();
        counts.sort_unstable();
        let (least, middle, most) = match counts.as_slice() {
            [] => (0, 0, 0),
            counts => (counts[0], counts[counts.len() / 2], counts[counts.len() - 1]),
        };
        table.add_row([
            name.clone(),
            found.to_string(),
            missing.len().to_string(),
            read.to_string(),
            unreadable.len().to_string(),
            too_short.len().to_string(),
            counts.iter().filter(|count| **count > 0).count().to_string(),
            format!("{least} to {most}, median {middle}"),
            format!("{clips_per_second:.0}"),
        ]);
    }
    writeln!(out, "{table}")?;
    writeln!(out, "{} labels", dataset.labels.len())?;
    if report.parts.iter().any(|part| !part.too_short.is_empty()) {
        writeln!(out, "too short: fewer frames than a clip; they are repeated")?;
    }
    for part in &report.parts {
        let unreadable: Vec<String> = part.unreadable.iter().map(|failure| failure.reason.clone()).collect();
        names(out, &part.name, "missing", &part.missing)?;
        names(out, &part.name, "unreadable", &unreadable)?;
        names(out, &part.name, "too short", &part.too_short)?;
    }
    Ok(())
}
