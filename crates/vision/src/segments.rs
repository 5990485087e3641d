//! Segments of time: overlap, and leaving out what a better one says already.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// From one moment to another, the end not included. The unit is the caller's: seconds of a video, or frames of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The first moment.
    pub start: f64,
    /// The moment after the last.
    pub end: f64,
}

impl Segment {
    /// From start to end.
    pub fn new(start: f64, end: f64) -> Self {
        Segment { start, end }
    }

    /// How long it lasts; 0 for one that ends before it begins.
    pub fn length(&self) -> f64 {
        (self.end - self.start).max(0.0)
    }

    /// The moment in its middle.
    pub fn center(&self) -> f64 {
        (self.start + self.end) / 2.0
    }

    /// Intersection over union (tIoU), 0 where both are empty.
    pub fn tiou(&self, other: &Segment) -> f64 {
        let shared = (self.end.min(other.end) - self.start.max(other.start)).max(0.0);
        let union = self.length() + other.length() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// What lies between 0 and a limit.
    pub fn clipped(&self, limit: f64) -> Segment {
        Segment { start: self.start.clamp(0.0, limit), end: self.end.clamp(0.0, limit) }
    }

    /// The offset that moves this segment onto another: how far the centre moves, in lengths, and the logarithm of how
    /// much longer it becomes (R-C3D, section 3.2, after R-CNN). Both must have a length.
    pub fn offset_to(&self, target: &Segment) -> [f32; 2] {
        let center = (target.center() - self.center()) / self.length();
        [center as f32, (target.length() / self.length()).ln() as f32]
    }

    /// The segment that an offset moves this one to; the inverse of [`Segment::offset_to`].
    pub fn moved(&self, [center, length]: [f32; 2]) -> Segment {
        // A network that is not trained yet may ask for e^100 lengths: beyond a thousand nothing is lost.
        let length = self.length() * f64::from(length).clamp(f64::NEG_INFINITY, 1000f64.ln()).exp();
        let center = self.center() + f64::from(center) * self.length();
        Segment { start: center - length / 2.0, end: center + length / 2.0 }
    }
}

/// Greedy non-maximum suppression: of segments in the order of their scores, the positions of those that no better one
/// overlaps by more than `max_tiou` (0 or more), at most `most` of them.
///
/// Kept segments lie in buckets of time, so that each is compared with those around it only: the cost grows with the length
/// of the video, and not with its square.
pub fn segment_nms(ranked: &[Segment], max_tiou: f64, most: usize) -> Vec<usize> {
    // No overlap is more than all.
    if max_tiou >= 1.0 {
        return (0..ranked.len().min(most)).collect();
    }
    // As wide as the longest, and a little for rounding: what overlaps begins in the same bucket or in one beside it.
    let width = 1.001 * ranked.iter().map(Segment::length).fold(0.0, f64::max);
    let bucket = |segment: &Segment| if width > 0.0 { (segment.start / width).floor() as i64 } else { 0 };
    let mut buckets: HashMap<i64, Vec<Segment>> = HashMap::new();
    let mut kept = Vec::new();
    for (at, segment) in ranked.iter().enumerate() {
        if kept.len() >= most {
            break;
        }
        let here = bucket(segment);
        let around = (here.saturating_sub(1)..=here.saturating_add(1)).filter_map(|near| buckets.get(&near)).flatten();
        if around.into_iter().all(|better| better.tiou(segment) <= max_tiou) {
            buckets.entry(here).or_default().push(*segment);
            kept.push(at);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn overlap_is_shared_time_over_covered_time() {
        let segment = Segment::new(2.0, 6.0);
        for (start, end, expected) in
            [(2.0, 6.0, 1.0), (4.0, 8.0, 2.0 / 6.0), (6.0, 9.0, 0.0), (3.0, 4.0, 0.25), (9.0, 7.0, 0.0)]
        {
            let found = segment.tiou(&Segment::new(start, end));
            assert!((found - expected).abs() < 1e-12, "{start} {end}: {found}");
        }
        assert_eq!(Segment::new(1.0, 1.0).tiou(&Segment::new(1.0, 1.0)), 0.0);
    }

    #[test]
    fn offsets_lead_to_their_target_and_never_to_infinity() {
        let (from, to) = (Segment::new(8.0, 24.0), Segment::new(10.0, 18.0));
        let offset = from.offset_to(&to);
        assert_eq!(offset, [-0.125, 0.5f32.ln()]);
        let moved = from.moved(offset);
        assert!((moved.start - 10.0).abs() < 1e-5 && (moved.end - 18.0).abs() < 1e-5, "{moved:?}");
        assert!(from.moved([0.0, 1e30]).length() < 16_001.0);
        // No number leads nowhere.
        for offset in [[f32::NAN, 0.0], [0.0, f32::NAN]] {
            assert_eq!(from.moved(offset).clipped(100.0).length(), 0.0, "{offset:?}");
        }
    }

    #[test]
    fn a_segment_is_left_out_for_a_better_one_that_it_overlaps() {
        let ranked = [(1.0, 10.0), (0.0, 5.0), (0.0, 10.0), (20.0, 30.0)].map(|(s, e)| Segment::new(s, e));
        assert_eq!(segment_nms(&ranked, 0.7, 9), [0, 1, 3]);
        assert_eq!(segment_nms(&ranked, 0.7, 2), [0, 1]);
        // 0.9 is not more than 0.9.
        assert_eq!(segment_nms(&ranked, 0.9, 9), [0, 1, 2, 3]);
    }

    /// By the definition: each is compared with all that were kept before it.
    #[test]
    fn buckets_of_time_leave_out_what_comparing_all_leaves_out() {
        let mut rng = rand_pcg::Pcg32::new(6, 1);
        for round in 0..200 {
            // Of all lengths, none and negative ones among them, on both sides of 0, some touching.
            let one = |rng: &mut rand_pcg::Pcg32| {
                let start = rng.random_range(-40..400) as f64 / 4.0;
                Segment::new(start, start + rng.random_range(-8..[40, 400][round % 2]) as f64 / 4.0)
            };
            let ranked: Vec<Segment> = (0..150).map(|_| one(&mut rng)).collect();
            for max_tiou in [0.0, 0.3, 0.5, 0.9, 1.0] {
                let mut expected: Vec<usize> = Vec::new();
                for at in 0..ranked.len() {
                    if expected.iter().all(|&better| ranked[better].tiou(&ranked[at]) <= max_tiou) {
                        expected.push(at);
                    }
                }
                assert_eq!(segment_nms(&ranked, max_tiou, usize::MAX), expected, "round {round}, {max_tiou}");
                assert_eq!(
                    segment_nms(&ranked, max_tiou, 7),
                    expected[..expected.len().min(7)],
                    "round {round}, {max_tiou}"
                );
            }
        }
    }
}
