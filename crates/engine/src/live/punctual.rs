//! How late something is, in a video that comes while it is filmed.

use std::time::{Duration, Instant};

/// When moments of a video are due. The clock of who films is not known; but frames never come before they are filmed, and so the one that came
/// with the least delay says how the video's times lie in those of this machine.
pub(super) struct Punctual {
    start: Instant,
    /// Seconds from the start to where the video's time is 0, as far as is known: less with every frame that comes with less delay.
    zero_s: f64,
}

impl Punctual {
    /// Nothing has come.
    pub fn start() -> Self {
        Self { start: Instant::now(), zero_s: f64::INFINITY }
    }

    /// When a moment of the video should have been known here. All frames before it have come.
    pub fn due(&mut self, time_s: f64) -> Instant {
        self.due_at(time_s, self.start.elapsed().as_secs_f64())
    }

    fn due_at(&mut self, time_s: f64, now_s: f64) -> Instant {
        self.zero_s = self.zero_s.min(now_s - time_s);
        self.start + Duration::try_from_secs_f64(self.zero_s + time_s).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_with_the_least_delay_says_when_others_are_due() {
        let mut punctual = Punctual::start();
        let mut due_s = |time_s, now_s| punctual.due_at(time_s, now_s).duration_since(punctual.start).as_secs_f64();
        let mut is = |time_s, now_s, expected: f64| assert!((due_s(time_s, now_s) - expected).abs() < 1e-6);
        // It begins half a second late, and catches up.
        is(1.0, 1.5, 1.5);
        is(2.0, 2.1, 2.1);
        // What comes later than that is due before.
        is(3.0, 3.9, 3.1);
        is(4.0, 5.0, 4.1);
        // Faster than it is filmed: a file.
        is(100.0, 6.0, 6.0);
        is(101.0, 6.5, 6.5);
    }
}
