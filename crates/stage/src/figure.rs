//! An articulated figure: from joint angles to a picture of a person, and the box around it.

use rand::{Rng, RngExt};

use crate::actions::{Pose, Style};
use unscene_draw::{Canvas, Rgb};

/// What a person looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Standing height, in picture heights.
    pub height: f32,
    /// 1 faces to the right, -1 to the left.
    pub side: f32,
    pub girth: f32,
    pub skin: Rgb,
    pub hair: Rgb,
    pub shirt: Rgb,
    pub trousers: Rgb,
    pub shoes: Rgb,
    /// Sleeves and trouser legs reach to the elbow and the knee rather than to hand and foot.
    pub short_sleeves: bool,
    pub short_trousers: bool,
    pub hat: Option<Rgb>,
    pub style: Style,
}

impl Look {
    /// A person at random; nothing in it depends on the action or the scene.
    pub fn random(rng: &mut impl Rng, heights: (f32, f32)) -> Self {
        const SKIN: [Rgb; 6] = [
            [0.96, 0.80, 0.69],
            [0.90, 0.72, 0.58],
            [0.78, 0.57, 0.42],
            [0.62, 0.43, 0.30],
            [0.45, 0.30, 0.21],
            [0.32, 0.21, 0.15],
        ];
        const HAIR: [Rgb; 5] =
            [[0.08, 0.06, 0.05], [0.25, 0.15, 0.08], [0.55, 0.35, 0.15], [0.85, 0.70, 0.40], [0.70, 0.70, 0.70]];
        Look {
            height: rng.random_range(heights.0..heights.1),
            side: if rng.random_bool(0.5) { 1.0 } else { -1.0 },
            girth: rng.random_range(0.85..1.35),
            skin: SKIN[rng.random_range(0..SKIN.len())],
            hair: HAIR[rng.random_range(0..HAIR.len())],
            shirt: cloth(rng),
            trousers: cloth(rng),
            shoes: cloth(rng),
            short_sleeves: rng.random_bool(0.5),
            short_trousers: rng.random_bool(0.3),
            hat: rng.random_bool(0.2).then(|| cloth(rng)),
            style: Style {
                reach: rng.random_range(0.85..1.15),
                arms: rng.random_range(0.08..0.35),
                elbows: rng.random_range(0.05..0.5),
                legs: rng.random_range(0.05..0.18),
                lean: rng.random_range(-0.06..0.12),
            },
        }
    }
}

fn cloth(rng: &mut impl Rng) -> Rgb {
    hsv(rng.random_range(0.0..1.0), rng.random_range(0.0..0.95), rng.random_range(0.12..1.0))
}

