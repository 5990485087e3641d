//! The frames of a crowded video, and where everybody is in them.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use unscene_draw::Canvas;
use unscene_draw::tiny_skia::Color;

use super::Settings;
use super::plan::Video;
use crate::figure::Look;
use crate::person::{Drift, Person};
use crate::take::{Format, MARGIN, draw_backdrop, pan};

/// A video that can be looked at, frame by frame.
pub struct Shot<'a> {
    video: &'a Video,
    format: Format,
    backdrop: Canvas,
    /// In the order of the video's actors.
    people: Vec<Person>,
    /// Positions of people, the farthest first: whoever is nearer hides them.
    depth: Vec<usize>,
    gain: f32,
    camera: [Drift; 2],
    canvas: Canvas,
    rgb: Vec<u8>,
}

impl<'a> Shot<'a> {
    /// Builds the scene and casts the people.
    pub fn new(video: &'a Video, settings: &Settings) -> Self {
        let format = settings.format;
        let aspect = format.width as f32 / format.height as f32;
        let mut rng = Pcg64::seed_from_u64(video.seed);
        let camera = Drift::camera(MARGIN * format.drift, &mut rng);
        let gain = rng.random_range(0.85..1.12);
        let share = aspect / video.actors.len() as f32;
        let people: Vec<Person> = video
            .actors
            .iter()
            .enumerate()
            .map(|(place, actor)| {
                let mut rng = Pcg64::seed_from_u64(actor.seed);
                let look = Look::random(&mut rng, format.figures);
                // Each in a part of the picture: neighbours may touch, and nobody is hidden wholly.
                let x = (place as f32 + rng.random_range(0.3..0.7)) * share;
                let ground = rng.random_range(0.82..0.98f32).max(look.height + 0.06);
                Person { look, x, ground, sway: Person::sway(&mut rng) }
            })
            .collect();
        let mut depth: Vec<usize> = (0..people.len()).collect();
        depth.sort_by(|&a, &b| people[a].ground.total_cmp(&people[b].ground));
        Shot {
            video,
            format,
            backdrop: draw_backdrop(video.scene, video.view, settings.seed, format.width, format.height),
            people,
            depth,
            gain,
            camera,
            canvas: Canvas::new(format.width, format.height),
            rgb: vec![0; (format.width * format.height * 3) as usize],
        }
    }

    /// Draws a frame, as RGB bytes, and gives each person's box, left, top, right and bottom in pixels, clipped to the picture,
    /// whatever hides them.
    pub fn frame(&mut self, index: usize) -> (&[u8], Vec<[f32; 4]>) {
        let time_s = index as f32 / self.format.fps as f32;
        let camera = (self.camera[0].at(time_s), self.camera[1].at(time_s));
        // Seams between things that are painted let a little of what is below through: the frame before, otherwise.
        self.canvas.pixmap.fill(Color::BLACK);
        pan(&mut self.canvas, &self.backdrop, camera);
        let (width, height) = (self.format.width as f32, self.format.height as f32);
        let mut boxes = vec![[0.0; 4]; self.people.len()];
        for &place in &self.depth {
            let person = &self.people[place];
            let pose = self.video.actors[place].timeline.pose(index, &person.look.style);
            let extent = person.draw(&mut self.canvas, pose, time_s, camera);
            let limits = [width, height, width, height];
            boxes[place] = [0, 1, 2, 3].map(|side| (extent[side] * height).clamp(0.0, limits[side]));
        }
        self.canvas.read(&mut self.rgb, self.gain);
        (&self.rgb, boxes)
    }
}
