//! `unscene predict`: videos to predictions on the command line.

use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use unscene_engine::{
    Bundle, Classification, ClassifyOptions, Crops, DeviceChoice, EngineChoice, EngineError, EngineOptions, Model,
    Progress,
};
use unscene_media::Source;

use crate::failure::{Interrupted, report};
use crate::interrupt;

/// A video that takes less time than this gets no progress bar.
const BAR_AFTER: Duration = Duration::from_millis(700);

/// Arguments of `unscene predict`.
#[derive(Args)]
#[command(after_help = "\
Videos of more than 4 hours, 864,000 frames or 8192 x 4320 pixels are refused; `unscene serve` has flags for these limits.

Examples:
  unscene predict --bundle bundles/first video.mp4
  unscene predict --bundle bundles/first --json *.mp4 | jq -r '[.file, .predictions[0].label] | @tsv'")]
pub struct PredictArgs {
    /// Bundle written by `unscene export`
    #[arg(long)]
    bundle: PathBuf,
    /// Videos, classified one after another
    #[arg(required = true, value_name = "VIDEO")]
    videos: Vec<PathBuf>,
    /// Number of classes to print
    #[arg(long, value_name = "K", default_value_t = NonZero::new(5).unwrap())]
    top_k: NonZero<usize>,
    /// Frames from the start of a clip to the start of the next [default: the bundle's]
    #[arg(long, value_name = "FRAMES")]
    stride_frames: Option<usize>,
    /// Parts of the picture that are classified and averaged: center, or three along the longer side
    #[arg(long, default_value_t = Crops::Center)]
    crops: Crops,
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
    // The video in work is given up, and the command ends.
    interrupt::listen()?;

    let mut failed = Vec::new();
    for (done, path) in args.videos.iter().enumerate() {
        match classify(&model, path, &args) {
            Ok(found) => print(path, &found, args.json)?,
            Err(EngineError::Cancelled) => bail!(Interrupted { done, of: args.videos.len(), what: "videos" }),
            Err(error) => {
                let broken_engine = matches!(error, EngineError::Inference { .. });
                // Neither has more to say than this one line.
                if broken_engine || args.videos.len() == 1 {
                    return Err(error.into());
                }
                report(&error.into());
                failed.push(path.display().to_string());
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} videos could not be classified: {}", failed.len(), args.videos.len(), failed.join(", "));
    }
    Ok(())
}

fn classify(model: &Model, path: &Path, args: &PredictArgs) -> Result<Classification, EngineError> {
    let options = ClassifyOptions {
        top_k: args.top_k.get(),
        stride_frames: args.stride_frames,
        crops: args.crops,
        clips: args.clips,
        ..ClassifyOptions::default()
    };
    let mut bar = Bar::new(path);
    let source = Source::Path(path.to_path_buf());
    model.classify(&source, &options, &mut |progress| {
        bar.update(progress);
        interrupt::control()
    })
}

/// Seconds of video done, on standard error if that is a terminal, for a video that takes its time.
struct Bar {
    bar: ProgressBar,
    start: Instant,
    shown: bool,
}

impl Bar {
    fn new(path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_message(name);
        Self { bar, start: Instant::now(), shown: false }
    }

    fn update(&mut self, progress: Progress) {
        if !self.shown && self.start.elapsed() >= BAR_AFTER {
            let template = match progress.duration_s {
                Some(_) => "{msg} {wide_bar} {pos}/{len} s, {eta} left",
                None => "{spinner} {msg} {pos} s",
            };
            self.bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
        if let Some(duration_s) = progress.duration_s {
            self.bar.set_length(duration_s.ceil() as u64);
        }
        self.bar.set_position(progress.time_s as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn print(path: &Path, found: &Classification, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if found.video.damaged_packets > 0 {
        let (file, count) = (path.display(), found.video.damaged_packets);
        eprintln!("warning: {file}: {count} damaged packets; parts of the video are missing or wrong");
    }
    if json {
        let mut object = serde_json::to_value(found)?;
        object["file"] = path.display().to_string().into();
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(out, "{} ({} clips, {} on {})", path.display(), found.video.clips, found.engine, found.device)?;
    for prediction in &found.predictions {
        writeln!(out, "  {:>7.3} %  {}", prediction.score * 100.0, prediction.label)?;
    }
    for clip in found.clips.iter().flatten() {
        write!(out, "  {:>8.2} s .. {:>8.2} s", clip.start_s, clip.end_s)?;
        if let Some(best) = clip.predictions.first() {
            write!(out, "  {:>7.3} %  {}", best.score * 100.0, best.label)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use unscene_media::Limits;

    #[test]
    fn the_help_says_the_limits() {
        let said = Limits { max_duration_s: 4.0 * 3600.0, max_pixels: 8192 * 4320, max_frames: 864_000 };
        assert_eq!(Limits::default(), said, "change the help of `predict` too");
    }
}
