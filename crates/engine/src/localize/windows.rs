//! Windows of a video as a network takes them: each frame is decoded, converted and normalised once, however many windows
//! show it.

use std::sync::Arc;

use unscene_media::{Frames, Sampler};
use unscene_vision::{ClipDims, Normalization, normalize_clip};

use super::result::LocalizeForm;
use crate::crops::normalization;
use crate::error::{EngineError, Result};

/// Windows that are run at once.
pub(super) struct Batch {
    /// windows x 3 x frames x height x width.
    pub buffers: Arc<Vec<f32>>,
    pub windows: Vec<Window>,
}

/// A part of the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Its first sampled frame.
    pub start_frame: u64,
    /// Frames of it that the video has; what is missing to the whole window repeats the last.
    pub frames: usize,
}

/// Cuts a video into windows. Windows follow each other by a stride, until one has the video's last frame.
pub(super) struct Windows<F> {
    sampler: Sampler<F>,
    dims: ClipDims,
    normalization: Normalization,
    stride: usize,
    /// Windows in a batch.
    batch: usize,
    started: bool,
    /// Whether the source stands at a frame that the next window is to show first of what is new in it.
    has_next: bool,
    next_start: u64,
    /// The buffers that hold the window before, to copy what the next window shares with it.
    before: Option<Arc<Vec<f32>>>,
    /// The frame on screen, once it is converted, and the same normalised: 3 x height x width.
    rgb: Vec<u8>,
    normalized: Vec<f32>,
    is_converted: bool,
}

impl<F: Frames> Windows<F> {
    /// Windows of the source's frames from the first on. The source gives frames of the input's size.
    pub fn new(source: F, form: &LocalizeForm, stride: usize, batch: usize) -> Result<Self> {
        let dims = ClipDims { frames: form.input.frames, height: form.input.height, width: form.input.width };
        let rgb = vec![0; source.frame_bytes()];
        Ok(Self {
            sampler: Sampler::new(source, Some(form.fps))?,
            dims,
            normalization: normalization(&form.input),
            stride,
            batch,
            started: false,
            has_next: false,
            next_start: 0,
            before: None,
            rgb,
            normalized: vec![0.0; 3 * dims.height * dims.width],
            is_converted: false,
        })
    }

    /// What goes through the video.
    pub fn sampler(&self) -> &Sampler<F> {
        &self.sampler
    }

    /// The next windows, in a buffer whose content no longer matters; `None` is the end. `keep_on` is asked for every frame.
    ///
    /// The buffers given before are held until they are copied from, at the beginning of the next call: at most two are
    /// needed, one to be filled while the other is run.
    ///
    /// # Errors
    /// When the video cannot be decoded; [`EngineError::Cancelled`] when `keep_on` says no.
    pub fn fill(&mut self, mut buffers: Vec<f32>, keep_on: &dyn Fn() -> bool) -> Result<Option<Batch>> {
        if !self.started {
            self.started = true;
            self.has_next = self.advance()?;
        }
        let mut before = self.before.take();
        let mut windows = Vec::with_capacity(self.batch);
        let size = self.dims.len();
        buffers.reserve_exact((self.batch * size).saturating_sub(buffers.len()));
        while windows.len() < self.batch && self.has_next {
            let start = windows.len() * size;
            buffers.resize(buffers.len().max(start + size), 0.0);
            let (done, window) = buffers.split_at_mut(start);
            // The window before lies at the end of its buffers, or before this one.
            let before = match windows.is_empty() {
                true => before.take(),
                false => None,
            };
            let shared = before.as_deref().map_or(&*done, Vec::as_slice);
            let kept = self.keep(shared, &mut window[..size]);
            drop(before);
            windows.push(self.fill_one(&mut window[..size], kept, keep_on)?);
        }
        if windows.is_empty() {
            return Ok(None);
        }
        buffers.truncate(windows.len() * size);
        let buffers = Arc::new(buffers);
        self.before = (self.has_next && self.stride < self.dims.frames).then(|| buffers.clone());
        Ok(Some(Batch { buffers, windows }))
    }

    /// Copies the frames that a window shares with the one before, which ends `buffers`, and says how many.
    fn keep(&self, buffers: &[f32], window: &mut [f32]) -> usize {
        let kept = self.dims.frames.saturating_sub(self.stride);
        let Some(start) = buffers.len().checked_sub(window.len()).filter(|_| kept > 0) else { return 0 };
        let (channel, moved) = (window.len() / 3, kept * self.frame());
        for (from, to) in buffers[start..].chunks_exact(channel).zip(window.chunks_exact_mut(channel)) {
            to[..moved].copy_from_slice(&from[channel - moved..]);
        }
        kept
    }

    /// Fills a window from its frame `kept` on, and goes on to the next one's first new frame.
    fn fill_one(&mut self, window: &mut [f32], kept: usize, keep_on: &dyn Fn() -> bool) -> Result<Window> {
        let (channel, frame) = (window.len() / 3, self.frame());
        let mut frames = kept;
        while frames < self.dims.frames && self.has_next {
            if !keep_on() {
                return Err(EngineError::Cancelled);
            }
            self.normalize()?;
            for (from, to) in self.normalized.chunks_exact(frame).zip(window.chunks_exact_mut(channel)) {
                to[frames * frame..][..frame].copy_from_slice(from);
            }
            frames += 1;
            self.has_next = self.advance()?;
        }
        for to in window.chunks_exact_mut(channel) {
            let (shown, padding) = to.split_at_mut(frames * frame);
            padding.chunks_exact_mut(frame).for_each(|to| to.copy_from_slice(&shown[(frames - 1) * frame..]));
        }
        let found = Window { start_frame: self.next_start, frames };
        self.next_start += self.stride as u64;
        // Frames between windows are passed over.
        for _ in frames..self.stride {
            if !self.has_next || !keep_on() {
                break;
            }
            self.has_next = self.advance()?;
        }
        Ok(found)
    }

    fn advance(&mut self) -> Result<bool> {
        let sample = self.sampler.advance()?;
        self.is_converted &= sample.is_some_and(|sample| sample.repeats);
        Ok(sample.is_some())
    }

    /// Converts the frame on screen, if it is not the one before, and normalises it.
    fn normalize(&mut self) -> Result<()> {
        if !self.is_converted {
            self.sampler.source_mut().write_current(&mut self.rgb)?;
            self.is_converted = true;
            let one = ClipDims { frames: 1, ..self.dims };
            normalize_clip(&self.rgb, one, &self.normalization, &mut self.normalized).map_err(|error| {
                EngineError::Argument {
                    what: "window",
                    found: error.to_string(),
                    expected: "frames of the size that the decoder announced".into(),
                }
            })?;
        }
        Ok(())
    }

    /// Values of one channel of a frame.
    fn frame(&self) -> usize {
        self.dims.height * self.dims.width
    }
}
