//! Which videos a set has: everything that is drawn by lot about the set as a whole.

use std::fmt;
use std::str::FromStr;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::actions::Action;
use crate::error::StageError;
use crate::scenes::Scene;
use crate::take::{Format, Take};

/// A part of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Biased.
    Train,
    /// As biased as training, for choosing a model.
    Val,
    /// As biased as training, in views that training does not show.
    Iid,
    /// Never in the action's own scene, in views that training does not show.
    Swapped,
    /// In scenes that training does not show.
    Unseen,
}

impl Split {
    /// All of them, in the order of their files.
    pub const ALL: [Split; 5] = [Split::Train, Split::Val, Split::Iid, Split::Swapped, Split::Unseen];

    /// The name in file names.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Iid => "iid",
            Split::Swapped => "swapped",
            Split::Unseen => "unseen",
        }
    }
}

/// A ready-made size of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// For tests: seconds to render, too small to learn from.
    Tiny,
    /// Under a minute to render; minutes of training on two cores learn it.
    Demo,
    /// A benchmark: 9,500 videos of varied figures, for a GPU.
    Full,
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tiny" => Ok(Preset::Tiny),
            "demo" => Ok(Preset::Demo),
            "full" => Ok(Preset::Full),
            other => Err(format!("'{other}' is no preset; expected tiny, demo or full")),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preset::Tiny => "tiny",
            Preset::Demo => "demo",
            Preset::Full => "full",
        })
    }
}

/// Everything that a set follows from. The same settings give the same pixels before encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Of everything that is drawn by lot.
    pub seed: u64,
    /// Share of an action's training videos that happen in its own scene. Without bias it is 0.1: one of ten scenes.
    pub bias: f64,
    /// Videos of each split, in the order of [`Split::ALL`].
    pub videos: [usize; 5],
    /// Views of each scene in training and validation.
    pub train_views: u64,
    /// Further views of each scene, for `iid` and `swapped`, and views of each unseen scene.
    pub test_views: u64,
    /// Of every video.
    pub format: Format,
    /// x264's constant rate factor.
    pub crf: u8,
    /// Whether each video is also made without its person: the same scene, light and camera.
    #[serde(default)]
    pub empty: bool,
}

impl Preset {
    /// The settings, with seed 0.
    ///
    /// A small 3D-ResNet learns motion of figures as large as those of `demo` in a minute or two of two cores, and not
    /// that of smaller ones in front of a camera that drifts farther.
    pub fn settings(self) -> Settings {
        let demo = Format { width: 96, height: 72, fps: 12, frames: (24, 24), figures: (0.8, 0.9), drift: 0.25 };
        match self {
            Preset::Tiny => Settings {
                seed: 0,
                bias: 0.9,
                videos: [20, 10, 10, 10, 10],
                train_views: 2,
                test_views: 1,
                format: Format { width: 64, height: 48, frames: (18, 18), ..demo },
                crf: 23,
                empty: false,
            },
            Preset::Demo => Settings {
                seed: 0,
                bias: 0.9,
                videos: [900, 100, 200, 300, 200],
                train_views: 8,
                test_views: 4,
                format: demo,
                crf: 23,
                empty: false,
            },
            Preset::Full => Settings {
                seed: 0,
                bias: 0.9,
                videos: [6000, 500, 1000, 1000, 1000],
                train_views: 40,
                test_views: 10,
                format: Format {
                    width: 192,
                    height: 144,
                    fps: 25,
                    frames: (48, 96),
                    figures: (0.45, 0.85),
                    drift: 1.0,
                },
                crf: 23,
                empty: false,
            },
        }
    }
}

/// One video of a set.
#[derive(Debug, Clone, Copy)]
pub struct Video {
    /// The part it belongs to.
    pub split: Split,
    /// Its number in the split, from 0.
    pub index: usize,
    /// Who does what where.
    pub take: Take,
}

impl Video {
    /// The path within `videos/`, as UCF101 names its files: the class, then a name of class, group and clip.
    pub fn path(&self) -> String {
        let action = self.take.action.name();
        format!("{action}/v_{action}_{}_{:05}.mp4", self.split.name(), self.index)
    }

    /// True when the action happens in its own scene.
    pub fn in_own_scene(&self) -> bool {
        self.take.action.own_scene() == self.take.scene
    }
}

/// All videos of a set, in a fixed order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it follows from.
    pub settings: Settings,
    /// The videos, split after split.
    pub videos: Vec<Video>,
}

impl Plan {
    /// Draws the lots. Actions take turns, so that every class is as frequent as any other.
    ///
    /// # Errors
    /// [`StageError::Setting`] for settings that make no sense.
    pub fn new(settings: Settings) -> Result<Self, StageError> {
        settings.check()?;
        let mut videos = Vec::with_capacity(settings.videos.iter().sum());
        for (number, (split, count)) in Split::ALL.into_iter().zip(settings.videos).enumerate() {
            // A generator of its own for each split: more videos in one leave the others as they are.
            let mut rng = Pcg64::seed_from_u64(settings.seed.wrapping_mul(31).wrapping_add(number as u64));
            for index in 0..count {
                let action = Action::ALL[index % Action::ALL.len()];
                let scene = settings.scene(split, action, index / Action::ALL.len(), &mut rng);
                let view = match split {
                    Split::Train | Split::Val => rng.random_range(0..settings.train_views),
                    _ => settings.train_views + rng.random_range(0..settings.test_views),
                };
                videos.push(Video { split, index, take: Take { action, scene, view, seed: rng.random() } });
            }
        }
        Ok(Plan { settings, videos })
    }
}

