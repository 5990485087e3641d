//! One decoder for several readers: what is looked at in several ways is decoded once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ffmpeg_next::frame;

use crate::decode::FrameTime;
use crate::error::MediaError;
use crate::frames::{Decode, Frames};
use crate::probe::VideoInfo;
use crate::view::{Scaler, View};

/// Decoded frames that may wait for a reader: enough that readers which take several at once, as a clip is filled, do not hold
/// up each other at every frame.
const AHEAD: usize = 4;

/// A decoded frame, which all readers share.
type Shown = (FrameTime, Arc<frame::Video>);

/// Decodes a video for the readers that it was asked for.
///
/// The slowest reader sets the pace: no other is more than a few frames before it, and no more frames than those are held.
pub struct SharedDecoder<D> {
    decoder: D,
    readers: Vec<SyncSender<Result<Shown, MediaError>>>,
    errors: Arc<AtomicU64>,
}

/// A reader of a [`SharedDecoder`]: the decoder's frames, converted by this reader alone, on its own thread.
///
/// Dropping it before the end lets the others go on. [`Frames::errors`] may count a few frames ahead of the one that is shown.
pub struct SharedFrames {
    name: String,
    info: VideoInfo,
    tolerance_s: f64,
    frames: Receiver<Result<Shown, MediaError>>,
    current: Arc<frame::Video>,
    scaler: Scaler,
    errors: Arc<AtomicU64>,
}

impl<D: Decode> SharedDecoder<D> {
    /// Shares a decoder's frames from the next on. Its view does not matter.
    pub fn new(decoder: D) -> Self {
        let errors = Arc::new(AtomicU64::new(decoder.errors()));
        SharedDecoder { decoder, readers: vec![], errors }
    }

    /// One more reader, which shows the whole picture until it is told otherwise.
    ///
    /// # Errors
    /// [`MediaError::View`] when the picture is larger than any view may be.
    pub fn reader(&mut self) -> Result<SharedFrames, MediaError> {
        let (sender, frames) = sync_channel(AHEAD);
        let (name, info) = (self.decoder.name().to_string(), self.decoder.info().clone());
        let scaler = Scaler::new(&name, View::Full, (info.width, info.height), info.rotation_degrees)?;
        self.readers.push(sender);
        Ok(SharedFrames {
            name,
            info,
            tolerance_s: self.decoder.tolerance_s(),
            frames,
            current: Arc::new(frame::Video::empty()),
            scaler,
            errors: self.errors.clone(),
        })
    }

    /// Decodes on the calling thread until the video ends or no reader is left. Each reader must be read or dropped on another
    /// thread; for them the video ends when this returns.
    ///
    /// # Errors
    /// As [`Decoder::next_frame`](crate::Decoder::next_frame); every reader gets the same error.
    pub fn run(mut self) -> Result<(), MediaError> {
        while !self.readers.is_empty() {
            let found = self.decoder.advance();
            self.errors.store(self.decoder.errors(), Ordering::Release);
            let shown = match found {
                Ok(Some(time)) => self.decoder.take_current().map(|frame| (time, Arc::new(frame))),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            self.readers.retain(|reader| reader.send(shown.clone()).is_ok());
            shown?;
        }
        Ok(())
    }
}

impl Frames for SharedFrames {
    fn name(&self) -> &str {
        &self.name
    }

    fn picture_size(&self) -> (u32, u32) {
        (self.info.width, self.info.height)
    }

    fn fps(&self) -> f64 {
        self.info.fps
    }

    fn duration_s(&self) -> Option<f64> {
        self.info.length_s()
    }

    fn set_view(&mut self, view: View) -> Result<(), MediaError> {
        self.scaler = Scaler::new(&self.name, view, self.picture_size(), self.info.rotation_degrees)?;
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        self.scaler.size()
    }

    fn advance(&mut self) -> Result<Option<FrameTime>, MediaError> {
        // The decoder lets go of its end when it has nothing more to say.
        let Ok(shown) = self.frames.recv() else { return Ok(None) };
        let (time, frame) = shown?;
        self.current = frame;
        Ok(Some(time))
    }

    fn write_current(&mut self, rgb: &mut [u8]) -> Result<(), MediaError> {
        self.scaler.scale(&self.name, &self.current, rgb)
    }

    fn tolerance_s(&self) -> f64 {
        self.tolerance_s
    }

    fn errors(&self) -> u64 {
        self.errors.load(Ordering::Acquire)
    }
}
