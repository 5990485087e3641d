//! The real server on a real port, spoken to over plain sockets.

mod bad_input;
mod client;
mod detect;
mod happy;
mod lifecycle;
mod localize;
mod predict;
