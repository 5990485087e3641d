//! Frames of a video as a detector takes them: each that is looked at is converted and normalised once, straight into the batch.

use std::sync::Arc;

use unscene_media::{FrameTime, Frames, Sampler, View};
use unscene_models::manifest::ClipInput;
use unscene_vision::{ClipDims, Normalization, normalize_clip};

use crate::crops::normalization;
use crate::error::{EngineError, Result};

/// Frames that are run at once.
pub(crate) struct Batch {
    /// looked x 3 x 1 x height x width.
    pub buffer: Arc<Vec<f32>>,
    /// Positions in `times` of the frames in the buffer.
    pub looked: Vec<usize>,
    /// When each frame since the last batch is shown, those between the ones that are looked at included.
    pub times: Vec<FrameTime>,
}

/// Goes through a video, one batch after the other.
pub(crate) struct Batches<F> {
    sampler: Sampler<F>,
    dims: ClipDims,
    normalization: Normalization,
    every: usize,
    /// Frames in a batch.
    batch: usize,
    /// Frames passed so far.
    passed: usize,
    rgb: Vec<u8>,
}

impl<F: Frames> Batches<F> {
    /// Every `every`-th frame from the first on, stretched to the input's size.
    pub fn new(mut source: F, input: &ClipInput, every: usize, batch: usize) -> Result<Self> {
        source.set_view(View::Resize { width: input.width as u32, height: input.height as u32 })?;
        let rgb = vec![0; source.frame_bytes()];
        let dims = ClipDims { frames: 1, height: input.height, width: input.width };
        let sampler = Sampler::new(source, None)?;
        Ok(Self { sampler, dims, normalization: normalization(input), every, batch, passed: 0, rgb })
    }

    /// What goes through the video.
    pub fn sampler(&self) -> &Sampler<F> {
        &self.sampler
    }

    /// The next frames, in a buffer whose content no longer matters; `None` is the end. `keep_on` is asked for every frame.
    ///
    /// # Errors
    /// When the video cannot be decoded; [`EngineError::Cancelled`] when `keep_on` says no.
    pub fn fill(&mut self, mut buffer: Vec<f32>, keep_on: &dyn Fn() -> bool) -> Result<Option<Batch>> {
        let (row, mut looked, mut times) = (self.dims.len(), Vec::with_capacity(self.batch), vec![]);
        buffer.resize(self.batch * row, 0.0);
        while looked.len() < self.batch {
            if !keep_on() {
                return Err(EngineError::Cancelled);
            }
            let Some(sample) = self.sampler.advance()? else { break };
            if self.passed.is_multiple_of(self.every) {
                self.write(&mut buffer[looked.len() * row..][..row])?;
                looked.push(times.len());
            }
            times.push(sample.time);
            self.passed += 1;
        }
        buffer.truncate(looked.len() * row);
        Ok((!times.is_empty()).then(|| Batch { buffer: Arc::new(buffer), looked, times }))
    }

    fn write(&mut self, row: &mut [f32]) -> Result<()> {
        self.sampler.source_mut().write_current(&mut self.rgb)?;
        normalize_clip(&self.rgb, self.dims, &self.normalization, row).map_err(|error| EngineError::Argument {
            what: "frame",
            found: error.to_string(),
            expected: "frames of the size that the decoder announced".into(),
        })
    }
}
