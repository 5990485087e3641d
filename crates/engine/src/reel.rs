//! A made-up video for tests, whose frames say their own number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unscene_media::{FrameTime, Frames, MediaError, View};

/// Frames of 2 x 2 pixels, all of them the frame's number. Counts what is asked of it.
pub(crate) struct Reel {
    /// When each frame is shown, and when the last ends.
    pub times: Vec<f64>,
    at: Option<usize>,
    pub decoded: Arc<AtomicUsize>,
    pub converted: Arc<AtomicUsize>,
}

impl Reel {
    pub fn new(times: Vec<f64>) -> Self {
        Reel { times, at: None, decoded: Arc::default(), converted: Arc::default() }
    }

    /// So many frames, 10 a second.
    pub fn of(frames: usize) -> Self {
        Self::new((0..=frames).map(|frame| frame as f64 / 10.0).collect())
    }
}

impl Frames for Reel {
    fn name(&self) -> &str {
        "reel"
    }

    fn picture_size(&self) -> (u32, u32) {
        (2, 2)
    }

    fn fps(&self) -> f64 {
        10.0
    }

    fn duration_s(&self) -> Option<f64> {
        self.times.last().copied()
    }

    fn set_view(&mut self, _: View) -> Result<(), MediaError> {
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        (2, 2)
    }

    fn advance(&mut self) -> Result<Option<FrameTime>, MediaError> {
        let next = self.at.map_or(0, |at| at + 1);
        if next + 1 >= self.times.len() {
            return Ok(None);
        }
        self.at = Some(next);
        self.decoded.fetch_add(1, Ordering::SeqCst);
        let (time_s, end_s) = (self.times[next], self.times[next + 1]);
        Ok(Some(FrameTime { time_s, duration_s: end_s - time_s }))
    }

    fn write_current(&mut self, rgb: &mut [u8]) -> Result<(), MediaError> {
        self.converted.fetch_add(1, Ordering::SeqCst);
        rgb.fill(self.at.expect("a frame") as u8);
        Ok(())
    }

    fn tolerance_s(&self) -> f64 {
        1e-4
    }

    fn errors(&self) -> u64 {
        0
    }
}
