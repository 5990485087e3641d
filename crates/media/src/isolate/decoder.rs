//! A video that is decoded in a process of its own.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use ffmpeg_next::frame;
use rustix::fs::{MemfdFlags, memfd_create};

use super::pictures::Read;
use super::pool::Hired;
use super::wire::{Answer, Ask, State};
use crate::decode::{DecodeOptions, FrameTime};
use crate::error::MediaError;
use crate::frames::{Decode, Frames, SeekFrames};
use crate::probe::{Limits, VideoInfo};
use crate::source::Source;
use crate::turns::Turns;
use crate::view::{Scaler, View};

/// As a [`Decoder`](crate::Decoder), in one of the [`DecodeWorkers`](crate::DecodeWorkers). Dropping it lets the worker open the
/// next video.
pub struct IsolatedDecoder {
    name: String,
    info: VideoInfo,
    tolerance_s: f64,
    worker: Hired,
    pictures: Read,
    scaler: Scaler,
    turns: Option<Turns>,
    limits: Limits,
    frames: u64,
    state: State,
}

impl IsolatedDecoder {
    pub(super) fn open(mut worker: Hired, source: &Source, options: &DecodeOptions) -> Result<Self, MediaError> {
        let name = source.name();
        let file = file_of(source).map_err(|error| MediaError::Io { name: name.clone(), error: Arc::new(error) })?;
        let ask = Ask::Open { name: name.clone(), threads: options.threads, limits: options.limits };
        let (info, tolerance_s) = match worker.open(&name, &ask, &file, !source.is_coming())? {
            Answer::Opened { info, tolerance_s } if is_sound(&info, tolerance_s) => (info, tolerance_s),
            Answer::Failed { error, .. } => return Err(error),
            other => return Err(worker.dismiss(&name, &other)),
        };
        // The worker has checked that, if it is what it should be.
        options.limits.check_pixels(&name, info.width, info.height)?;
        options.limits.check_duration(&name, info.duration_s.unwrap_or(0.0))?;
        let scaler = Scaler::new(&name, options.view, (info.width, info.height), info.rotation_degrees);
        let scaler = scaler.inspect_err(|_| drop(worker.ask(&name, &Ask::Close, None)))?;
        Ok(Self {
            name,
            info,
            tolerance_s,
            worker,
            pictures: Read::default(),
            scaler,
            turns: options.turns.clone(),
            limits: options.limits,
            frames: 0,
            state: State { errors: 0, is_steady: true },
        })
    }

    /// What the header says.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Asks when it is its turn.
    fn ask(&mut self, ask: &Ask) -> Result<(Answer, Option<OwnedFd>), MediaError> {
        let (answer, memory) = match self.turns.clone() {
            Some(turns) => turns.take(|| self.worker.ask(&self.name, ask, None))?,
            None => self.worker.ask(&self.name, ask, None)?,
        };
        match answer {
            Answer::At { state, .. } | Answer::Sought { state } => self.state = state,
            Answer::Failed { error, state } => {
                self.state = state.unwrap_or(self.state);
                return Err(error);
            }
            _ => {}
        }
        Ok((answer, memory))
    }

    /// The current frame, in memory that is shared with the worker.
    fn show(&mut self) -> Result<frame::Video, MediaError> {
        let given_back = self.pictures.take_given_back();
        match self.ask(&Ask::Show { given_back })? {
            (Answer::Shown { number, picture }, memory) => {
                self.limits.check_pixels(&self.name, picture.width, picture.height)?;
                let frame = self.pictures.frame(number, &picture, memory);
                frame.map_err(|error| MediaError::Crashed { name: self.name.clone(), how: error.to_string() })
            }
            (other, _) => Err(self.worker.dismiss(&self.name, &other)),
        }
    }
}

/// Whether numbers of a header are such as a decoder gives.
fn is_sound(info: &VideoInfo, tolerance_s: f64) -> bool {
    let is_time = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
    is_time(info.fps)
        && is_time(tolerance_s)
        && info.duration_s.is_none_or(is_time)
        && info.width > 0
        && info.height > 0
        && [0, 90, 180, 270].contains(&info.rotation_degrees)
}

impl Drop for IsolatedDecoder {
    fn drop(&mut self) {
        // A worker that does not answer to that is replaced.
        let _ = self.worker.ask(&self.name, &Ask::Close, None);
    }
}

/// The bytes as a file that can be given away.
fn file_of(source: &Source) -> io::Result<OwnedFd> {
    Ok(match source {
        Source::Path(path) => File::open(path)?.into(),
        // Opened anew, so that it can be read there and not written.
        Source::File { file, .. } => File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?.into(),
        Source::Bytes { data, .. } => {
            let mut file = File::from(memfd_create("video", MemfdFlags::CLOEXEC)?);
            file.write_all(data)?;
            File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?.into()
        }
    })
}

impl Frames for IsolatedDecoder {
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
        match self.ask(&Ask::Advance)?.0 {
            Answer::At { time: None, .. } => Ok(None),
            Answer::At { time: Some(time), .. } if time.time_s >= 0.0 && time.duration_s.is_finite() => {
                self.frames += 1;
                self.limits.check_frames(&self.name, self.frames)?;
                self.limits.check_duration(&self.name, time.time_s)?;
                Ok(Some(time))
            }
            other => Err(self.worker.dismiss(&self.name, &other)),
        }
    }

    fn write_current(&mut self, rgb: &mut [u8]) -> Result<(), MediaError> {
        let frame = self.show()?;
        self.scaler.scale(&self.name, &frame, rgb)
    }

    fn tolerance_s(&self) -> f64 {
        self.tolerance_s
    }

    fn errors(&self) -> u64 {
        self.state.errors
    }
}

impl SeekFrames for IsolatedDecoder {
    fn seek(&mut self, time_s: f64) -> Result<(), MediaError> {
        match self.ask(&Ask::Seek { time_s })?.0 {
            Answer::Sought { .. } => Ok(()),
            other => Err(self.worker.dismiss(&self.name, &other)),
        }
    }

    fn is_steady(&self) -> bool {
        self.state.is_steady
    }
}

impl Decode for IsolatedDecoder {
    fn info(&self) -> &VideoInfo {
        &self.info
    }

    fn take_current(&mut self) -> Result<frame::Video, MediaError> {
        self.show()
    }
}
