//! `unscene explain`: where models look.

mod picture;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use unscene_data::{
    Cache, CacheKind, ClipForm, Found, Item, Media, People, Sample, Span, Views, people_mask, test_clips,
};
use unscene_vision::{ClassMap, energy_within, softmax};

use crate::data::DatasetArgs;
use crate::failure::Interrupted;
use crate::interrupt;
use crate::subject::{EngineArgs, ModelsArgs, Subject};
use crate::tables::{percent, table};

/// Arguments of `unscene explain`.
#[derive(Args)]
#[command(after_help = "\
A class activation map says how much each place of a clip speaks for a class (Zhou et al., CVPR 2016; figure 5 of the paper): for the class that the model names, or for --class. With two models their maps stand side by side.
With a dataset and its people the share of the map's energy (what is above 0) on people is printed, beside the share of the picture that people cover: what a map that is the same everywhere would have. Maps are as coarse as the last activations, 4 x 4 cells for clips of 112 x 112.
A bundle must have its maps: unscene export --maps.

Examples:
  unscene explain --run runs/debiased my.mp4 --out looks
  unscene explain --run runs/baseline --run runs/debiased my.mp4 --out looks
  unscene explain --run runs/baseline --run runs/debiased --annotations stage --part swapped --people people.sqlite --out looks")]
pub struct ExplainArgs {
    #[command(flatten)]
    models: ModelsArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Video to look at
    #[arg(
        value_name = "VIDEO",
        required_unless_present = "annotations",
        conflicts_with = "annotations",
        requires = "out"
    )]
    video: Option<PathBuf>,
    #[command(flatten)]
    dataset: Option<DatasetArgs>,
    /// Cache of the people in the dataset's videos
    #[arg(long, value_name = "FILE", requires = "annotations")]
    people: Option<PathBuf>,
    /// Boxes of at least this score count as people
    #[arg(long, default_value_t = 0.3, value_name = "SCORE")]
    min_score: f32,
    /// Show the evidence for this class [default: the one that the model names]
    #[arg(long, value_name = "LABEL")]
    class: Option<String>,
    /// Folder for pictures: of every clip its middle frame, and all of them as a video
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Videos of the dataset that are drawn, spread over it
    #[arg(long, default_value_t = 8, value_name = "N")]
    pictures: usize,
    /// Clips of a video that are drawn, from its start
    #[arg(long, default_value_t = 20, value_name = "N")]
    clips: usize,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What a model makes of one video.
struct Look {
    /// The class that is explained, and its probability over the video.
    class: usize,
    probability: f64,
    /// A map for each clip, as coarse as the activations.
    maps: Vec<ClassMap>,
}

/// Where a video's clips were cut, without their pixels.
type Cuts = Vec<Sample>;

/// What a model's maps have on people, over many videos.
#[derive(Default)]
struct Energy {
    videos: usize,
    /// Sums of the videos' shares: of energy on people, and of the picture that they cover.
    on_people: f64,
    covered: f64,
    /// Videos whose maps are nowhere above 0.
    without_evidence: usize,
}

