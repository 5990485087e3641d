//! When frames are shown.

/// Turns container timestamps into seconds from the first frame that never run backwards.
pub(crate) struct Clock {
    tick_s: f64,
    first: Option<i64>,
    pub(crate) last_s: f64,
    /// Seconds from the last frame to where the next is expected.
    pub(crate) step_s: f64,
    guess_s: f64,
    /// Added after a jump backwards, as in MPEG-TS files glued together.
    shift_s: f64,
    /// Every timestamp so far was there and lay after the one before.
    pub(crate) is_steady: bool,
}

impl Clock {
    pub(crate) fn new(tick_s: f64, guess_s: f64) -> Self {
        Clock { tick_s, first: None, last_s: 0.0, step_s: guess_s, guess_s, shift_s: 0.0, is_steady: true }
    }

    /// The timestamp of the first frame, once it was seen.
    pub(crate) fn first_tick(&self) -> Option<i64> {
        self.first
    }

    /// The next frame is any, or the first again. What an earlier jump backwards in the file added is not known then.
    pub(crate) fn jump(&mut self, anywhere: bool) {
        self.last_s = if anywhere { f64::NEG_INFINITY } else { -self.step_s };
        self.shift_s = 0.0;
    }

    /// The time of the next frame, from its timestamp and duration in ticks (not positive when unknown).
    pub(crate) fn time_s(&mut self, timestamp: Option<i64>, duration: i64) -> f64 {
        let time_s = match (self.first, timestamp) {
            (None, _) => {
                self.first = Some(timestamp.unwrap_or(0));
                0.0
            }
            (Some(_), None) => {
                self.is_steady = false;
                self.last_s + self.step_s
            }
            (Some(first), Some(timestamp)) => {
                let raw_s = timestamp.saturating_sub(first) as f64 * self.tick_s + self.shift_s;
                if raw_s <= self.last_s {
                    self.is_steady = false;
                    self.shift_s += self.last_s + self.step_s - raw_s;
                    self.last_s + self.step_s
                } else {
                    raw_s
                }
            }
        };
        self.last_s = time_s;
        self.step_s = if duration > 0 { duration as f64 * self.tick_s } else { self.guess_s };
        time_s
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn times_start_at_zero_and_follow_the_timestamps() {
        let mut clock = Clock::new(0.001, 0.04);
        let times = [9000, 9040, 9100].map(|t| clock.time_s(Some(t), 40));
        assert_eq!(times.map(|t| (t * 1000.0).round()), [0.0, 40.0, 100.0]);
        assert!(clock.is_steady);
    }

    #[test]
    fn a_missing_timestamp_is_one_duration_later() {
        let mut clock = Clock::new(0.001, 0.04);
        clock.time_s(Some(500), 20);
        assert!((clock.time_s(None, 0) - 0.020).abs() < 1e-9);
        assert!((clock.time_s(None, 0) - 0.060).abs() < 1e-9);
    }

    #[test]
    fn a_jump_backwards_goes_on_where_the_video_was() {
        let mut clock = Clock::new(0.001, 0.04);
        let times = [0, 40, 80, 10, 50].map(|t| clock.time_s(Some(t), 40));
        assert_eq!(times.map(|t| (t * 1000.0).round()), [0.0, 40.0, 80.0, 120.0, 160.0]);
        assert!(!clock.is_steady);
    }
}
