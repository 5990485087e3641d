//! `unscene eval detect`: how well actors and what they do are found, in frames and as tubes.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::Table;
use serde_json::{Value, json};
use unscene_data::actors::{ActorFormat, ActorSpec};
use unscene_data::untrimmed::Doubt;
use unscene_eval::detect::{DetectKnown, DetectReport, ErrorReport, evaluate, mean_over_splits};
use unscene_eval::localize::ByTiou;

use crate::tables::{percent, table};

/// Names shown of what was left out; `--json` has all.
const SHOWN: usize = 5;

/// Overlaps of tubes that the table has; `--json` has all.
const TUBE_IOUS: [f64; 3] = [0.2, 0.5, 0.75];

/// Arguments of `unscene eval detect`.
#[derive(Args)]
#[command(after_help = "\
Frame mAP is that of VOC at an IoU of 0.5, over all frames of all videos of the part. Video mAP is that of ROAD's release: the overlap of tubes is that of their times, times the mean IoU of their boxes in the frames that both have. The accuracy is that of each video's best tube.
The breakdown of errors takes of each class as many of the best boxes as it has truths.
Of several splits each is scored with its own file, and figures are averaged, as those of JHMDB are reported.

A file of detections is JSON, frames counted from 0 and boxes in pixels of the displayed frame:
  {\"videos\": {\"ID\": {\"frames\": [{\"frame\": 0, \"boxes\": [{\"label\": \"walk\", \"score\": 0.9, \"box\": [X1, Y1, X2, Y2]}]}],
                     \"tubes\": [{\"label\": \"walk\", \"score\": 0.8, \"start_frame\": 0, \"boxes\": [[X1, Y1, X2, Y2]]}]}}}
Without \"tubes\" only frames are scored.

Examples:
  unscene eval detect --detections found.json --format ucf24 --annotations ucf24
  unscene eval detect --detections found.json --format gttubes --annotations JHMDB-GT.pkl --split 2 --json
  unscene eval detect --detections one.json --detections two.json --detections three.json --format gttubes --annotations JHMDB-GT.pkl --split 1,2,3
  unscene eval detect --detections found.json --format actors --annotations crowded/actors.json --part swapped")]
pub struct DetectArgs {
    /// What was found, as JSON; of several splits repeat it, in the order of --split
    #[arg(long, value_name = "FILE", required = true)]
    detections: Vec<PathBuf>,
    /// Of the annotations: actors (this project's JSON), ucf24 (pyannot.pkl), gttubes (JHMDB-GT.pkl) or jhmdb (the folder with
    /// puppet_mask and splits)
    #[arg(long, default_value_t = ActorFormat::Actors)]
    format: ActorFormat,
    /// The annotations
    #[arg(long, value_name = "PATH")]
    annotations: PathBuf,
    /// Number of the official split, for all formats but actors; of several, such as 1,2,3, the mean is told as well
    #[arg(long, default_value = "1", value_delimiter = ',', value_name = "N")]
    split: Vec<u32>,
    /// The part that is scored
    #[arg(long, default_value = "test", value_name = "NAME")]
    part: String,
    /// Leave out annotations and detections that make no sense, and name them, instead of refusing the file
    #[arg(long)]
    skip_bad: bool,
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
}

/// Reads, measures and prints.
pub fn run(args: &DetectArgs) -> Result<()> {
    let DetectArgs { detections, split, .. } = args;
    let (files, splits) = (detections.len(), split.len());
    if files != splits {
        bail!(
            "found {files} --detections and {splits} of --split, expected a file for each split, such as --split 1,2,3 for three"
        );
    }
    if let Some(twice) = split.iter().enumerate().find(|(at, number)| split[..*at].contains(number)) {
        bail!("--split: found {} twice, expected each split once", twice.1);
    }
    let all =
        split.iter().zip(detections).map(|(&split, file)| measure(args, split, file)).collect::<Result<Vec<_>>>()?;
    let mean = mean_over_splits(&all.iter().map(|one| one.report.clone()).collect::<Vec<_>>())?;
    print(&all, &mean, args.json)
}

fn measure(args: &DetectArgs, split: u32, detections: &Path) -> Result<Measured> {
    let DetectArgs { format, annotations, part, skip_bad, .. } = args;
    let (format, annotations, skip_bad) = (*format, annotations.clone(), *skip_bad);
    let dataset = ActorSpec { format, annotations, videos: None, split, skip_bad }.load()?;
    let names = || dataset.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(part) = dataset.part(part) else {
        bail!("there is no part {part:?}; the annotations have {}; choose one with --part", names());
    };
    let found = DetectKnown::new(part, &dataset.labels).read(detections, skip_bad)?;
    let mut report = evaluate(part, &dataset.labels, &found.frames, found.tubes.as_deref())?;
    report.skipped = found.skipped.len();
    Ok(Measured { split, report, skipped: [("annotation", dataset.skipped), ("detection", found.skipped)] })
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
