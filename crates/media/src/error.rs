//! What can go wrong between a file and its frames.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a video could not be read. `name` is always the [`Source`](crate::Source)'s name.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MediaError {
    /// The bytes are not in one of the containers that are read: empty, text, an image, a playlist, an archive.
    #[error("{name}: not a video: {found}; expected MP4, MOV, MKV, WebM, AVI or MPEG-TS")]
    NotAVideo {
        /// The source's name.
        name: String,
        /// What the bytes look like instead.
        found: String,
    },
    /// A media file without a video stream, such as music with or without cover art.
    #[error("{name}: no video stream in this {container} file; send one that has pictures, not only sound")]
    NoVideoStream {
        /// The source's name.
        name: String,
        /// The container's short name.
        container: String,
    },
    /// A video stream in a codec that is not read.
    #[error("{name}: codec {codec} is not supported; convert the video to H.264, HEVC, VP9, AV1, MPEG-4 or MJPEG")]
    UnsupportedCodec {
        /// The source's name.
        name: String,
        /// The codec's short name.
        codec: String,
    },
    /// What is read of a file that comes through a pipe is gone, and what is needed to read it is at its end.
    #[error(
        "{name}: this MP4 or MOV has its index at its end and cannot be decoded while it comes; send fragmented MP4 (ffmpeg -movflags \
         frag_keyframe+empty_moov), WebM, Matroska or MPEG-TS"
    )]
    IndexAtEnd {
        /// The source's name.
        name: String,
    },
    /// The file stops before the part that is needed to read it at all.
    #[error("{name}: the file is cut short: {detail}; upload or copy it again, whole")]
    Truncated {
        /// The source's name.
        name: String,
        /// What is missing.
        detail: String,
    },
    /// The container or stream is damaged, and no frame could be decoded.
    #[error("{name}: the file is damaged: {detail}; re-encode it or send another copy")]
    Corrupt {
        /// The source's name.
        name: String,
        /// What failed.
        detail: String,
    },
    /// The video is larger than a limit set by [`Limits`](crate::Limits).
    #[error("{name}: {what} is {found}, over the limit of {limit}; shorten or shrink the video")]
    Limit {
        /// The source's name.
        name: String,
        /// Which limit.
        what: LimitKind,
        /// What the video has, in the unit of `what`.
        found: String,
        /// What is allowed, in the unit of `what`.
        limit: String,
    },
    /// The requested view does not fit the picture.
    #[error("{name}: {detail}")]
    View {
        /// The source's name.
        name: String,
        /// What does not fit, and what would.
        detail: String,
    },
    /// Reading the bytes failed.
    #[error("{name}: {error}")]
    Io {
        /// The source's name.
        name: String,
        /// The system's reason.
        #[source]
        #[serde(with = "io_text")]
        error: Arc<std::io::Error>,
    },
    /// Decoding takes more memory than there is for it.
    #[error("{name}: decoding takes more memory than it may have ({detail}); send a video with a smaller picture")]
    OutOfMemory {
        /// The source's name.
        name: String,
        /// What the system says.
        detail: String,
    },
    /// The process that decoded it has died, or did not come to an end.
    #[error("{name}: the file cannot be decoded: {how}; it may be damaged: re-encode it")]
    Crashed {
        /// The source's name.
        name: String,
        /// How it ended.
        how: String,
    },
    /// FFmpeg could not set up something that does not depend on the bytes.
    #[error("{name}: FFmpeg: {detail}")]
    Ffmpeg {
        /// The source's name.
        name: String,
        /// FFmpeg's reason.
        detail: String,
    },
}

/// Which of the [`Limits`](crate::Limits) was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitKind {
    /// `max_duration_s`, in seconds.
    Duration,
    /// `max_pixels`, width times height of one frame.
    Pixels,
    /// `max_frames`, decoded frames.
    Frames,
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LimitKind::Duration => "the duration in seconds",
            LimitKind::Pixels => "the frame size in pixels",
            LimitKind::Frames => "the number of frames",
        })
    }
}

/// An error of the system as its text, on its way between processes.
mod io_text {
    use std::io;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(error: &Arc<io::Error>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&error.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<io::Error>, D::Error> {
        String::deserialize(deserializer).map(|text| Arc::new(io::Error::other(text)))
    }
}
