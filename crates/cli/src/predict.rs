//! `unscene predict`: videos to predictions on the command line.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use unscene_engine::{Bundle, Classification, ClassifyOptions, DeviceChoice, EngineChoice, EngineOptions, Model};
use unscene_media::Source;

/// Arguments of `unscene predict`.
#[derive(Args)]
pub struct PredictArgs {
    /// Bundle written by `unscene export`
    #[arg(long)]
    bundle: PathBuf,
    /// Videos, classified one after another
    #[arg(required = true)]
    videos: Vec<PathBuf>,
    /// Number of classes to print
    #[arg(long, default_value_t = 5)]
    top_k: usize,
    /// Frames from the start of a clip to the start of the next [default: the bundle's]
    #[arg(long)]
    stride_frames: Option<usize>,
    /// Also give the scores of every clip, with its times
    #[arg(long)]
    clips: bool,
    /// auto, ort or tract
    #[arg(long, default_value_t = EngineChoice::Auto)]
    engine: EngineChoice,
    /// auto, cpu, cuda:N or tensorrt:N
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Threads of the engine; 0 is one per core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print one JSON object per video and line
    #[arg(long)]
    json: bool,
}

/// Classifies each video; one that fails is named, the others still run, and the command then fails.
pub fn run(args: PredictArgs) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let engine =
        EngineOptions { engine: args.engine, device: args.device, threads: args.threads, ..EngineOptions::default() };
    let model = Model::load(&bundle, &engine)?;
    let mut failed = Vec::new();
    for path in &args.videos {
        match classify(&model, path, &args) {
            Ok(found) => print(path, &found, args.json)?,
            Err(error) => {
                eprintln!("error: {}", crate::failure::one_line(&error));
                failed.push(path.display().to_string());
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} videos could not be classified: {}", failed.len(), args.videos.len(), failed.join(", "));
    }
    Ok(())
}

fn classify(model: &Model, path: &Path, args: &PredictArgs) -> Result<Classification> {
    let options = ClassifyOptions {
        top_k: args.top_k,
        stride_frames: args.stride_frames,
        clips: args.clips,
        ..ClassifyOptions::default()
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    // Drawn on standard error, and only on a terminal; a short video is done before it would appear.
    let bar = ProgressBar::new(0).with_message(name);
    bar.set_style(
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} s, {eta} left").expect("a valid template"),
    );
    let source = Source::Path(path.to_path_buf());
    let result = model.classify(&source, &options, &mut |progress| {
        if let Some(duration_s) = progress.duration_s {
            bar.set_length(duration_s.ceil() as u64);
        }
        bar.set_position(progress.time_s as u64);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    result.with_context(|| format!("{}", path.display()))
}

fn print(path: &Path, found: &Classification, json: bool) -> Result<()> {
    if json {
        let mut object = serde_json::to_value(found)?;
        object["file"] = path.display().to_string().into();
        println!("{object}");
        return Ok(());
    }
    println!("{} ({} clips, {} on {})", path.display(), found.video.clips, found.engine, found.device);
    for prediction in &found.predictions {
        println!("  {:>7.3} %  {}", prediction.score * 100.0, prediction.label);
    }
    for clip in found.clips.iter().flatten() {
        let best =
            clip.predictions.first().map_or(String::new(), |p| format!("{:>7.3} %  {}", p.score * 100.0, p.label));
        println!("  {:>8.2} s .. {:>8.2} s  {best}", clip.start_s, clip.end_s);
    }
    Ok(())
}
