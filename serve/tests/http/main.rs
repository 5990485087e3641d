//! The real server on a real port, spoken to over plain sockets.

mod access;
mod bad_input;
mod client;
mod corpus;
mod database;
mod detect;
mod faults;
mod fetch;
mod happy;
mod hostile;
mod jobs;
mod kserve;
mod lifecycle;
mod localize;
mod models;
mod openapi;
mod page;
mod predict;
mod shared_jobs;
mod soak;
mod stream;
mod traces;
mod uploads;
