//! RGB frames to an MP4 file: H.264, made to be read back in pieces.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

use ffmpeg_next as ff;
use ffmpeg_next::format::context::StreamIo;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, color, encoder, ffi, format, format::Pixel, frame};

use crate::decode::FrameTime;
use crate::error::MediaError;
use crate::source::{ffmpeg_error, start_ffmpeg};
use crate::view::is_high_definition;

/// Ticks per second of the clock of [`Encoder::create_timed`]: frames last whole numbers of ticks at all rates in common use,
/// 23.976 and 59.94 per second included, and times in milliseconds are whole ones too.
const CLOCK: i32 = 120_000;

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions {
    /// Width in pixels. H.264 with colours at half size has even sides: an odd one gets a pixel more, which repeats the last.
    pub width: u32,
    /// Height in pixels, as the width.
    pub height: u32,
    /// Frames per second; where frames bring their own times, about how many.
    pub fps: u32,
    /// x264's constant rate factor: 0 is lossless, 51 the worst. 23 is x264's default, and visibly compressed.
    pub crf: u8,
    /// A key frame at least every so many frames, which is where a reader can start.
    pub keyframe_every: u32,
}

/// Writes one video, frame by frame.
///
/// The file is whole only after [`Encoder::finish`].
pub struct Encoder {
    name: String,
    output: format::context::Output,
    encoder: encoder::Video,
    scaler: scaling::Context,
    /// Width and height of the frames given.
    size: (u32, u32),
    /// With even sides.
    rgb: frame::Video,
    yuv: frame::Video,
    time_base: Rational,
    fps: u32,
    /// Frames given.
    frames: i64,
    /// The tick of the last of them.
    last_tick: i64,
    /// How many ticks each of those lasts that the codec has not given back. It reorders frames only where all last as long.
    durations: VecDeque<i64>,
}

impl Encoder {
    /// Starts a file of frames at a constant rate. What is there already is overwritten.
    ///
    /// # Errors
    /// [`MediaError::Io`] when the file cannot be made, [`MediaError::Ffmpeg`] when FFmpeg has no H.264 encoder, or a side or
    /// the rate is zero.
    pub fn create(path: &Path, options: &EncodeOptions) -> Result<Self, MediaError> {
        Self::start(path, options, false)
    }

    /// Starts a file whose frames bring their own times, for [`Encoder::write_at`]: they are kept to a
    /// 240,000th of a second.
    ///
    /// # Errors
    /// As [`Encoder::create`].
    pub fn create_timed(path: &Path, options: &EncodeOptions) -> Result<Self, MediaError> {
        Self::start(path, options, true)
    }

    fn start(path: &Path, options: &EncodeOptions, is_timed: bool) -> Result<Self, MediaError> {
        start_ffmpeg();
        let name = path.display().to_string();
        let failed = |error: ff::Error| ffmpeg_error(&name, error);
        let &EncodeOptions { width, height, fps, .. } = options;
        if width == 0 || height == 0 || fps == 0 {
            let detail = format!("{width} x {height} at {fps} fps cannot be encoded; none may be 0");
            return Err(ffmpeg_error(&name, detail));
        }
        let size = (width, height);
        let time_base = Rational::new(1, if is_timed { CLOCK } else { fps as i32 });
        let [width, height] = [width, height].map(|side| side.next_multiple_of(2));
        let codec = encoder::find_by_name("libx264")
            .ok_or_else(|| ffmpeg_error(&name, "this FFmpeg has no libx264; install a build that has it"))?;
        // By FFmpeg's own opening, a name with a colon would be a URL.
        let file = File::create(path).map_err(|error| MediaError::Io { name: name.clone(), error: error.into() })?;
        let io = StreamIo::from_write_seek(file).map_err(failed)?;
        let mut output = format::output_to_stream(io, None, Some("mp4")).map_err(failed)?;
        let mut context = codec::Context::new_with_codec(codec).encoder().video().map_err(failed)?;
        context.set_width(width);
        context.set_height(height);
        context.set_format(Pixel::YUV420P);
        context.set_time_base(time_base);
        context.set_frame_rate(Some(Rational::new(fps as i32, 1)));
        context.set_gop(options.keyframe_every);
        context.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::BITEXACT);
        // Where readers take BT.709 without being told, it is told; below, BT.601 is what they take.
        let is_hd = is_high_definition(width, height);
        if is_hd {
            context.set_colorspace(color::Space::BT709);
            context.set_color_primaries(color::Primaries::BT709);
            context.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
            context.set_color_range(color::Range::MPEG);
        }
        // Videos at a constant rate are encoded side by side, one thread each; of others there is one, with as many as suit x264.
        context.set_threading(codec::threading::Config::count(usize::from(!is_timed)));
        if is_timed {
            // MP4 says how long a frame lasts in the order of decoding, which must be that in which they are shown.
            context.set_max_b_frames(0);
        }
        let mut settings = Dictionary::new();
        settings.set("preset", "veryfast");
        settings.set("crf", &options.crf.to_string());
        let encoder = context.open_with(settings).map_err(failed)?;

