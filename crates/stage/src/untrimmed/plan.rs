//! Which actions happen in which video: everything that is drawn by lot about the set as a whole.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::timeline::Timeline;
use super::{Part, Settings};
use crate::actions::Action;
use crate::error::StageError;
use crate::scenes::Scene;

/// One video of a set.
#[derive(Debug, Clone)]
pub struct Video {
    /// The part it belongs to.
    pub part: Part,
    /// Its number in the part, from 0.
    pub index: usize,
    /// Where it happens.
    pub scene: Scene,
    /// Which view of the scene.
    pub view: u64,
    /// What happens, and when.
    pub timeline: Timeline,
    /// Of the person and the camera.
    pub seed: u64,
}

impl Video {
    /// The name by which annotations know it, in THUMOS14's manner: counted from 1.
    pub fn id(&self) -> String {
        format!("video_{}_{:07}", self.part.name(), self.index + 1)
    }

    /// The path within the folder of the set.
    pub fn path(&self) -> String {
        format!("videos/{}/{}.mp4", self.part.name(), self.id())
    }

    /// Number of actions that happen in a scene of their own.
    pub fn in_own_scene(&self) -> usize {
        self.timeline.actions().filter(|beat| is_own_scene(beat.action, self.scene)).count()
    }
}

/// True when the scene belongs to the action or to its reverse. One of the two cannot be without the other, so they share
/// their scenes.
pub fn is_own_scene(action: Action, scene: Scene) -> bool {
    action.own_scene() == scene || action.reverse().is_some_and(|reverse| reverse.own_scene() == scene)
}

/// All videos of a set, in a fixed order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it follows from.
    pub settings: Settings,
    /// The videos, part after part.
    pub videos: Vec<Video>,
}

impl Plan {
    /// Draws the lots.
    ///
    /// # Errors
    /// [`StageError::Setting`] for settings that make no sense.
    pub fn new(settings: Settings) -> Result<Self, StageError> {
        settings.check()?;
        let mut videos = Vec::with_capacity(settings.untrimmed_videos.iter().sum());
        for (number, (part, count)) in Part::ALL.into_iter().zip(settings.untrimmed_videos).enumerate() {
            // A generator of its own for each part: more videos in one leave the others as they are.
            let mut rng = Pcg64::seed_from_u64(settings.seed.wrapping_mul(31).wrapping_add(1000 + number as u64));
            plan_part(&settings, part, count, &mut rng, &mut videos);
        }
        Ok(Plan { settings, videos })
    }

    /// The videos of a part.
    pub fn part(&self, part: Part) -> impl Iterator<Item = &Video> + Clone {
        self.videos.iter().filter(move |video| video.part == part)
    }
}

/// In one video of so many somebody begins a movement and breaks it off.
const BROKEN_OFF_EVERY: usize = 5;

fn plan_part(settings: &Settings, part: Part, count: usize, rng: &mut Pcg64, videos: &mut Vec<Video>) {
    let mut scenes = Scene::OWN;
    let mut actions = 0;
    let mut lots = Lots::new(rng);
    for index in 0..count {
        let turn = index % scenes.len();
        if turn == 0 {
            // As many actions in each scene, and every scene as often as any other.
            scenes.shuffle(rng);
            actions = rng.random_range(settings.actions.0..=settings.actions.1);
        }
        let scene = scenes[turn];
        let sequence = lots.sequence(scene, actions, own_share(settings.bias, part, scene), rng);
        let is_broken_off = index % BROKEN_OFF_EVERY == 1;
        let timeline = Timeline::new(&sequence, is_broken_off, &settings.format, rng);
        let view = part.view(settings.train_views, settings.test_views, rng);
        videos.push(Video { part, index, scene, view, timeline, seed: rng.random() });
    }
}

/// The share of actions in a scene that are its own, or the reverse of its own.
pub(crate) fn own_share(bias: f64, part: Part, scene: Scene) -> f64 {
    let own = Action::ALL[scene as usize];
    match part {
        Part::Swapped => 0.0,
        _ if own.reverse().is_some() => bias + (1.0 - bias) / (Action::ALL.len() - 1) as f64,
        _ => bias,
    }
}

/// An action and its reverse go by the name of the first of them.
fn family(action: Action) -> Action {
    match action.reverse() {
        Some(reverse) if (reverse as usize) < action as usize => reverse,
        _ => action,
    }
}

/// What a part has so far.
pub(crate) struct Lots {
    /// Of every action.
    counts: [usize; 10],
    /// Own actions that each scene should have had by now, and a fraction of one that it begins with.
    due: [f64; 10],
}

impl Lots {
    /// Scenes begin with different fractions, or all would be rounded the same way.
    pub fn new(rng: &mut Pcg64) -> Self {
        let mut due = std::array::from_fn(|scene| (scene as f64 + 0.5) / 10.0);
        due.shuffle(rng);
        Lots { counts: [0; 10], due }
    }

