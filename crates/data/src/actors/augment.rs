//! What chance decides about a frame for a detector, after `SSDAugmentation` of ssd.pytorch (Liu et al. 2016, section 3.6.3): its
//! colours, the part that is seen, and whether it is mirrored.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use unscene_vision::iou;

/// How training frames vary. The default is that of ssd.pytorch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameAugmentation {
    /// Whether brightness, contrast, saturation, hue and the order of channels vary.
    pub colors: bool,
    /// How many times as large, at most, the canvas is that a frame is put on; 1 for none.
    pub expand: f64,
    /// Whether parts are cut out.
    pub crop: bool,
    /// Probability that left and right are swapped. Not 0 where sides have a meaning.
    pub flip: f64,
}

impl Default for FrameAugmentation {
    fn default() -> Self {
        FrameAugmentation { colors: true, expand: 4.0, crop: true, flip: 0.5 }
    }
}

/// What was drawn for one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameDraw {
    /// What happens to the colours.
    pub colors: Option<Colors>,
    /// Left, top, right and bottom of what is seen, in pixels of the frame; it may reach out of it. Left and top are even, because
    /// colours are stored at half size.
    pub region: [i64; 4],
    /// Whether left and right are swapped.
    pub mirror: bool,
}

/// What happens to the colours of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colors {
    /// Added to each channel, of 255.
    pub brightness: f32,
    /// Times each channel, before the saturation or after the hue.
    pub contrast: (f32, bool),
    /// Times the saturation.
    pub saturation: f32,
    /// Added to the hue, in degrees.
    pub hue: f32,
    /// Which channel comes first, second and third.
    pub order: [usize; 3],
}

/// Overlaps (IoU), one of which a part must have with some actor.
const OVERLAPS: [f32; 5] = [0.0, 0.1, 0.3, 0.7, 0.9];
/// Attempts at a part before another overlap is drawn.
const ATTEMPTS: usize = 50;

impl FrameAugmentation {
    /// The whole frame as it is.
    pub fn none() -> Self {
        FrameAugmentation { colors: false, expand: 1.0, crop: false, flip: 0.0 }
    }

    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<String> {
        if !(1.0..=16.0).contains(&self.expand) {
            return Some(format!("expand: found {}, expected 1 to 16", self.expand));
        }
        let flip = self.flip;
        (!(0.0..=1.0).contains(&flip)).then(|| format!("flip: found {flip}, expected a probability from 0 to 1"))
    }

    /// Draws for a frame of `width` x `height` pixels with these boxes.
    ///
    /// In one thing it is the paper and not ssd.pytorch, whose parts need no overlap, whatever was drawn: a part has the
    /// overlap drawn (IoU) with some actor.
    pub fn draw(&self, (width, height): (u32, u32), boxes: &[[f32; 4]], rng: &mut Pcg64) -> FrameDraw {
        let colors = self.colors.then(|| Colors::draw(rng));
        let mut region = [0, 0, i64::from(width), i64::from(height)];
        if self.expand > 1.0 && rng.random_bool(0.5) {
            let times = rng.random_range(1.0..self.expand);
            let canvas = [f64::from(width) * times, f64::from(height) * times];
            let left = rng.random_range(0.0..=canvas[0] - f64::from(width)) as i64;
            let top = rng.random_range(0.0..=canvas[1] - f64::from(height)) as i64;
            region = [-left, -top, canvas[0] as i64 - left, canvas[1] as i64 - top];
        }
        if self.crop && !boxes.is_empty() {
            region = part(region, boxes, rng);
        }
        let [left, top, ..] = &mut region;
        (*left, *top) = (*left & !1, *top & !1);
        FrameDraw { colors, region, mirror: rng.random_bool(self.flip) }
    }
}

/// A part of a canvas that holds the centre of some box, or all of it.
fn part(canvas: [i64; 4], boxes: &[[f32; 4]], rng: &mut Pcg64) -> [i64; 4] {
    let (width, height) = ((canvas[2] - canvas[0]) as f64, (canvas[3] - canvas[1]) as f64);
    loop {
        // As often as each overlap is asked for the canvas stays whole.
        let Some(&least) = OVERLAPS.get(rng.random_range(0..=OVERLAPS.len())) else { return canvas };
        for _ in 0..ATTEMPTS {
            let (w, h) = (rng.random_range(0.3..1.0) * width, rng.random_range(0.3..1.0) * height);
            if !(0.5..=2.0).contains(&(h / w)) || w < 2.0 || h < 2.0 {
                continue;
            }
            let left = canvas[0] + rng.random_range(0.0..=width - w) as i64;
            let top = canvas[1] + rng.random_range(0.0..=height - h) as i64;
            let region = [left, top, left + w as i64, top + h as i64];
            let overlaps = boxes.iter().any(|one| iou(one, &region.map(|side| side as f32)) >= least);
            if overlaps && boxes.iter().any(|one| holds_center(&region, one)) {
                return region;
            }
        }
    }
}