impl Settings {
    /// The scene of an action's `turn`-th video. The share of own scenes is exact, not drawn by lot: a test set of some
    /// hundred videos would stray from the bias by several percent.
    fn scene(&self, split: Split, action: Action, turn: usize, rng: &mut Pcg64) -> Scene {
        let own = action as usize;
        let other = |rng: &mut Pcg64| Scene::OWN[(own + rng.random_range(1..Scene::OWN.len())) % Scene::OWN.len()];
        let owns_before = |turn: usize| (turn as f64 * self.bias + 0.5).floor();
        match split {
            Split::Train | Split::Val | Split::Iid if owns_before(turn + 1) > owns_before(turn) => Scene::OWN[own],
            Split::Train | Split::Val | Split::Iid | Split::Swapped => other(rng),
            Split::Unseen => Scene::UNSEEN[rng.random_range(0..Scene::UNSEEN.len())],
        }
    }

    fn check(&self) -> Result<(), StageError> {
        check_lots(self.bias, self.videos[0], (self.train_views, self.test_views))?;
        self.format.check()
    }
}

pub(crate) fn wrong(name: &'static str, found: String, expected: &'static str) -> Result<(), StageError> {
    Err(StageError::Setting { name, found, expected })
}

/// Checks what every kind of set is drawn by.
pub(crate) fn check_lots(bias: f64, train: usize, views: (u64, u64)) -> Result<(), StageError> {
    if !(0.0..=1.0).contains(&bias) {
        return wrong("bias", bias.to_string(), "a probability from 0 to 1");
    }
    if train == 0 {
        return wrong("train", "0".into(), "at least one video");
    }
    if views.0 == 0 || views.1 == 0 {
        return wrong("views", format!("{} and {}", views.0, views.1), "at least one of each");
    }
    Ok(())
}

impl Format {
    pub(crate) fn check(&self) -> Result<(), StageError> {
        let &Format { width, height, fps, frames, figures, drift } = self;
        for (name, side) in [("width", width), ("height", height)] {
            if !(16..=4096).contains(&side) || side % 2 == 1 {
                return wrong(name, side.to_string(), "an even number of pixels from 16 to 4096");
            }
        }
        if width < height || width > 3 * height {
            return wrong("width", width.to_string(), "1 to 3 times the height");
        }
        if fps == 0 || frames.0 < 2 || frames.0 > frames.1 {
            return wrong("frames", format!("{frames:?} at {fps} fps"), "at least 2, the smaller number first");
        }
        if !(0.1..=0.92).contains(&figures.0) || !(figures.0..=0.92).contains(&figures.1) {
            return wrong("figures", format!("{figures:?}"), "heights from 0.1 to 0.92, the smaller first");
        }
        if !(0.0..=1.0).contains(&drift) {
            return wrong("drift", drift.to_string(), "a share from 0 to 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(bias: f64) -> Plan {
        Plan::new(Settings { bias, ..Preset::Demo.settings() }).unwrap()
    }

    #[test]
    fn the_bias_is_the_share_of_own_scenes() {
        let share = |plan: &Plan, split| {
            let videos: Vec<_> = plan.videos.iter().filter(|video| video.split == split).collect();
            videos.iter().filter(|video| video.in_own_scene()).count() as f64 / videos.len() as f64
        };
        for (bias, split, low, high) in [
            (0.9, Split::Train, 0.9, 0.9),
            (0.9, Split::Iid, 0.9, 0.9),
            (0.1, Split::Train, 0.1, 0.1),
            // 90 videos of each action: 0.85 of them is no whole number.
            (0.85, Split::Train, 0.84, 0.86),
            (1.0, Split::Train, 1.0, 1.0),
            (0.9, Split::Swapped, 0.0, 0.0),
            (0.9, Split::Unseen, 0.0, 0.0),
        ] {
            let share = share(&plan(bias), split);
            assert!((low..=high).contains(&share), "bias {bias}, {split:?}: {share}");
        }
    }

    #[test]
    fn tests_show_views_that_training_does_not() {
        let plan = plan(0.5);
        for video in &plan.videos {
            let trained = matches!(video.split, Split::Train | Split::Val);
            assert_eq!(video.take.view < plan.settings.train_views, trained, "{}", video.path());
            assert_eq!(Scene::UNSEEN.contains(&video.take.scene), video.split == Split::Unseen);
        }
    }

    #[test]
    fn actions_are_equally_frequent_and_paths_are_unique() {
        let plan = plan(0.9);
        for action in Action::ALL {
            let count = plan.videos.iter().filter(|v| v.split == Split::Train && v.take.action == action).count();
            assert_eq!(count, 90);
        }
        let paths: std::collections::HashSet<_> = plan.videos.iter().map(Video::path).collect();
        assert_eq!(paths.len(), plan.videos.len());
    }

    #[test]
    fn more_training_leaves_the_tests_as_they_are() {
        let small = plan(0.9);
        let mut settings = Preset::Demo.settings();
        settings.videos[0] *= 2;
        let large = Plan::new(settings).unwrap();
        let seeds = |plan: &Plan| -> Vec<_> {
            plan.videos.iter().filter(|v| v.split != Split::Train).map(|v| v.take.seed).collect()
        };
        assert_eq!(seeds(&small), seeds(&large));
    }

    #[test]
    fn settings_without_sense_are_named() {
        let base = Preset::Tiny.settings();
        for (settings, expected) in [
            (Settings { bias: 1.5, ..base.clone() }, "bias is 1.5"),
            (Settings { videos: [0, 1, 1, 1, 1], ..base.clone() }, "train is 0"),
            (Settings { train_views: 0, ..base.clone() }, "views"),
            (Settings { format: Format { width: 65, ..base.format }, ..base.clone() }, "width is 65"),
            (Settings { format: Format { figures: (0.9, 0.5), ..base.format }, ..base }, "figures"),
        ] {
            let message = Plan::new(settings).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
