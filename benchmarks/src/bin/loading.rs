//! Reads training clips (random moment, multi-scale corner crop, mirror, to f32) of every video of a folder; prints
//! seconds and memory as JSON, one epoch for each line read from standard input.
//!
//! `loading_peers.py` runs this beside PyTorch's data loader and compares.
//!
//! ```text
//! loading FOLDER [--workers N] [--batch N] [--repeat N]
//! ```

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use unscene_benchmarks::peak_memory_kib;
use unscene_data::{Item, Loader, LoaderOptions, Media, Span};

/// Times reading training clips.
#[derive(Parser)]
struct Arguments {
    /// A folder of videos.
    folder: PathBuf,
    /// Threads that read.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Clips in a batch.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Clips of each video in an epoch.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
}

fn main() -> Result<()> {
    let Arguments { folder, workers, batch, repeat } = Arguments::parse();
    let mut videos: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    videos.sort();
    let item = |path: &PathBuf, number: usize| Item {
        id: format!("{} {number}", path.display()),
        media: Media::Video(path.clone()),
        span: Span::Whole,
        label: 0,
    };
    let items: Vec<Item> = (0..repeat).flat_map(|number| videos.iter().map(move |path| item(path, number))).collect();
    if items.is_empty() {
        bail!("{}: there is no video", folder.display());
    }
    let loader = Loader::new(items, LoaderOptions { workers, batch, max_failed: 0.0, ..LoaderOptions::default() })?;
    for (epoch, line) in std::io::stdin().lines().enumerate() {
        line?;
        let start = Instant::now();
        let (mut clips, mut sum) = (0, 0.0);
        for batch in loader.epoch(epoch as u64, 0) {
            let batch = batch?;
            clips += batch.len();
            sum += f64::from(batch.input[batch.input.len() / 2]);
        }
        let seconds = start.elapsed().as_secs_f64();
        let memory = peak_memory_kib()?;
        println!("{}", serde_json::json!({"seconds": seconds, "clips": clips, "peak_memory_kib": memory, "sum": sum}));
    }
    Ok(())
}
