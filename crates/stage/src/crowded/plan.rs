//! Who does what in which video: everything that is drawn by lot about the set as a whole.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::Settings;
use crate::error::StageError;
use crate::scenes::Scene;
use crate::take::Format;
use crate::untrimmed::{Beat, Lots, Part, Timeline, is_own_scene, own_share};

/// One person of a video.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The one thing that they do, and when; nothing at all for people who only stand there.
    pub timeline: Timeline,
    /// Of what they look like and where they stand.
    pub seed: u64,
}

impl Actor {
    /// What they do, if they do something.
    pub fn beat(&self) -> Option<&Beat> {
        self.timeline.beats.first()
    }
}

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
    /// Number of frames.
    pub frames: usize,
    /// The people in it, from left to right.
    pub actors: Vec<Actor>,
    /// Of the camera and the light.
    pub seed: u64,
}

impl Video {
    /// The name by which annotations know it.
    pub fn id(&self) -> String {
        format!("{}_{:05}", self.part.name(), self.index)
    }

    /// The path within the folder of the set.
    pub fn path(&self) -> String {
        format!("videos/{}/{}.mp4", self.part.name(), self.id())
    }

    /// Who does something, by their place, and what they do.
    pub fn beats(&self) -> impl Iterator<Item = (usize, &Beat)> {
        self.actors.iter().enumerate().filter_map(|(place, actor)| Some((place, actor.beat()?)))
    }

    /// Number of people whose action is the scene's own.
    pub fn in_own_scene(&self) -> usize {
        self.beats().filter(|(_, beat)| is_own_scene(beat.action, self.scene)).count()
    }
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
        let mut videos = Vec::with_capacity(settings.crowded_videos.iter().sum());
        for (number, (part, count)) in Part::ALL.into_iter().zip(settings.crowded_videos).enumerate() {
            // A generator of its own for each part: more videos in one leave the others as they are.
            let mut rng = Pcg64::seed_from_u64(settings.seed.wrapping_mul(31).wrapping_add(2000 + number as u64));
            plan_part(&settings, part, count, &mut rng, &mut videos);
        }
        Ok(Plan { settings, videos })
    }

    /// The videos of a part.
    pub fn part(&self, part: Part) -> impl Iterator<Item = &Video> + Clone {
        self.videos.iter().filter(move |video| video.part == part)
    }
}

