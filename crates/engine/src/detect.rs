//! A video in, the actors in its frames out, and the tubes that they make.
//!
//! Frames are stretched into batches ([`batches`]), which are scored while the next are decoded ([`look`]). [`Detector`] does it
//! with an exported model, [`detect_with`] with any [`DetectGraph`].

mod batches;
mod look;
mod result;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use unscene_media::{DecodeOptions, Decoder, Frames, Source};
use unscene_models::manifest::Task;

use crate::bundle::Bundle;
use crate::error::Result;
use crate::graphs::{Graphs, OnSession};
use crate::options::EngineOptions;
use crate::result::Progress;

pub(crate) use batches::{Batch, Batches};
pub(crate) use look::told;
pub use look::{DetectGraph, detect_with};
pub use result::{DetectForm, DetectOptions, DetectSummary, Detection, FoundBox, FoundFrame, FoundTube, Seen};

/// Position of a detector's graph in its bundle.
const GRAPH: usize = 0;

/// A loaded detector: its graph lives on a thread of its own, which all clones share.
///
/// The thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct Detector(Arc<Inner>);

struct Inner {
    graphs: Graphs,
    form: DetectForm,
}

impl Detector {
    /// Loads the bundle's graph and runs it once.
    ///
    /// # Errors
    /// When the bundle is of another task, the engine or device asked for cannot be had, or the engine refuses the graph.
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self> {
        bundle.expect_task(Task::Detect)?;
        let form = DetectForm::of_bundle(bundle)?;
        Ok(Self(Arc::new(Inner { graphs: Graphs::load(bundle, options)?, form })))
    }

    /// Its graph: its name, its description, and what runs it.
    pub fn graphs(&self) -> &Graphs {
        &self.0.graphs
    }

    /// How frames are prepared, and what becomes of the outputs.
    pub(crate) fn form(&self) -> &DetectForm {
        &self.0.form
    }

    /// Finds the actors of a video, and holds them all.
    ///
    /// # Errors
    /// As [`Detector::detect_frames`].
    pub fn detect(
        &self,
        source: &Source,
        options: &DetectOptions,
        control: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Detection> {
        let decode = DecodeOptions { threads: 0, limits: options.limits, ..DecodeOptions::default() };
        let (mut frames, mut tubes) = (vec![], vec![]);
        let mut keep = |seen| match seen {
            Seen::Frame(frame) => frames.push(frame),
            Seen::Tube(tube) => tubes.push(tube),
        };
        let summary = self.detect_frames(Decoder::open(source, &decode)?, options, &mut keep, control)?;
        Ok(Detection::new(summary, frames, options.tubes.then_some(tubes)))
    }

    /// Finds the actors of a video, and tells of each frame and tube as soon as it is known.
    ///
    /// Blocks. A thread decodes while the model runs; whatever the video's length, memory is that of two batches of frames,
    /// of the tubes that go on, and with tubes of the times of all frames, 16 bytes each. `control` is called after every
    /// batch, and while the model is busy; `Break` ends the work.
    ///
    /// # Errors
    /// When the video cannot be decoded or is over a limit, an option is out of range, the engine fails, or `control`
    /// says `Break`.
    pub fn detect_frames(
        &self,
        frames: impl Frames + Send,
        options: &DetectOptions,
        tell: &mut dyn FnMut(Seen),
        control: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<DetectSummary> {
        let rows = self.0.graphs.clips_of(frames.duration_s(), frames.fps(), Some(options.every));
        let mut graph = OnSession::new(&self.0.graphs, rows);
        let mut summary = detect_with(&mut graph, &self.0.form, frames, options, tell, control)?;
        // Without the time that other requests took.
        summary.timing.inference_s = graph.inference.as_secs_f64();
        Ok(summary)
    }
}

impl Detection {
    /// What was told of a video; tubes are put in order, the best first.
    pub fn new(summary: DetectSummary, frames: Vec<FoundFrame>, mut tubes: Option<Vec<FoundTube>>) -> Self {
        tubes.iter_mut().for_each(|tubes| tubes.sort_by(|a, b| b.score.total_cmp(&a.score)));
        Self { summary, frames, tubes }
    }
}

impl DetectGraph for OnSession<'_> {
    fn score(
        &mut self,
        frames: &Arc<Vec<f32>>,
        count: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2]> {
        self.run(GRAPH, frames.clone(), count, keep_waiting)
    }
}