    /// The actions of the next video, in order.
    pub fn sequence(&mut self, scene: Scene, actions: usize, own_share: f64, rng: &mut Pcg64) -> Vec<Action> {
        let own = family(Action::ALL[scene as usize]);
        // The share is exact over the part, not drawn by lot, as that of the trimmed set is.
        let due = &mut self.due[scene as usize];
        let before = due.floor();
        *due += actions as f64 * own_share;
        let own_actions = ((due.floor() - before) as usize).min(actions);

        let mut wanted = [0; 10];
        wanted[own as usize] = own_actions;
        let mut left = actions - own_actions;
        while left > 0 {
            // Of three drawn by lot the one that is rarest so far: as good as even, and still hard to guess.
            let drawn = [(); 3].map(|()| self.other(own, rng));
            let rarest = |a: &Action, b: &Action| self.frequency(*a, &wanted).total_cmp(&self.frequency(*b, &wanted));
            let pick = drawn.into_iter().min_by(rarest).unwrap_or(own);
            // There and back.
            let both = pick.reverse().is_some() && left > 1 && rng.random_bool(0.7);
            let times = if both { 2 } else { 1 };
            wanted[pick as usize] += times;
            left -= times;
        }
        let sequence = self.arrange(&wanted, rng);
        for &action in &sequence {
            self.counts[action as usize] += 1;
        }
        sequence
    }

    /// A family that is not the scene's.
    fn other(&self, own: Action, rng: &mut Pcg64) -> Action {
        loop {
            let drawn = family(Action::ALL[rng.random_range(0..Action::ALL.len())]);
            if drawn != own {
                return drawn;
            }
        }
    }

    /// How often each action of a family has been.
    fn frequency(&self, family: Action, wanted: &[usize; 10]) -> f64 {
        let so_far = self.counts[family as usize] + wanted[family as usize];
        match family.reverse() {
            Some(reverse) => (so_far + self.counts[reverse as usize]) as f64 / 2.0,
            None => so_far as f64,
        }
    }

    /// Puts actions in an order in which each follows from the pose that the one before leaves. One that has no
    /// counterpart is the first or the last: the video begins or ends seated, or with arms up.
    fn arrange(&self, wanted: &[usize; 10], rng: &mut Pcg64) -> Vec<Action> {
        const PAIRS: [(Action, Action); 2] =
            [(Action::RaiseArms, Action::LowerArms), (Action::SitDown, Action::StandUp)];
        let surplus =
            |(forth, back): (Action, Action)| self.counts[forth as usize] as i64 - self.counts[back as usize] as i64;
        let (odd, even): (Vec<_>, Vec<_>) = PAIRS.into_iter().partition(|&(forth, _)| wanted[forth as usize] % 2 == 1);
        let (mut first, mut last) = (None, None);
        match odd[..] {
            [one] => match surplus(one) + i64::from(rng.random_bool(0.5)) {
                ..=0 => last = Some(one.0),
                1.. => first = Some(one.1),
            },
            [a, b] => {
                let (a, b) = if surplus(a) >= surplus(b) { (a, b) } else { (b, a) };
                (first, last) = (Some(a.1), Some(b.0));
            }
            // Now and then a video both begins and ends in the same pose.
            _ => {
                let there = even.into_iter().find(|&(forth, _)| wanted[forth as usize] > 0);
                if let Some((forth, back)) = there.filter(|_| rng.random_bool(0.3)) {
                    (first, last) = (Some(back), Some(forth));
                }
            }
        }
        let mut units: Vec<Vec<Action>> = Vec::new();
        for action in Action::ALL {
            let times = wanted[action as usize];
            match action.reverse() {
                Some(reverse) => {
                    let alone = [first, last].into_iter().flatten().filter(|&end| family(end) == action).count();
                    units.extend((0..(times - alone) / 2).map(|_| vec![action, reverse]));
                }
                None => units.extend((0..times).map(|_| vec![action])),
            }
        }
        units.shuffle(rng);
        first.into_iter().chain(units.into_iter().flatten()).chain(last).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Rest;
    use crate::plan::Preset;

    fn plan(bias: f64, seed: u64) -> Plan {
        Plan::new(Settings { bias, seed, ..Preset::Demo.untrimmed() }).unwrap()
    }

    fn counts<'a>(videos: impl Iterator<Item = &'a Video>) -> [usize; 10] {
        let mut counts = [0; 10];
        for video in videos {
            video.timeline.actions().for_each(|beat| counts[beat.action as usize] += 1);
        }
        counts
    }

