//! `unscene annotate preview`: a picture of what caches say.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use unscene_annotate::{PreviewItem, preview};
use unscene_data::{Cache, CacheKind, Fill, Found, Item};

use crate::data::DatasetArgs;

/// Arguments of `unscene annotate preview`.
#[derive(Args)]
pub struct PreviewArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Cache of scenes
    #[arg(long, value_name = "FILE")]
    scenes: Option<PathBuf>,
    /// Cache of people
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// Videos to draw, spread over the dataset
    #[arg(long, default_value_t = 8, value_name = "N")]
    count: usize,
    /// Leave out boxes below this score, as masking does
    #[arg(long, default_value_t = 0.3, value_name = "SCORE")]
    min_score: f32,
    /// What people are filled with: mean, blur, median, or a folder of videos without people
    #[arg(long, default_value = "mean", value_name = "FILL")]
    fill: Fill,
    /// Picture to write
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
}

/// Draws the picture.
pub fn draw(args: &PreviewArgs) -> Result<()> {
    // A list or a cache named by mistake is not written over.
    if args.out.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
        bail!("--out: found {}, expected a name that ends in .png", args.out.display());
    }
    let dataset = args.dataset.load()?;
    let items: Vec<&Item> = dataset.parts.iter().flat_map(|part| &part.items).collect();
    if items.is_empty() || args.count == 0 {
        bail!("there is no video to draw; check --videos and --count");
    }
    if args.scenes.is_none() && args.people.is_none() {
        bail!("name a cache by --scenes, --people or both");
    }
    let step = items.len().div_ceil(args.count).max(1);
    let items: Vec<&Item> = items.into_iter().step_by(step).collect();
    let scenes = args.scenes.as_ref().map(|path| Cache::open(path, CacheKind::Scenes)).transpose()?;
    let labels = scenes.as_ref().map_or(vec![], |cache| cache.labels().to_vec());
    let mut scenes = scenes.map(|cache| cache.read(items.iter().copied())).transpose()?;
    let people = args.people.as_ref().map(|path| Cache::open(path, CacheKind::People)).transpose()?;
    let mut people = people.map(|cache| cache.read(items.iter().copied())).transpose()?;
    let previews: Vec<PreviewItem<'_>> = items
        .iter()
        .enumerate()
        .map(|(at, item)| {
            let scores = match scenes.as_mut().and_then(|scenes| scenes[at].take()).map(|found| found.found) {
                Some(Found::Scenes(scores)) => scores,
                _ => vec![],
            };
            let mut scenes: Vec<(String, f32)> = labels.iter().cloned().zip(scores).collect();
            scenes.sort_by(|a, b| b.1.total_cmp(&a.1));
            PreviewItem { item, scenes, people: people.as_mut().and_then(|people| people[at].take()) }
        })
        .collect();
    let png = preview(&previews, args.min_score, &args.fill).png()?;
    crate::files::whole(&args.out, &png)?;
    writeln!(std::io::stdout(), "drew {} videos: look at {}", previews.len(), args.out.display())?;
    Ok(())
}
