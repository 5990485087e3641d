//! Long videos in which one person does several things, with idle time between: for temporal localization.
//!
//! 1. [`Settings`] and a seed make a [`Plan`]: which actions happen where, and when each begins and ends ([`Beat`]).
//! 2. [`Shot`] is one video that can be looked at: any of its frames, in any order.
//! 3. [`write`](write()) makes the files, with annotations as THUMOS14 and as ActivityNet have them.
//!
//! A figure keeps its pose from one action to the next: who sat down stays seated until they stand up. It turns within a
//! gap, between one frame and the next.

mod annotations;
mod plan;
mod sheet;
mod shot;
mod timeline;
mod write;

pub(crate) use plan::{Lots, own_share};
pub use plan::{Plan, Video, is_own_scene};
pub use shot::Shot;
pub use timeline::{Beat, Timeline};
pub(crate) use timeline::{GAP_S, LONGEST_S};
pub use write::{PartReport, Report, write};

use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::error::StageError;
use crate::plan::{Preset, check_lots, wrong};
use crate::take::Format;

/// A part of an untrimmed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Biased.
    Train,
    /// As biased as training, for choosing a model.
    Val,
    /// As biased as training, in views that training does not show.
    Test,
    /// As `Test`, but no action happens in its own scene.
    Swapped,
}

impl Part {
    /// All of them, in the order of their files.
    pub const ALL: [Part; 4] = [Part::Train, Part::Val, Part::Test, Part::Swapped];

    /// The name in annotations and file names.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Val => "val",
            Part::Test => "test",
            Part::Swapped => "swapped",
        }
    }
}

impl Part {
    /// A view by lot: of the first `trained` in training and validation, of the `tested` after them in tests.
    pub(crate) fn view(self, trained: u64, tested: u64, rng: &mut Pcg64) -> u64 {
        match self {
            Part::Train | Part::Val => rng.random_range(0..trained),
            Part::Test | Part::Swapped => trained + rng.random_range(0..tested),
        }
    }
}

/// Everything that a set follows from. The same settings give the same pixels before encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Of everything that is drawn by lot. The views of scenes are those of the trimmed set of this seed.
    pub seed: u64,
    /// The probability that an action is the own one of the scene in which its video happens. Otherwise it is any of the
    /// other nine: without bias this is 0.1.
    pub bias: f64,
    /// Videos of each part, in the order of [`Part::ALL`].
    pub untrimmed_videos: [usize; 4],
    /// Fewest and most actions of a video.
    pub actions: (usize, usize),
    /// Views of each scene in training and validation.
    pub train_views: u64,
    /// Further views of each scene, for `test` and `swapped`.
    pub test_views: u64,
    /// Of every video. Its number of frames is kept to where idle time, half a second to four between actions, allows.
    pub format: Format,
    /// x264's constant rate factor.
    pub crf: u8,
}

impl Preset {
    /// The settings of an untrimmed set, with seed 0: figures, pictures and views as in the trimmed one.
    pub fn untrimmed(self) -> Settings {
        let trimmed = self.settings();
        // A 3D-ResNet of 8 frames a step and two cores learns in minutes what a hundred and fifty videos of half a minute
        // show.
        let (untrimmed_videos, actions, seconds) = match self {
            Preset::Tiny => ([4, 2, 2, 2], (3, 4), (5, 15)),
            Preset::Demo => ([150, 30, 60, 60], (3, 8), (15, 40)),
            Preset::Full => ([400, 100, 200, 200], (3, 8), (15, 45)),
        };
        let fps = trimmed.format.fps as usize;
        Settings {
            seed: trimmed.seed,
            bias: trimmed.bias,
            untrimmed_videos,
            actions,
            train_views: trimmed.train_views,
            test_views: trimmed.test_views,
            format: Format { frames: (seconds.0 * fps, seconds.1 * fps), ..trimmed.format },
            crf: trimmed.crf,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), StageError> {
        check_lots(self.bias, self.untrimmed_videos[0], (self.train_views, self.test_views))?;
        if self.actions.0 == 0 || self.actions.0 > self.actions.1 {
            return wrong("actions", format!("{:?}", self.actions), "at least 1, the smaller number first");
        }
        self.format.check()
    }
}
