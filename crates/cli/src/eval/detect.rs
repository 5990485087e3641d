//! `unscene eval detect`: how well actors and what they do are found, in frames and as tubes.

mod model;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use comfy_table::Table;
use serde::Serialize;
use serde_json::{Value, json};
use unscene_data::Failure;
use unscene_data::actors::{ActorFormat, ActorPart, ActorSpec, Actors};
use unscene_data::untrimmed::Doubt;
use unscene_eval::detect::{DetectKnown, DetectReport, ErrorReport, evaluate, mean_over_splits};
use unscene_eval::localize::ByTiou;

use crate::files::can_be_written;
use crate::subject::EngineArgs;
use crate::tables::{percent, table};
use model::{Finder, FinderArgs, Model};

/// Names shown of what was left out; `--json` has all.
const SHOWN: usize = 5;

/// Overlaps of tubes that the table has; `--json` has all.
const TUBE_IOUS: [f64; 3] = [0.2, 0.5, 0.75];

/// Arguments of `unscene eval detect`.
#[derive(Args)]
#[command(after_help = "\
Frame mAP is that of VOC at an IoU of 0.5, over all frames of all videos of the part. Video mAP is that of ROAD's release: the overlap of tubes is that of their times, times the mean IoU of their boxes in the frames that both have. The accuracy is that of each video's best tube.
The breakdown of errors takes of each class as many of the best boxes as it has truths.
Of several splits each is scored with its own file or model, and figures are averaged, as those of JHMDB are reported.
What a --run or its --bundle finds is all that its rule keeps, in every frame, on the dataset that it was trained for unless --annotations names another; --save keeps it. A run and its bundle give the same numbers up to the rounding of the engines.

