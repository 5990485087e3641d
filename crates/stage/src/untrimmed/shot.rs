//! The frames of an untrimmed video.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use unscene_draw::Canvas;
use unscene_draw::tiny_skia::Color;

use super::Settings;
use super::plan::Video;
use crate::figure::Look;
use crate::person::{Drift, Person};
use crate::take::{Format, MARGIN, draw_backdrop, pan, spot};

/// A video that can be looked at, frame by frame.
pub struct Shot<'a> {
    video: &'a Video,
    format: Format,
    backdrop: Canvas,
    person: Person,
    gain: f32,
    camera: [Drift; 2],
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
        let camera = Drift::camera(MARGIN * format.drift, &mut rng);
        let sway = Person::sway(&mut rng);
        Shot {
            video,
            format,
            backdrop: draw_backdrop(video.scene, video.view, settings.seed, format.width, format.height),
            person: Person { look, x, ground, sway },
            gain: rng.random_range(0.85..1.12),
            camera,
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
        let pose = self.video.timeline.pose(index, &self.person.look.style);
        self.person.draw(&mut self.canvas, pose, time_s, camera);
        self.canvas.read(&mut self.rgb, self.gain);
        &self.rgb
    }
}
