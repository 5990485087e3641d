//! The actions of a video that comes.

use unscene_media::{ClipReader, Frames};
use unscene_vision::softmax;

use super::{Live, LiveSummary, Ready, follow};
use crate::classify::{best, sampling};
use crate::crops::plan;
use crate::error::{EngineError, Result};
use crate::graphs::OnSession;
use crate::model::{CLASSIFIER, LOGITS, Model};
use crate::result::{ClassifyOptions, ClipPrediction, Control, Crops, VideoSummary};
use crate::runner::check_finite;

impl Model {
    /// Classifies the clips of a video while it comes, and tells of each as soon as it is scored; of clips that come faster than they are scored
    /// only of the newest. Of the options it heeds `top_k` and `stride_frames`.
    ///
    /// Blocks until the video ends. Memory is that of three clips.
    ///
    /// # Errors
    /// As [`Model::classify`]; [`EngineError::NoFrames`] when nothing came.
    pub fn watch(
        &self,
        mut frames: impl Frames + Send,
        options: &ClassifyOptions,
        tell: &mut dyn FnMut(Live<ClipPrediction>),
        control: &mut Control<'_>,
    ) -> Result<LiveSummary> {
        let graphs = self.graphs();
        let manifest = graphs.manifest();
        let plan = plan(&mut frames, Crops::Center, &manifest.input)?;
        let mut reader = ClipReader::new(frames, sampling(manifest, options)?)?;
        let row = graphs.row_len(CLASSIFIER);
        let next = |mut input: Vec<f32>, keep_on: &dyn Fn() -> bool| {
            if !keep_on() {
                return Err(EngineError::Cancelled);
            }
            let Some(clip) = reader.next_clip()? else { return Ok(None) };
            input.resize(row, 0.0);
            plan.normalize(&clip.rgb, 0, &mut input)?;
            Ok(Some(Ready { what: (clip.start_s, clip.end_s), input, end_s: clip.end_s }))
        };
        let look = |session: &OnSession<'_>, (start_s, end_s), mut outputs: Vec<Vec<f32>>| {
            let scores = &mut outputs[LOGITS];
            softmax(scores);
            check_finite(session, &[scores])?;
            Ok(ClipPrediction { start_s, end_s, predictions: best(&manifest.labels, scores, options.top_k) })
        };
        let course = follow(graphs, next, look, tell, control)?;
        let frames = reader.decoder();
        if course.looked == 0 {
            return Err(EngineError::NoFrames { name: frames.name().to_string() });
        }
        let (width, height) = frames.picture_size();
        let video = VideoSummary {
            duration_s: course.time_s,
            width,
            height,
            fps: frames.fps(),
            frames: reader.frames(),
            clips: course.looked,
            damaged_packets: frames.errors(),
        };
        Ok(course.summary(graphs, video))
    }
}
