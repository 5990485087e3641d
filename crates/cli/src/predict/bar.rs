//! How far the work on a video is, on standard error if that is a terminal.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use unscene_engine::Progress;

/// Work that takes less time than this gets no progress bar.
const BAR_AFTER: Duration = Duration::from_millis(700);
/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds of video.
    Seconds,
    /// Bytes of an upload.
    Bytes,
    /// Clips, windows and frames that a service looks at.
    Clips,
}

impl Unit {
    fn template(self, is_length_known: bool) -> &'static str {
        match (self, is_length_known) {
            (Self::Seconds, true) => "{msg} {wide_bar} {pos}/{len} s, {eta} left",
            (Self::Seconds, false) => "{spinner} {msg} {pos} s",
            (Self::Bytes, _) => "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} sent, {eta} left",
            (Self::Clips, _) => "{msg} {wide_bar} {pos}/{len} clips, {eta} left",
        }
    }
}

/// A bar for work that takes its time; gone when it is dropped.
pub struct Bar {
    bar: ProgressBar,
    start: Instant,
    /// What is shown; nothing at first, and while a spinner turns.
    shown: Option<(Unit, bool)>,
}

impl Bar {
    /// A bar with the name of a file.
    pub fn new(path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_message(name);
        Self { bar, start: Instant::now(), shown: None }
    }

    /// Shows how much of a video the engine has seen.
    pub fn update(&mut self, progress: Progress) {
        let length = progress.duration_s.map(|duration_s| duration_s.ceil() as u64);
        self.set(Unit::Seconds, progress.time_s as u64, length);
    }

    /// Shows so much of so much.
    pub fn set(&mut self, unit: Unit, done: u64, of: Option<u64>) {
        let shown = Some((unit, of.is_some()));
        if self.shown != shown && self.start.elapsed() >= BAR_AFTER {
            self.show(unit.template(of.is_some()));
            self.bar.disable_steady_tick();
            self.bar.reset_eta();
            self.shown = shown;
        }
        if let Some(length) = of {
            self.bar.set_length(length);
        }
        self.bar.set_position(done);
    }

    /// Says what is waited for.
    pub fn wait(&mut self, for_what: &str) {
        self.show("{spinner} {msg}: {prefix}");
        self.bar.set_prefix(for_what.to_owned());
        self.bar.enable_steady_tick(TURN);
        self.shown = None;
    }

    fn show(&self, template: &str) {
        self.bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
