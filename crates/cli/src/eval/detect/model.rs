//! What runs or bundles find in the videos of a part.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use unscene_data::actors::{ActorPart, ActorSpec, open_actors};
use unscene_data::{Failure, Opened};
use unscene_engine::{
    Bundle, DetectForm, DetectOptions, DetectSummary, Detector, EngineError, FoundFrame, FoundTube, Seen,
};
use unscene_eval::detect::{FrameDetection, TubeDetection};
use unscene_media::Frames;
use unscene_vision::Tube;

#[cfg(feature = "train")]
use crate::eval::libtorch::{self, RunDetector};
use crate::eval::videos::{self, Looked, PartVideos, trained_by};
use crate::files::whole_by;
use crate::interrupt;
use crate::subject::EngineArgs;
#[cfg(feature = "train")]
use unscene_engine::Runner;

/// The arguments that name what finds actors: files of what was found, or models; of several splits one of each.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct FinderArgs {
    /// What was found, as JSON; of several splits repeat it, in the order of --split
    #[arg(long, value_name = "FILE")]
    pub detections: Vec<PathBuf>,
    /// The run folder of `unscene finetune detect`; of several splits repeat it
    #[cfg(feature = "train")]
    #[arg(long, value_name = "RUN")]
    pub run: Vec<PathBuf>,
    /// The exported bundle; of several splits repeat it
    #[arg(long, value_name = "BUNDLE")]
    pub bundle: Vec<PathBuf>,
}

/// What finds actors.
pub enum Finder<'a> {
    /// A file of what was found.
    File(&'a Path),
    /// A run or a bundle.
    Model(&'a Path, Kind),
}

/// Of models.
#[derive(Clone, Copy)]
pub enum Kind {
    #[cfg(feature = "train")]
    Run,
    Bundle,
}

impl FinderArgs {
    /// All that are named, in their order.
    pub fn all(&self) -> Vec<Finder<'_>> {
        let files = self.detections.iter().map(|path| Finder::File(path));
        #[cfg(feature = "train")]
        let files = files.chain(self.run.iter().map(|dir| Finder::Model(dir, Kind::Run)));
        files.chain(self.bundle.iter().map(|dir| Finder::Model(dir, Kind::Bundle))).collect()
    }
}

/// A detector that is ready.
pub struct Model {
    graph: Graph,
    form: DetectForm,
    /// For people: the folder and what computes it.
    pub name: String,
    provenance: Map<String, Value>,
}

enum Graph {
    #[cfg(feature = "train")]
    Run(Box<RunDetector>),
    Bundle(Box<Detector>),
}

/// What was found, and how fast.
#[derive(Default)]
pub struct FoundByModel {
    pub frames: Vec<FrameDetection>,
    pub tubes: Vec<TubeDetection>,
    /// Videos that could not be decoded.
    pub failures: Vec<Failure>,
    /// Frames behind the last that the annotations know of: what is found there is not scored.
    pub behind: usize,
    /// Frames that were looked at, and the time from the first video to the last.
    pub looked: u64,
    pub elapsed: Duration,
}

impl Model {
    /// Loads a run or a bundle.
    pub fn open(dir: &Path, kind: Kind, engine: &EngineArgs) -> Result<Self> {
        match kind {
            #[cfg(feature = "train")]
            Kind::Run => {
                let (graph, form, provenance) = libtorch::detector(dir, engine)?;
                let name = format!("{} by {} on {}", dir.display(), graph.engine_name(), graph.device_name());
                Ok(Model { graph: Graph::Run(Box::new(graph)), form, name, provenance })
            }
            Kind::Bundle => {
                let bundle = Bundle::open(dir)?;
                let detector = Detector::load(&bundle, &engine.options())?;
                let (form, graphs) = (DetectForm::of_bundle(&bundle)?, detector.graphs());
                let name = format!("{} by {} on {}", dir.display(), graphs.engine_name(), graphs.device_name());
                let provenance = trained_by(&bundle);
                Ok(Model { graph: Graph::Bundle(Box::new(detector)), form, name, provenance })
            }
        }
    }

    /// The dataset that it was trained for, as its config names it.
    pub fn trained_on(&self) -> Option<ActorSpec> {
        videos::trained_on(&self.provenance)
    }