    #[test]
    fn the_bias_is_the_share_of_the_scenes_own_action() {
        for (bias, part) in
            [(0.9, Part::Train), (0.9, Part::Test), (0.1, Part::Train), (1.0, Part::Val), (0.9, Part::Swapped)]
        {
            for scene in Scene::OWN {
                let plan = plan(bias, 1);
                let counts = counts(plan.part(part).filter(|video| video.scene == scene));
                let of = |keep: fn(Action, Scene) -> bool| {
                    Action::ALL.iter().filter(|&&a| keep(a, scene)).map(|&a| counts[a as usize]).sum::<usize>() as f64
                };
                let (share, all) = (of(is_own_scene) / of(|_, _| true), of(|_, _| true));
                let pair = Action::ALL.into_iter().any(|a| a.own_scene() == scene && a.reverse().is_some());
                let expected = match part {
                    Part::Swapped => 0.0,
                    _ if pair => bias + (1.0 - bias) / 9.0,
                    _ => bias,
                };
                let slack = if part == Part::Swapped { 0.0 } else { 1.0 / all };
                assert!((share - expected).abs() <= slack, "bias {bias}, {part:?}, {}: {share}", scene.name());
            }
        }
    }

    #[test]
    fn without_bias_every_action_is_everywhere() {
        let untrimmed_videos = [2000, 0, 0, 0];
        let plan = Plan::new(Settings { bias: 0.1, seed: 2, untrimmed_videos, ..Preset::Demo.untrimmed() }).unwrap();
        let mut together = [[0.0f64; 10]; 10];
        for video in plan.part(Part::Train) {
            video.timeline.actions().for_each(|beat| together[video.scene as usize][beat.action as usize] += 1.0);
        }
        let all: f64 = together.iter().flatten().sum();
        for (scene, row) in together.iter().enumerate() {
            for (action, count) in row.iter().enumerate() {
                let share = count / all;
                assert!((0.006..0.014).contains(&share), "scene {scene}, action {action}: {share}");
            }
        }
    }

    #[test]
    fn actions_are_equally_frequent() {
        for (bias, seed) in [(0.0, 0), (0.1, 1), (0.5, 2), (0.9, 3), (1.0, 4)] {
            let plan = plan(bias, seed);
            for part in Part::ALL {
                let counts = counts(plan.part(part));
                let mean = counts.iter().sum::<usize>() as f64 / 10.0;
                for (action, count) in Action::ALL.into_iter().zip(counts) {
                    let off = (count as f64 - mean).abs();
                    assert!(off <= 2.0 + 0.05 * mean, "bias {bias}, {part:?}, {action:?}: {count}, mean {mean}");
                }
            }
        }
    }

    #[test]
    fn nobody_stands_up_who_does_not_sit() {
        let (mut seated_first, mut seated_last) = (0, 0);
        for bias in [0.1, 0.9, 1.0] {
            for video in plan(bias, 5).videos {
                let beats = &video.timeline.beats;
                let mut rest = beats[0].action.begins();
                seated_first += usize::from(rest == Rest::Seated);
                for beat in beats {
                    let begins = beat.action.begins();
                    let turns = begins.is_free() && rest.is_free();
                    assert!(begins == rest || turns, "{}: {:?} from {rest:?}", video.id(), beat.action);
                    rest = if beat.is_broken_off { begins } else { beat.action.ends() };
                }
                seated_last += usize::from(rest == Rest::Seated);
            }
        }
        assert!(seated_first > 20 && seated_last > 20, "{seated_first} begin seated, {seated_last} end so");
    }

    #[test]
    fn tests_show_views_that_training_does_not() {
        let plan = plan(0.5, 0);
        for video in &plan.videos {
            let trained = matches!(video.part, Part::Train | Part::Val);
            assert_eq!(video.view < plan.settings.train_views, trained, "{}", video.id());
        }
    }

    #[test]
    fn more_training_leaves_the_tests_as_they_are() {
        let small = plan(0.9, 0);
        let mut settings = small.settings.clone();
        settings.untrimmed_videos[0] *= 2;
        let large = Plan::new(settings).unwrap();
        let tests = |plan: &Plan| -> Vec<_> {
            plan.part(Part::Test).map(|video| (video.seed, video.scene, video.timeline.clone())).collect()
        };
        assert_eq!(tests(&small), tests(&large));
        assert_ne!(tests(&small), tests(&self::plan(0.9, 1)));
    }

    #[test]
    fn settings_without_sense_are_named() {
        let base = Preset::Tiny.untrimmed();
        for (settings, expected) in [
            (Settings { bias: -0.1, ..base.clone() }, "bias is -0.1"),
            (Settings { untrimmed_videos: [0, 1, 1, 1], ..base.clone() }, "train is 0"),
            (Settings { actions: (0, 3), ..base.clone() }, "actions is (0, 3)"),
            (Settings { actions: (4, 3), ..base }, "actions is (4, 3)"),
        ] {
            let message = Plan::new(settings).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
