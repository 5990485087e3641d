//! `unscene eval`: what a run or a bundle has learned.

mod classify;
mod detect;
#[cfg(feature = "train")]
mod libtorch;
mod localize;
mod scores;
mod videos;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use unscene_data::{
    Cache, CacheKind, Change, Dataset, Fill, Found, Item, Loader, LoaderOptions, Part, Views, masked_people,
};
use unscene_eval::{ActionReport, EvalError, Scored, probe, score, shuffle_frames};

use crate::data::DatasetArgs;
use crate::failure::Interrupted;
use crate::interrupt;
use crate::subject::{Subject, SubjectArgs};
use crate::tables::{percent, table};

/// Arguments of `unscene eval`.
#[derive(Args)]
pub struct EvalArgs {
    #[command(subcommand)]
    command: EvalCommand,
}

#[derive(Subcommand)]
enum EvalCommand {
    /// How often the action is named: top-1, top-5, mean class
    Action(ActionArgs),
    /// Transfers on the datasets they were trained for, split by split, and their mean
    Classify(classify::ClassifyArgs),
    /// How well actions are found in untrimmed videos: mAP over tIoU, recall of proposals
    Localize(localize::LocalizeArgs),
    /// How well actors and what they do are found: frame mAP, video mAP of tubes, kinds of errors
    Detect(detect::DetectArgs),
    /// What the features tell about the scene: a linear probe, trained afresh
    Scene(SceneArgs),
    /// What is said of clips whose people are masked out: accuracy should fall, entropy rise
    Masked(MaskedArgs),
}

#[derive(Args)]
struct CommonArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    dataset: DatasetArgs,
    #[command(flatten)]
    read: ReadArgs,
}

/// Arguments that say how videos are read, and how the result is told.
#[derive(Args)]
struct ReadArgs {
    /// Clips that the model takes at once
    #[arg(long, default_value_t = 16, value_name = "N")]
    batch: usize,
    /// Threads that read videos; 0 is one per core
    #[arg(long, default_value_t = 0, value_name = "N")]
    workers: usize,
    /// Share of the videos that may be unreadable
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    max_failed: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `unscene eval action`.
#[derive(Args)]
#[command(after_help = "\
The test of the paper: non-overlapping clips cut from the middle, class probabilities averaged over the video.

Examples:
  unscene eval action --run runs/debiased --annotations stage --part iid --part swapped --part unseen
  unscene eval action --bundle bundles/debiased --annotations stage --part swapped --json
  unscene eval action --run runs/debiased --annotations stage --part swapped --files swapped")]
struct ActionArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Test clips: paper (all side by side, centre crop) or 10x3 (10 spread evenly, three crops)
    #[arg(long, default_value_t = Views::Paper)]
    views: Views,
    /// A control: put the frames of each clip in a random order, so that actions that are each other backwards look alike
    #[arg(long)]
    shuffle_frames: bool,
    /// Print every class
    #[arg(long)]
    classes: bool,
    /// Write the scores of every video (PART.csv) and the confusion matrix (PART.confusion.png) into this folder
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
}

/// Arguments of `unscene eval scene`.
#[derive(Args)]
#[command(after_help = "\
Multinomial logistic regression on the pooled features, trained on four fifths of the videos and tested on the rest, five times. Where scenes go with actions, features of actions predict scenes: choose a part in which they do not, such as Stage's swapped.
A bundle must have its features: unscene export --features.

Example:
  unscene annotate truth --stage stage --scenes scenes.sqlite
  unscene eval scene --run runs/debiased --annotations stage --part swapped --scenes scenes.sqlite")]
struct SceneArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Cache of scenes; the likeliest scene of a video is its label
    #[arg(long, value_name = "FILE")]
    scenes: PathBuf,
    /// Deals the videos into fifths
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

/// Arguments of `unscene eval masked`.
#[derive(Args)]
#[command(after_help = "\
The same videos unmasked stand beside. A fill that training used is a cue of its own (\"a hole: be unsure\"); measure with others too.

Example:
  unscene eval masked --run runs/debiased --annotations stage --part iid --people people.sqlite --fill mean --fill blur")]
struct MaskedArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Cache of people
    #[arg(long, value_name = "FILE")]
    people: PathBuf,
    /// What people are filled with: mean, blur, median, or a folder of videos without people; repeat for several
    #[arg(long = "fill", default_value = "mean", value_name = "FILL")]
    fills: Vec<Fill>,
    /// Boxes of at least this score are filled
    #[arg(long, default_value_t = 0.3, value_name = "SCORE")]
    min_score: f32,
    /// Videos with somebody in at least this share of the frames take part
    #[arg(long, default_value_t = 0.7, value_name = "SHARE")]
    min_share: f64,
}

