//! `unscene report`: trainings side by side, as a page that people can look at and send on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use clap::Args;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::*;
use serde_json::Value;

use crate::files;

/// Arguments of `unscene report`.
#[derive(Args)]
#[command(after_help = "\
The curves come from metrics.jsonl of each run. The table has what lies beside it: action.json, masked.json and scene.json, the output of `unscene eval action|masked|scene --json`. The page is one file without links to others.

Example:
  unscene eval action --run runs/debiased --annotations stage --part swapped --json > runs/debiased/action.json
  unscene report --run runs/baseline --run runs/debiased --out report.html")]
pub struct ReportArgs {
    /// Run folder; repeat for several, the one to compare with first
    #[arg(long = "run", value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Picture to show on top, such as Stage's contact sheet
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    /// Heading of the page
    #[arg(long, default_value = "Unscene: what the models look at")]
    title: String,
    /// Page to write
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,
}

/// A training, as far as it is known.
struct Run {
    name: String,
    /// Lines of `metrics.jsonl`.
    epochs: Vec<Value>,
    action: Option<Value>,
    masked: Option<Value>,
    scene: Option<Value>,
}

/// Reads the runs and writes the page.
pub fn run(args: ReportArgs) -> Result<()> {
    let runs = args.runs.iter().map(|dir| read(dir)).collect::<Result<Vec<_>>>()?;
    let picture = match &args.picture {
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            Some(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        None => None,
    };
    let page = page(&args.title, &runs, picture.as_deref())?.into_string();
    files::whole(&args.out, page.as_bytes())?;
    println!("wrote {}", args.out.display());
    Ok(())
}

fn read(dir: &Path) -> Result<Run> {
    let log = dir.join("metrics.jsonl");
    let text = std::fs::read_to_string(&log)
        .with_context(|| format!("{}: expected the folder of a training, made by `unscene pretrain`", log.display()))?;
    let epochs: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{}: not lines of JSON", log.display()))?;
    if epochs.is_empty() {
        bail!("{}: no epoch is over yet", log.display());
    }
    let measured = |name: &str| -> Result<Option<Value>> {
        let path = dir.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let value: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        if !value["parts"].is_object() {
            bail!("{}: expected the output of `unscene eval --json`", path.display());
        }
        Ok(Some(value))
    };
    Ok(Run {
        name: dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned(),
        epochs,
        action: measured("action.json")?,
        masked: measured("masked.json")?,
        scene: measured("scene.json")?,
    })
}

/// A column of the table: its heading, what it means, and each run's value.
struct Column {
    name: String,
    meaning: String,
    values: Vec<Option<f64>>,
    is_percent: bool,
}

/// What was measured of any of the runs.
fn columns(runs: &[Run]) -> Vec<Column> {
    let parts = |of: fn(&Run) -> &Option<Value>| -> BTreeSet<String> {
        let measured = runs.iter().filter_map(|run| of(run).as_ref()?["parts"].as_object());
        measured.flat_map(|parts| parts.keys().cloned()).collect()
    };
    let values = |value: &dyn Fn(&Run) -> Option<f64>| runs.iter().map(value).collect::<Vec<_>>();
    let mut columns = Vec::new();
    for part in parts(|run| &run.action) {
        let meaning = match part.as_str() {
            "iid" => {
                "Videos as biased as those of the training, in other views of the scenes. Looking at the scene pays here."
            }
            "swapped" => {
                "The action is never in the scene where training showed it. Looking at the scene is wrong here: this is the number that matters."
            }
            "unseen" => "Scenes that training did not show at all.",
            _ => "Share of the videos whose action is named.",
        };
        columns.push(Column {
            name: format!("{part}, top-1"),
            meaning: meaning.into(),
            values: values(&|run| run.action.as_ref()?["parts"][&part]["top1"].as_f64()),
            is_percent: true,
        });
    }
    for part in parts(|run| &run.masked) {
        let fills: BTreeSet<String> = runs
            .iter()
            .filter_map(|run| run.masked.as_ref()?["parts"][&part]["fills"].as_object())
            .flat_map(|fills| fills.keys().filter(|fill| *fill != "none").cloned())
            .collect();
        for fill in fills {
            let of = |name: &'static str| {
                values(&|run: &Run| run.masked.as_ref()?["parts"][&part]["fills"][&fill][name].as_f64())
            };
            let short = Path::new(&fill).file_name().unwrap_or_default().to_string_lossy().into_owned();
            columns.push(Column {
                name: format!("{part} without people ({short}), top-1"),
                meaning: "The same videos with the people filled. Nobody acts: what is still right was read off the scene. Lower is better."
                    .into(),
                values: of("top1"),
                is_percent: true,
            });
            columns.push(Column {
                name: format!("{part} without people ({short}), entropy"),
                meaning: "How unsure the model is then, in nats; the logarithm of the number of classes is not to know at all. Higher is better."
                    .into(),
                values: of("entropy"),
                is_percent: false,
            });
        }
    }
    for part in parts(|run| &run.scene) {
        columns.push(Column {
            name: format!("scene probe on {part}"),
            meaning: "How often a linear classifier reads the scene off the features. Lower is better.".into(),
            values: values(&|run| run.scene.as_ref()?["parts"][&part]["accuracy"].as_f64()),
            is_percent: true,
        });
    }
    columns
}

