//! The real server on a real port, spoken to over plain sockets.

mod access;
mod bad_input;
mod client;
mod detect;
mod faults;
mod happy;
mod lifecycle;
mod localize;
mod models;
mod predict;
