//! Ctrl-C or SIGTERM: the first asks the work to stop where nothing is lost, the second ends the program at once.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Starts to listen. Once per process.
pub fn listen() -> Result<()> {
    ctrlc::set_handler(|| {
        // The second time, whatever is in work is not waited for.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// `Break` once the program was asked to stop.
pub fn control() -> ControlFlow<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
