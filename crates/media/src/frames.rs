//! What a video and a folder of pictures have in common.

use ffmpeg_next::frame;

use crate::decode::{Decoder, FrameTime};
use crate::error::MediaError;
use crate::probe::VideoInfo;
use crate::view::View;

/// Pictures that follow each other in time.
pub trait Frames {
    /// The source's name, as in errors.
    fn name(&self) -> &str;

    /// Width and height of the whole picture as displayed.
    fn picture_size(&self) -> (u32, u32);

    /// Frames per second, on average; 0 when not known.
    fn fps(&self) -> f64;

    /// Seconds from the first frame to the end of the last, as far as the header knows.
    fn duration_s(&self) -> Option<f64>;

    /// Changes what part of the picture is given at what size.
    ///
    /// # Errors
    /// [`MediaError::View`] when the view does not fit the picture.
    fn set_view(&mut self, view: View) -> Result<(), MediaError>;

    /// Width and height of the frames given.
    fn frame_size(&self) -> (u32, u32);

    /// Bytes of one frame given: width times height times 3.
    fn frame_bytes(&self) -> usize {
        let (width, height) = self.frame_size();
        width as usize * height as usize * 3
    }

    /// Moves on to the next frame without giving its pixels. `None` is the end.
    ///
    /// # Errors
    /// As [`Decoder::next_frame`].
    fn advance(&mut self) -> Result<Option<FrameTime>, MediaError>;

    /// Writes the frame that [`Frames::advance`] moved to.
    ///
    /// # Shapes
    /// `rgb` is height x width x 3, of [`Frames::frame_size`].
    ///
    /// # Errors
    /// As [`Decoder::next_frame`].
    fn write_current(&mut self, rgb: &mut [u8]) -> Result<(), MediaError>;

    /// Times closer than this are the same, in seconds.
    fn tolerance_s(&self) -> f64;

    /// Damaged packets so far.
    fn errors(&self) -> u64;
}

/// Pictures among which one can go to any moment.
pub trait SeekFrames: Frames {
    /// Moves so that the next frame is the one on screen at a time.
    ///
    /// # Errors
    /// As [`Decoder::seek`].
    fn seek(&mut self, time_s: f64) -> Result<(), MediaError>;

    /// Whether every frame so far had a timestamp after the one before. Otherwise, as in MPEG-TS files glued together, times were made up,
    /// and seeking to one may find another frame.
    fn is_steady(&self) -> bool;
}

/// What can be shared by several readers: its frames can be taken as they were decoded.
pub trait Decode: Frames {
    /// What the header says.
    fn info(&self) -> &VideoInfo;

    /// The frame that [`Frames::advance`] moved to; to be taken once.
    ///
    /// # Errors
    /// As [`Decoder::next_frame`].
    fn take_current(&mut self) -> Result<frame::Video, MediaError>;
}

impl Decode for Decoder {
    fn info(&self) -> &VideoInfo {
        self.info()
    }

    fn take_current(&mut self) -> Result<frame::Video, MediaError> {
        Ok(self.take_current())
    }
}

impl Frames for Decoder {
    fn name(&self) -> &str {
        self.name()
    }

    fn picture_size(&self) -> (u32, u32) {
        (self.info().width, self.info().height)
    }

    fn fps(&self) -> f64 {
        self.info().fps
    }

    fn duration_s(&self) -> Option<f64> {
        self.info().length_s()
    }

    fn set_view(&mut self, view: View) -> Result<(), MediaError> {
        self.set_view(view)
    }

    fn frame_size(&self) -> (u32, u32) {
        self.frame_size()
    }

    fn advance(&mut self) -> Result<Option<FrameTime>, MediaError> {
        self.advance()
    }

    fn write_current(&mut self, rgb: &mut [u8]) -> Result<(), MediaError> {
        self.write_current(rgb)
    }

    fn tolerance_s(&self) -> f64 {
        self.tolerance_s()
    }

    fn errors(&self) -> u64 {
        self.errors()
    }
}

impl SeekFrames for Decoder {
    fn seek(&mut self, time_s: f64) -> Result<(), MediaError> {
        self.seek(time_s)
    }

    fn is_steady(&self) -> bool {
        self.is_steady()
    }
}
