//! A person in a video: what they look like, where they stand, and that nobody stands quite still.

use std::f32::consts::TAU;

use rand::{Rng, RngExt};
use unscene_draw::Canvas;

use crate::actions::Pose;
use crate::figure::{Extent, Look};
use crate::take::draw_person;

/// Who stands where.
pub(crate) struct Person {
    pub look: Look,
    /// In picture heights.
    pub x: f32,
    pub ground: f32,
    /// Of the trunk, the arms, and the weight from one foot to the other.
    pub sway: [Drift; 4],
}

impl Person {
    /// How people sway, at random.
    pub fn sway(rng: &mut impl Rng) -> [Drift; 4] {
        [0.025, 0.05, 0.05, 0.012].map(|reach| Drift::new(reach, (1.8, 6.0), rng))
    }

    /// Draws the person in a pose, as a camera sees them that has moved so far from the middle, in picture heights.
    pub fn draw(&self, canvas: &mut Canvas, pose: Pose, time_s: f32, camera: (f32, f32)) -> Extent {
        let x = self.x + self.sway[3].at(time_s) * self.look.height;
        draw_person(canvas, &self.look, &self.swayed(pose, time_s), x - camera.0, self.ground - camera.1)
    }

    fn swayed(&self, mut pose: Pose, time_s: f32) -> Pose {
        let [trunk, left, right, _] = self.sway.map(|drift| drift.at(time_s));
        pose.trunk += trunk;
        pose.shoulders[0] += left;
        pose.shoulders[1] += right;
        pose.elbows[0] += right;
        pose.elbows[1] += left;
        pose
    }
}

/// Slow and unsteady, to and fro around 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drift {
    /// Reach, seconds of one round, and where in it: of a slow and a faster movement.
    waves: [(f32, f32, f32); 2],
}

impl Drift {
    /// A camera's way from the middle, sideways and upwards, in a room of so much.
    pub fn camera(room: f32, rng: &mut impl Rng) -> [Drift; 2] {
        [Drift::new(0.8 * room, (4.0, 12.0), rng), Drift::new(0.3 * room, (4.0, 12.0), rng)]
    }

    /// At most `reach` to either side, in rounds of so many seconds.
    fn new(reach: f32, rounds_s: (f32, f32), rng: &mut impl Rng) -> Self {
        let middle = (rounds_s.0 * rounds_s.1).sqrt();
        let share = rng.random_range(0.55..0.85);
        Drift {
            waves: [
                (share * reach, rng.random_range(middle..rounds_s.1), rng.random_range(0.0..TAU)),
                ((1.0 - share) * reach, rng.random_range(rounds_s.0..middle), rng.random_range(0.0..TAU)),
            ],
        }
    }

    /// Where it is at a time.
    pub fn at(&self, time_s: f32) -> f32 {
        self.waves.iter().map(|(reach, round_s, start)| reach * (time_s / round_s * TAU + start).sin()).sum()
    }
}
