//! Segments of time: overlap, and leaving out what a better one says already.

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
        let length = self.length() * f64::from(length).min(1000f64.ln()).exp();
        let center = self.center() + f64::from(center) * self.length();
        Segment { start: center - length / 2.0, end: center + length / 2.0 }
    }
}

/// Greedy non-maximum suppression: positions of the segments that no better one overlaps by more than `max_tiou`, best
/// first, at most `most` of them. Of equal scores the first counts as the better; scores that are no numbers are last.
pub fn segment_nms(segments: &[Segment], scores: &[f32], max_tiou: f64, most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..segments.len().min(scores.len())).collect();
    let rank = |&at: &usize| if scores[at].is_nan() { f32::NEG_INFINITY } else { scores[at] };
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    let mut kept: Vec<usize> = Vec::new();
    for at in order {
        if kept.len() >= most {
            break;
        }
        if kept.iter().all(|&better| segments[better].tiou(&segments[at]) <= max_tiou) {
            kept.push(at);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn a_segment_is_left_out_for_a_better_one_that_it_overlaps() {
        let segments = [(0.0, 10.0), (1.0, 10.0), (20.0, 30.0), (0.0, 5.0)].map(|(s, e)| Segment::new(s, e));
        let scores = [0.5, 0.9, f32::NAN, 0.6];
        assert_eq!(segment_nms(&segments, &scores, 0.7, 9), [1, 3, 2]);
        assert_eq!(segment_nms(&segments, &scores, 0.7, 2), [1, 3]);
        // 0.5 is not more than 0.5.
        assert_eq!(segment_nms(&segments, &[0.5, 0.1, 0.1, 0.6], 0.5, 9), [3, 0, 2]);
        assert_eq!(segment_nms(&segments, &[1.0; 4], 1.0, 9), [0, 1, 2, 3]);
    }
}
