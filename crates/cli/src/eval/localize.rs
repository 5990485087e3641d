//! `unscene eval localize`: how well actions are found in untrimmed videos.

mod plot;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::Table;
use serde_json::json;
use unscene_data::untrimmed::{Doubt, Untrimmed, UntrimmedFormat, UntrimmedPart, UntrimmedSpec};
use unscene_eval::localize::{
    ByTiou, Evaluation, FromFile, Known, LocalizeOptions, LocalizeReport, Proposal, ProposalReport, Protocol,
    SegmentDetection, evaluate, proposal_recall,
};

use crate::files::whole;
use crate::tables::{percent, table};

/// Names shown of what was left out; `--json` has all.
const SHOWN: usize = 5;

/// Arguments of `unscene eval localize`.
#[derive(Args)]
#[command(after_help = "\
Protocols:
  thumos14     the official kit at tIoU 0.1 to 0.7; ambiguous moments count neither way
  activitynet  the official evaluation at tIoU 0.5 to 0.95, with interpolated precision
Detections are THUMOS14's text (video start_s end_s class_id score, a line each) or ActivityNet's JSON, whichever the file is. They are scored as they are unless --nms is given.

Examples:
  unscene eval localize --detections found.txt --annotations annotation_test --protocol thumos14
  unscene eval localize --detections found.json --annotations activity_net.v1-3.min.json --part validation --protocol activitynet
  unscene eval localize --detections found.txt --annotations annotation_test --nms --proposals proposed.json --plot curves.svg")]
pub struct LocalizeArgs {
    /// File of detections
    #[arg(long, value_name = "FILE")]
    detections: PathBuf,
    #[command(flatten)]
    truth: TruthArgs,
    #[command(flatten)]
    measure: MeasureArgs,
}

/// Arguments that name the truth.
#[derive(Args)]
struct TruthArgs {
    /// THUMOS14's folder of text files, or ActivityNet's JSON
    #[arg(long, value_name = "PATH")]
    annotations: PathBuf,
    /// Of the annotations: thumos14 or activitynet [default: thumos14 for a folder, activitynet for a file]
    #[arg(long)]
    format: Option<UntrimmedFormat>,
    /// The part that is scored
    #[arg(long, default_value = "test", value_name = "NAME")]
    part: String,
    /// Leave out annotations, detections and proposals that make no sense, and name them, instead of refusing the file
    #[arg(long)]
    skip_bad: bool,
}

/// Arguments that say how detections are scored, and how the result is told.
#[derive(Args)]
struct MeasureArgs {
    /// What is right, and what counts: thumos14 or activitynet
    #[arg(long, default_value_t = Protocol::Thumos14)]
    protocol: Protocol,
    /// Before scoring at a tIoU, leave out detections that overlap a better one of their class by more than that tIoU less this
    /// [default: none; 0.1 where the number is left out]
    #[arg(long, value_name = "TIOU_OFFSET", num_args = 0..=1, default_missing_value = "0.1")]
    nms: Option<f64>,
    /// File of proposals, as of detections but without classes: measures average recall against their number
    #[arg(long, value_name = "FILE")]
    proposals: Option<PathBuf>,
    /// Mean number of proposals per video at which their curve ends
    #[arg(long, default_value_t = 100.0, value_name = "N")]
    proposals_per_video: f64,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Draw precision over recall at tIoU 0.5, and the curve of the proposals, into this SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Reads, measures and prints.
pub fn run(args: &LocalizeArgs) -> Result<()> {
    let LocalizeArgs { detections, truth, measure } = args;
    measure.check()?;
    let dataset = truth.load()?;
    let part = truth.part(&dataset)?;
    let known = Known::new(&dataset, part);
    let found = Found {
        detections: known.detections(detections, truth.skip_bad)?,
        proposals: measure.proposals.as_ref().map(|path| known.proposals(path, truth.skip_bad)).transpose()?,
    };
    print(measure, &dataset, &found, &score(measure, &dataset, part, &found)?)
}

/// What is scored.
struct Found {
    detections: FromFile<SegmentDetection>,
    proposals: Option<FromFile<Proposal>>,
}

impl TruthArgs {
    fn load(&self) -> Result<Untrimmed> {
        let by_kind = match self.annotations.is_dir() {
            true => UntrimmedFormat::Thumos14,
            false => UntrimmedFormat::Activitynet,
        };
        let spec = UntrimmedSpec {
            format: self.format.unwrap_or(by_kind),
            annotations: self.annotations.clone(),
            videos: None,
            skip_bad: self.skip_bad,
        };
        Ok(spec.load()?)
    }

    fn part<'a>(&self, dataset: &'a Untrimmed) -> Result<&'a UntrimmedPart> {
        let names = || dataset.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
        match dataset.part(&self.part) {
            Some(part) => Ok(part),
            None => {
                let path = self.annotations.display();
                bail!("{path}: there is no part {:?}; it has {}; choose one with --part", self.part, names())
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
        match &self.plot {
            Some(path) if path.extension().is_none_or(|extension| extension != "svg") => {
                bail!("--plot: found {}, expected a name that ends in .svg", path.display())
            }
            _ => Ok(()),
        }
    }
}

/// Measures, and draws what is asked for.
fn score(args: &MeasureArgs, dataset: &Untrimmed, part: &UntrimmedPart, found: &Found) -> Result<LocalizeReport> {
    let options = LocalizeOptions { protocol: args.protocol, nms_offset: args.nms };
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

fn print(args: &MeasureArgs, dataset: &Untrimmed, found: &Found, report: &LocalizeReport) -> Result<()> {
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
        writeln!(out, "{result:#}")?;
        return Ok(());
    }
    let LocalizeReport { protocol, part, videos, actions, detections, skipped: left_out, .. } = report;
    let nms = args.nms.map_or(String::new(), |offset| format!(", class-wise NMS at tIoU - {offset}"));
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