A file of detections is JSON, frames counted from 0 and boxes in pixels of the displayed frame:
  {\"videos\": {\"ID\": {\"frames\": [{\"frame\": 0, \"boxes\": [{\"label\": \"walk\", \"score\": 0.9, \"box\": [X1, Y1, X2, Y2]}]}],
                     \"tubes\": [{\"label\": \"walk\", \"score\": 0.8, \"start_frame\": 0, \"boxes\": [[X1, Y1, X2, Y2]]}]}}}
Without \"tubes\" only frames are scored.

Examples:
  unscene eval detect --run runs/detect --part test
  unscene eval detect --bundle bundles/detect --annotations crowded/actors.json --videos crowded --save found.json --json
  unscene eval detect --detections found.json --format ucf24 --annotations ucf24
  unscene eval detect --detections found.json --format gttubes --annotations JHMDB-GT.pkl --split 2 --json
  unscene eval detect --detections one.json --detections two.json --detections three.json --format gttubes --annotations JHMDB-GT.pkl --split 1,2,3
  unscene eval detect --detections found.json --format actors --annotations crowded/actors.json --part swapped")]
pub struct DetectArgs {
    #[command(flatten)]
    finder: FinderArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Of the annotations: actors (this project's JSON), ucf24 (pyannot.pkl), gttubes (JHMDB-GT.pkl) or jhmdb (its masks) [default:
    /// that of the model's training, or actors]
    #[arg(long)]
    format: Option<ActorFormat>,
    /// The annotations [default: those that the model was trained for]
    #[arg(long, value_name = "PATH")]
    annotations: Option<PathBuf>,
    /// Folder of the videos, for a run or a bundle [default: as in training]
    #[arg(long, value_name = "DIR", conflicts_with = "detections")]
    videos: Option<PathBuf>,
    /// Number of the official split, for ucf24, gttubes and jhmdb; of several, such as 1,2,3, the mean is told as well [default: that
    /// of the model's training, or 1]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    split: Vec<u32>,
    /// The part that is scored
    #[arg(long, default_value = "test", value_name = "NAME")]
    part: String,
    /// Leave out annotations and detections that make no sense, and name them, instead of refusing the file
    #[arg(long)]
    skip_bad: bool,
    /// Share of the videos that a run or bundle may miss, because they are not on disk or cannot be read; who is in them counts as
    /// not found
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    max_failed: f64,
    /// Write what a run or bundle finds, as --detections reads it; of one split
    #[arg(long, value_name = "FILE", conflicts_with = "detections")]
    save: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// A split, what was found in it and how well.
struct Measured {
    split: u32,
    report: DetectReport,
    /// What was left out.
    skipped: [(&'static str, Vec<Doubt>); 2],
    /// There for runs and bundles.
    looked: Option<Looked>,
}

/// What a model looked at. Videos that it could not look at count as those in which it found nobody.
#[derive(Serialize)]
struct Looked {
    model: String,
    frames: u64,
    elapsed_s: f64,
    /// Frames behind the last that the annotations know of, which are not scored.
    frames_behind: usize,
    /// Not on disk.
    missing: Vec<String>,
    /// Could not be decoded.
    failed: Vec<Failure>,
}

/// Reads or finds, measures and prints.
pub fn run(args: &DetectArgs) -> Result<()> {
    let finders = args.finder.all();
    if let Some(twice) = args.split.iter().enumerate().find(|(at, number)| args.split[..*at].contains(number)) {
        bail!("--split: found {} twice, expected each split once", twice.1);
    }
    let (given, splits) = (finders.len(), args.split.len().max(1));
    if given != splits {
        bail!(
            "found {given} files, runs or bundles and {splits} of --split, expected one for each split, such as --split 1,2,3 for three"
        );
    }
    if let Some(path) = &args.save {
        if given > 1 {
            bail!("--save writes what was found in one split, and {given} are given; give one");
        }
        can_be_written("--save", path, Some("json"))?;
    }
    let measure = |(at, finder)| measure(args, args.split.get(at).copied(), finder);
    let all = finders.iter().enumerate().map(measure).collect::<Result<Vec<_>>>()?;
    let mean = mean_over_splits(&all.iter().map(|one| one.report.clone()).collect::<Vec<_>>())?;
    print(&all, &mean, args.json)
}

fn measure(args: &DetectArgs, split: Option<u32>, finder: &Finder<'_>) -> Result<Measured> {
    match finder {
        Finder::File(path) => {
            let (dataset, split) = args.load(split, None)?;
            let part = args.part(&dataset)?;
            let found = DetectKnown::new(part, &dataset.labels).read(path, args.skip_bad)?;
            let mut report = evaluate(part, &dataset.labels, &found.frames, found.tubes.as_deref())?;
            report.skipped = found.skipped.len();
            let skipped = [("annotation", dataset.skipped), ("detection", found.skipped)];
            Ok(Measured { split, report, skipped, looked: None })
        }
        Finder::Model(dir, kind) => {
            let mut model = Model::open(dir, *kind, &args.engine)?;
            let (dataset, split) = args.load(split, model.trained_on())?;
            let part = args.part(&dataset)?;
            let found = model.find(part, &dataset.labels, args.max_failed, args.json)?;
            if let Some(path) = &args.save {
                model::save(path, part, &dataset.labels, &found)?;
            }
            let report = evaluate(part, &dataset.labels, &found.frames, Some(&found.tubes))?;
            let looked = Looked {
                model: model.name,
                frames: found.looked,
                elapsed_s: found.elapsed.as_secs_f64(),
                frames_behind: found.behind,
                missing: part.missing.clone(),
                failed: found.failures,
            };
            Ok(Measured {
                split,
                report,
                skipped: [("annotation", dataset.skipped), ("detection", vec![])],
                looked: Some(looked),
            })
        }
    }
}

impl DetectArgs {
    /// Reads the annotations; those that a model was trained for, where no others are named. Also says of which split.
    fn load(&self, split: Option<u32>, trained_on: Option<ActorSpec>) -> Result<(Actors, u32)> {
        let mut spec = match (&self.annotations, trained_on) {
            (Some(annotations), trained_on) => {
                let format = trained_on.as_ref().map_or(ActorFormat::Actors, |spec| spec.format);
                let split = trained_on.as_ref().map_or(1, |spec| spec.split);
                let videos = trained_on.and_then(|spec| spec.videos);
                ActorSpec { format, annotations: annotations.clone(), videos, split, skip_bad: false }
            }
            (None, Some(spec)) => spec,
            (None, None) => bail!("--annotations: found none, expected the truth that detections are compared with"),
        };
        spec.format = self.format.unwrap_or(spec.format);
        spec.videos = self.videos.clone().or(spec.videos);
        spec.split = split.unwrap_or(spec.split);
        spec.skip_bad |= self.skip_bad;
        Ok((spec.load()?, spec.split))
    }

    fn part<'a>(&self, dataset: &'a Actors) -> Result<&'a ActorPart> {
        let names = || dataset.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
        let none =
            || anyhow!("there is no part {:?}; the annotations have {}; choose one with --part", self.part, names());
        dataset.part(&self.part).ok_or_else(none)
    }
}

fn print(all: &[Measured], mean: &DetectReport, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let mut described: Vec<Value> = all.iter().map(described).collect();
        let result = match all {
            [_] => described.remove(0),
            _ => json!({"splits": described, "mean": mean}),
        };
        writeln!(out, "{result:#}")?;
        return Ok(());
    }
    for looked in all.iter().filter_map(|one| one.looked.as_ref()) {
        let Looked { model, frames, elapsed_s, frames_behind, missing, failed } = looked;
        for id in missing {
            writeln!(out, "not on disk, and counted as missed: {id}")?;
        }
        for Failure { id, reason } in failed {
            writeln!(out, "cannot be read, and counted as missed: {id}: {reason}")?;
        }
        if *frames_behind > 0 {
            writeln!(out, "not scored: {frames_behind} frames behind the last that the annotations know of")?;
        }
        let per_second = *frames as f64 / elapsed_s.max(1e-9);
        writeln!(out, "{model}: {frames} frames in {elapsed_s:.1} s, {per_second:.1} frames/s")?;
    }
    let DetectReport { part, videos, boxes, tubes, detections, detected_tubes, skipped, .. } = mean;
    let by_tubes = mean.video_protocol.map(|protocol| format!(", tubes by {protocol}")).unwrap_or_default();
    let splits = if all.len() > 1 { format!(", mean of {} splits", all.len()) } else { String::new() };
    writeln!(
        out,
        "frames by {} at IoU 0.5{by_tubes}; {part}{splits}: {videos} videos, {boxes} boxes and {tubes} tubes of actors; found {detections} boxes and \
         {detected_tubes} tubes, {skipped} skipped; nothing in {} videos",
        mean.frame_protocol, mean.videos_without_box
    )?;
    if all.len() > 1 {
        writeln!(out, "{}\n", by_split(all, mean))?;
    }
    writeln!(out, "{}", by_class(mean))?;
    let unseen: Vec<&str> =
        mean.classes.iter().filter(|class| class.boxes == 0).map(|class| class.label.as_str()).collect();
    if !unseen.is_empty() {
        writeln!(out, "without an actor, and not in the mean: {}", unseen.join(", "))?;
    }
    if let (Some(mean), Some(accuracy), Some(without)) = (mean.video_map_50_95, mean.accuracy, mean.videos_without_tube)
    {
        let (mean, accuracy) = (percent(mean), percent(accuracy));
        writeln!(
            out,
            "\nvideo mAP over 0.5 to 0.95: {mean} %; class of the video by its best tube: {accuracy} %, {without} videos without a tube"
        )?;
    }
    writeln!(out, "\n{}", kinds(&mean.errors))?;
    for Measured { split, skipped, .. } in all {
        let split = if all.len() > 1 { format!("split {split}, ") } else { String::new() };
        for (what, doubts) in skipped {
            for Doubt { path, video, problem, .. } in doubts.iter().take(SHOWN) {
                writeln!(out, "skipped {what}: {split}{}, {video}: {problem}", path.display())?;
            }
            if doubts.len() > SHOWN {
                writeln!(out, "skipped {what}s: {split}and {} more (--json names all)", doubts.len() - SHOWN)?;
            }
        }
    }
    Ok(())
}

fn described(one: &Measured) -> Value {
    let mut result = json!(one.report);
    result["split"] = one.split.into();
    if let Some(looked) = &one.looked {
        result["looked"] = json!(looked);
    }
    result["left_out"] = one.skipped.iter().map(|(what, doubts)| (what.to_string() + "s", json!(doubts))).collect();
    result
}

/// A row for each split, and one for their mean.
fn by_split(all: &[Measured], mean: &DetectReport) -> Table {
    let mut rows = precisions(&["split", "videos", "boxes", "found"], "mAP", mean);
    let row = |name: String, report: &DetectReport| {
        let counts = [report.videos, report.boxes, report.detections].map(|count| count.to_string());
        let shares = shares(mean, Some(report.frame_map), report.video_map.as_ref());
        [name].into_iter().chain(counts).chain(shares).collect::<Vec<_>>()
    };
    for one in all {
        rows.add_row(row(one.split.to_string(), &one.report));
    }
    rows.add_row(row("mean".into(), mean));
    rows
}

/// A row for each class, and one for their mean.
fn by_class(report: &DetectReport) -> Table {
    let mut rows = precisions(&["class", "boxes", "found"], "AP", report);
    for class in &report.classes {
        let first = [class.label.clone(), class.boxes.to_string(), class.detections.to_string()];
        rows.add_row(first.into_iter().chain(shares(report, class.frame_ap, class.video_ap.as_ref())));
    }
    let first = ["mean".into(), report.boxes.to_string(), report.detections.to_string()];
    rows.add_row(first.into_iter().chain(shares(report, Some(report.frame_map), report.video_map.as_ref())));
    rows
}

/// A table without rows, whose last columns are precisions: of frames, and of tubes where some were scored.
fn precisions(first: &[&str], precision: &str, report: &DetectReport) -> Table {
    let tubes = TUBE_IOUS.iter().filter(|_| report.video_map.is_some()).map(|iou| format!("video {precision}@{iou}"));
    let first = first.iter().map(|name| name.to_string()).chain([format!("frame {precision}@0.5")]);
    table(&first.chain(tubes).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>())
}

/// Its cells.
fn shares(report: &DetectReport, frames: Option<f64>, tubes: Option<&ByTiou>) -> Vec<String> {
    let tubes = TUBE_IOUS.iter().filter(|_| report.video_map.is_some()).map(|&iou| tubes.and_then(|ap| ap.get(iou)));
    [frames].into_iter().chain(tubes).map(|share| share.map_or("-".into(), percent)).collect()
}

/// What the best boxes are, as shares of the actors.
fn kinds(errors: &ErrorReport) -> Table {
    let ErrorReport { right, again, wrong_class, wrong_place, extra, missed, .. } = *errors;
    let of = (right + missed).max(1) as f64;
    let mut rows = table(&["the best boxes, as many as actors", "boxes", "% of actors"]);
    for (kind, count) in [
        ("right", right),
        ("found again", again),
        ("wrong class", wrong_class),
        ("wrong place", wrong_place),
        ("extra", extra),
        ("missed actors", missed),
    ] {
        rows.add_row([kind.to_string(), count.to_string(), percent(count as f64 / of)]);
    }
    rows
}
