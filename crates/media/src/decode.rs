//! Frames, one after another, with their times.

use std::sync::Arc;

use ffmpeg_next as ff;
use ffmpeg_next::codec::threading;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Discard, Packet, decoder, frame};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::MediaError;
use crate::probe::{Limits, VideoInfo, check_codec, video_info, video_stream};
use crate::source::{self, Source, codec_max_pixels};
use crate::turns::Turns;
use crate::view::{Scaler, View};

/// Damaged packets in a row after which the rest of a file counts as lost.
const MAX_ERRORS_IN_A_ROW: u32 = 256;

/// How to decode.
#[derive(Debug, Clone, Default)]
pub struct DecodeOptions {
    /// What part of the picture, at what size.
    pub view: View,
    /// Decoding threads; 0 leaves it to FFmpeg (about one per core). With 1, everything runs on the calling thread.
    pub threads: usize,
    /// How large the video may be.
    pub limits: Limits,
    /// Turns that frames are decoded in, shared with other decoders; none waits for nobody.
    pub turns: Option<Turns>,
}

/// When a frame is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrameTime {
    /// Seconds from the first frame, whatever time the container starts at.
    pub time_s: f64,
    /// Seconds until the next frame; for the last frame, what the file says or the average.
    pub duration_s: f64,
}

/// Decodes a video from its first frame to its last, in the order of presentation.
///
/// Holds two frames, the current one and the next, beside those that the codec needs itself.
///
/// A damaged file gives the frames that can be decoded, and [`Decoder::errors`] counts what was lost; only a file that
/// gives no frame at all is an error.
pub struct Decoder {
    name: String,
    info: VideoInfo,
    limits: Limits,
    turns: Option<Turns>,
    pub(crate) input: Input,
    pub(crate) stream: usize,
    pub(crate) decoder: decoder::Video,
    scaler: Scaler,
    pub(crate) tick_s: f64,
    current: frame::Video,
    next: frame::Video,
    /// What looking one frame ahead found: its time, or the end, or an error to report after the current frame.
    pub(crate) ahead: Option<Result<Option<f64>, MediaError>>,
    /// The current frame, when it was found by a jump and not given yet.
    pub(crate) pending: Option<FrameTime>,
    pub(crate) clock: Clock,
    frames: u64,
    pub(crate) errors: u64,
    pub(crate) errors_in_a_row: u32,
    pub(crate) input_ended: bool,
    /// After a jump: nothing can be decoded before a key frame.
    pub(crate) wants_key_frame: bool,
    /// After a jump: pictures before this moment of the container's clock need not be given.
    pub(crate) near_tick: Option<i64>,
    /// Damaged packets before the last jump.
    pub(crate) errors_before: u64,
    /// After a jump into the middle, the latest time that a packet was sent for.
    pub(crate) sent_tick: Option<i64>,
}

impl Decoder {
    /// Opens a video, checks its header against the limits, and prepares to decode.
    ///
    /// # Errors
    /// See [`probe`](crate::probe); and [`MediaError::View`] when the view does not fit the picture.
    pub fn open(source: &Source, options: &DecodeOptions) -> Result<Self, MediaError> {
        let name = source.name();
        let mut input = source::open(source, &options.limits)?;
        let (info, stream, tick_s, decoder) = {
            let stream = video_stream(&input, &name)?;
            check_codec(&stream, &name)?;
            let decoder = open_decoder(&stream, &name, options)?;
            let tick_s = f64::from(stream.time_base());
            (video_info(&input, &stream), stream.index(), tick_s, decoder)
        };
        if info.width == 0 || info.height == 0 {
            return Err(MediaError::Corrupt { name, detail: "no frame size could be found".into() });
        }
        // Sound and subtitles are not even read where the container allows to skip them.
        for mut other in input.streams_mut().filter(|other| other.index() != stream) {
            // SAFETY: the stream is valid while the input is borrowed.
            unsafe { (*other.as_mut_ptr()).discard = Discard::All.into() };
        }
        let scaler = Scaler::new(&name, options.view, (info.width, info.height), info.rotation_degrees)?;
        let guess_s = if info.fps > 0.0 { 1.0 / info.fps } else { 0.04 };
        Ok(Decoder {
            name,
            info,
            limits: options.limits,
            turns: options.turns.clone(),
            input,
            stream,
            decoder,
            scaler,
            tick_s,
            current: frame::Video::empty(),
            next: frame::Video::empty(),
            ahead: None,
            pending: None,
            clock: Clock::new(tick_s, guess_s),
            frames: 0,
            errors: 0,
            errors_in_a_row: 0,
            input_ended: false,
            wants_key_frame: false,
            near_tick: None,
            sent_tick: None,
            errors_before: 0,
        })
    }