fn plan_part(settings: &Settings, part: Part, count: usize, rng: &mut Pcg64, videos: &mut Vec<Video>) {
    let mut scenes = Scene::OWN;
    // How many people there are, and how many of them act.
    let mut cases: Vec<(usize, usize)> = (settings.people.0..=settings.people.1)
        .flat_map(|people| (1..=people).map(move |acting| (people, acting)))
        .collect();
    let mut lots = Lots::new(rng);
    for index in 0..count {
        let turn = index % scenes.len();
        if turn == 0 {
            // As many people in each scene, and every scene as often as any other.
            scenes.shuffle(rng);
        }
        let round = index / scenes.len() % cases.len();
        if round == 0 && turn == 0 {
            // Small parts, too, have something of every case.
            cases.shuffle(rng);
        }
        let (scene, (people, acting)) = (scenes[turn], cases[round]);
        let actions = lots.sequence(scene, acting, own_share(settings.bias, part, scene), rng);
        let frames = rng.random_range(settings.format.frames.0..=settings.format.frames.1);
        let format = Format { frames: (frames, frames), ..settings.format };
        let mut timelines: Vec<Timeline> =
            actions.into_iter().map(|action| Timeline::new(&[action], false, &format, rng)).collect();
        timelines.resize_with(people, || Timeline::idle(frames, format.fps, rng));
        timelines.shuffle(rng);
        let actors = timelines.into_iter().map(|timeline| Actor { timeline, seed: rng.random() }).collect();
        let view = part.view(settings.train_views, settings.test_views, rng);
        videos.push(Video { part, index, scene, view, frames, actors, seed: rng.random() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Style;
    use crate::plan::Preset;

    #[test]
    fn the_bias_is_the_share_of_the_scenes_own_action() {
        let lots = [(0.9, Part::Train), (0.9, Part::Val), (0.9, Part::Test), (0.1, Part::Train), (0.9, Part::Swapped)];
        for (bias, part) in lots {
            let plan = Plan::new(Settings { bias, ..Preset::Demo.crowded() }).unwrap();
            let of = |count: fn(&Video) -> usize| plan.part(part).map(count).sum::<usize>() as f64;
            let (own, all) = (of(Video::in_own_scene), of(|video| video.beats().count()));
            // Four of ten scenes have two actions of their own.
            let expected = if part == Part::Swapped { 0.0 } else { bias + 0.4 * (1.0 - bias) / 9.0 };
            assert!((own / all - expected).abs() < 0.03, "{bias}: {}", own / all);
        }
    }

    #[test]
    fn everybody_acts_within_the_video_and_every_action_as_often() {
        for preset in [Preset::Demo, Preset::Full] {
            let plan = Plan::new(preset.crowded()).unwrap();
            let fps = plan.settings.format.fps as f32;
            for part in Part::ALL {
                let mut counts = [0usize; 10];
                for video in plan.part(part) {
                    for (place, beat) in video.beats() {
                        assert!(video.actors[place].timeline.beats.len() == 1 && !beat.is_broken_off, "{beat:?}");
                        let lasts_s = (beat.end - beat.start) as f32 / fps;
                        assert!(beat.start > 0 && beat.end < video.frames, "{}: {beat:?}", video.id());
                        assert!((0.85..3.3).contains(&lasts_s), "{}: {beat:?}", video.id());
                        counts[beat.action as usize] += 1;
                    }
                }
                let mean = counts.iter().sum::<usize>() as f64 / 10.0;
                let off = counts.iter().map(|&count| (count as f64 - mean).abs()).fold(0.0, f64::max);
                assert!(off <= 2.0 + 0.05 * mean, "{part:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn somebody_acts_in_every_video_and_some_only_stand_there() {
        let plan = Plan::new(Preset::Demo.crowded()).unwrap();
        let mut videos = [[0usize; 4]; 4];
        let (mut frontal, mut idle) = (0usize, 0u32);
        let style = Style { reach: 1.0, arms: 0.2, elbows: 0.2, legs: 0.1, lean: 0.0 };
        for video in &plan.videos {
            videos[video.actors.len()][video.beats().count()] += 1;
            for actor in video.actors.iter().filter(|actor| actor.beat().is_none()) {
                idle += 1;
                frontal += usize::from(actor.timeline.pose(0, &style).frontal);
            }
        }
        for (people, acting) in (0..4).flat_map(|people| (0..4).map(move |acting| (people, acting))) {
            let is_there = videos[people][acting] > 0;
            assert_eq!(is_there, (1..=people).contains(&acting), "{acting} of {people} act in {videos:?}");
        }
        let share = frontal as f64 / f64::from(idle);
        assert!(idle > 100 && (0.4..0.6).contains(&share), "{frontal} of {idle} face us");
    }

    #[test]
    fn tests_show_views_that_training_does_not() {
        let plan = Plan::new(Preset::Demo.crowded()).unwrap();
        for video in &plan.videos {
            let trained = matches!(video.part, Part::Train | Part::Val);
            assert_eq!(video.view < plan.settings.train_views, trained, "{}", video.id());
        }
    }

    #[test]
    fn more_training_leaves_the_tests_as_they_are() {
        let plan = |train| {
            let base = Preset::Demo.crowded();
            let crowded_videos = [train, 50, 80, 80];
            Plan::new(Settings { crowded_videos, ..base }).unwrap()
        };
        let tests = |plan: &Plan| -> Vec<_> {
            let seeds = |video: &Video| video.actors.iter().map(|actor| actor.seed).collect::<Vec<_>>();
            plan.part(Part::Test).map(|video| (video.seed, video.scene, seeds(video))).collect()
        };
        assert_eq!(tests(&plan(300)), tests(&plan(600)));
    }

    #[test]
    fn settings_without_sense_are_named() {
        let base = Preset::Tiny.crowded();
        for (settings, expected) in [
            (Settings { people: (0, 3), ..base.clone() }, "people is (0, 3)"),
            (Settings { people: (3, 2), ..base.clone() }, "people is (3, 2)"),
            (Settings { bias: 2.0, ..base.clone() }, "bias is 2"),
            (Settings { crowded_videos: [0, 1, 1, 1], ..base.clone() }, "train is 0"),
            (Settings { format: Format { frames: (50, 60), ..base.format }, ..base }, "frames is (50, 60) at 12 fps"),
        ] {
            let message = Plan::new(settings).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
