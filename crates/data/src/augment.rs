//! What chance decides about a training clip, drawn from (seed, epoch, item) alone: whichever thread reads a clip, and
//! whatever was read before, it is the same clip.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use unscene_media::Region;

/// How training clips vary. The default is that of the paper's release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Sides of the part cut, as shares of the picture's short side; one is chosen.
    pub scales: Vec<f64>,
    /// Where the part is cut; one is chosen.
    pub positions: Vec<Position>,
    /// Probability that left and right are swapped. Not 0 where sides have a meaning.
    pub flip: f64,
}

/// Where a part is cut from the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Position {
    Center,
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

impl Default for Augmentation {
    /// Scales 1, 2^-1/4, 2^-1/2, 2^-3/4, 1/2; the centre and the corners; half of the clips mirrored.
    fn default() -> Self {
        use Position::*;
        Augmentation {
            scales: (0..5).map(|n| 2f64.powf(-f64::from(n) / 4.0)).collect(),
            positions: vec![Center, TopLeft, TopRight, BottomLeft, BottomRight],
            flip: 0.5,
        }
    }
}

impl Augmentation {
    /// The middle of the picture, not mirrored, at any time.
    pub fn none() -> Self {
        Augmentation { scales: vec![1.0], positions: vec![Position::Center], flip: 0.0 }
    }

    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<String> {
        if self.scales.is_empty() || self.scales.iter().any(|scale| !(*scale > 0.0 && *scale <= 1.0)) {
            return Some(format!("scales: found {:?}, expected at least one, each above 0 and at most 1", self.scales));
        }
        if self.positions.is_empty() {
            return Some("positions: found none, expected at least one".into());
        }
        if !(0.0..=1.0).contains(&self.flip) {
            return Some(format!("flip: found {}, expected a probability from 0 to 1", self.flip));
        }
        None
    }

    /// Draws for one clip.
    pub fn draw(&self, seed: u64, epoch: u64, item: u64) -> Draw {
        let mut random = random(seed, epoch, item);
        Draw {
            start: random.random(),
            scale: self.scales[random.random_range(0..self.scales.len())],
            position: self.positions[random.random_range(0..self.positions.len())],
            mirror: random.random_bool(self.flip),
        }
    }
}

/// What was drawn for one clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// When it starts: 0 as early as possible, 1 as late.
    pub start: f64,
    /// Side of the part cut, as a share of the picture's short side.
    pub scale: f64,
    /// Where the part is.
    pub position: Position,
    /// Whether left and right are swapped.
    pub mirror: bool,
}

impl Draw {
    /// The part of a picture that is cut, in the proportions of the clip.
    pub fn part(&self, (width, height): (u32, u32), (clip_width, clip_height): (u32, u32)) -> Region {
        // The largest part with the clip's proportions that a square of the short side holds.
        let side = f64::from(width.min(height)) * self.scale;
        let longer = f64::from(clip_width.max(clip_height).max(1));
        let sized = |clip: u32, whole: u32| ((side * f64::from(clip) / longer) as u32).clamp(1, whole);
        let (part_width, part_height) = (sized(clip_width, width), sized(clip_height, height));
        let (right, bottom) = (width - part_width, height - part_height);
        let (x, y) = match self.position {
            Position::Center => (right / 2, bottom / 2),
            Position::TopLeft => (0, 0),
            Position::TopRight => (right, 0),
            Position::BottomLeft => (0, bottom),
            Position::BottomRight => (right, bottom),
        };
        // Even corners, because colours are stored at half size: boxes then map to exactly these pixels.
        Region { x: x & !1, y: y & !1, width: part_width, height: part_height }
    }
}

/// The order of an epoch.
pub fn shuffled(items: usize, seed: u64, epoch: u64) -> Vec<usize> {
    use rand::seq::SliceRandom;
    let mut order: Vec<usize> = (0..items).collect();
    // An item that no dataset has keeps this stream apart from those of clips.
    order.shuffle(&mut random(seed, epoch, u64::MAX));
    order
}

/// A generator for one use. The three numbers go through a finaliser each (SplitMix64), so that neighbours in any of
/// them have nothing in common.
pub(crate) fn random(seed: u64, epoch: u64, item: u64) -> Pcg64 {
    let mix = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    Pcg64::seed_from_u64(mix(mix(mix(seed) ^ epoch) ^ item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_epoch_and_item_alone() {
        let augmentation = Augmentation::default();
        let first = augmentation.draw(1, 2, 3);
        assert_eq!(first, augmentation.draw(1, 2, 3));
        for other in [(0, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3)] {
            assert_ne!(first.start, augmentation.draw(other.0, other.1, other.2).start);
        }
        // The generator and the mixing are part of what makes a run repeatable: they may not change unnoticed.
        assert_eq!((first.start * 1e9).round(), 658_752_840.0, "{first:?}");
    }

    #[test]
    fn every_choice_is_taken_equally_often() {
        let augmentation = Augmentation::default();
        let draws: Vec<Draw> = (0..10_000).map(|item| augmentation.draw(7, 0, item)).collect();
        let share = |is: &dyn Fn(&Draw) -> bool| draws.iter().filter(|draw| is(draw)).count() as f64 / 10_000.0;
        for scale in &augmentation.scales {
            assert!((share(&|draw| draw.scale == *scale) - 0.2).abs() < 0.02);
        }
        for position in &augmentation.positions {
            assert!((share(&|draw| draw.position == *position) - 0.2).abs() < 0.02);
        }
        assert!((share(&|draw| draw.mirror) - 0.5).abs() < 0.02);
        assert!((share(&|draw| draw.start < 0.25) - 0.25).abs() < 0.02);
    }

    #[test]
    fn parts_lie_in_the_corners_and_keep_the_proportions_of_the_clip() {
        let part = |scale, position, clip| {
            let draw = Draw { start: 0.0, scale, position, mirror: false };
            let Region { x, y, width, height } = draw.part((340, 256), clip);
            (x, y, width, height)
        };
        assert_eq!(part(1.0, Position::Center, (112, 112)), (42, 0, 256, 256));
        assert_eq!(part(0.5, Position::TopLeft, (112, 112)), (0, 0, 128, 128));
        assert_eq!(part(0.5, Position::BottomRight, (112, 112)), (212, 128, 128, 128));
        assert_eq!(part(0.5, Position::TopRight, (112, 56)), (212, 0, 128, 64));
        assert_eq!(part(0.5, Position::BottomLeft, (56, 112)), (0, 128, 64, 128));
        // A picture of one pixel has one part.
        let draw = Draw { start: 0.0, scale: 0.5, position: Position::Center, mirror: false };
        assert_eq!(draw.part((1, 1), (112, 112)), Region { x: 0, y: 0, width: 1, height: 1 });
    }

    #[test]
    fn an_epoch_is_an_order_of_all_items() {
        let order = shuffled(100, 1, 0);
        assert_ne!(order, shuffled(100, 1, 1));
        assert_ne!(order, shuffled(100, 2, 0));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn impossible_settings_are_named() {
        let bad = [
            Augmentation { scales: vec![], ..Augmentation::default() },
            Augmentation { scales: vec![1.5], ..Augmentation::default() },
            Augmentation { positions: vec![], ..Augmentation::default() },
            Augmentation { flip: f64::NAN, ..Augmentation::default() },
        ];
        for (bad, name) in bad.into_iter().zip(["scales", "scales", "positions", "flip"]) {
            assert!(bad.problem().unwrap().starts_with(name));
        }
        assert_eq!(Augmentation::default().problem(), None);
        assert_eq!(Augmentation::none().problem(), None);
    }
}