    /// What the header says.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The source's name, as in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Width and height of the frames given.
    pub fn frame_size(&self) -> (u32, u32) {
        self.scaler.size()
    }

    /// Changes what the frames from the next one on show.
    ///
    /// # Errors
    /// [`MediaError::View`] when the view does not fit the picture.
    pub fn set_view(&mut self, view: View) -> Result<(), MediaError> {
        let VideoInfo { width, height, rotation_degrees, .. } = self.info;
        self.scaler = Scaler::new(&self.name, view, (width, height), rotation_degrees)?;
        Ok(())
    }

    /// Bytes of one frame given: width times height times 3.
    pub fn frame_bytes(&self) -> usize {
        self.scaler.bytes()
    }

    /// Damaged packets skipped so far. Not 0 means that frames are missing, usually at the end of a file cut short.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Decodes the next frame into `rgb`. `None` is the end.
    ///
    /// # Shapes
    /// `rgb` is height x width x 3, of [`Decoder::frame_size`].
    ///
    /// # Errors
    /// [`MediaError::Limit`] when the video turns out larger than allowed, [`MediaError::Corrupt`] when nothing can be
    /// decoded, [`MediaError::Io`] when the bytes cannot be read, [`MediaError::View`] when `rgb` has another size.
    pub fn next_frame(&mut self, rgb: &mut [u8]) -> Result<Option<FrameTime>, MediaError> {
        let time = self.advance()?;
        if time.is_some() {
            self.write_current(rgb)?;
        }
        Ok(time)
    }

    /// Times closer than this are the same: half a tick of the container's clock, by which it rounds times. A clock
    /// coarser than milliseconds, as AVI's, ticks with the frames and rounds nothing.
    pub(crate) fn tolerance_s(&self) -> f64 {
        self.tick_s.min(1e-3) / 2.0
    }

