//! Videos of several people at once, of whom some do something for some of the time: for spatio-temporal detection.
//!
//! 1. [`Settings`] and a seed make a [`Plan`]: who does what where, and when.
//! 2. [`Shot`] is one video that can be looked at: any of its frames, and the box of each person in it.
//! 3. [`write`](write()) makes the files, with annotations in the project's own format.
//!
//! A person stands still before and after what they do, and is no actor then. In some videos there are people who only stand
//! there, and are no actors at all.

mod plan;
mod sheet;
mod shot;
mod write;

pub use plan::{Actor, Plan, Video};
pub use shot::Shot;
pub use write::{PartReport, write};

use serde::{Deserialize, Serialize};

use crate::error::StageError;
use crate::plan::{Preset, check_lots, wrong};
use crate::take::Format;
use crate::untrimmed::{GAP_S, LONGEST_S};

/// Everything that a set follows from. The same settings give the same pixels before encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Of everything that is drawn by lot. The views of scenes are those of the trimmed set of this seed.
    pub seed: u64,
    /// The probability that an action is the own one of the scene in which its video happens.
    pub bias: f64,
    /// Videos of each part, in the order of [`Part::ALL`](crate::untrimmed::Part::ALL).
    pub crowded_videos: [usize; 4],
    /// Fewest and most people in a video. One of them acts, or some, or all: every case is as frequent.
    pub people: (usize, usize),
    /// Views of each scene in training and validation.
    pub train_views: u64,
    /// Further views of each scene, for `test` and `swapped`.
    pub test_views: u64,
    /// Of every video. Its frames have room for the longest action, 3.2 seconds, and half a second before and after it.
    pub format: Format,
    /// x264's constant rate factor.
    pub crf: u8,
}

impl Preset {
    /// The settings of a crowded set, with seed 0: scenes and views as in the trimmed one.
    pub fn crowded(self) -> Settings {
        let trimmed = self.settings();
        // A detector needs larger pictures than a classifier, and room for three people side by side.
        let (crowded_videos, width, height) = match self {
            Preset::Tiny => ([6, 3, 3, 3], 96, 72),
            Preset::Demo => ([300, 50, 80, 80], 128, 96),
            Preset::Full => ([2000, 200, 400, 400], 320, 240),
        };
        let fps = trimmed.format.fps as usize;
        // The longest action, half a second before and after it, and some more.
        let frames = (fps * 9 / 2, fps * 6);
        Settings {
            seed: trimmed.seed,
            bias: trimmed.bias,
            crowded_videos,
            people: (1, 3),
            train_views: trimmed.train_views,
            test_views: trimmed.test_views,
            format: Format { width, height, frames, figures: (0.45, 0.75), ..trimmed.format },
            crf: trimmed.crf,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), StageError> {
        check_lots(self.bias, self.crowded_videos[0], (self.train_views, self.test_views))?;
        if self.people.0 == 0 || self.people.0 > self.people.1 || self.people.1 > 6 {
            return wrong("people", format!("{:?}", self.people), "from 1 to 6, the smaller number first");
        }
        let Format { fps, frames, .. } = self.format;
        if (frames.0 as f32) < (LONGEST_S + 2.0 * GAP_S.0) * fps as f32 + 1.0 {
            let expected = "more than 4.2 seconds: the longest action and half a second before and after it";
            return wrong("frames", format!("{frames:?} at {fps} fps"), expected);
        }
        self.format.check()
    }
}
