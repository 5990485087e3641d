//! `unscene eval classify`: transfers on their own datasets, split by split.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use unscene_data::formats::DatasetSpec;
use unscene_data::{Dataset, Failure, Views};
use unscene_eval::{ActionReport, deviation, mean};

use super::{ReadArgs, Work, scores};
use crate::subject::{EngineArgs, ModelPath, ModelsArgs, Subject, names};
use crate::tables::{percent, table};

/// Arguments of `unscene eval classify`.
#[derive(Args)]
#[command(after_help = "\
Each model is tested on the dataset that it was trained for, which its config names. Name the models of all official splits to have their mean, as UCF101 and HMDB51 are reported.
A run and its bundle give the same numbers, up to the rounding of the engines: probabilities differ by about 1e-6.

Examples:
  unscene eval classify --run runs/hmdb51-1 --run runs/hmdb51-2 --run runs/hmdb51-3
  unscene eval classify --bundle bundles/ucf101-1 --views 10x3 --files scores
  unscene eval classify --bundle bundles/ucf101-1 --annotations ucfTrainTestlist --videos UCF-101")]
pub struct ClassifyArgs {
    #[command(flatten)]
    models: ModelsArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// The part that is tested on
    #[arg(long, default_value = "test", value_name = "NAME")]
    part: String,
    /// Test clips: paper (all side by side, centre crop) or 10x3 (10 spread evenly, three crops)
    #[arg(long, default_value_t = Views::Paper)]
    views: Views,
    /// The list, or the folder of lists, where it is not where it was in training
    #[arg(long, value_name = "PATH")]
    annotations: Option<PathBuf>,
    /// Folder that the lists' paths start at, where it is not where it was in training
    #[arg(long, value_name = "DIR")]
    videos: Option<PathBuf>,
    /// Write the scores of every video (MODEL.csv) and the confusion matrix (MODEL.confusion.png) into this folder
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
}

/// A model on its split.
struct Measured {
    name: String,
    model: String,
    split: u32,
    report: ActionReport,
    failures: Vec<Failure>,
}

/// Measures every model and prints a row for each, and the mean.
pub fn run(args: &ClassifyArgs) -> Result<()> {
    args.read.check()?;
    let paths = args.models.paths();
    // All of them are opened before one is measured: what is wrong with the last is not found out after hours.
    let opened =
        paths.iter().zip(names(&paths)).map(|(path, name)| open(args, path, name)).collect::<Result<Vec<_>>>()?;
    let mut all = Vec::new();
    for (name, split, mut work) in opened {
        let part = work.parts.pop().context("a part")?;
        let scored = work.score(&part.items, None, &format!("{name}, {}", part.name))?;
        let report = work.report(&scored, &part.items);
        if let Some(dir) = &args.files {
            scores::write(dir, &name, &scored.videos, &part.items, work.subject.labels())?;
        }
        let model = work.subject.describe().to_string();
        all.push(Measured { name, model, split, report, failures: scored.failures });
    }
    print(args, &all)
}

/// A model's name, its split, and what is to be measured.
fn open<'a>(args: &'a ClassifyArgs, path: &ModelPath, name: String) -> Result<(String, u32, Work<'a>)> {
    let subject = args.engine.open(path, &[])?;
    let spec = dataset(args, &subject).with_context(|| name.clone())?;
    let dataset = spec.load().with_context(|| name.clone())?;
    let names: Vec<&str> = dataset.parts.iter().map(|part| part.name.as_str()).collect();
    let part = dataset.part(&args.part).filter(|part| !part.items.is_empty()).cloned().with_context(|| {
        format!(
            "{name}: the part {:?} is not there or has no video on disk; the dataset has {}",
            args.part,
            names.join(", ")
        )
    })?;
    let trained_on = subject.provenance().get("config").and_then(|config| config["train_part"].as_str());
    for doubt in dataset.doubts(trained_on.unwrap_or("train"), &args.part) {
        eprintln!("warning: {name}: {doubt}");
    }
    let mut work = Work::new(&args.read, subject, Dataset { labels: dataset.labels, parts: vec![part] })?;
    work.views = args.views;
    Ok((name, spec.split, work))
}

/// The dataset that a model was trained for, or where it is now.
fn dataset(args: &ClassifyArgs, subject: &Subject) -> Result<DatasetSpec> {
    let trained_on = subject.provenance().get("config").and_then(|config| config.get("data")).cloned();
    let Some(trained_on) = trained_on else {
        bail!("it does not say what it was trained on; use `unscene eval action`, which is told the dataset");
    };
    let mut spec: DatasetSpec = serde_json::from_value(trained_on).context("the dataset that it was trained on")?;
    if let Some(annotations) = &args.annotations {
        // The videos of lists that moved are beside them, unless they are named.
        (spec.annotations, spec.videos) = (annotations.clone(), None);
    }
    if let Some(videos) = &args.videos {
        spec.videos = Some(videos.clone());
    }
    Ok(spec)
}

fn print(args: &ClassifyArgs, all: &[Measured]) -> Result<()> {
    let of = |value: fn(&ActionReport) -> f64| {
        let values: Vec<f64> = all.iter().map(|one| value(&one.report)).collect();
        (mean(&values), deviation(&values))
    };
    let means = [of(|report| report.top1), of(|report| report.top5), of(|report| report.mean_class)];
    let mut out = std::io::stdout().lock();
    let protocol = args.views.protocol();
    if args.read.json {
        let runs: Vec<Value> = all.iter().map(described).collect();
        let [top1, top5, mean_class] = means.map(|(mean, deviation)| json!({"mean": mean, "deviation": deviation}));
        let result = json!({
            "protocol": protocol, "part": args.part, "runs": runs,
            "mean": {"top1": top1, "top5": top5, "mean_class": mean_class},
        });
        writeln!(out, "{result:#}")?;
        return Ok(());
    }
    let mut rows = table(&["model", "split", "videos", "skipped", "top-1 %", "top-5 %", "mean class %"]);
    for Measured { name, split, report, .. } in all {
        let counts = [u64::from(*split), report.videos as u64, report.skipped as u64].map(|count| count.to_string());
        let shares = [report.top1, report.top5, report.mean_class].map(percent);
        rows.add_row([name.clone()].into_iter().chain(counts).chain(shares));
    }
    if all.len() > 1 {
        let first = ["mean".to_string(), String::new(), String::new(), String::new()];
        let shares = means.map(|(mean, deviation)| format!("{} +- {}", percent(mean), percent(deviation)));
        rows.add_row(first.into_iter().chain(shares));
    }
    writeln!(out, "{protocol}, {}, {}\n{rows}", args.part, all[0].model)?;
    for failure in all.iter().flat_map(|one| &one.failures) {
        writeln!(out, "skipped {}: {}", failure.id, failure.reason)?;
    }
    Ok(())
}

fn described(one: &Measured) -> Value {
    let mut value = json!(one.report);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("name".into(), one.name.clone().into());
        fields.insert("model".into(), one.model.clone().into());
        fields.insert("split".into(), one.split.into());
        fields.insert("failures".into(), json!(one.failures));
    }
    value
}