/// Measures and prints.
pub fn run(args: EvalArgs) -> Result<()> {
    interrupt::listen()?;
    match args.command {
        EvalCommand::Action(args) => action(&args),
        EvalCommand::Classify(args) => classify::run(&args),
        EvalCommand::Localize(args) => localize::run(&args),
        EvalCommand::Detect(args) => detect::run(&args),
        EvalCommand::Scene(args) => scene(&args),
        EvalCommand::Masked(args) => masked(&args),
    }
}

/// A model and the parts that it is measured on.
struct Work<'a> {
    read: &'a ReadArgs,
    views: Views,
    subject: Subject,
    parts: Vec<Part>,
}

impl<'a> Work<'a> {
    fn open(args: &'a CommonArgs, outputs: &[&str]) -> Result<Self> {
        args.read.check()?;
        let dataset = args.dataset.load()?;
        Work::new(&args.read, args.subject.open(outputs)?, dataset)
    }

    fn new(read: &'a ReadArgs, mut subject: Subject, dataset: Dataset) -> Result<Self> {
        let order = class_order(subject.labels(), &dataset.labels)?;
        let mut parts: Vec<Part> = dataset.parts.into_iter().filter(|part| !part.items.is_empty()).collect();
        if parts.is_empty() {
            bail!("none of the videos that the lists name is on disk; look at `unscene data check`");
        }
        for item in parts.iter_mut().flat_map(|part| &mut part.items) {
            item.label = order[item.label];
        }
        subject.warm_up()?;
        Ok(Work { read, views: Views::default(), subject, parts })
    }

    fn score(&mut self, items: &[Item], change: Option<Arc<Change>>, what: &str) -> Result<Scored> {
        let options = LoaderOptions {
            form: self.subject.form().clone(),
            batch: self.read.batch,
            workers: self.read.workers,
            views: self.views,
            change,
            ..LoaderOptions::default()
        };
        let loader = Loader::new(items.to_vec(), options)?;
        let bar = if self.read.json { ProgressBar::hidden() } else { ProgressBar::new(items.len() as u64) };
        let style = "{msg} {wide_bar} {pos}/{len} videos, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
        bar.set_message(what.to_string());
        let watch = |done: usize| -> ControlFlow<()> {
            bar.set_position(done as u64);
            interrupt::control()
        };
        let (classes, subject) = (self.subject.labels().len(), &mut self.subject);
        let (batch, max_failed) = (self.read.batch, self.read.max_failed);
        let scored = score(&loader, classes, batch, max_failed, &mut |input, n| subject.run(input, n), &watch);
        bar.finish_and_clear();
        match scored {
            Err(EvalError::Interrupted { done, of }) => Err(Interrupted { done, of, what: "videos" }.into()),
            other => Ok(other?),
        }
    }

    fn report(&self, scored: &Scored, items: &[Item]) -> ActionReport {
        ActionReport::new(&scored.videos, items, self.subject.labels(), scored.failures.len())
    }

    /// Prints a table, and names what could not be read.
    fn print(&self, heading: &str, table: &Table, failures: &[unscene_data::Failure]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{heading}, {}\n{table}", self.subject.describe())?;
        for failure in failures {
            writeln!(out, "skipped {}: {}", failure.id, failure.reason)?;
        }
        Ok(())
    }
}

impl ReadArgs {
    fn check(&self) -> Result<()> {
        if !(1..=4096).contains(&self.batch) || !(0.0..=1.0).contains(&self.max_failed) {
            bail!("--batch must be from 1 to 4096 and --max-failed from 0 to 1");
        }
        Ok(())
    }
}

/// For each label of the dataset, the model's class of the same name.
fn class_order(classes: &[String], labels: &[String]) -> Result<Vec<usize>> {
    let place = |label: &String| classes.iter().position(|class| class == label);
    let missing: Vec<&str> = labels.iter().filter(|label| place(label).is_none()).map(String::as_str).collect();
    if let Some(first) = missing.first() {
        bail!(
            "the model does not know {} of the {} labels of the dataset, {first:?} for one; it was trained on {} others",
            missing.len(),
            labels.len(),
            classes.len()
        );
    }
    Ok(labels.iter().filter_map(place).collect())
}