    /// Moves on to the next frame without converting it.
    pub(crate) fn advance(&mut self) -> Result<Option<FrameTime>, MediaError> {
        if let Some(found) = self.take_pending() {
            return Ok(Some(found));
        }
        let ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.decode_ahead(),
        };
        let time_s = match ahead {
            Ok(Some(time_s)) => time_s,
            end => {
                self.ahead = Some(Ok(None));
                return end.map(|_| None);
            }
        };
        std::mem::swap(&mut self.current, &mut self.next);
        let guess_s = self.clock.step_s;
        let ahead = self.decode_ahead();
        let duration_s = match &ahead {
            Ok(Some(next_s)) => next_s - time_s,
            _ => guess_s,
        };
        self.ahead = Some(ahead);
        Ok(Some(FrameTime { time_s, duration_s }))
    }

    /// Converts the frame that [`Decoder::advance`] moved to.
    pub(crate) fn write_current(&mut self, rgb: &mut [u8]) -> Result<(), MediaError> {
        self.scaler.scale(&self.name, &self.current, rgb)
    }

    /// The frame that [`Decoder::advance`] moved to, as it was decoded.
    pub(crate) fn current(&self) -> &frame::Video {
        &self.current
    }

    /// Whether every frame so far had a timestamp after the one before.
    pub(crate) fn is_steady(&self) -> bool {
        self.clock.is_steady
    }

    /// As [`Decoder::current`]; to be taken once.
    pub(crate) fn take_current(&mut self) -> frame::Video {
        std::mem::replace(&mut self.current, frame::Video::empty())
    }

    /// Decodes into `self.next` and gives its time, when it is its turn.
    pub(crate) fn decode_ahead(&mut self) -> Result<Option<f64>, MediaError> {
        match self.turns.clone() {
            Some(turns) => turns.take(|| self.decode_now()),
            None => self.decode_now(),
        }
    }

    fn decode_now(&mut self) -> Result<Option<f64>, MediaError> {
        while !self.receive()? {
            if self.input_ended {
                return if self.has_lost_frames() { self.find_lost_frames() } else { self.end() };
            }
            self.send()?;
        }
        self.errors_in_a_row = 0;
        self.frames += 1;
        self.limits.check_pixels(&self.name, self.next.width(), self.next.height())?;
        self.limits.check_frames(&self.name, self.frames)?;
        let time_s = self.clock.time_s(self.next.timestamp(), self.next.packet().duration);
        self.limits.check_duration(&self.name, time_s)?;
        Ok(Some(time_s))
    }

    /// Takes a frame from the codec, if one is ready.
    fn receive(&mut self) -> Result<bool, MediaError> {
        loop {
            return match self.decoder.receive_frame(&mut self.next) {
                Ok(()) => Ok(true),
                Err(ff::Error::Other { errno }) if errno == ff::util::error::EAGAIN => Ok(false),
                Err(ff::Error::Eof) => Ok(false),
                Err(error) if is_out_of_memory(error) => Err(self.out_of_memory()),
                Err(_) if self.lost() => continue,
                Err(_) => Ok(false),
            };
        }
    }

    /// Feeds the codec one packet, or tells it that there are no more.
    fn send(&mut self) -> Result<(), MediaError> {
        // A new packet each time: reading into a used one would leak its buffer.
        let mut packet = Packet::empty();
        match packet.read(&mut self.input) {
            Ok(()) if packet.stream() != self.stream || self.passes_over(&packet) => Ok(()),
            Ok(()) => {
                // A packet that the container marks as cut short still holds pictures, or parts of one.
                match self.decoder.send_packet(&packet) {
                    Err(error) if is_out_of_memory(error) => return Err(self.out_of_memory()),
                    Err(_) => drop(self.lost()),
                    Ok(()) => self.errors += u64::from(packet.is_corrupt()),
                }
                Ok(())
            }
            Err(error) if is_out_of_memory(error) => Err(self.out_of_memory()),
            Err(error) if self.has_read_error() => {
                Err(MediaError::Io { name: self.name.clone(), error: Arc::new(error.into()) })
            }
            // Demuxers say all kinds of things of damage, EAGAIN and EIO too.
            Err(error) if error != ff::Error::Eof && self.lost() => Ok(()),
            Err(_) => {
                self.input_ended = true;
                // A codec that cannot be drained has nothing left to give.
                let _ = self.decoder.send_eof();
                Ok(())
            }
        }
    }

    /// Whether the bytes could not be read, whatever is in them.
    fn has_read_error(&self) -> bool {
        // SAFETY: the input was opened with an I/O context, which lives as long as it does.
        unsafe { (*(*self.input.as_ptr()).pb).error < 0 }
    }

    /// Counts a damaged packet. False when there were so many in a row that the rest is given up.
    fn lost(&mut self) -> bool {
        self.errors += 1;
        self.errors_in_a_row += 1;
        self.errors_in_a_row < MAX_ERRORS_IN_A_ROW
    }

    /// Not the file's fault: frames would be missing without a word.
    fn out_of_memory(&self) -> MediaError {
        let detail = format!("for pictures of {} x {}", self.info.width, self.info.height);
        MediaError::OutOfMemory { name: self.name.clone(), detail }
    }

    fn end(&self) -> Result<Option<f64>, MediaError> {
        if self.frames > 0 {
            return Ok(None);
        }
        Err(MediaError::Corrupt {
            name: self.name.clone(),
            detail: format!(
                "no frame could be decoded from its {} stream ({} damaged packets)",
                self.info.codec, self.errors
            ),
        })
    }
}

fn is_out_of_memory(error: ff::Error) -> bool {
    matches!(error, ff::Error::Other { errno } if errno == libc::ENOMEM)
}

fn open_decoder(stream: &ff::Stream<'_>, name: &str, options: &DecodeOptions) -> Result<decoder::Video, MediaError> {
    let failed = |error: ff::Error| {
        let (name, detail) = (name.to_string(), format!("setting up the decoder: {error}"));
        match error {
            // The latter is said of threads that cannot be started.
            ff::Error::Other { errno: libc::ENOMEM | libc::EAGAIN } => MediaError::OutOfMemory { name, detail },
            _ => MediaError::Corrupt { name, detail },
        }
    };
    let mut context = ff::codec::Context::from_parameters(stream.parameters()).map_err(failed)?;
    let threads = options.threads.min(64);
    context.set_threading(match threads {
        1 => threading::Config { kind: threading::Type::None, ..threading::Config::count(1) },
        count => threading::Config { kind: threading::Type::Frame, ..threading::Config::count(count) },
    });
    // SAFETY: the context was allocated above and is not open yet.
    unsafe { (*context.as_mut_ptr()).max_pixels = codec_max_pixels(&options.limits) };
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    decoder.video().map_err(failed)
}
