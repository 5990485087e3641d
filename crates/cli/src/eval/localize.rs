//! `unscene eval localize`: how well actions are found in untrimmed videos.

mod model;
mod plot;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::Table;
use serde::Serialize;
use serde_json::json;
use unscene_data::Failure;
use unscene_data::untrimmed::{Doubt, Untrimmed, UntrimmedFormat, UntrimmedPart, UntrimmedSpec};
use unscene_eval::localize::{
    ByTiou, Evaluation, FromFile, Known, LocalizeOptions, LocalizeReport, Proposal, ProposalReport, Protocol,
    SegmentDetection, activitynet_json, evaluate, proposal_recall, thumos_text,
};

use crate::files::{can_be_written, whole};
use crate::subject::EngineArgs;
use crate::tables::{percent, table};
use model::{Finder, FinderArgs};

/// Names shown of what was left out; `--json` has all.
const SHOWN: usize = 5;

/// Arguments of `unscene eval localize`.
#[derive(Args)]
#[command(after_help = "\
Protocols:
  thumos14     the official kit at tIoU 0.1 to 0.7; ambiguous moments count neither way
  activitynet  the official evaluation at tIoU 0.5 to 0.95, with interpolated precision
What a --run or its --bundle finds is scored with class-wise NMS at the tIoU less 0.1, as R-C3D is, on the dataset that it was trained for unless --annotations names another; --save keeps it. The proposals are measured as well. A run and its bundle give the same numbers up to the rounding of the engines.
Detections in a file are THUMOS14's text (video start_s end_s class_id score, a line each) or ActivityNet's JSON, whichever the file is. They are scored as they are unless --nms is given.

Examples:
  unscene eval localize --run runs/localize --part test
  unscene eval localize --bundle bundles/localize --annotations annotation_test --videos videos --save found.json --json
  unscene eval localize --detections found.txt --annotations annotation_test --protocol thumos14
  unscene eval localize --detections found.json --annotations activity_net.v1-3.min.json --part validation --protocol activitynet
  unscene eval localize --detections found.txt --annotations annotation_test --nms --proposals proposed.json --plot curves.svg")]
pub struct LocalizeArgs {
    #[command(flatten)]
    finder: FinderArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    truth: TruthArgs,
    #[command(flatten)]
    measure: MeasureArgs,
}

/// Arguments that name the truth.
#[derive(Args)]
struct TruthArgs {
    /// THUMOS14's folder of text files, or ActivityNet's JSON [default: those that the model was trained for]
    #[arg(long, value_name = "PATH")]
    annotations: Option<PathBuf>,
    /// Folder of the videos, for a run or a bundle [default: as in training]
    #[arg(long, value_name = "DIR", conflicts_with = "detections")]
    videos: Option<PathBuf>,
    /// Of the annotations: thumos14 or activitynet [default: thumos14 for a folder, activitynet for a file]
    #[arg(long)]
    format: Option<UntrimmedFormat>,
    /// The part that is scored
    #[arg(long, default_value = "test", value_name = "NAME")]
    part: String,
    /// Leave out annotations, detections and proposals that make no sense, and name them, instead of refusing the file
    #[arg(long)]
    skip_bad: bool,
    /// Share of the videos that a run or bundle may miss, because they are not on disk or cannot be read; what is in them counts as
    /// not found
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    max_failed: f64,
}

