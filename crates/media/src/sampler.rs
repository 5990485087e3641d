//! A video's frames one by one, or those on a grid of times.

use crate::decode::{Decoder, FrameTime};
use crate::error::MediaError;
use crate::frames::{Frames, SeekFrames};

/// Goes through a video by sampled frames. Nothing is converted before [`Frames::write_current`] of [`Sampler::source_mut`].
pub struct Sampler<F = Decoder> {
    source: F,
    fps: Option<f64>,
    start_s: f64,
    /// Frames from here on are not sampled.
    end_s: f64,
    /// Samples since the start.
    index: u64,
    /// The frame on screen.
    current: Option<FrameTime>,
    count: u64,
}

/// A sampled frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When the sample is: its time on the grid where there is one, otherwise the frame's own.
    pub time: FrameTime,
    /// Whether it shows the same frame as the sample before, as on a grid that is finer than the video.
    pub repeats: bool,
}

impl<F: SeekFrames> Sampler<F> {
    /// Goes on with the frames from `start_s` to before `end_s`: the first is the one on screen at `start_s`.
    ///
    /// # Errors
    /// See [`Decoder::seek`].
    pub fn seek(&mut self, start_s: f64, end_s: f64) -> Result<(), MediaError> {
        self.source.seek(start_s)?;
        (self.start_s, self.end_s, self.index, self.current) = (start_s.max(0.0), end_s, 0, None);
        Ok(())
    }
}

impl<F: Frames> Sampler<F> {
    /// Samples every frame from the next on, or with `Some(fps)` those on screen at times `k / fps`.
    ///
    /// # Errors
    /// [`MediaError::View`] when fps is not positive.
    pub fn new(source: F, fps: Option<f64>) -> Result<Self, MediaError> {
        if fps.is_some_and(|fps| !fps.is_finite() || fps <= 0.0) {
            let detail = format!("{fps:?} fps cannot be sampled; it must be above 0");
            return Err(MediaError::View { name: source.name().to_string(), detail });
        }
        Ok(Sampler { source, fps, start_s: 0.0, end_s: f64::INFINITY, index: 0, current: None, count: 0 })
    }

    /// What is sampled.
    pub fn source(&self) -> &F {
        &self.source
    }

    /// What is sampled, to convert the current frame.
    pub fn source_mut(&mut self) -> &mut F {
        &mut self.source
    }

    /// Frames sampled so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// When the frame that was sampled last leaves the screen; 0 before the first.
    pub fn shown_until_s(&self) -> f64 {
        self.current.map_or(0.0, |frame| frame.time_s + frame.duration_s)
    }

    /// Moves to the next sampled frame. `None` is the end.
    ///
    /// # Errors
    /// See [`Decoder::next_frame`].
    pub fn advance(&mut self) -> Result<Option<Sample>, MediaError> {
        let sample = match self.fps {
            None => self.source.advance()?.map(|time| Sample { time, repeats: false }),
            Some(fps) => self.advance_on_grid(fps)?,
        };
        let last_s = self.end_s - self.source.tolerance_s();
        let sample = sample.filter(|sample| sample.time.time_s < last_s);
        if let Some(sample) = sample {
            self.count += 1;
            if self.fps.is_none() {
                self.current = Some(sample.time);
            }
        }
        Ok(sample)
    }

    fn advance_on_grid(&mut self, fps: f64) -> Result<Option<Sample>, MediaError> {
        let time_s = self.start_s + self.index as f64 / fps;
        let tolerance_s = self.source.tolerance_s();
        let mut repeats = true;
        // The frame on screen is the last one not after the grid time: stop at the first that lasts beyond it.
        while self.current.is_none_or(|frame| frame.time_s + frame.duration_s <= time_s + tolerance_s) {
            let Some(frame) = self.source.advance()? else { return Ok(None) };
            (self.current, repeats) = (Some(frame), false);
        }
        self.index += 1;
        Ok(Some(Sample { time: FrameTime { time_s, duration_s: 1.0 / fps }, repeats }))
    }
}
