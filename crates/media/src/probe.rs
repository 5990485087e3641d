//! What a video's header says, checked before anything is decoded.

use ffmpeg_next as ff;
use ffmpeg_next::codec::{Id, packet::side_data::Type};
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::format::stream::{Disposition, Stream};
use serde::{Deserialize, Serialize};

use crate::error::{LimitKind, MediaError};
use crate::source::{self, Source};

/// Codecs that may be decoded. Uploads are hostile, and FFmpeg has hundreds of decoders nobody needs here.
const CODECS: &[Id] = &[
    Id::H264,
    Id::HEVC,
    Id::VP8,
    Id::VP9,
    Id::AV1,
    Id::MPEG4,
    Id::MSMPEG4V3,
    Id::MPEG1VIDEO,
    Id::MPEG2VIDEO,
    Id::MJPEG,
];

/// How large a video may be. Checked against the header, and again while decoding, since headers lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest video, in seconds.
    pub max_duration_s: f64,
    /// Most pixels in one frame, width times height.
    pub max_pixels: u64,
    /// Most frames decoded from one video.
    pub max_frames: u64,
}

impl Default for Limits {
    /// Four hours, an 8K frame, and four hours at 60 frames per second.
    fn default() -> Self {
        Limits { max_duration_s: 4.0 * 3600.0, max_pixels: 8192 * 4320, max_frames: 4 * 3600 * 60 }
    }
}

impl Limits {
    pub(crate) fn check_pixels(&self, name: &str, width: u32, height: u32) -> Result<(), MediaError> {
        if u64::from(width) * u64::from(height) <= self.max_pixels {
            return Ok(());
        }
        Err(MediaError::Limit {
            name: name.to_string(),
            what: LimitKind::Pixels,
            found: format!("{width} x {height}"),
            limit: self.max_pixels.to_string(),
        })
    }

    pub(crate) fn check_duration(&self, name: &str, duration_s: f64) -> Result<(), MediaError> {
        if duration_s <= self.max_duration_s {
            return Ok(());
        }
        Err(MediaError::Limit {
            name: name.to_string(),
            what: LimitKind::Duration,
            found: format!("{duration_s:.3}"),
            limit: self.max_duration_s.to_string(),
        })
    }

    pub(crate) fn check_frames(&self, name: &str, frames: u64) -> Result<(), MediaError> {
        if frames <= self.max_frames {
            return Ok(());
        }
        Err(MediaError::Limit {
            name: name.to_string(),
            what: LimitKind::Frames,
            found: format!("at least {frames}"),
            limit: self.max_frames.to_string(),
        })
    }
}

/// What the header says about a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// FFmpeg's name of the container, such as "mov,mp4,m4a,3gp,3g2,mj2".
    pub container: String,
    /// FFmpeg's name of the codec, such as "h264".
    pub codec: String,
    /// Displayed width in pixels, rotation applied; pixels are taken as square.
    pub width: u32,
    /// Displayed height in pixels, rotation applied; pixels are taken as square.
    pub height: u32,
    /// By how much stored frames are turned clockwise for display: 0, 90, 180 or 270.
    pub rotation_degrees: i32,
    /// Average frames per second; 0 when the container does not say.
    pub fps: f64,
    /// Duration in seconds, when the container says.
    pub duration_s: Option<f64>,
    /// Number of frames that the container claims. Often wrong: never a number to wait for.
    pub reported_frames: Option<u64>,
}

impl VideoInfo {
    /// Duration in seconds, as far as the header knows: what it says, or else what its number of frames takes.
    pub fn length_s(&self) -> Option<f64> {
        let counted = self.reported_frames.filter(|_| self.fps > 0.0).map(|frames| frames as f64 / self.fps);
        self.duration_s.or(counted)
    }
}

/// Reads the header of a video and checks it against the limits, decoding no more than FFmpeg needs to know the size.
///
/// # Errors
/// Any [`MediaError`] but those of decoding: the bytes cannot be read, are not a video, or are over a limit.
pub fn probe(source: &Source, limits: &Limits) -> Result<VideoInfo, MediaError> {
    let input = source::open(source, limits)?;
    let name = source.name();
    let stream = video_stream(&input, &name)?;
    check_codec(&stream, &name)?;
    Ok(video_info(&input, &stream))
}