/// Curves: heading, part of the line, and name. Each adversary of any of the runs has its own.
fn curves(runs: &[Run]) -> Vec<(String, &'static str, String)> {
    let lines = runs.iter().flat_map(|run| &run.epochs);
    let adversaries: BTreeSet<&str> =
        lines.filter(|line| line["train"]["anchor_loss"].is_null()).flat_map(other_losses).collect();
    let plain = |heading: &str, part, name: &str| (heading.to_string(), part, name.to_string());
    let mut curves = vec![
        plain("Action loss in training", "train", "action_loss"),
        plain("Accuracy in training", "train", "accuracy"),
        plain("Validation loss", "val", "loss"),
        plain("Validation accuracy", "val", "accuracy"),
    ];
    curves.extend(
        adversaries.iter().map(|name| (format!("Loss of the {name} adversary"), "train", format!("{name}_loss"))),
    );
    curves.push(plain("Entropy without people", "train", "entropy"));
    curves
}

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x6f, 0xb4),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x2a, 0x8c, 0x4a),
    RGBColor(0x8e, 0x44, 0xad),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0xc0, 0x39, 0x2b),
];

fn page(title: &str, runs: &[Run], picture: Option<&str>) -> Result<Markup> {
    let columns = columns(runs);
    let mut plots = Vec::new();
    for (heading, part, name) in curves(runs) {
        if let Some(svg) = plot(runs, part, &name)? {
            plots.push((heading, svg));
        }
    }
    let shown = |value: Option<f64>, is_percent: bool| match value {
        Some(value) if is_percent => format!("{:.1} %", value * 100.0),
        Some(value) => format!("{value:.2}"),
        None => "-".into(),
    };
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                @if !columns.is_empty() {
                    table {
                        thead { tr { th { "measured" } @for run in runs { th { (run.name) } } } }
                        tbody {
                            @for column in &columns {
                                tr {
                                    td { strong { (column.name) } div.meaning { (column.meaning) } }
                                    @for value in &column.values { td.number { (shown(*value, column.is_percent)) } }
                                }
                            }
                        }
                    }
                }
                p.legend {
                    @for (run, colour) in runs.iter().zip(COLOURS.iter().cycle()) {
                        span style=(format!("color: rgb({}, {}, {})", colour.0, colour.1, colour.2)) { "— " (run.name) " " }
                    }
                }
                div.plots { @for (heading, svg) in &plots { figure { figcaption { (heading) } (PreEscaped(svg)) } } }
                @if let Some(picture) = picture {
                    h2 { "What the videos show" }
                    img src=(format!("data:image/png;base64,{picture}")) alt="frames of the videos";
                }
            }
        }
    })
}

/// Of every page.
pub const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.4rem .6rem;text-align:left;vertical-align:top}\
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}.meaning{color:#666;font-size:.85rem}\
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(24rem,1fr));gap:1rem}figure{margin:0}figcaption{font-weight:600}\
svg,img{max-width:100%;height:auto}.legend{font-weight:600}";

/// A curve of each run that has one, over epochs.
fn plot(runs: &[Run], part: &str, name: &str) -> Result<Option<String>> {
    let curve = |run: &Run| -> Vec<(f64, f64)> {
        let point = |line: &Value| Some((line["epoch"].as_f64()? + 1.0, line[part][name].as_f64()?));
        run.epochs.iter().filter_map(point).collect()
    };
    let curves: Vec<Vec<(f64, f64)>> = runs.iter().map(curve).collect();
    let points = || curves.iter().flatten();
    let Some(last) = points().map(|point| point.0).reduce(f64::max) else { return Ok(None) };
    let (low, high) =
        points().fold((0f64, f64::MIN_POSITIVE), |(low, high), point| (low.min(point.1), high.max(point.1)));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (480, 260)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(44)
            .build_cartesian_2d(1.0..last.max(2.0), low..high * 1.05)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .x_label_formatter(&|epoch| format!("{epoch:.0}"))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (curve, colour) in curves.into_iter().zip(COLOURS.iter().cycle()) {
            chart.draw_series(LineSeries::new(curve, colour.stroke_width(2)))?;
        }
        area.present()?;
    }
    Ok(Some(svg))
}

/// Names of the losses of a line of `metrics.jsonl` beside that of actions: of adversaries in pretraining, of proposals and segments
/// in localization.
pub fn other_losses(line: &Value) -> impl Iterator<Item = &str> {
    let names = line["train"].as_object().into_iter().flat_map(|losses| losses.keys());
    names.filter_map(|name| name.strip_suffix("_loss")).filter(|name| *name != "action")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_adversary_has_a_curve() {
        let run = |train: Value| {
            let epochs = vec![json!({"epoch": 0, "train": train})];
            Run { name: "a".into(), epochs, action: None, masked: None, scene: None }
        };
        let runs = [run(json!({"action_loss": 1.0})), run(json!({"object_loss": 1.0, "scene_loss": 2.0}))];
        let page = page("t", &runs, None).unwrap().into_string();
        for heading in ["Action loss in training", "Loss of the object adversary", "Loss of the scene adversary"] {
            assert!(page.contains(heading), "{heading}");
        }
        assert!(!page.contains("Entropy"));
    }
}