        let mut stream = output.add_stream_with(&encoder).map_err(failed)?;
        stream.set_time_base(time_base);
        output.write_header().map_err(|error| write_error(&name, error))?;
        let mut scaler =
            scaling::Context::get(Pixel::RGB24, width, height, Pixel::YUV420P, width, height, scaling::Flags::BILINEAR)
                .map_err(failed)?;
        if is_hd {
            set_bt709(&mut scaler);
        }
        let rgb = frame::Video::new(Pixel::RGB24, width, height);
        let yuv = frame::Video::empty();
        let (frames, last_tick, durations) = (0, -1, VecDeque::new());
        Ok(Encoder { name, output, encoder, scaler, size, rgb, yuv, time_base, fps, frames, last_tick, durations })
    }

    /// Adds the frame that comes next at the constant rate.
    ///
    /// # Shapes
    /// `rgb` is height x width x 3.
    ///
    /// # Errors
    /// [`MediaError::View`] when `rgb` has another size, [`MediaError::Io`] when it cannot be written,
    /// [`MediaError::Ffmpeg`] when it cannot be encoded.
    pub fn write(&mut self, rgb: &[u8]) -> Result<(), MediaError> {
        let (number, step_s) = (self.frames as f64, 1.0 / f64::from(self.fps));
        self.write_at(rgb, FrameTime { time_s: number * step_s, duration_s: step_s })
    }

    /// Adds a frame that is shown at a time, which is later than that of the frame before; frames closer than a tick of the
    /// file's clock are a tick apart.
    ///
    /// # Shapes
    /// As [`Encoder::write`].
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn write_at(&mut self, rgb: &[u8], time: FrameTime) -> Result<(), MediaError> {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let row = width * 3;
        if rgb.len() != row * height {
            return Err(MediaError::View {
                name: self.name.clone(),
                detail: format!("a frame has {} bytes, expected {} x {}", rgb.len(), height, row),
            });
        }
        let stride = self.rgb.stride(0);
        let last = rgb.chunks_exact(row).next_back();
        for (to, from) in self.rgb.data_mut(0).chunks_mut(stride).zip(rgb.chunks_exact(row).chain(last)) {
            to[..row].copy_from_slice(from);
            if width % 2 == 1 {
                to[row..row + 3].copy_from_slice(&from[row - 3..]);
            }
        }
        self.scaler.run(&self.rgb, &mut self.yuv).map_err(|error| ffmpeg_error(&self.name, error))?;
        let ticks = |seconds: f64| (seconds / f64::from(self.time_base)).round() as i64;
        let tick = ticks(time.time_s).max(self.last_tick + 1);
        self.durations.push_back(ticks(time.duration_s).max(1));
        self.yuv.set_pts(Some(tick));
        (self.frames, self.last_tick) = (self.frames + 1, tick);
        self.encoder.send_frame(&self.yuv).map_err(|error| ffmpeg_error(&self.name, error))?;
        self.drain()
    }

    /// Writes what is left and closes the file.
    ///
    /// # Errors
    /// [`MediaError::Io`] when it cannot be written.
    pub fn finish(mut self) -> Result<(), MediaError> {
        self.encoder.send_eof().map_err(|error| ffmpeg_error(&self.name, error))?;
        self.drain()?;
        self.output.write_trailer().map_err(|error| write_error(&self.name, error))
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        let failed = |error: ff::Error| ffmpeg_error(&self.name, error);
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(ff::Error::Eof) => return Ok(()),
                Err(ff::Error::Other { errno }) if errno == ff::util::error::EAGAIN => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
            packet.set_stream(0);
            // The encoder leaves it out, and the last frame would take no time.
            packet.set_duration(self.durations.pop_front().unwrap_or(1));
            // The container has a clock of its own.
            let to = self.output.stream(0).map_or(self.time_base, |stream| stream.time_base());
            packet.rescale_ts(self.time_base, to);
            packet.write_interleaved(&mut self.output).map_err(|error| write_error(&self.name, error))?;
        }
    }
}

/// Lets RGB become YUV by BT.709 instead of swscale's BT.601.
fn set_bt709(scaler: &mut scaling::Context) {
    // SAFETY: the context is owned and set up; the coefficients are a static of FFmpeg. RGB has the full range, YUV not.
    unsafe {
        let matrix = ffi::sws_getCoefficients(ffi::SWS_CS_ITU709);
        ffi::sws_setColorspaceDetails(scaler.as_mut_ptr(), matrix, 1, matrix, 0, 0, 1 << 16, 1 << 16);
    }
}

/// What the system says, such as that the disk is full.
fn write_error(name: &str, error: ff::Error) -> MediaError {
    let error = match error {
        ff::Error::Other { errno } => std::io::Error::from_raw_os_error(errno),
        other => other.into(),
    };
    MediaError::Io { name: name.to_string(), error: error.into() }
}
