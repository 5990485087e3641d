//! The frames of an untrimmed video.

use std::f32::consts::TAU;

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;
use unscene_draw::Canvas;
use unscene_draw::tiny_skia::Color;

use super::Settings;
use super::plan::Video;
use crate::actions::Pose;
use crate::figure::Look;
use crate::take::{Format, MARGIN, draw_backdrop, draw_person, pan, spot};

/// A video that can be looked at, frame by frame.
pub struct Shot<'a> {
    video: &'a Video,
    format: Format,
    backdrop: Canvas,
    look: Look,
    x: f32,
    ground: f32,
    gain: f32,
    camera: [Drift; 2],
    /// Of the trunk, the arms, and the weight from one foot to the other.
    sway: [Drift; 4],
    canvas: Canvas,
    rgb: Vec<u8>,
}

impl<'a> Shot<'a> {
    /// Builds the scene and casts the person.
    pub fn new(video: &'a Video, settings: &Settings) -> Self {
        let format = settings.format;
        let mut rng = Pcg64::seed_from_u64(video.seed);
        let look = Look::random(&mut rng, format.figures);
        let (x, ground) = spot(&look, format.width as f32 / format.height as f32, &mut rng);
        let room = MARGIN * format.drift;
        let camera = [Drift::new(0.8 * room, (4.0, 12.0), &mut rng), Drift::new(0.3 * room, (4.0, 12.0), &mut rng)];
        let sway = [0.025, 0.05, 0.05, 0.012].map(|reach| Drift::new(reach, (1.8, 6.0), &mut rng));
        Shot {
            video,
            format,
            backdrop: draw_backdrop(video.scene, video.view, settings.seed, format.width, format.height),
            look,
            x,
            ground,
            gain: rng.random_range(0.85..1.12),
            camera,
            sway,
            canvas: Canvas::new(format.width, format.height),
            rgb: vec![0; (format.width * format.height * 3) as usize],
        }
    }

    /// Draws a frame, as RGB bytes.
    pub fn frame(&mut self, index: usize) -> &[u8] {
        let time_s = index as f32 / self.format.fps as f32;
        let camera = (self.camera[0].at(time_s), self.camera[1].at(time_s));
        // Seams between things that are painted let a little of what is below through: the frame before, otherwise.
        self.canvas.pixmap.fill(Color::BLACK);
        pan(&mut self.canvas, &self.backdrop, camera);
        let pose = self.sway(self.video.timeline.pose(index, &self.look.style), time_s);
        let x = self.x + self.sway[3].at(time_s) * self.look.height;
        draw_person(&mut self.canvas, &self.look, &pose, x - camera.0, self.ground - camera.1);
        self.canvas.read(&mut self.rgb, self.gain);
        &self.rgb
    }

    /// Nobody stands quite still.
    fn sway(&self, mut pose: Pose, time_s: f32) -> Pose {
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
struct Drift {
    /// Reach, seconds of one round, and where in it: of a slow and a faster movement.
    waves: [(f32, f32, f32); 2],
}

impl Drift {
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

    fn at(&self, time_s: f32) -> f32 {
        self.waves.iter().map(|(reach, round_s, start)| reach * (time_s / round_s * TAU + start).sin()).sum()
    }
}
