//! `unscene bias`: how much of a dataset's actions the scene alone gives away.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use comfy_table::Table;
use serde::{Deserialize, Serialize};
use serde_json::json;
use unscene_annotate::{AnnotateOptions, FrameModel, annotate};
use unscene_data::{Cache, CacheKind, Dataset, Found, Item, Looks, Part};
use unscene_engine::EngineOptions;
use unscene_eval::{Correlation, SceneBias, pearson, scene_bias};

use crate::data::DatasetArgs;
use crate::plot::{Point, scatter};
use crate::tables::{percent, table};
use crate::{files, interrupt};

/// Arguments of `unscene bias`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
B_scene = ln(accuracy / chance) (paper, equation 1; Li et al., ECCV 2018): the accuracy of a linear classifier that names the action by features of the scene, over one in the number of actions. UCF101 has ln(59.7 / 1.0) = 4.09 with features of ResNet-50. A dataset whose scenes tell nothing has 0.
Features of a video are the logarithms of its scenes' probabilities. Each of the seeds trains on its own random 80 % of the training videos.

Examples:
  unscene bias --format ucf101 --annotations ucfTrainTestlist --videos UCF-101 --cache ucf101-scenes.sqlite
  unscene bias --annotations stage --test-part iid --features bundles/scenes
  unscene bias compare targets.csv --plot figure4.svg"
)]
pub struct BiasArgs {
    #[command(flatten)]
    dataset: Option<DatasetArgs>,
    #[command(flatten)]
    features: Option<FeatureArgs>,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(subcommand)]
    command: Option<BiasCommand>,
}

#[derive(Subcommand)]
enum BiasCommand {
    /// Relates what debiasing brought on several datasets to their bias (paper, figure 4)
    Compare(CompareArgs),
}

#[derive(Args)]
struct MeasureArgs {
    /// The part that the classifier is trained on
    #[arg(long, default_value = "train", value_name = "NAME")]
    train_part: String,
    /// The part that it is tested on
    #[arg(long, default_value = "test", value_name = "NAME")]
    test_part: String,
    /// How the model of --features wants its pictures; a bundle needs none
    #[arg(long, value_name = "FILE", requires = "features")]
    config: Option<PathBuf>,
    /// Names of its scenes, one per line [default: the config's]
    #[arg(long, value_name = "FILE", requires = "features")]
    labels: Option<PathBuf>,
    /// Classifiers that are trained; the mean counts
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct FeatureArgs {
    /// Cache of scenes, from `unscene annotate scenes`
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,
    /// Classifier of scenes to look with: an ONNX file, or a bundle
    #[arg(long, value_name = "MODEL")]
    features: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "\
The table has the columns dataset,bias,baseline,debiased: B_scene, and the accuracy of the two models, from 0 to 1 or in percent. What debiasing brings is (debiased - baseline) / baseline.")]
struct CompareArgs {
    /// The table
    #[arg(value_name = "FILE.csv")]
    table: PathBuf,
    /// Draw what debiasing brought over the bias
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Measures or compares, and prints.
pub fn run(args: BiasArgs) -> Result<()> {
    match (args.command, args.dataset, args.features) {
        (Some(BiasCommand::Compare(args)), _, _) => compare(&args),
        (None, Some(dataset), Some(features)) => measure(&args.measure, &dataset, &features),
        _ => bail!("name a dataset by --annotations, and --cache or --features"),
    }
}

fn measure(args: &MeasureArgs, dataset: &DatasetArgs, with: &FeatureArgs) -> Result<()> {
    let dataset = dataset.load()?;
    let (train, test) = (part(&dataset, &args.train_part)?, part(&dataset, &args.test_part)?);
    let temporary;
    let cache = match (&with.cache, &with.features) {
        (Some(cache), _) => cache.clone(),
        (None, Some(model)) => {
            temporary = tempfile::tempdir().context("a temporary folder")?;
            let cache = temporary.path().join("scenes.sqlite");
            look(model, args, &[train, test], &cache)?;
            cache
        }
        (None, None) => bail!("name --cache or --features"),
    };
    let cache = Cache::open(&cache, CacheKind::Scenes)?;
    let seeds: Vec<u64> = (0..args.seeds).collect();
    let (train, test) = (features(&cache, &train.items)?, features(&cache, &test.items)?);
    let found = scene_bias(&train, &test, dataset.labels.len(), &seeds)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", json!(found))?;
        return Ok(());
    }
    let SceneBias { bias, bias_std, accuracy, chance, labels, train_videos, test_videos, .. } = &found;
    writeln!(
        out,
        "B_scene = ln({} / {}) = {bias:.2} +- {bias_std:.2}: {labels} actions by features of the scene, {} seeds, trained on 80 % of \
         {train_videos} videos, tested on {test_videos}",
        percent(*accuracy),
        percent(*chance),
        args.seeds,
    )?;
    Ok(())
}