fn holds_center(region: &[i64; 4], [x1, y1, x2, y2]: &[f32; 4]) -> bool {
    let (x, y) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0);
    (region[0] as f32) < x && x < region[2] as f32 && (region[1] as f32) < y && y < region[3] as f32
}

impl FrameDraw {
    /// A box of the frame where it is in what is seen, in shares of that; none where its centre is not.
    pub fn place(&self, corners: &[f32; 4]) -> Option<[f32; 4]> {
        if !holds_center(&self.region, corners) {
            return None;
        }
        let [left, top, right, bottom] = self.region.map(|side| side as f32);
        let [x1, y1, x2, y2] = *corners;
        let across = |x: f32| ((x - left) / (right - left)).clamp(0.0, 1.0);
        let down = |y: f32| ((y - top) / (bottom - top)).clamp(0.0, 1.0);
        let (x1, x2) = if self.mirror { (1.0 - across(x2), 1.0 - across(x1)) } else { (across(x1), across(x2)) };
        Some([x1, down(y1), x2, down(y2)])
    }
}

impl Colors {
    /// Each of the changes happens to half of the frames.
    fn draw(rng: &mut Pcg64) -> Self {
        let mut half =
            |from: f32, to: f32, none: f32| if rng.random_bool(0.5) { rng.random_range(from..to) } else { none };
        let (brightness, contrast) = (half(-32.0, 32.0, 0.0), half(0.5, 1.5, 1.0));
        let (saturation, hue) = (half(0.5, 1.5, 1.0), half(-18.0, 18.0, 0.0));
        let is_first = rng.random_bool(0.5);
        let mut order = [0, 1, 2];
        if rng.random_bool(0.5) {
            order.shuffle(rng);
        }
        Colors { brightness, contrast: (contrast, is_first), saturation, hue, order }
    }

    /// A pixel, each channel from 0 to 255 before and after.
    pub fn apply(&self, rgb: [f32; 3]) -> [f32; 3] {
        let (contrast, is_first) = self.contrast;
        let times = |rgb: [f32; 3], now: bool| if now { rgb.map(|channel| channel * contrast) } else { rgb };
        let rgb = times(rgb.map(|channel| channel + self.brightness), is_first);
        let rgb = times(turned(rgb, self.saturation, self.hue), !is_first);
        self.order.map(|channel| rgb[channel].clamp(0.0, 255.0))
    }
}

