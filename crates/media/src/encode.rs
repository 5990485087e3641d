//! RGB frames to an MP4 file: H.264, made to be read back in pieces.

use std::path::Path;

use ffmpeg_next as ff;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, encoder, format, format::Pixel, frame};

use crate::error::MediaError;
use crate::source::{ffmpeg_error, start_ffmpeg};

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Frames per second.
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
    rgb: frame::Video,
    yuv: frame::Video,
    time_base: Rational,
    frames: i64,
}

impl Encoder {
    /// Starts a file. What is there already is overwritten.
    ///
    /// # Errors
    /// [`MediaError::Ffmpeg`] when the file cannot be made, FFmpeg has no H.264 encoder, or the size is odd or zero.
    pub fn create(path: &Path, options: &EncodeOptions) -> Result<Self, MediaError> {
        start_ffmpeg();
        let name = path.display().to_string();
        let failed = |error: ff::Error| ffmpeg_error(&name, error);
        let &EncodeOptions { width, height, fps, .. } = options;
        if width == 0 || height == 0 || width % 2 == 1 || height % 2 == 1 || fps == 0 {
            let detail =
                format!("{width} x {height} at {fps} fps cannot be encoded; sides must be even, none may be 0");
            return Err(ffmpeg_error(&name, detail));
        }
        let codec = encoder::find_by_name("libx264")
            .ok_or_else(|| ffmpeg_error(&name, "this FFmpeg has no libx264; install a build that has it"))?;
        let time_base = Rational::new(1, fps as i32);

        let mut output = format::output_as(path, "mp4").map_err(failed)?;
        let mut context = codec::Context::new_with_codec(codec).encoder().video().map_err(failed)?;
        context.set_width(width);
        context.set_height(height);
        context.set_format(Pixel::YUV420P);
        context.set_time_base(time_base);
        context.set_frame_rate(Some(Rational::new(fps as i32, 1)));
        context.set_gop(options.keyframe_every);
        context.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::BITEXACT);
        // One thread: videos are encoded side by side.
        context.set_threading(codec::threading::Config::count(1));
        let mut settings = Dictionary::new();
        settings.set("preset", "veryfast");
        settings.set("crf", &options.crf.to_string());
        let encoder = context.open_with(settings).map_err(failed)?;

        let mut stream = output.add_stream_with(&encoder).map_err(failed)?;
        stream.set_time_base(time_base);
        output.write_header().map_err(failed)?;
        let scaler =
            scaling::Context::get(Pixel::RGB24, width, height, Pixel::YUV420P, width, height, scaling::Flags::BILINEAR)
                .map_err(failed)?;
        let rgb = frame::Video::new(Pixel::RGB24, width, height);
        let yuv = frame::Video::empty();
        Ok(Encoder { name, output, encoder, scaler, rgb, yuv, time_base, frames: 0 })
    }

    /// Adds a frame.
    ///
    /// # Shapes
    /// `rgb` is height x width x 3.
    ///
    /// # Errors
    /// [`MediaError::View`] when `rgb` has another size, [`MediaError::Ffmpeg`] when it cannot be written.
    pub fn write(&mut self, rgb: &[u8]) -> Result<(), MediaError> {
        let (row, rows) = (self.rgb.width() as usize * 3, self.rgb.height() as usize);
        if rgb.len() != row * rows {
            return Err(MediaError::View {
                name: self.name.clone(),
                detail: format!("a frame has {} bytes, expected {} x {}", rgb.len(), rows, row),
            });
        }
        let stride = self.rgb.stride(0);
        for (to, from) in self.rgb.data_mut(0).chunks_mut(stride).zip(rgb.chunks_exact(row)) {
            to[..row].copy_from_slice(from);
        }
        self.scaler.run(&self.rgb, &mut self.yuv).map_err(|error| ffmpeg_error(&self.name, error))?;
        self.yuv.set_pts(Some(self.frames));
        self.frames += 1;
        self.encoder.send_frame(&self.yuv).map_err(|error| ffmpeg_error(&self.name, error))?;
        self.drain()
    }

    /// Writes what is left and closes the file.
    ///
    /// # Errors
    /// [`MediaError::Ffmpeg`] when it cannot be written.
    pub fn finish(mut self) -> Result<(), MediaError> {
        self.encoder.send_eof().map_err(|error| ffmpeg_error(&self.name, error))?;
        self.drain()?;
        self.output.write_trailer().map_err(|error| ffmpeg_error(&self.name, error))
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
            packet.set_duration(1);
            // The container has a clock of its own.
            let to = self.output.stream(0).map_or(self.time_base, |stream| stream.time_base());
            packet.rescale_ts(self.time_base, to);
            packet.write_interleaved(&mut self.output).map_err(failed)?;
        }
    }
}