fn part<'a>(dataset: &'a Dataset, name: &str) -> Result<&'a Part> {
    let names: Vec<&str> = dataset.parts.iter().map(|part| part.name.as_str()).collect();
    let found = dataset.part(name).filter(|part| !part.items.is_empty());
    found.with_context(|| {
        format!("the part {name:?} is not there or has no video on disk; the dataset has {}", names.join(", "))
    })
}

/// Looks at every video of the parts with a classifier of scenes.
fn look(model: &Path, args: &MeasureArgs, parts: &[&Part], out: &Path) -> Result<()> {
    interrupt::listen()?;
    let engine = EngineOptions::default();
    let mut model = FrameModel::scenes(model, args.config.as_deref(), args.labels.as_deref(), &engine)?;
    let items: Vec<Item> = parts.iter().flat_map(|part| part.items.clone()).collect();
    let bar =
        if args.json { indicatif::ProgressBar::hidden() } else { indicatif::ProgressBar::new(items.len() as u64) };
    let options = AnnotateOptions { looks: Looks::PerSecond(1.0), batch: 16, workers: 0, max_failed: 0.05 };
    let looked = annotate(&mut model, &items, &options, out, &|progress| {
        bar.set_position(progress.videos as u64);
        interrupt::control()
    });
    bar.finish_and_clear();
    for failure in looked?.failures {
        eprintln!("skipped {}: {}", failure.id, failure.reason);
    }
    Ok(())
}

/// Features and action of every video that the cache knows.
fn features(cache: &Cache, items: &[Item]) -> Result<Vec<(Vec<f64>, usize)>> {
    let annotations = cache.read(items)?;
    let of = |(item, annotation): (&Item, Option<unscene_data::Annotation>)| match annotation?.found {
        // A linear classifier on logarithms sees ratios, and what is rare but telling. No probability is below a millionth.
        Found::Scenes(scores) => Some((scores.iter().map(|p| f64::from(*p).max(1e-6).ln()).collect(), item.label)),
        Found::People(_) => None,
    };
    Ok(items.iter().zip(annotations).filter_map(of).collect())
}

/// A dataset, and two models on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Its name.
    pub dataset: String,
    /// B_scene.
    pub bias: f64,
    /// Accuracy of the model that was trained as usual.
    pub baseline: f64,
    /// Accuracy of the debiased one, in the same unit.
    pub debiased: f64,
}

impl Transfer {
    /// What debiasing brings, as a share of what was there.
    pub fn improvement(&self) -> f64 {
        (self.debiased - self.baseline) / self.baseline
    }
}

/// How improvement goes with bias.
pub fn relate(transfers: &[Transfer]) -> Result<Correlation> {
    let pairs: Vec<(f64, f64)> = transfers.iter().map(|transfer| (transfer.bias, transfer.improvement())).collect();
    Ok(pearson(&pairs)?)
}

/// Figure 4 of the paper.
pub fn figure(transfers: &[Transfer], relation: &Correlation) -> Result<String> {
    let point =
        |transfer: &Transfer| Point { x: transfer.bias, y: transfer.improvement(), name: transfer.dataset.clone() };
    let points: Vec<Point> = transfers.iter().map(point).collect();
    let heading = format!("rho = {:.3}, p = {:.3}", relation.rho, relation.p_value);
    scatter(&points, &heading, "scene representation bias", "improvement by debiasing, %")
}

fn compare(args: &CompareArgs) -> Result<()> {
    let name = args.table.display();
    let mut reader = csv::Reader::from_path(&args.table).with_context(|| format!("cannot read {name}"))?;
    let transfers: Vec<Transfer> = reader
        .deserialize()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{name}: expected the columns dataset,bias,baseline,debiased"))?;
    let is_good = |transfer: &Transfer| {
        transfer.baseline > 0.0 && transfer.improvement().is_finite() && transfer.bias.is_finite()
    };
    if let Some(bad) = transfers.iter().find(|transfer| !is_good(transfer)) {
        bail!(
            "{name}: {}: found a baseline of {}, expected numbers, and a baseline above 0",
            bad.dataset,
            bad.baseline
        );
    }
    let relation = relate(&transfers).with_context(|| name.to_string())?;
    if let Some(plot) = &args.plot {
        files::whole(plot, figure(&transfers, &relation)?.as_bytes())?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let each: Vec<_> = transfers
            .iter()
            .map(|transfer| json!({"dataset": transfer.dataset, "bias": transfer.bias, "improvement": transfer.improvement()}))
            .collect();
        writeln!(out, "{:#}", json!({"datasets": each, "pearson": relation}))?;
        return Ok(());
    }
    let mut rows: Table = table(&["dataset", "B_scene", "baseline", "debiased", "improvement %"]);
    for transfer in &transfers {
        let Transfer { dataset, bias, baseline, debiased } = transfer;
        rows.add_row([
            dataset.clone(),
            format!("{bias:.2}"),
            baseline.to_string(),
            debiased.to_string(),
            format!("{:+.1}", transfer.improvement() * 100.0),
        ]);
    }
    writeln!(out, "{rows}\nPearson's rho = {:.3}, p = {:.3}, n = {}", relation.rho, relation.p_value, relation.n)?;
    Ok(())
}