/// Arguments that say how detections are scored, and how the result is told.
#[derive(Args)]
struct MeasureArgs {
    /// What is right, and what counts: thumos14 or activitynet
    #[arg(long, default_value_t = Protocol::Thumos14)]
    protocol: Protocol,
    /// Before scoring at a tIoU, leave out detections that overlap a better one of their class by more than that tIoU less this
    /// [default: 0.1 for a run or bundle and none for a file; 0.1 where the number is left out]
    #[arg(long, value_name = "TIOU_OFFSET", num_args = 0..=1, default_missing_value = "0.1")]
    nms: Option<f64>,
    /// File of proposals, as of detections but without classes: measures average recall against their number
    #[arg(long, value_name = "FILE", requires = "detections")]
    proposals: Option<PathBuf>,
    /// Mean number of proposals per video at which their curve ends
    #[arg(long, default_value_t = 100.0, value_name = "N")]
    proposals_per_video: f64,
    /// Write what a run or bundle finds, for this command and others: ActivityNet's JSON, or THUMOS14's text where the name ends in
    /// .txt
    #[arg(long, value_name = "FILE", conflicts_with = "detections")]
    save: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Draw precision over recall at tIoU 0.5, and the curve of the proposals, into this SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Reads or finds, measures and prints.
pub fn run(args: &LocalizeArgs) -> Result<()> {
    let LocalizeArgs { finder, engine, truth, measure } = args;
    measure.check()?;
    let Some(mut model) = finder.open(engine)? else {
        let Some(path) = &finder.detections else { bail!("name --detections, a run or a bundle") };
        let dataset = truth.load(None)?;
        let part = truth.part(&dataset)?;
        let known = Known::new(&dataset, part);
        let found = Found {
            detections: known.detections(path, truth.skip_bad)?,
            proposals: measure.proposals.as_ref().map(|path| known.proposals(path, truth.skip_bad)).transpose()?,
        };
        let options = LocalizeOptions { protocol: measure.protocol, nms_offset: measure.nms };
        return print(measure, &dataset, &found, &score(measure, options, &dataset, part, &found)?, None);
    };
    let dataset = truth.load(Some(&model))?;
    let places = model.places(&dataset.labels)?;
    let part = truth.part(&dataset)?;
    let looked =
        model.find(part, &places, measure.proposals_per_video.ceil() as usize, truth.max_failed, measure.json)?;
    let from_model = |kept| FromFile { kept, skipped: vec![], reversed: vec![] };
    let proposals = looked.proposals;
    let found = Found {
        detections: from_model(looked.detections),
        proposals: Some(FromFile { kept: proposals, skipped: vec![], reversed: vec![] }),
    };
    if let Some(path) = &measure.save {
        let text = match path.extension().is_some_and(|extension| extension == "txt") {
            true => thumos_text(&found.detections.kept, &dataset.class_ids)?,
            false => activitynet_json(&found.detections.kept, &dataset.labels)?,
        };
        whole(path, text.as_bytes())?;
    }
    let options = LocalizeOptions { protocol: measure.protocol, nms_offset: Some(measure.nms.unwrap_or(0.1)) };
    let report = score(measure, options, &dataset, part, &found)?;
    let looked = Looked {
        model: model.name.clone(),
        frames: looked.frames,
        elapsed_s: looked.elapsed.as_secs_f64(),
        missing: part.missing.clone(),
        failed: looked.failures,
    };
    print(measure, &dataset, &found, &report, Some(&looked))
}

/// What is scored.
struct Found {
    detections: FromFile<SegmentDetection>,
    proposals: Option<FromFile<Proposal>>,
}

/// What a model looked at. Videos that it could not look at count as those in which it found nothing.
#[derive(Serialize)]
struct Looked {
    model: String,
    frames: u64,
    elapsed_s: f64,
    /// Not on disk.
    missing: Vec<String>,
    /// Could not be decoded.
    failed: Vec<Failure>,
}

impl TruthArgs {
    /// Reads the annotations; those that a model was trained for, where no others are named.
    fn load(&self, model: Option<&Finder>) -> Result<Untrimmed> {
        let trained_on = model.and_then(Finder::trained_on);
        let mut spec = match (&self.annotations, trained_on) {
            (Some(annotations), trained_on) => {
                let by_kind =
                    if annotations.is_dir() { UntrimmedFormat::Thumos14 } else { UntrimmedFormat::Activitynet };
                // Without a folder of videos nothing is looked for on disk, as is right for files of detections.
                let beside = || annotations.parent().map(PathBuf::from);
                let videos = model.and_then(|_| trained_on.and_then(|spec| spec.videos).or_else(beside));
                UntrimmedSpec { format: by_kind, annotations: annotations.clone(), videos, skip_bad: false }
            }
            (None, Some(spec)) => spec,
            (None, None) => bail!("--annotations: found none, expected the truth that detections are compared with"),
        };
        spec.format = self.format.unwrap_or(spec.format);
        spec.videos = self.videos.clone().or(spec.videos);
        spec.skip_bad |= self.skip_bad;
        Ok(spec.load()?)
    }

    fn part<'a>(&self, dataset: &'a Untrimmed) -> Result<&'a UntrimmedPart> {
        let names = || dataset.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
        match dataset.part(&self.part) {
            Some(part) => Ok(part),
            None => {
                bail!("there is no part {:?}; the annotations have {}; choose one with --part", self.part, names())
            }
        }
    }
}

impl MeasureArgs {
    fn check(&self) -> Result<()> {
        if self.nms.is_some_and(|offset| !(0.0..1.0).contains(&offset)) {
            bail!("--nms must be from 0 to below 1");
        }
        if !(self.proposals_per_video.is_finite() && self.proposals_per_video > 0.0) {
            bail!("--proposals-per-video must be above 0");
        }
        let written = [("--save", &self.save, None), ("--plot", &self.plot, Some("svg"))];
        written.into_iter().try_for_each(|(flag, path, extension)| {
            path.as_ref().map_or(Ok(()), |path| can_be_written(flag, path, extension))
        })
    }
}

/// Measures, and draws what is asked for.
fn score(
    args: &MeasureArgs,
    options: LocalizeOptions,
    dataset: &Untrimmed,
    part: &UntrimmedPart,
    found: &Found,
) -> Result<LocalizeReport> {
    let Evaluation { mut report, curves } = evaluate(part, &dataset.labels, &found.detections.kept, options)?;
    report.skipped = found.detections.skipped.len();
    if let Some(FromFile { kept, skipped, .. }) = &found.proposals {
        let measured = proposal_recall(part, kept, args.proposals_per_video)?;
        report.proposals = Some(ProposalReport { skipped: skipped.len(), ..measured });
    }
    if let Some(path) = &args.plot {
        whole(path, plot::draw(&report, &curves)?.as_bytes())?;
    }
    Ok(report)
}