fn action(args: &ActionArgs) -> Result<()> {
    let mut work = Work::open(&args.common, &[])?;
    work.views = args.views;
    let mut rows = table(&["part", "videos", "skipped", "top-1 %", "top-5 %", "mean class %", "entropy"]);
    let mut by_class = table(&["part", "class", "videos", "top-1 %"]);
    let (mut reports, mut failures) = (serde_json::Map::new(), vec![]);
    for part in std::mem::take(&mut work.parts) {
        let change = args.shuffle_frames.then(|| shuffle_frames(0));
        let scored = work.score(&part.items, change, &part.name)?;
        let report = work.report(&scored, &part.items);
        if let Some(dir) = &args.files {
            scores::write(dir, &part.name, &scored.videos, &part.items, work.subject.labels())?;
        }
        let counts = [report.videos.to_string(), report.skipped.to_string()];
        let shares = [report.top1, report.top5, report.mean_class].map(percent);
        rows.add_row(
            [part.name.clone()].into_iter().chain(counts).chain(shares).chain([format!("{:.3}", report.entropy)]),
        );
        for class in &report.classes {
            by_class.add_row([part.name.clone(), class.label.clone(), class.videos.to_string(), percent(class.top1)]);
        }
        reports.insert(part.name.clone(), json!(report));
        failures.extend(scored.failures);
    }
    let protocol = work.views.protocol();
    if args.common.read.json {
        let frames = if args.shuffle_frames { "shuffled" } else { "in order" };
        let result = json!({
            "protocol": protocol, "frames": frames, "model": work.subject.describe(), "parts": reports,
            "failures": failures,
        });
        writeln!(std::io::stdout(), "{result:#}")?;
        return Ok(());
    }
    let heading = if args.shuffle_frames { format!("{protocol}, frames shuffled") } else { protocol.to_string() };
    if args.classes {
        writeln!(std::io::stdout(), "{by_class}")?;
    }
    work.print(&heading, &rows, &failures)
}

fn scene(args: &SceneArgs) -> Result<()> {
    let cache = Cache::open(&args.scenes, CacheKind::Scenes)?;
    let mut work = Work::open(&args.common, &["features"])?;
    let mut rows = table(&["part", "videos", "scenes", "probe %", "chance %"]);
    let (mut reports, mut failures) = (serde_json::Map::new(), vec![]);
    for part in std::mem::take(&mut work.parts) {
        let top = |scores: &[f32]| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let scenes: Vec<Option<usize>> = cache
            .read(&part.items)?
            .into_iter()
            .map(|annotation| match annotation.map(|annotation| annotation.found) {
                Some(Found::Scenes(scores)) => top(&scores),
                _ => None,
            })
            .collect();
        let scored = work.score(&part.items, None, &part.name)?;
        let known = scored.videos.iter().filter_map(|video| Some((video.features.clone(), scenes[video.item]?)));
        let (features, labels): (Vec<_>, Vec<_>) = known.unzip();
        let report = probe(&features, &labels, args.seed).with_context(|| format!("part {}", part.name))?;
        let counts = [report.videos, report.labels].map(|count| count.to_string());
        rows.add_row(
            [part.name.clone()].into_iter().chain(counts).chain([report.accuracy, report.chance].map(percent)),
        );
        reports.insert(part.name.clone(), json!(report));
        failures.extend(scored.failures);
    }
    let protocol = "linear probe of the scene on frozen features, 5-fold cross-validation";
    if args.common.read.json {
        let model = work.subject.describe();
        let result = json!({"protocol": protocol, "model": model, "parts": reports, "failures": failures});
        writeln!(std::io::stdout(), "{result:#}")?;
        return Ok(());
    }
    work.print(protocol, &rows, &failures)
}

fn masked(args: &MaskedArgs) -> Result<()> {
    let mut work = Work::open(&args.common, &[])?;
    let mut rows = table(&["part", "fill", "videos", "without people", "top-1 %", "entropy"]);
    let (mut reports, mut failures) = (serde_json::Map::new(), vec![]);
    for part in std::mem::take(&mut work.parts) {
        let people = masked_people(&args.people, &part.items, args.min_score, args.min_share)?;
        let mut fills = serde_json::Map::new();
        for fill in std::iter::once(None).chain(args.fills.iter().map(Some)) {
            let name = fill.map_or("none".into(), Fill::to_string);
            let change = fill.map(|fill| people.change(work.subject.form(), fill));
            let scored = work.score(&people.items, change, &format!("{}, {name}", part.name))?;
            let report = work.report(&scored, &people.items);
            rows.add_row([
                part.name.clone(),
                name.clone(),
                report.videos.to_string(),
                people.left_out.to_string(),
                percent(report.top1),
                format!("{:.3}", report.entropy),
            ]);
            fills.insert(name, json!(report));
            failures.extend(scored.failures);
        }
        reports.insert(part.name.clone(), json!({"left_out": people.left_out, "fills": fills}));
    }
    let most = (work.subject.labels().len() as f64).ln();
    if args.common.read.json {
        let (model, protocol) = (work.subject.describe(), work.views.protocol());
        let result: Value = json!({
            "protocol": protocol, "model": model, "most_entropy": most, "parts": reports, "failures": failures,
        });
        writeln!(std::io::stdout(), "{result:#}")?;
        return Ok(());
    }
    work.print(&format!("people masked out; an entropy of {most:.3} is not to know at all"), &rows, &failures)
}
