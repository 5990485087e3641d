//! Decoding in processes of their own, for files that nobody trusts: what crashes there, or takes all memory, is one video and not
//! the program.
//!
//! A worker is the program itself, started with [`WORKER_FLAG`]; its `main` calls [`run_if_worker`] first. It gets the video as an
//! open file and can open nothing else ([`confine`]). Questions and answers are packets on a socket ([`wire`]); decoded pictures lie in
//! shared memory ([`pictures`]) and are converted by who asked. [`DecodeWorkers`] keeps so many workers, and replaces those that
//! die; [`IsolatedDecoder`] is a video in one of them.

mod confine;
mod decoder;
mod pictures;
mod pool;
mod wire;
mod worker;

pub use decoder::IsolatedDecoder;
pub use pool::{DecodeWorkers, WorkerOptions};
pub use worker::{WORKER_FLAG, run_if_worker};
