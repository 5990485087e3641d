//! A video in, the segments in it that show an action out.
//!
//! Windows slide over the video ([`windows`]) and are scored while the next is decoded ([`slide`]); what windows found is
//! merged ([`merge`]). [`Localizer`] does it with an exported model, [`localize_with`] with any [`LocalizeGraphs`].

mod merge;
mod result;
mod slide;
#[cfg(test)]
mod tests;
mod windows;

use std::ops::ControlFlow;
use std::sync::Arc;

use unscene_media::{DecodeOptions, Decoder, Frames, Source};
use unscene_models::manifest::Task;

use crate::bundle::Bundle;
use crate::error::Result;
use crate::graphs::{Graphs, OnSession};
use crate::options::EngineOptions;
use crate::result::Progress;

pub use result::{FoundProposal, FoundSegment, Localization, LocalizeForm, LocalizeOptions, SegmentNms};
pub use slide::{LocalizeGraphs, localize_with};

/// Positions of a localizer's graphs in its bundle.
const PROPOSAL: usize = 0;
const HEAD: usize = 1;

/// A loaded localizer: its graphs live on a thread of their own, which all clones share.
///
/// The thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct Localizer(Arc<Inner>);

struct Inner {
    graphs: Graphs,
    form: LocalizeForm,
}

impl Localizer {
    /// Loads the bundle's graphs and runs each once.
    ///
    /// # Errors
    /// When the bundle is of another task, the engine or device asked for cannot be had, or the engine refuses a graph.
    pub fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Self> {
        bundle.expect_task(Task::Localize)?;
        let form = LocalizeForm::of_bundle(bundle)?;
        Ok(Self(Arc::new(Inner { graphs: Graphs::load(bundle, options)?, form })))
    }

    /// Its graphs: its name, its description, and what runs it.
    pub fn graphs(&self) -> &Graphs {
        &self.0.graphs
    }

    /// Finds the actions of a video.
    ///
    /// Blocks. A thread decodes while the model runs; whatever the video's length, memory is that of two batches of windows
    /// and of the segments found, which `max_segments` bounds.
    /// `control` is called after every batch, and while the model is busy; `Break` ends the work.
    ///
    /// # Errors
    /// When the video cannot be decoded or is over a limit, an option is out of range, the engine fails, or `control`
    /// says `Break`.
    pub fn localize(
        &self,
        source: &Source,
        options: &LocalizeOptions,
        control: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Localization> {
        let decode = DecodeOptions { threads: 0, limits: options.limits, ..DecodeOptions::default() };
        self.localize_frames(Decoder::open(source, &decode)?, options, control)
    }

    /// As [`Localizer::localize`], of frames that are open.
    ///
    /// # Errors
    /// As there.
    pub fn localize_frames(
        &self,
        frames: impl Frames + Send,
        options: &LocalizeOptions,
        control: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Localization> {
        let windows = self.0.graphs.clips_of(frames.duration_s(), frames.fps(), options.stride_frames);
        // Each is run by both graphs.
        let mut graphs = OnSession::new(&self.0.graphs, 2 * windows);
        let mut found = localize_with(&mut graphs, &self.0.form, frames, options, control)?;
        // Without the time that other requests took.
        found.timing.inference_s = graphs.inference.as_secs_f64();
        Ok(found)
    }
}

impl LocalizeGraphs for OnSession<'_> {
    fn propose(
        &mut self,
        buffers: &Arc<Vec<f32>>,
        windows: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 3]> {
        self.run(PROPOSAL, buffers.clone(), windows, keep_waiting)
    }

    fn label(
        &mut self,
        regions: Vec<f32>,
        count: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2]> {
        self.run(HEAD, Arc::new(regions), count, keep_waiting)
    }
}