/// The stream to decode: the default video stream, or else the first. Cover art does not count.
pub(crate) fn video_stream<'a>(input: &'a Input, name: &str) -> Result<Stream<'a>, MediaError> {
    let mut first = None;
    for stream in input.streams().filter(is_video) {
        if stream.disposition().contains(Disposition::DEFAULT) {
            return Ok(stream);
        }
        first = first.or(Some(stream));
    }
    first.ok_or_else(|| MediaError::NoVideoStream {
        name: name.to_string(),
        container: input.format().name().to_string(),
    })
}

fn is_video(stream: &Stream<'_>) -> bool {
    stream.parameters().medium() == ff::media::Type::Video && !stream.disposition().contains(Disposition::ATTACHED_PIC)
}

pub(crate) fn check_codec(stream: &Stream<'_>, name: &str) -> Result<(), MediaError> {
    let id = stream.parameters().id();
    if CODECS.contains(&id) && ff::decoder::find(id).is_some() {
        return Ok(());
    }
    Err(MediaError::UnsupportedCodec { name: name.to_string(), codec: id.name().to_string() })
}

/// Checks what the header claims against the limits.
pub(crate) fn check_header(input: &Input, name: &str, limits: &Limits) -> Result<(), MediaError> {
    for stream in input.streams().filter(is_video) {
        let (width, height) = stored_size(&stream);
        limits.check_pixels(name, width, height)?;
        if let Some(duration_s) = duration_s(input, &stream) {
            limits.check_duration(name, duration_s)?;
        }
    }
    Ok(())
}

/// Width and height as stored, 0 when not known yet.
pub(crate) fn stored_size(stream: &Stream<'_>) -> (u32, u32) {
    let parameters = stream.parameters();
    // SAFETY: the parameters belong to the stream and stay valid while it is borrowed.
    let (width, height) = unsafe { ((*parameters.as_ptr()).width, (*parameters.as_ptr()).height) };
    (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
}

pub(crate) fn video_info(input: &Input, stream: &Stream<'_>) -> VideoInfo {
    let (width, height) = stored_size(stream);
    let rotation_degrees = rotation_degrees(stream);
    let (width, height) = match rotation_degrees {
        90 | 270 => (height, width),
        _ => (width, height),
    };
    VideoInfo {
        container: input.format().name().to_string(),
        codec: stream.parameters().id().name().to_string(),
        width,
        height,
        rotation_degrees,
        fps: [stream.avg_frame_rate(), stream.rate()]
            .into_iter()
            .find(|rate| rate.numerator() > 0 && rate.denominator() > 0)
            .map_or(0.0, f64::from),
        duration_s: duration_s(input, stream),
        reported_frames: u64::try_from(stream.frames()).ok().filter(|&n| n > 0),
    }
}

fn duration_s(input: &Input, stream: &Stream<'_>) -> Option<f64> {
    if stream.duration() > 0 {
        return Some(stream.duration() as f64 * f64::from(stream.time_base()));
    }
    (input.duration() > 0).then(|| input.duration() as f64 / f64::from(ffi::AV_TIME_BASE))
}

/// Clockwise rotation for display, to the nearest quarter turn. Mirroring, which no camera writes, is ignored.
fn rotation_degrees(stream: &Stream<'_>) -> i32 {
    let Some(matrix) = stream.side_data().find(|data| data.kind() == Type::DisplayMatrix) else {
        return 0;
    };
    let mut words = [0i32; 9];
    if matrix.data().len() < size_of_val(&words) {
        return 0;
    }
    for (word, bytes) in words.iter_mut().zip(matrix.data().chunks_exact(4)) {
        *word = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    // SAFETY: the function reads nine words.
    let counterclockwise = unsafe { ffi::av_display_rotation_get(words.as_ptr()) };
    if !counterclockwise.is_finite() {
        return 0;
    }
    ((-counterclockwise / 90.0).round() as i32 * 90).rem_euclid(360)
}
