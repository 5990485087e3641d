//! The actors of a video that comes.

use std::sync::Arc;

use unscene_media::Frames;
use unscene_vision::find_boxes;

use super::{Live, LiveSummary, Ready, follow};
use crate::detect::{Batch, Batches, told};
use crate::graphs::OnSession;
use crate::result::{Control, VideoSummary};
use crate::runner::check_finite;
use crate::{DetectOptions, Detector, EngineError, FoundFrame, Result};

impl Detector {
    /// Finds the actors in the frames of a video while it comes, and tells of each frame as soon as it is scored; of frames that come faster than
    /// they are scored only of the newest. Of the options it heeds `every` and `threshold`.
    ///
    /// Blocks until the video ends. Memory is that of three frames.
    ///
    /// # Errors
    /// As [`Detector::detect_frames`]; [`EngineError::NoFrames`] when nothing came.
    pub fn watch(
        &self,
        frames: impl Frames + Send,
        options: &DetectOptions,
        tell: &mut dyn FnMut(Live<FoundFrame>),
        control: &mut Control<'_>,
    ) -> Result<LiveSummary> {
        options.check()?;
        let (graphs, form) = (self.graphs(), self.form());
        let (width, height) = frames.picture_size();
        let picture = [width as f32, height as f32];
        let mut batches = Batches::new(frames, &form.input, options.every, 1)?;
        let mut passed = 0;
        let next = |buffer: Vec<f32>, keep_on: &dyn Fn() -> bool| {
            let Some(Batch { buffer, looked, times }) = batches.fill(buffer, keep_on)? else { return Ok(None) };
            let first = passed;
            passed += times.len();
            // The last frames may be such as are not looked at.
            let Some(at) = looked.first() else { return Ok(None) };
            let (time, input) = (times[*at], Arc::into_inner(buffer).unwrap_or_default());
            Ok(Some(Ready { what: (first + at, time.time_s), input, end_s: time.time_s + time.duration_s }))
        };
        let look = |session: &OnSession<'_>, (frame, time_s), outputs: Vec<Vec<f32>>| {
            let [offsets, scores] = &outputs[..] else {
                return Err(graphs.session().error(format!("the graph gave {} outputs, expected 2", outputs.len())));
            };
            check_finite(session, &[offsets, scores])?;
            let boxes = find_boxes(offsets, scores, &form.priors, picture, &form.rule);
            Ok(FoundFrame { frame, time_s, boxes: told(form, options, &boxes) })
        };
        let course = follow(graphs, next, look, tell, control)?;
        let sampler = batches.sampler();
        if course.looked == 0 {
            return Err(EngineError::NoFrames { name: sampler.source().name().to_string() });
        }
        let video = VideoSummary {
            duration_s: sampler.shown_until_s(),
            width,
            height,
            fps: sampler.source().fps(),
            frames: sampler.count(),
            clips: course.looked,
            damaged_packets: sampler.source().errors(),
        };
        Ok(course.summary(graphs, video))
    }
}