    /// Finds the actors in every video of a part that is on disk: every box that the model's rule keeps, in every frame.
    pub fn find(&mut self, part: &ActorPart, labels: &[String], max_failed: f64, quiet: bool) -> Result<FoundByModel> {
        let places = videos::places(&self.name, &self.form.labels, labels)?;
        let videos = part.videos.iter().map(|video| (video.id.as_str(), video.media.as_ref())).collect();
        let all = PartVideos { part: &part.name, videos, max_failed, quiet };
        let mut found = FoundByModel::default();
        let Looked { failures, elapsed } = all.look_at_all(|at, media| {
            let video = &part.videos[at];
            let last = video.frames.unwrap_or(usize::MAX);
            let (mut frames, mut tubes, mut behind) = (vec![], vec![], 0);
            let mut keep = |seen| match seen {
                Seen::Frame(FoundFrame { frame, .. }) if frame >= last => behind += 1,
                Seen::Frame(FoundFrame { frame, boxes, .. }) => frames.extend(boxes.iter().map(|one| FrameDetection {
                    video: at,
                    frame,
                    label: places[one.index],
                    score: one.score,
                    corners: one.corners,
                })),
                Seen::Tube(FoundTube { index, score, start_frame, mut boxes, .. }) => {
                    boxes.truncate(last.saturating_sub(start_frame));
                    if !boxes.is_empty() {
                        let tube = Tube { label: places[index], start_frame, boxes };
                        tubes.push(TubeDetection { video: at, score, tube });
                    }
                }
            };
            let summary = match open_actors(media, video, 0)? {
                Opened::Video(frames) => self.within(*frames, &mut keep)?,
                Opened::Pictures(frames) => self.within(*frames, &mut keep)?,
            };
            found.frames.extend(frames);
            found.tubes.extend(tubes);
            found.behind += behind;
            found.looked += summary.video.clips as u64;
            Ok(())
        })?;
        (found.failures, found.elapsed) = (failures, elapsed);
        Ok(found)
    }

    fn within(&mut self, frames: impl Frames + Send, keep: &mut dyn FnMut(Seen)) -> Result<DetectSummary, EngineError> {
        let options = &DetectOptions { threshold: 0.0, tubes: true, ..DetectOptions::default() };
        let mut control = |_| interrupt::control();
        match &mut self.graph {
            #[cfg(feature = "train")]
            Graph::Run(graph) => {
                unscene_engine::detect_with(graph.as_mut(), &self.form, frames, options, keep, &mut control)
            }
            Graph::Bundle(detector) => detector.detect_frames(frames, options, keep, &mut control),
        }
    }
}

/// Writes what was found as `--detections` reads it.
pub fn save(path: &Path, part: &ActorPart, labels: &[String], found: &FoundByModel) -> Result<()> {
    #[derive(Serialize)]
    struct File<'a> {
        videos: BTreeMap<&'a str, Video<'a>>,
    }
    #[derive(Serialize, Default)]
    struct Video<'a> {
        frames: Vec<Frame<'a>>,
        tubes: Vec<TubeBoxes<'a>>,
    }
    #[derive(Serialize)]
    struct Frame<'a> {
        frame: usize,
        boxes: Vec<OneBox<'a>>,
    }
    #[derive(Serialize)]
    struct OneBox<'a> {
        label: &'a str,
        score: f32,
        #[serde(rename = "box")]
        corners: [f32; 4],
    }
    #[derive(Serialize)]
    struct TubeBoxes<'a> {
        label: &'a str,
        score: f32,
        start_frame: usize,
        boxes: &'a [[f32; 4]],
    }
    let mut videos: Vec<Video> = part.videos.iter().map(|_| Video::default()).collect();
    for &FrameDetection { video, frame, label, score, corners } in &found.frames {
        let frames = &mut videos[video].frames;
        let found = OneBox { label: &labels[label], score, corners };
        // They come frame by frame.
        match frames.last_mut().filter(|last| last.frame == frame) {
            Some(last) => last.boxes.push(found),
            None => frames.push(Frame { frame, boxes: vec![found] }),
        }
    }
    for TubeDetection { video, score, tube } in &found.tubes {
        let Tube { label, start_frame, boxes } = tube;
        let label = &labels[*label];
        videos[*video].tubes.push(TubeBoxes { label, score: *score, start_frame: *start_frame, boxes });
    }
    let file = File { videos: part.videos.iter().map(|video| video.id.as_str()).zip(videos).collect() };
    whole_by(path, |out: &mut dyn Write| Ok(serde_json::to_writer(out, &file)?))
}
