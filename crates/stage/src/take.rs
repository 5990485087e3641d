//! One video: who does what where, and its frames.

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use unscene_draw::tiny_skia::{FilterQuality, PixmapPaint, Transform};

use crate::actions::{Action, Pose};
use crate::figure::{self, Extent, Look};
use crate::scenes::Scene;
use unscene_draw::Canvas;
use unscene_media::EncodeOptions;

/// What all videos of a set have in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Format {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Fewest and most frames of a video.
    pub frames: (usize, usize),
    /// Smallest and largest standing height of a figure, in picture heights.
    pub figures: (f32, f32),
    /// How far the camera drifts: 1 is up to a tenth of the picture's height to either side.
    pub drift: f32,
}

impl Format {
    /// How videos of this format are encoded.
    pub(crate) fn encoding(&self, crf: u8) -> EncodeOptions {
        EncodeOptions { width: self.width, height: self.height, fps: self.fps, crf, keyframe_every: self.fps }
    }
}

/// One video to be made.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// What the person does.
    pub action: Action,
    /// Where.
    pub scene: Scene,
    /// Which view of the scene. Views are numbered from 0; the same number is the same view in every video.
    pub view: u64,
    /// Of everything else.
    pub seed: u64,
}

/// Room around the frame in which the camera drifts, in picture heights.
pub(crate) const MARGIN: f32 = 0.1;

/// A view of a scene without people, as large as the camera may wander.
pub(crate) fn draw_backdrop(scene: Scene, view: u64, set_seed: u64, width: u32, height: u32) -> Canvas {
    let margin = (MARGIN * height as f32).ceil() as u32;
    let mut canvas = Canvas::new(width + 2 * margin, height + 2 * margin);
    let scene_seed = (scene as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut rng = Pcg64::seed_from_u64(set_seed ^ scene_seed ^ (view << 32));
    scene.draw(&mut canvas, &mut rng);
    canvas
}

/// A scene without people, as RGB bytes of `width x height` pixels.
pub fn backdrop(scene: Scene, view: u64, set_seed: u64, width: u32, height: u32) -> Vec<u8> {
    let large = draw_backdrop(scene, view, set_seed, width, height);
    let mut canvas = Canvas::new(width, height);
    pan(&mut canvas, &large, (0.0, 0.0));
    let mut rgb = vec![0; (width * height * 3) as usize];
    canvas.read(&mut rgb, 1.0);
    rgb
}

/// Renders a video frame by frame.
///
/// `set_seed` is that of the set's views. `each` gets every frame as RGB bytes and the box of the person in it, left,
/// top, right and bottom in pixels, clipped to the picture; its error ends the rendering. Without `with_person` the scene is
/// all there is, under the same light and camera.
pub fn render<E>(
    take: &Take,
    format: &Format,
    set_seed: u64,
    with_person: bool,
    mut each: impl FnMut(&[u8], [f32; 4]) -> Result<(), E>,
) -> Result<(), E> {
    let mut rng = Pcg64::seed_from_u64(take.seed);
    let (width, height) = (format.width as f32, format.height as f32);
    let aspect = width / height;
    let backdrop = draw_backdrop(take.scene, take.view, set_seed, format.width, format.height);
    let look = Look::random(&mut rng, format.figures);

    let frames = rng.random_range(format.frames.0..=format.frames.1);
    let length_s = frames as f32 / format.fps as f32;
    let period_s = (take.action.period_s() / rng.random_range(0.75..1.3)).min(length_s * 0.8);
    let start = if take.action.is_transition() {
        -rng.random_range(0.05 * length_s..length_s - period_s) / period_s
    } else {
        rng.random_range(0.0..1.0)
    };
    let (x, ground) = spot(&look, aspect, &mut rng);

    // The camera goes from one corner of its room to another, unsteadily.
    let room = MARGIN * format.drift;
    let mut corner = || (rng.random_range(-0.8..0.8) * room, rng.random_range(-0.3..0.3) * room);
    let (from, to) = (corner(), corner());
    let (sway, rhythm) = (rng.random_range(0.0..0.12) * room, rng.random_range(0.3..1.2));
    let gain = rng.random_range(0.85..1.12);

    let mut canvas = Canvas::new(format.width, format.height);
    let mut rgb = vec![0; (format.width * format.height * 3) as usize];
    for frame in 0..frames {
        let time_s = frame as f32 / format.fps as f32;
        let share = time_s / length_s;
        let wobble = sway * (time_s * rhythm * TAU).sin();
        let camera = (from.0 + (to.0 - from.0) * share + wobble, from.1 + (to.1 - from.1) * share + wobble * 0.5);
        pan(&mut canvas, &backdrop, camera);

        let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        let (dx, dy) = (middle.0 - camera.0, middle.1 - camera.1);
        let mut extent = [0.0; 4];
        if with_person {
            let pose = take.action.pose(start + time_s / period_s, &look.style);
            extent = draw_person(&mut canvas, &look, &pose, x + dx, ground + dy);
        }
        canvas.read(&mut rgb, gain);
        let limits = [width, height, width, height];
        let pixels = [0, 1, 2, 3].map(|side| (extent[side] * height).clamp(0.0, limits[side]));
        each(&rgb, pixels)?;
    }
    Ok(())
}

/// Where a figure stands: x, and how low its feet are.
pub(crate) fn spot(look: &Look, aspect: f32, rng: &mut Pcg64) -> (f32, f32) {
    // Room for arms and legs on both sides, as far as the frame has it.
    let room = (0.38 * look.height).min(aspect / 2.0 - 0.02);
    let x = rng.random_range(room..=(aspect - room).max(room));
    let ground = rng.random_range(0.9..0.98f32).max(look.height + 0.06).min(0.99);
    (x, ground)
}

/// Draws a figure on its shadow; its extent is that of the figure.
pub(crate) fn draw_person(canvas: &mut Canvas, look: &Look, pose: &Pose, x: f32, ground: f32) -> Extent {
    let shadow = look.height * 0.17;
    canvas.ellipse_alpha(x, ground, shadow, shadow * 0.2, [0.0; 3], 0.3);
    figure::draw(canvas, look, pose, x, ground)
}

/// Copies what the camera sees of a backdrop. `camera` is its way from the middle, in picture heights.
pub(crate) fn pan(canvas: &mut Canvas, backdrop: &Canvas, camera: (f32, f32)) {
    let height = canvas.pixmap.height() as f32;
    let margin = (MARGIN * height).ceil();
    let shift = Transform::from_translate(-camera.0 * height - margin, -camera.1 * height - margin);
    let paint = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
    canvas.pixmap.draw_pixmap(0, 0, backdrop.pixmap.as_ref(), &paint, shift, None);
}
