//! `unscene predict`: videos to predictions on the command line. What is predicted is the task of the bundle, or of the server's
//! model; either way it is printed and drawn here.

mod bar;
mod classify;
mod detect;
mod localize;
mod overlay;
mod server;
mod timeline;
mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use clap::{ArgGroup, Args};
use unscene_engine::{
    Bundle, Detector, DeviceChoice, EngineChoice, EngineError, EngineOptions, Localizer, Model, VideoSummary,
};
use unscene_models::manifest::Task;

use crate::failure::{Interrupted, report};
use crate::{files, interrupt};
use bar::Bar;
use server::Server;
use watch::Watch;

pub use server::ServerError;

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

/// Arguments of `unscene predict`.
#[derive(Args)]
#[command(group = ArgGroup::new("from").args(["bundle", "url"]).required(true))]
#[command(after_help = "\
Videos of more than 4 hours, 864,000 frames or 8192 x 4320 pixels are refused; `unscene serve` has flags for these limits.

With --server, videos are sent to a service. If it has jobs (`--jobs DIR`), an upload that breaks goes on from where it was.

Examples:
  unscene predict --bundle bundles/first video.mp4
  unscene predict --bundle bundles/first --json *.mp4 | jq -r '[.file, .predictions[0].label] | @tsv'
  unscene predict --bundle bundles/localizer --timeline out.svg video.mp4
  unscene predict --bundle bundles/detector --overlay out.mp4 video.mp4
  unscene predict --server http://127.0.0.1:8080 video.mp4
  unscene predict --server https://example.org --task detect --api-key-file key.txt --overlay out.mp4 video.mp4
  unscene predict --bundle bundles/first --watch incoming --out results")]
pub struct PredictArgs {
    /// Bundle written by `unscene export`: of a classifier; of a localizer, which finds actions in long videos; or of a detector,
    /// which finds who does what in each frame
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Videos, looked at one after another
    #[arg(required_unless_present = "watch", conflicts_with = "watch", value_name = "VIDEO")]
    videos: Vec<PathBuf>,
    /// Look at the videos of a folder, and at those that appear there, until Ctrl-C. A file is taken when it has not changed for 2
    /// seconds; names that begin with a dot or end in .part, .partial, .tmp, .crdownload or .json are left out
    #[arg(long, value_name = "DIR")]
    watch: Option<PathBuf>,
    /// With --watch: also write what is found in VIDEO to DIR/VIDEO.json, and leave out videos that are older than theirs
    #[arg(long, value_name = "DIR", conflicts_with = "videos")]
    out: Option<PathBuf>,
    /// Print one JSON object per video and line
    #[arg(long)]
    json: bool,
    /// With a classifier or a localizer: frames from the start of a clip to the start of the next [default: the model's]
    #[arg(long, value_name = "FRAMES")]
    stride_frames: Option<usize>,
    /// With a localizer or a detector: lowest score of a segment, or of a box or tube, that is told [default: the model's; with a
    /// detector 0.25]
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    #[command(flatten)]
    classify: classify::ClassifyArgs,
    #[command(flatten)]
    localize: localize::LocalizeArgs,
    #[command(flatten)]
    detect: detect::DetectArgs,
    #[command(flatten)]
    server: server::ServerArgs,
    /// auto, ort or tract
    #[arg(long, default_value_t = EngineChoice::Auto, conflicts_with = "url", help_heading = "With a bundle")]
    engine: EngineChoice,
    /// auto, cpu, cuda:N or tensorrt:N
    #[arg(long, default_value_t = DeviceChoice::Auto, conflicts_with = "url", help_heading = "With a bundle")]
    device: DeviceChoice,
    /// Threads of the engine; 0 is one per core
    #[arg(long, default_value_t = 0, conflicts_with = "url", help_heading = "With a bundle")]
    threads: usize,
}

/// Where predictions are made.
enum Origin {
    Bundle(Box<Bundle>),
    Server(Server),
}

