//! The HTTP service: a video in, predictions out.
//!
//! [`ServeOptions`] is the command line (every flag is also an environment variable), [`run`] serves until a signal
//! arrives, and [`Service`] is the same thing in two steps for a program that wants to choose the moment of each.
//!
//! A request goes through these stations, and each holds only a bounded number of requests:
//!
//! 1. **Admission** ([`admission`]): a place in the service, or `429` with `Retry-After`.
//! 2. **Upload** ([`upload`]): the body within its limit, in memory when small and in an unlinked temporary file when not.
//! 3. **Its clips**: the header says how many there are. If too many are before them, `429`; otherwise a slot to open the video.
//! 4. **Decoding**: on a blocking thread, never on an HTTP worker, frame by frame in turn with the other open videos.
//! 5. **Inference**: the model's own thread. Videos share its batches, short ones first; each has two batches waiting at most.
//! 6. **Answer**: at once, or line by line; work that is ahead of a slow client waits for it, and keeps its slot.
//!
//! A stream goes the same way while it is sent: nothing of it is kept, and what comes too fast is passed over.
//!
//! A job ends its request after the upload, which may come in parts, or is fetched; the rest of the way is the same, when there is room.
//!
//! Every failure is an RFC 9457 `application/problem+json` document; [`error`] is the one place that maps kinds of
//! failure to HTTP statuses.

pub mod access;
pub mod admission;
pub mod error;
mod fetch;
mod jobs;
mod keys;
mod kserve;
mod loaded;
pub mod metrics;
mod openapi;
mod options;
mod params;
mod registry;
mod routes;
mod service;
pub mod slots;
mod state;
mod telemetry;
mod tls;
pub mod upload;

pub use options::{LogFormat, ServeOptions};
/// To be called first in `main`: the service starts its own program to decode in.
pub use unscene_media::run_if_worker;

pub use service::{Service, StartError, StopHandle, run};
pub use telemetry::{Telemetry, init_tracing};