fn print(
    args: &MeasureArgs,
    dataset: &Untrimmed,
    found: &Found,
    report: &LocalizeReport,
    looked: Option<&Looked>,
) -> Result<()> {
    let Found { detections, proposals } = found;
    if let Some(first) = detections.reversed.first() {
        let (count, protocol) = (detections.reversed.len(), report.protocol);
        let way = match protocol {
            Protocol::Thumos14 => "turns them round",
            Protocol::ActivityNet => "takes them for wrong",
        };
        let first = told(first);
        eprintln!("warning: {count} detections end before they begin, {protocol} {way}; the first: {first}");
    }
    let no_proposals = Vec::new();
    let proposals = proposals.as_ref().map_or(&no_proposals, |proposals| &proposals.skipped);
    let skipped = [("annotation", &dataset.skipped), ("detection", &detections.skipped), ("proposal", proposals)];
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut result = json!(report);
        result["left_out"] = skipped
            .iter()
            .map(|(what, doubts)| (what.to_string() + "s", json!(doubts.iter().map(told).collect::<Vec<_>>())))
            .collect();
        if let Some(looked) = looked {
            result["looked"] = json!(looked);
        }
        writeln!(out, "{result:#}")?;
        return Ok(());
    }
    let LocalizeReport { protocol, part, videos, actions, detections, skipped: left_out, .. } = report;
    if let Some(Looked { model, frames, elapsed_s, missing, failed }) = looked {
        for id in missing {
            writeln!(out, "not on disk, and counted as missed: {id}")?;
        }
        for Failure { id, reason } in failed {
            writeln!(out, "cannot be read, and counted as missed: {id}: {reason}")?;
        }
        let per_second = *frames as f64 / elapsed_s.max(1e-9);
        writeln!(out, "{model}: {frames} frames in {elapsed_s:.1} s, {per_second:.0} frames/s")?;
    }
    let nms = report.nms_offset.map_or(String::new(), |offset| format!(", class-wise NMS at tIoU - {offset}"));
    writeln!(
        out,
        "{protocol}{nms}, {part}: {videos} videos, {actions} actions, {detections} detections, {left_out} skipped"
    )?;
    writeln!(out, "{}", by_class(report))?;
    if let Some(report) = &report.proposals {
        let ProposalReport { videos, actions, proposals, skipped, auc, .. } = report;
        writeln!(
            out,
            "\nproposals, average recall at tIoU 0.5 to 0.95: {videos} videos, {actions} actions, {proposals} proposals, \
             {skipped} skipped; area below the curve {} %\n{}",
            percent(*auc),
            by_number(report)
        )?;
    }
    for (what, doubts) in skipped {
        for doubt in doubts.iter().take(SHOWN) {
            writeln!(out, "skipped {what}: {}", told(doubt))?;
        }
        if doubts.len() > SHOWN {
            writeln!(out, "skipped {what}s: and {} more (--json names all)", doubts.len() - SHOWN)?;
        }
    }
    Ok(())
}

/// A row for each class, and one for their mean.
fn by_class(report: &LocalizeReport) -> Table {
    let tious = report.map.0.iter().map(|(tiou, _)| format!("AP@{tiou}"));
    let header: Vec<String> =
        ["class", "actions", "detections"].map(String::from).into_iter().chain(tious).chain(["mean".into()]).collect();
    let mut rows = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let shares = |ap: &ByTiou| ap.0.iter().map(|at| at.1).chain([ap.mean()]).map(percent).collect::<Vec<_>>();
    for class in &report.classes {
        let counts = [class.positives, class.detections].map(|count| count.to_string());
        let shares = class.ap.as_ref().map_or_else(|| vec!["-".into(); report.map.0.len() + 1], shares);
        rows.add_row([class.label.clone()].into_iter().chain(counts).chain(shares));
    }
    let counts = [report.actions, report.detections].map(|count| count.to_string());
    rows.add_row(["mean".to_string()].into_iter().chain(counts).chain(shares(&report.map)));
    rows
}

/// Some points of the curve of proposals.
fn by_number(report: &ProposalReport) -> Table {
    let mut rows = table(&["proposals per video", "average recall %"]);
    for step in [1, 5, 10, 20, 50, 100] {
        if let Some(point) = report.curve.get(step - 1) {
            rows.add_row([format!("{:.2}", point.per_video), percent(point.recall)]);
        }
    }
    rows
}

/// `found.txt line 7, video_test_0000004: ...`.
fn told(doubt: &Doubt) -> String {
    let Doubt { path, line, video, problem } = doubt;
    let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
    format!("{}{line}, {video}: {problem}", path.display())
}
