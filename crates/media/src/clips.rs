//! Clips: fixed numbers of frames, by frame or on a grid of times.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::decode::{Decoder, FrameTime};
use crate::error::MediaError;
use crate::frames::{Frames, SeekFrames};
use crate::sampler::{Sample, Sampler};

/// Which frames make a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipSampling {
    /// Frames in a clip.
    pub frames: usize,
    /// Sampled frames from the start of one clip to the start of the next. As many as `frames` gives clips side by
    /// side, fewer gives overlap, more leaves gaps.
    pub stride_frames: usize,
    /// `None` samples every decoded frame. `Some(fps)` samples at times `k / fps`: the frame that is on screen then.
    pub fps: Option<f64>,
}

impl Default for ClipSampling {
    fn default() -> Self {
        ClipSampling { frames: 16, stride_frames: 16, fps: None }
    }
}

/// What fills a clip that the video ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Its own frames from its first, over and over, as the release of 3D-ResNets does: an action goes on.
    #[default]
    Loop,
    /// Its last frame, as R-C3D does: where actions have a begin and an end, none may happen again.
    Last,
}

/// Some consecutive sampled frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Frames as RGB bytes: time x height x width x 3.
    pub rgb: Vec<u8>,
    /// When the first frame is shown, in seconds from the start of the video.
    pub start_s: f64,
    /// When the last frame that is not padding ends.
    pub end_s: f64,
    /// When each frame is shown; padding has the times of the frames that it repeats.
    pub times_s: Vec<f64>,
    /// Frames that are not padding.
    pub read_frames: usize,
}

/// Reads a video as clips, one at a time. Memory is that of one clip.
///
/// Clips start at every `stride_frames`-th sampled frame up to the end of the video. A clip that the video ends in is
/// filled as [`Padding`] says.
pub struct ClipReader<F = Decoder> {
    sampler: Sampler<F>,
    sampling: ClipSampling,
    padding: Padding,
    /// Frames from the start of the next clip on that are decoded already, oldest first.
    ready: VecDeque<(FrameTime, Vec<u8>)>,
    /// Sampled frames to pass over before the next clip starts.
    skip: usize,
    ended: bool,
}

impl<F: Frames> ClipReader<F> {
    /// Samples the decoder's frames from the next on.
    ///
    /// # Errors
    /// [`MediaError::View`] when frames or stride are 0, or fps is not positive.
    pub fn new(decoder: F, sampling: ClipSampling) -> Result<Self, MediaError> {
        let fps_is_positive = sampling.fps.is_none_or(|fps| fps.is_finite() && fps > 0.0);
        if sampling.frames == 0 || sampling.stride_frames == 0 || !fps_is_positive {
            return Err(MediaError::View {
                name: decoder.name().to_string(),
                detail: format!(
                    "clips of {} frames, stride {}, {:?} fps cannot be sampled; all must be above 0",
                    sampling.frames, sampling.stride_frames, sampling.fps
                ),
            });
        }
        Ok(ClipReader {
            sampler: Sampler::new(decoder, sampling.fps)?,
            sampling,
            padding: Padding::default(),
            ready: VecDeque::new(),
            skip: 0,
            ended: false,
        })
    }

    /// Fills clips that the video ends in with this.
    pub fn padded(self, padding: Padding) -> Self {
        ClipReader { padding, ..self }
    }

    /// The decoder, for what it knows about the video.
    pub fn decoder(&self) -> &F {
        self.sampler.source()
    }

    /// The decoder, to be read on its own; clips go on after [`ClipReader::seek`].
    pub fn decoder_mut(&mut self) -> &mut F {
        self.sampler.source_mut()
    }

    /// Sampled frames so far.
    pub fn frames(&self) -> u64 {
        self.sampler.count()
    }

    /// The next clip. `None` is the end.
    ///
    /// # Errors
    /// See [`Decoder::next_frame`].
    pub fn next_clip(&mut self) -> Result<Option<Clip>, MediaError> {
        while self.skip > 0 && !self.ended {
            self.skip -= 1;
            self.ended = self.sampler.advance()?.is_none();
        }
        while self.ready.len() < self.sampling.frames && !self.ended {
            let Some(Sample { time, repeats }) = self.sampler.advance()? else {
                self.ended = true;
                break;
            };
            let rgb = match self.ready.back().filter(|_| repeats) {
                Some((_, same)) => same.clone(),
                None => {
                    let mut rgb = vec![0; self.decoder().frame_bytes()];
                    self.decoder_mut().write_current(&mut rgb)?;
                    rgb
                }
            };
            self.ready.push_back((time, rgb));
        }
        let (Some((first, _)), Some((last, _))) = (self.ready.front(), self.ready.back()) else {
            return Ok(None);
        };
        let (start_s, end_s) = (first.time_s, last.time_s + last.duration_s);
        let mut rgb = Vec::with_capacity(self.sampling.frames * self.decoder().frame_bytes());
        let mut times_s = Vec::with_capacity(self.sampling.frames);
        for index in 0..self.sampling.frames {
            let index = match self.padding {
                Padding::Loop => index % self.ready.len(),
                Padding::Last => index.min(self.ready.len() - 1),
            };
            let (time, frame) = &self.ready[index];
            rgb.extend_from_slice(frame);
            times_s.push(time.time_s);
        }
        let read_frames = self.ready.len();
        let drop = self.sampling.stride_frames.min(self.ready.len());
        self.ready.drain(..drop);
        self.skip = self.sampling.stride_frames - drop;
        Ok(Some(Clip { rgb, start_s, end_s, times_s, read_frames }))
    }
}

impl<F: SeekFrames> ClipReader<F> {
    /// Goes on with the frames from `start_s` to before `end_s`: the first is the one on screen at `start_s`.
    ///
    /// # Errors
    /// See [`Decoder::seek`].
    pub fn seek(&mut self, start_s: f64, end_s: f64) -> Result<(), MediaError> {
        self.sampler.seek(start_s, end_s)?;
        self.ready.clear();
        self.skip = 0;
        self.ended = false;
        Ok(())
    }
}

impl<F: Frames> Iterator for ClipReader<F> {
    type Item = Result<Clip, MediaError>;

    /// As [`ClipReader::next_clip`]; ends after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let clip = self.next_clip();
        if clip.is_err() {
            self.ended = true;
            self.ready.clear();
        }
        clip.transpose()
    }
}