/// Looks at each video; one that fails is named, the others still run, and the command then fails.
pub fn run(args: PredictArgs) -> Result<()> {
    // What is in work is given up, and the command ends.
    interrupt::listen()?;
    let (origin, task, name) = match (&args.bundle, &args.server.url) {
        (Some(dir), _) => {
            let bundle = Bundle::open(dir)?;
            let task = bundle.manifest.task;
            (Origin::Bundle(Box::new(bundle)), task, dir.display().to_string())
        }
        (None, Some(url)) => {
            let server = Server::connect(url, &args.server)?;
            let (task, name) = (server.task, server.name());
            (Origin::Server(server), task, name)
        }
        (None, None) => bail!("give --bundle DIR or --server URL"),
    };
    args.check(task, &name)?;
    let options =
        EngineOptions { engine: args.engine, device: args.device, threads: args.threads, ..EngineOptions::default() };
    match (task, origin) {
        (Task::Classify, Origin::Bundle(bundle)) => {
            let model = Model::load(&bundle, &options)?;
            each(&args, |path| classify::show(path, &classify::find(&model, path, &args)?, &args))
        }
        (Task::Localize, Origin::Bundle(bundle)) => {
            let localizer = Localizer::load(&bundle, &options)?;
            each(&args, |path| localize::show(path, &localize::find(&localizer, path, &args)?, &args))
        }
        (Task::Detect, Origin::Bundle(bundle)) => {
            let detector = Detector::load(&bundle, &options)?;
            each(&args, |path| detect::show(path, &detect::find(&detector, path, &args)?, &args))
        }
        (Task::Classify, Origin::Server(server)) => {
            each(&args, |path| classify::show(path, &server.ask(path, classify::query(&args))?, &args))
        }
        (Task::Localize, Origin::Server(server)) => {
            each(&args, |path| localize::show(path, &server.ask(path, localize::query(&args))?, &args))
        }
        (Task::Detect, Origin::Server(server)) => {
            each(&args, |path| detect::show(path, &server.ask(path, detect::query(&args))?, &args))
        }
    }
}

impl PredictArgs {
    /// Refuses options of other tasks than that of a model, and what would fail only after the work.
    fn check(&self, task: Task, model: &str) -> Result<()> {
        let threshold = self.threshold.map(|_| "--threshold");
        let stride = self.stride_frames.map(|_| "--stride-frames");
        let misplaced = match task {
            Task::Classify => threshold.or(self.localize.given()).or(self.detect.given()),
            Task::Localize => self.classify.given().or(self.detect.given()),
            Task::Detect => stride.or(self.classify.given()).or(self.localize.given()),
        };
        if let Some(option) = misplaced {
            bail!("{option} is not for {model}, which was made to {task}; leave it out");
        }
        self.localize.check(&self.videos)?;
        self.detect.check(&self.videos)
    }
}

/// Looks at the videos that are named, or that appear in a folder.
fn each(args: &PredictArgs, predict: impl FnMut(&Path) -> Result<()>) -> Result<()> {
    match &args.watch {
        Some(folder) => each_of(Watch::new(folder, args.out.as_deref())?, None, predict),
        None => each_of(args.videos.iter().cloned().map(Ok), Some(args.videos.len()), predict),
    }
}

/// Looks at videos; `count` is how many there are, where that is known.
fn each_of(
    videos: impl Iterator<Item = Result<PathBuf>>,
    count: Option<usize>,
    mut predict: impl FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let (mut begun, mut failed) = (0, Vec::new());
    for path in videos {
        let path = path?;
        begun += 1;
        let Err(error) = predict(&path) else { continue };
        if let Some(EngineError::Cancelled) = error.downcast_ref() {
            bail!(Interrupted { done: begun - 1, of: count.unwrap_or(begun), what: "videos" });
        }
        // One video has no more to say than this one line.
        if !is_of_one_video(&error) || count == Some(1) {
            return Err(error);
        }
        report(&error);
        failed.push(path.display().to_string());
    }
    if !failed.is_empty() {
        bail!("{} of {begun} videos could not be used: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}

/// Whether others may fare better: a broken engine, a service that is gone, or output that cannot be written, would fail for all.
fn is_of_one_video(error: &Error) -> bool {
    match (error.downcast_ref(), error.downcast_ref::<ServerError>()) {
        (Some(error), _) => !matches!(error, EngineError::Inference { .. }),
        (None, Some(error)) => error.is_of_one_video(),
        (None, None) => false,
    }
}

fn warn_of_damage(path: &Path, video: &VideoSummary) {
    if video.damaged_packets > 0 {
        let (file, count) = (path.display(), video.damaged_packets);
        eprintln!("warning: {file}: {count} damaged packets; parts of the video are missing or wrong");
    }
}

/// Writes what was found in a video of a folder that is watched to the folder of results, if there is one. That is the last that is
/// done about a video: one that has a result is not looked at again.
fn keep(path: &Path, found: &impl serde::Serialize, args: &PredictArgs) -> Result<()> {
    let Some(results) = &args.out else { return Ok(()) };
    files::whole(&watch::result_of(results, path), format!("{}\n", with_file(path, found)?).as_bytes())
}

/// An answer as JSON, with the name of the file.
fn with_file(path: &Path, answer: &impl serde::Serialize) -> Result<serde_json::Value> {
    let mut object = serde_json::to_value(answer)?;
    object["file"] = path.display().to_string().into();
    Ok(object)
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
