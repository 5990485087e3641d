//! Where in a video the evidence for its classes lies.

use std::ops::ControlFlow;
use std::sync::Arc;

use unscene_media::{ClipReader, ClipSampling, SeekFrames};

use crate::crops::plan;
use crate::error::{EngineError, Result};
use crate::graphs::OnSession;
use crate::model::{CLASSIFIER, Model};
use crate::result::{Classification, Crops, Prediction, Progress};

/// The evidence for one class, in the clip that speaks for it most.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The class.
    pub prediction: Prediction,
    /// Start of the clip, in seconds from the start of the video.
    pub start_s: f64,
    /// Its end.
    pub end_s: f64,
    /// When its middle frame is shown.
    pub frame_s: f64,
    /// The middle frame as the model saw it: height x width x 3 bytes.
    pub rgb: Vec<u8>,
    /// The class activation map of that frame: height x width, in units of logits.
    pub map: Vec<f32>,
    /// Width and height of both.
    pub size: (usize, usize),
    /// The strongest evidence in the clip, at least 0.
    pub peak: f32,
}

impl Model {
    /// Looks again at a video that this model has classified, opened anew: for each prediction, at the clip that speaks most for it.
    ///
    /// Memory does not grow with the video: the clips are read a second time. Maps are those of the centre crop.
    ///
    /// # Errors
    /// As [`Model::classify`]; [`EngineError::Argument`] when the bundle was exported without `--maps`.
    pub fn explain(
        &self,
        mut video: impl SeekFrames,
        found: &Classification,
        control: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Explanation>> {
        let Some((output, weights)) = self.maps() else {
            return Err(EngineError::Argument {
                what: "explain",
                found: format!("the bundle of {:?} without maps", self.graphs().name()),
                expected: "one that was exported with --maps".into(),
            });
        };
        let manifest = self.graphs().manifest();
        let name = video.name().to_string();
        let plan = plan(&mut video, Crops::Center, &manifest.input)?;
        let size = video.frame_size();
        let size = (size.0 as usize, size.1 as usize);
        let frames = manifest.input.frames;
        let sampling = ClipSampling { frames, stride_frames: frames, fps: manifest.fps };
        let mut reader = ClipReader::new(video, sampling)?;

        // Each clip is read once, in the order of time.
        let mut wanted: Vec<usize> = (0..found.predictions.len()).collect();
        wanted.sort_by(|&a, &b| found.strongest_s[a].total_cmp(&found.strongest_s[b]));
        let mut on_session = OnSession::new(self.graphs(), found.predictions.len());
        let mut explanations = Vec::new();
        for same in wanted.chunk_by(|&a, &b| found.strongest_s[a] == found.strongest_s[b]) {
            let start_s = found.strongest_s[same[0]];
            reader.seek(start_s, f64::INFINITY)?;
            let clip = reader.next_clip()?.ok_or_else(|| EngineError::NoFrames { name: name.clone() })?;
            let progress =
                Progress { clips: found.video.clips, time_s: start_s, duration_s: Some(found.video.duration_s) };
            if control(progress).is_break() {
                return Err(EngineError::Cancelled);
            }
            let mut input = vec![0.0; self.graphs().row_len(CLASSIFIER)];
            plan.normalize(&clip.rgb, 0, &mut input)?;
            let keep_waiting = &mut || control(progress).is_continue();
            let mut outputs = on_session.run_rows(CLASSIFIER, Arc::new(input), 1, keep_waiting)?;
            let maps = outputs.swap_remove(*output);
            let (middle, bytes) = (frames / 2, size.0 * size.1 * 3);
            for &at in same {
                let prediction = found.predictions[at].clone();
                let map = weights.map(&maps, prediction.index).resized([frames, size.1, size.0]);
                explanations.push((
                    at,
                    Explanation {
                        start_s: clip.start_s,
                        end_s: clip.end_s,
                        frame_s: clip.times_s[middle],
                        rgb: clip.rgb[middle * bytes..][..bytes].to_vec(),
                        map: map.frame(middle).to_vec(),
                        size,
                        peak: map.peak(),
                        prediction,
                    },
                ));
            }
        }
        explanations.sort_by_key(|(at, _)| *at);
        Ok(explanations.into_iter().map(|(_, explanation)| explanation).collect())
    }
}