/// A colour whose saturation is so many times as high and whose hue so many degrees further, in HSV.
fn turned(rgb: [f32; 3], saturation: f32, hue: f32) -> [f32; 3] {
    if saturation == 1.0 && hue == 0.0 {
        return rgb;
    }
    let [r, g, b] = rgb;
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range <= 0.0 || most <= 0.0 {
        return rgb;
    }
    let sector = if most == r {
        (g - b) / range
    } else if most == g {
        2.0 + (b - r) / range
    } else {
        4.0 + (r - g) / range
    };
    let sector = (sector + hue / 60.0).rem_euclid(6.0);
    let range = range * saturation;
    let channel = |n: f32| {
        let k = (n + sector).rem_euclid(6.0);
        most - range * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const SIZE: (u32, u32) = (120, 80);

    fn draws(augmentation: &FrameAugmentation, boxes: &[[f32; 4]], count: u64) -> Vec<FrameDraw> {
        (0..count).map(|seed| augmentation.draw(SIZE, boxes, &mut Pcg64::seed_from_u64(seed))).collect()
    }

    #[test]
    fn boxes_go_where_their_pixels_go() {
        let draw = FrameDraw { colors: None, region: [20, -10, 60, 30], mirror: false };
        assert_eq!(draw.place(&[30.0, 0.0, 50.0, 20.0]), Some([0.25, 0.25, 0.75, 0.75]));
        // Cut at the edge, and gone with its centre.
        assert_eq!(draw.place(&[50.0, 0.0, 66.0, 20.0]), Some([0.75, 0.25, 1.0, 0.75]));
        assert_eq!(draw.place(&[50.0, 0.0, 90.0, 20.0]), None);
        let mirrored = FrameDraw { mirror: true, ..draw };
        assert_eq!(mirrored.place(&[30.0, 0.0, 40.0, 20.0]), Some([0.5, 0.25, 0.75, 0.75]));
        let whole = &draws(&FrameAugmentation::none(), &[], 1)[0];
        assert_eq!(*whole, FrameDraw { colors: None, region: [0, 0, 120, 80], mirror: false });
    }

    #[test]
    fn parts_hold_an_actor_and_canvases_the_frame() {
        let boxes = [[70.0, 20.0, 100.0, 70.0], [5.0, 5.0, 20.0, 30.0]];
        let (mut wholes, mut mirrored, mut small) = (0, 0, 0);
        for draw in draws(&FrameAugmentation { expand: 1.0, ..FrameAugmentation::default() }, &boxes, 400) {
            let [left, top, right, bottom] = draw.region;
            assert!(left >= 0 && top >= 0 && right <= 120 && bottom <= 80 && left % 2 == 0 && top % 2 == 0, "{draw:?}");
            let placed: Vec<[f32; 4]> = boxes.iter().filter_map(|one| draw.place(one)).collect();
            assert!(!placed.is_empty(), "{draw:?}");
            for [x1, y1, x2, y2] in placed {
                assert!(0.0 <= x1 && x1 < x2 && x2 <= 1.0 && 0.0 <= y1 && y1 < y2 && y2 <= 1.0);
            }
            wholes += usize::from(draw.region == [0, 0, 120, 80]);
            small += usize::from((right - left) * (bottom - top) < 120 * 80 / 2);
            mirrored += usize::from(draw.mirror);
        }
        assert!(
            (40..160).contains(&wholes) && small > 80 && (150..250).contains(&mirrored),
            "{wholes} {small} {mirrored}"
        );
        let mut expanded = 0;
        for draw in draws(&FrameAugmentation { crop: false, ..FrameAugmentation::default() }, &boxes, 400) {
            let [left, top, right, bottom] = draw.region;
            assert!(left <= 0 && top <= 0 && right >= 120 && bottom >= 79, "{draw:?}");
            assert!(right - left <= 4 * 120 + 2 && bottom - top <= 4 * 80 + 2);
            expanded += usize::from(right - left > 121);
        }
        assert!((150..250).contains(&expanded), "{expanded}");
    }

    /// Red, turned by a third, is green; what is grey stays grey; twice as saturated, halfway to grey becomes pure.
    #[test]
    fn colours_turn_as_in_hsv() {
        let near = |found: [f32; 3], expected: [f32; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(near(turned([200.0, 0.0, 0.0], 1.0, 120.0), [0.0, 200.0, 0.0]));
        assert!(near(turned([200.0, 0.0, 0.0], 1.0, -60.0), [200.0, 0.0, 200.0]));
        assert!(near(turned([90.0, 90.0, 90.0], 1.4, 17.0), [90.0, 90.0, 90.0]));
        assert!(near(turned([200.0, 100.0, 150.0], 2.0, 0.0), [200.0, 0.0, 100.0]));
        // By hand: hue 210 degrees, saturation 0.75, value 160; 30 degrees further.
        assert!(near(turned([40.0, 100.0, 160.0], 1.0, 30.0), [40.0, 40.0, 160.0]));
        let same = Colors { brightness: 0.0, contrast: (1.0, true), saturation: 1.0, hue: 0.0, order: [0, 1, 2] };
        assert_eq!(same.apply([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
        let all = Colors { brightness: 10.0, contrast: (1.5, false), order: [2, 0, 1], ..same };
        assert_eq!(all.apply([0.0, 90.0, 200.0]), [255.0, 15.0, 150.0]);
        let changed = draws(&FrameAugmentation::default(), &[], 200);
        let colors: Vec<Colors> = changed.into_iter().filter_map(|draw| draw.colors).collect();
        assert!(
            colors
                .iter()
                .all(|c| c.brightness.abs() <= 32.0 && (0.5..=1.5).contains(&c.saturation) && c.hue.abs() <= 18.0)
        );
        assert!((70..130).contains(&colors.iter().filter(|c| c.hue == 0.0).count()));
    }
}