/// Looks, prints and draws.
pub fn run(args: ExplainArgs) -> Result<()> {
    interrupt::listen()?;
    let paths = args.models.paths();
    let mut models = paths.iter().map(|path| args.engine.open(path, &["maps"])).collect::<Result<Vec<_>>>()?;
    check_alike(&models)?;
    for model in &mut models {
        model.warm_up()?;
    }
    let items = items(&args)?;
    let people = people(&args, &items)?;
    let step = items.len().div_ceil(args.pictures.max(1)).max(1);
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(items.len() as u64) };
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} videos, {eta} left").expect("a valid template"));
    let mut energies: Vec<Energy> = models.iter().map(|_| Energy::default()).collect();
    let (mut skipped, mut lines, mut without_people) = (Vec::new(), Vec::new(), 0);
    for (number, (item, people)) in items.iter().zip(&people).enumerate() {
        let looked = look(&mut models, item, args.class.as_deref());
        // Half a video is no video.
        if interrupt::control().is_break() {
            return Err(Interrupted { done: number, of: items.len(), what: "videos" }.into());
        }
        match looked {
            Ok((looks, cuts)) => {
                let is_seen = |people: &People| {
                    cuts.iter().flat_map(|cut| &cut.times_s).any(|time_s| !people.at(*time_s).is_empty())
                };
                match people {
                    Some(people) if is_seen(people) => {
                        let form = models[0].form();
                        energies
                            .iter_mut()
                            .zip(&looks)
                            .for_each(|(energy, look)| energy.add(look, &cuts, people, form));
                    }
                    Some(_) => without_people += 1,
                    None => {}
                }
                let is_drawn = number % step == 0 && args.pictures > 0;
                if let Some(out) = args.out.as_ref().filter(|_| is_drawn) {
                    let dir =
                        if args.video.is_some() { out.clone() } else { out.join(item.id.replace(['/', '\\'], "_")) };
                    picture::draw(&dir, item, &models, &looks, people.as_ref(), args.clips)?;
                    lines.push(described(&item.id, &models, &looks));
                }
            }
            // One bad video of many is named; the only one is an error.
            Err(error) if items.len() > 1 => skipped.push(format!("{}: {error:#}", item.id)),
            Err(error) => return Err(error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if skipped.len() == items.len() {
        bail!("none of {} videos could be read; the first: {}", items.len(), skipped[0]);
    }
    print(&args, &models, &energies, &skipped, &lines, without_people)
}

/// Models are compared on the same pixels.
fn check_alike(models: &[Subject]) -> Result<()> {
    let form = |model: &Subject| {
        let ClipForm { frames, height, width, short_side, fps, .. } = model.form().clone();
        let rate = fps.map_or("every frame".to_string(), |fps| format!("{fps} frames a second"));
        format!("{frames} frames of {height} x {width} from a short side of {short_side}, {rate}")
    };
    if let Some(other) = models.iter().find(|model| form(model) != form(&models[0])) {
        bail!(
            "{} takes clips of {}, {} of {}: models side by side must see the same",
            models[0].describe(),
            form(&models[0]),
            other.describe(),
            form(other)
        );
    }
    Ok(())
}

fn items(args: &ExplainArgs) -> Result<Vec<Item>> {
    if let Some(video) = &args.video {
        let id = video.file_stem().unwrap_or(video.as_os_str()).to_string_lossy().into_owned();
        let media = if video.is_dir() { Media::Frames(video.clone()) } else { Media::Video(video.clone()) };
        return Ok(vec![Item { id, media, span: Span::Whole, label: 0 }]);
    }
    let dataset = args.dataset.as_ref().context("name a VIDEO, or a dataset by --annotations")?.load()?;
    let items: Vec<Item> = dataset.parts.into_iter().flat_map(|part| part.items).collect();
    if items.is_empty() {
        bail!("none of the videos that the lists name is on disk; look at `unscene data check`");
    }
    Ok(items)
}

fn people(args: &ExplainArgs, items: &[Item]) -> Result<Vec<Option<People>>> {
    let Some(path) = &args.people else { return Ok(vec![None; items.len()]) };
    let found = Cache::open(path, CacheKind::People)?.read(items)?.into_iter().map(|annotation| {
        match annotation.map(|annotation| annotation.found) {
            Some(Found::People(frames)) => Some(People::new(frames, args.min_score)),
            _ => None,
        }
    });
    Ok(found.collect())
}

/// Runs the models over a video's clips. What is kept of a clip is small: long videos do not fill the memory.
fn look(models: &mut [Subject], item: &Item, class: Option<&str>) -> Result<(Vec<Look>, Cuts)> {
    let form = models[0].form().clone();
    let (mut cuts, mut failed) = (Cuts::new(), None);
    let mut raw: Vec<Vec<(Vec<f32>, Vec<f32>)>> = models.iter().map(|_| vec![]).collect();
    test_clips(item, &form, Views::Paper, &mut |sample: Sample| {
        for (model, clips) in models.iter_mut().zip(&mut raw) {
            let input = sample.to_input(model.form());
            match model.run(&input, 1) {
                Ok(outputs) => clips.push((outputs.logits, outputs.maps)),
                Err(error) => failed = Some(anyhow::anyhow!("{}: {error}", model.describe())),
            }
        }
        cuts.push(Sample { rgb: vec![], ..sample });
        failed.is_none() && interrupt::control().is_continue()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let looks = models.iter().zip(raw).map(|(model, clips)| explain(model, clips, class)).collect::<Result<_>>()?;
    Ok((looks, cuts))
}

/// The maps of the class that is named, or that a model names.
fn explain(model: &Subject, clips: Vec<(Vec<f32>, Vec<f32>)>, class: Option<&str>) -> Result<Look> {
    let labels = model.labels();
    let mut mean = vec![0.0; labels.len()];
    for (logits, _) in &clips {
        let mut probabilities = logits.clone();
        softmax(&mut probabilities);
        mean.iter_mut().zip(&probabilities).for_each(|(sum, p)| *sum += f64::from(*p) / clips.len() as f64);
    }
    let likeliest = || (0..mean.len()).rev().max_by(|&a, &b| mean[a].total_cmp(&mean[b])).unwrap_or(0);
    let class = match class {
        Some(name) => labels.iter().position(|label| label == name).with_context(|| {
            format!("{}: it has no class {name:?}; its first is {:?}", model.describe(), labels.first())
        })?,
        None => likeliest(),
    };
    let weights = model.class_weights().with_context(|| format!("{}: it gives no maps", model.describe()))?;
    let map = |(_, maps): &(Vec<f32>, Vec<f32>)| weights.map(maps, class);
    Ok(Look { class, probability: mean[class], maps: clips.iter().map(map).collect() })
}

impl Energy {
    /// A video with people.
    fn add(&mut self, look: &Look, cuts: &Cuts, people: &People, form: &ClipForm) {
        let (mut within, mut all, mut covered, mut pixels) = (0.0, 0.0, 0, 0);
        for (map, cut) in look.maps.iter().zip(cuts) {
            let map = map.resized([form.frames, form.height, form.width]);
            for (frame, time_s) in cut.times_s.iter().enumerate() {
                let mask = people_mask(cut, people, *time_s, (form.width, form.height));
                let (inside, whole) = energy_within(map.frame(frame), &mask);
                (within, all) = (within + inside, all + whole);
                covered += mask.iter().filter(|is_in| **is_in).count();
                pixels += mask.len();
            }
        }
        if all > 0.0 {
            self.videos += 1;
            self.on_people += within / all;
            self.covered += covered as f64 / pixels.max(1) as f64;
        } else {
            self.without_evidence += 1;
        }
    }
}

fn described(id: &str, models: &[Subject], looks: &[Look]) -> String {
    let each = models
        .iter()
        .zip(looks)
        .map(|(model, look)| format!("{} ({:.0} %)", model.labels()[look.class], look.probability * 100.0));
    format!("{id}: {}", each.collect::<Vec<_>>().join(" | "))
}

fn print(
    args: &ExplainArgs,
    models: &[Subject],
    energies: &[Energy],
    skipped: &[String],
    lines: &[String],
    without_people: usize,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mean = |energy: &Energy, sum: f64| (energy.videos > 0).then(|| sum / energy.videos as f64);
    if args.json {
        let each: Vec<Value> = models
            .iter()
            .zip(energies)
            .map(|(model, energy)| {
                json!({
                    "model": model.describe(), "energy": mean(energy, energy.on_people), "covered": mean(energy, energy.covered),
                    "videos": energy.videos, "without_evidence": energy.without_evidence,
                })
            })
            .collect();
        let result = json!({
            "class": args.class, "models": each, "without_people": without_people, "skipped": skipped, "pictures": args.out,
        });
        writeln!(out, "{result:#}")?;
        return Ok(());
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    if args.people.is_some() {
        let mut rows = table(&["model", "videos", "energy on people %", "people cover %"]);
        for (model, energy) in models.iter().zip(energies) {
            let shown = |sum: f64| mean(energy, sum).map_or("-".into(), percent);
            rows.add_row([
                model.describe().to_string(),
                energy.videos.to_string(),
                shown(energy.on_people),
                shown(energy.covered),
            ]);
        }
        writeln!(out, "{rows}")?;
    }
    if without_people > 0 {
        writeln!(out, "{without_people} videos show no people, and do not count")?;
    }
    for line in skipped {
        writeln!(out, "skipped {line}")?;
    }
    if let Some(dir) = &args.out {
        writeln!(out, "drew {}", display(dir, lines.len()))?;
    }
    Ok(())
}

fn display(dir: &Path, videos: usize) -> String {
    format!("{}: {videos} videos, each as clip-*.png and clips.mp4", dir.display())
}
