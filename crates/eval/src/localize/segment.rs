//! Segments of videos, how far they overlap, and which are left when others cover them.

use unscene_vision::{Segment, segment_nms};

/// An action that was found in a video.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentDetection {
    /// The id of its video.
    pub video: String,
    /// When it begins, in seconds from the start of the video.
    pub start_s: f64,
    /// When it ends.
    pub end_s: f64,
    /// Index of its label.
    pub label: usize,
    /// The higher, the surer; only the order matters.
    pub score: f64,
}

/// A moment at which some action may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The id of its video.
    pub video: String,
    /// When it begins, in seconds from the start of the video.
    pub start_s: f64,
    /// When it ends.
    pub end_s: f64,
    /// The higher, the surer; only the order matters.
    pub score: f64,
}

/// Start and end in seconds.
pub type Span = (f64, f64);

/// A span with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub span: Span,
    pub score: f64,
}

/// Sorts by score, the highest first. Of equal scores, what came first stays first: the official THUMOS14 kit, and then the
/// number does not depend on the machine.
pub fn rank(found: &mut [Scored]) {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
}

/// What two spans have in common over what they cover together (`segment_iou` of ActivityNet's evaluation). A span that ends
/// before it begins overlaps nothing.
pub fn tiou(a: Span, b: Span) -> f64 {
    segment(a).tiou(&segment(b))
}

/// Of spans in the order of their scores, those that no better one overlaps by more than `most`.
pub fn suppress(found: &[Scored], most: f64) -> Vec<Scored> {
    let ranked: Vec<Segment> = found.iter().map(|one| segment(one.span)).collect();
    segment_nms(&ranked, most, usize::MAX).into_iter().map(|at| found[at]).collect()
}

fn segment((start, end): Span) -> Segment {
    Segment::new(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_shares_of_what_both_cover() {
        assert_eq!(tiou((0.0, 4.0), (2.0, 6.0)), 2.0 / 6.0);
        assert_eq!(tiou((2.0, 3.0), (0.0, 10.0)), 0.1);
        assert_eq!(tiou((0.0, 1.0), (1.0, 2.0)), 0.0);
        assert_eq!(tiou((0.0, 1.0), (5.0, 9.0)), 0.0);
        assert_eq!(tiou((1.0, 1.0), (1.0, 1.0)), 0.0);
        assert_eq!(tiou((6.0, 2.0), (0.0, 10.0)), 0.0);
    }

    #[test]
    fn the_best_of_what_overlaps_is_kept() {
        let scored = |start, end, score| Scored { span: (start, end), score };
        let mut found = [scored(0.0, 4.0, 0.5), scored(2.0, 6.0, 0.9), scored(5.0, 9.0, 0.5), scored(20.0, 21.0, 0.1)];
        rank(&mut found);
        assert_eq!(found.map(|one| one.span.0), [2.0, 0.0, 5.0, 20.0]);
        let starts = |most| suppress(&found, most).iter().map(|one| one.span.0).collect::<Vec<_>>();
        // Overlaps with the best: a third and a seventh.
        assert_eq!(starts(0.0), [2.0, 20.0]);
        assert_eq!(starts(0.2), [2.0, 5.0, 20.0]);
        assert_eq!(starts(1.0 / 3.0), [2.0, 0.0, 5.0, 20.0]);
    }
}
