//! Video in, RGB pictures out: probing, decoding and clip sampling on FFmpeg.
//!
//! This is the only crate that touches FFmpeg. The pipeline, in the order the data takes:
//!
//! 1. [`Source`] names the bytes: a file or a buffer. FFmpeg reads them through callbacks and may open nothing itself.
//! 2. [`probe`] reads the header and checks it against [`Limits`] before anything is decoded.
//! 3. [`Decoder`] gives one RGB frame after another with its time in seconds. Scaling and cropping ([`View`]) happen in
//!    the one pass that converts to RGB, and rotation is applied to the small picture.
//! 4. [`Sampler`] goes through them by frame or on a grid of times, from the start or from any moment, and
//!    [`ClipReader`] groups what it finds into clips.
//!
//! [`Pictures`] stands for a decoder where a video was unpacked into a folder; [`Frames`] is what both can do.
//! [`SharedDecoder`] decodes a video once for several readers, each with a view of its own.
//! [`DecodeWorkers`] decode in processes of their own, for files that nobody trusts.
//! [`Turns`] bounds how many decoders work at once.
//! [`Encoder`] goes the other way, from RGB frames to an MP4 file.
//!
//! Everything streams: memory depends on the size of a frame and of a clip, not on the length of the video.

mod clips;
mod clock;
mod decode;
mod encode;
mod error;
mod frames;
mod interleave;
mod isolate;
mod pictures;
mod probe;
mod sampler;
mod seek;
mod shared;
mod source;
mod turns;
mod view;

pub use clips::{Clip, ClipReader, ClipSampling, Padding};
pub use decode::{DecodeOptions, Decoder, FrameTime};
pub use encode::{EncodeOptions, Encoder};
pub use error::{LimitKind, MediaError};
pub use frames::{Decode, Frames, SeekFrames};
pub use isolate::{DecodeWorkers, IsolatedDecoder, WORKER_FLAG, WorkerOptions, run_if_worker};
pub use pictures::{Pictures, is_picture};
pub use probe::{Limits, VideoInfo, probe};
pub use sampler::{Sample, Sampler};
pub use shared::{SharedDecoder, SharedFrames};
pub use source::Source;
pub use turns::Turns;
pub use view::{Region, View};
