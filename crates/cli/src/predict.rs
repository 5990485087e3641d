//! `unscene predict`: videos to predictions on the command line. What is predicted is the bundle's task.

mod classify;
mod detect;
mod localize;
mod overlay;
mod timeline;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use unscene_engine::{
    Bundle, Detector, DeviceChoice, EngineChoice, EngineError, EngineOptions, Localizer, Model, Progress, VideoSummary,
};
use unscene_models::manifest::Task;

use crate::failure::{Interrupted, report};
use crate::interrupt;

/// Colours of lanes and tubes, told apart by most people (Okabe and Ito 2008).
const COLOURS: [[u8; 3]; 7] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x7a, 0x6a, 0x00],
];

/// A video that takes less time than this gets no progress bar.
const BAR_AFTER: Duration = Duration::from_millis(700);

/// Arguments of `unscene predict`.
#[derive(Args)]
#[command(after_help = "\
Videos of more than 4 hours, 864,000 frames or 8192 x 4320 pixels are refused; `unscene serve` has flags for these limits.

Examples:
  unscene predict --bundle bundles/first video.mp4
  unscene predict --bundle bundles/first --json *.mp4 | jq -r '[.file, .predictions[0].label] | @tsv'
  unscene predict --bundle bundles/localizer --timeline out.svg video.mp4
  unscene predict --bundle bundles/detector --overlay out.mp4 video.mp4")]
pub struct PredictArgs {
    /// Bundle written by `unscene export`: of a classifier; of a localizer, which finds actions in long videos; or of a detector,
    /// which finds who does what in each frame
    #[arg(long)]
    bundle: PathBuf,
    /// Videos, looked at one after another
    #[arg(required = true, value_name = "VIDEO")]
    videos: Vec<PathBuf>,
    /// With a classifier or a localizer: frames from the start of a clip to the start of the next [default: the bundle's]
    #[arg(long, value_name = "FRAMES")]
    stride_frames: Option<usize>,
    /// With a localizer or a detector: lowest score of a segment, or of a box or tube, that is told [default: the bundle's; with a
    /// detector 0.25]
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    #[command(flatten)]
    classify: classify::ClassifyArgs,
    #[command(flatten)]
    localize: localize::LocalizeArgs,
    #[command(flatten)]
    detect: detect::DetectArgs,
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

/// Looks at each video; one that fails is named, the others still run, and the command then fails.
pub fn run(args: PredictArgs) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let engine =
        EngineOptions { engine: args.engine, device: args.device, threads: args.threads, ..EngineOptions::default() };
    let task = bundle.manifest.task;
    let threshold = args.threshold.map(|_| "--threshold");
    let stride = args.stride_frames.map(|_| "--stride-frames");
    let misplaced = match task {
        Task::Classify => threshold.or(args.localize.given()).or(args.detect.given()),
        Task::Localize => args.classify.given().or(args.detect.given()),
        Task::Detect => stride.or(args.classify.given()).or(args.localize.given()),
    };
    if let Some(option) = misplaced {
        bail!("{option} is not for {}, which was made to {task}; leave it out", args.bundle.display());
    }
    match task {
        Task::Classify => {
            let model = Model::load(&bundle, &engine)?;
            each(&args.videos, |path| classify::predict(&model, path, &args))
        }
        Task::Localize => {
            args.localize.check(args.videos.len())?;
            let localizer = Localizer::load(&bundle, &engine)?;
            each(&args.videos, |path| localize::predict(&localizer, path, &args))
        }
        Task::Detect => {
            args.detect.check(&args.videos)?;
            let detector = Detector::load(&bundle, &engine)?;
            each(&args.videos, |path| detect::predict(&detector, path, &args))
        }
    }
}

fn each(videos: &[PathBuf], mut predict: impl FnMut(&Path) -> Result<()>) -> Result<()> {
    // The video in work is given up, and the command ends.
    interrupt::listen()?;
    let mut failed = Vec::new();
    for (done, path) in videos.iter().enumerate() {
        let Err(error) = predict(path) else { continue };
        match error.downcast_ref() {
            Some(EngineError::Cancelled) => bail!(Interrupted { done, of: videos.len(), what: "videos" }),
            // A broken engine, or output that cannot be written, would fail for every video.
            None | Some(EngineError::Inference { .. }) => return Err(error),
            // One video has no more to say than this one line.
            Some(_) if videos.len() == 1 => return Err(error),
            Some(_) => report(&error),
        }
        failed.push(path.display().to_string());
    }
    if !failed.is_empty() {
        bail!("{} of {} videos could not be used: {}", failed.len(), videos.len(), failed.join(", "));
    }
    Ok(())
}

fn warn_of_damage(path: &Path, video: &VideoSummary) {
    if video.damaged_packets > 0 {
        let (file, count) = (path.display(), video.damaged_packets);
        eprintln!("warning: {file}: {count} damaged packets; parts of the video are missing or wrong");
    }
}

/// An answer as JSON, with the name of the file.
fn with_file(path: &Path, answer: &impl serde::Serialize) -> Result<serde_json::Value> {
    let mut object = serde_json::to_value(answer)?;
    object["file"] = path.display().to_string().into();
    Ok(object)
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

#[cfg(test)]
mod tests {
    use unscene_media::Limits;

    #[test]
    fn the_help_says_the_limits() {
        let said = Limits { max_duration_s: 4.0 * 3600.0, max_pixels: 8192 * 4320, max_frames: 864_000 };
        assert_eq!(Limits::default(), said, "change the help of `predict` too");
    }
}