/// Hue, saturation and value, each from 0 to 1, to RGB.
pub(crate) fn hsv(hue: f32, saturation: f32, value: f32) -> Rgb {
    let channel = |n: f32| {
        let k = (n + hue * 6.0) % 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

const THIGH: f32 = 0.245;
const SHIN: f32 = 0.235;
const TRUNK: f32 = 0.31;
const NECK: f32 = 0.045;
const HEAD: f32 = 0.068;
const UPPER_ARM: f32 = 0.165;
const FOREARM: f32 = 0.155;

/// Left, top, right and bottom in picture heights.
pub(crate) type Extent = [f32; 4];

/// Draws a figure with its feet at `(x, ground)` and returns the extent of what was drawn.
pub(crate) fn draw(canvas: &mut Canvas, look: &Look, pose: &Pose, x: f32, ground: f32) -> Extent {
    let joints = Joints::of(pose);
    let place = |(px, py): (f32, f32)| (x + px * look.height * look.side, ground - py * look.height);
    let unit = look.height * look.girth;
    let mut extent = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
    let mut limb = |canvas: &mut Canvas, points: &[(f32, f32)], thickness: f32, color: Rgb| {
        let points: Vec<_> = points.iter().map(|&point| place(point)).collect();
        canvas.line(&points, thickness, color);
        let half = thickness / 2.0;
        for (px, py) in points {
            grow(&mut extent, px - half, py - half, px + half, py + half);
        }
    };
    let shade = |color: Rgb, factor: f32| color.map(|channel| channel * factor);

    for side in 0..2 {
        // The limb behind is a little darker, which tells the two apart.
        let dim = if side == 0 && !pose.frontal { 0.78 } else { 1.0 };
        if side == 1 && !pose.frontal {
            trunk(canvas, look, &joints, &mut limb, unit);
        }
        let [hip, knee, foot] = joints.legs[side];
        let shin = if look.short_trousers { look.skin } else { look.trousers };
        limb(canvas, &[knee, foot], 0.062 * unit, shade(shin, dim));
        limb(canvas, &[hip, knee], 0.082 * unit, shade(look.trousers, dim));
        let toe = if pose.frontal { 0.015 * (side as f32 * 2.0 - 1.0) } else { 0.055 };
        limb(canvas, &[foot, (foot.0 + toe, foot.1)], 0.05 * unit, shade(look.shoes, dim));
        if pose.frontal {
            continue;
        }
        arm(canvas, look, &joints, side, &mut limb, unit, dim);
    }
    if pose.frontal {
        trunk(canvas, look, &joints, &mut limb, unit);
        for side in 0..2 {
            arm(canvas, look, &joints, side, &mut limb, unit, 1.0);
        }
    }
    // The head, last: hair behind, face towards the side the figure looks to.
    let (hx, hy) = place(joints.head);
    let radius = HEAD * look.height * (0.9 + 0.1 * look.girth);
    canvas.ellipse(hx, hy, radius, radius * 1.12, look.hair);
    let face = if pose.frontal { 0.0 } else { 0.28 * radius * look.side };
    canvas.ellipse(hx + face, hy + 0.18 * radius, radius * 0.78, radius * 0.92, look.skin);
    if let Some(hat) = look.hat {
        canvas.polygon(
            &[
                (hx - radius * 1.1, hy - radius * 0.45),
                (hx - radius * 0.8, hy - radius * 1.35),
                (hx + radius * 0.8, hy - radius * 1.35),
                (hx + radius * 1.1, hy - radius * 0.45),
            ],
            hat,
        );
    }
    let top = if look.hat.is_some() { 1.35 } else { 1.12 };
    grow(&mut extent, hx - radius * 1.1, hy - radius * top, hx + radius * 1.1, hy + radius * 1.12);
    extent
}

fn grow(extent: &mut Extent, left: f32, top: f32, right: f32, bottom: f32) {
    extent[0] = extent[0].min(left);
    extent[1] = extent[1].min(top);
    extent[2] = extent[2].max(right);
    extent[3] = extent[3].max(bottom);
}

type Limb<'a> = dyn FnMut(&mut Canvas, &[(f32, f32)], f32, Rgb) + 'a;

fn trunk(canvas: &mut Canvas, look: &Look, joints: &Joints, limb: &mut Limb<'_>, unit: f32) {
    let width = if joints.frontal { 0.17 } else { 0.13 };
    let (hip, chest) = (joints.pelvis, joints.at_trunk(0.82));
    limb(canvas, &[joints.at_trunk(0.9), joints.at_trunk(1.1)], 0.05 * unit, look.skin);
    limb(canvas, &[hip, joints.at_trunk(0.1)], width * 0.92 * unit, look.trousers);
    limb(canvas, &[joints.at_trunk(0.22), chest], width * unit, look.shirt);
}

fn arm(canvas: &mut Canvas, look: &Look, joints: &Joints, side: usize, limb: &mut Limb<'_>, unit: f32, dim: f32) {
    let [shoulder, elbow, hand] = joints.arms[side];
    let shade = |color: Rgb| color.map(|channel| channel * dim);
    let sleeve = if look.short_sleeves { look.skin } else { look.shirt };
    limb(canvas, &[elbow, hand], 0.046 * unit, shade(sleeve));
    // A sleeve that reads against the trunk it is drawn on.
    limb(canvas, &[shoulder, elbow], 0.058 * unit, shade(look.shirt.map(|channel| channel * 0.86)));
    limb(canvas, &[hand, hand], 0.056 * unit, shade(look.skin));
}

/// Joints in body heights: x towards the side the figure faces, y up from the ground.
struct Joints {
    frontal: bool,
    pelvis: (f32, f32),
    neck: (f32, f32),
    head: (f32, f32),
    /// Shoulder, elbow, hand.
    arms: [[(f32, f32); 3]; 2],
    /// Hip, knee, foot.
    legs: [[(f32, f32); 3]; 2],
}

impl Joints {
    fn of(pose: &Pose) -> Self {
        let hang =
            |from: (f32, f32), angle: f32, length: f32| (from.0 + angle.sin() * length, from.1 - angle.cos() * length);
        let leg = |hip: (f32, f32), side: usize| {
            let knee = hang(hip, pose.hips[side], THIGH);
            let foot = hang(knee, pose.hips[side] + pose.knees[side], SHIN);
            [hip, knee, foot]
        };
        let spread = if pose.frontal { 0.042 } else { 0.0 };
        let legs = [leg((-spread, 0.0), 0), leg((spread, 0.0), 1)];
        // The lower foot stands on the ground; seen from the side it also stays where it is while the hips move.
        let stand = if legs[0][2].1 <= legs[1][2].1 { 0 } else { 1 };
        let sole = 0.025;
        let lift = sole - legs[stand][2].1 + pose.jump;
        let both = pose.hips[0].min(pose.hips[1]) > 0.3;
        let shift = if pose.frontal || !both { 0.0 } else { -(legs[0][2].0 + legs[1][2].0) / 2.0 };
        let legs = legs.map(|leg| leg.map(|(x, y)| (x + shift, y + lift)));
        let pelvis = (shift, lift);
        let along = |length: f32| (pelvis.0 + pose.trunk.sin() * length, pelvis.1 + pose.trunk.cos() * length);
        let (shoulders, neck) = (along(TRUNK * 0.92), along(TRUNK));
        let head = along(TRUNK + NECK + HEAD);
        let wide = if pose.frontal { 0.095 } else { 0.0 };
        let arm = |side: usize| {
            let sign = side as f32 * 2.0 - 1.0;
            let shoulder = (shoulders.0 + sign * wide, shoulders.1);
            let angle = pose.shoulders[side];
            let elbow = hang(shoulder, angle, UPPER_ARM);
            let hand = hang(elbow, angle + pose.elbows[side], FOREARM);
            [shoulder, elbow, hand]
        };
        Joints { frontal: pose.frontal, pelvis, neck, head, arms: [arm(0), arm(1)], legs }
    }

    /// A point on the trunk: 0 is the pelvis, 1 the neck.
    fn at_trunk(&self, share: f32) -> (f32, f32) {
        let (from, to) = (self.pelvis, self.neck);
        (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;
    use crate::actions::Action;

    #[test]
    fn the_extent_is_that_of_the_pixels_drawn() {
        let mut rng = Pcg64::seed_from_u64(5);
        for number in 0..60 {
            let look = Look::random(&mut rng, (0.3, 0.6));
            let action = Action::ALL[number % Action::ALL.len()];
            let mut canvas = Canvas::new(300, 200);
            let pose = action.pose(number as f32 / 7.0, &look.style);
            let extent = draw(&mut canvas, &look, &pose, 0.75, 0.9);
            let drawn: Vec<(f32, f32)> = (0..300 * 200)
                .filter(|&index| canvas.pixmap.pixels()[index].alpha() > 0)
                .map(|index| ((index % 300) as f32, (index / 300) as f32))
                .collect();
            let edge = |pick: fn(&(f32, f32)) -> f32, sign: f32| {
                drawn.iter().map(|point| sign * pick(point)).fold(f32::NEG_INFINITY, f32::max) * sign
            };
            let found = [edge(|p| p.0, -1.0), edge(|p| p.1, -1.0), edge(|p| p.0, 1.0) + 1.0, edge(|p| p.1, 1.0) + 1.0];
            for (side, (found, expected)) in found.into_iter().zip(extent.map(|side| side * 200.0)).enumerate() {
                // A hat's brim and the round of a head are counted in full.
                assert!((found - expected).abs() < 3.0, "{action:?}, side {side}: pixels {found}, extent {expected}");
            }
        }
    }

    #[test]
    fn standing_figures_are_as_high_as_they_should_be() {
        let mut rng = Pcg64::seed_from_u64(1);
        for _ in 0..40 {
            let look = Look { hat: None, ..Look::random(&mut rng, (0.4, 0.9)) };
            let pose = Action::SitDown.pose(0.0, &look.style);
            let [_, top, _, bottom] = draw(&mut Canvas::new(200, 200), &look, &pose, 0.5, 0.95);
            let height = (bottom - top) / look.height;
            assert!((0.9..1.1).contains(&height), "{height} of {}", look.height);
        }
    }

    #[test]
    fn colours_run_around_the_circle() {
        assert_eq!(hsv(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(hsv(1.0 / 3.0, 1.0, 1.0), [0.0, 1.0, 0.0]);
        assert_eq!(hsv(0.5, 0.0, 0.4), [0.4, 0.4, 0.4]);
    }
}
