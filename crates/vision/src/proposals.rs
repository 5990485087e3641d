//! Proposals of R-C3D: from the scores of anchors to segments that may show an action, and their features.

use crate::segments::{Segment, segment_nms};

/// Segments of fixed lengths around the middle of every step of the features, in frames: for the first step one of each
/// length, then for the second.
pub fn anchors(steps: usize, step_frames: usize, lengths: &[f64]) -> Vec<Segment> {
    let frames = step_frames as f64;
    let around = |step: usize, length: f64| {
        let center = (step as f64 + 0.5) * frames;
        Segment::new(center - length * frames / 2.0, center + length * frames / 2.0)
    };
    (0..steps).flat_map(|step| lengths.iter().map(move |&length| around(step, length))).collect()
}

/// Which anchors become proposals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProposalRule {
    /// Anchors, best first, that are looked at.
    pub before_nms: usize,
    /// Overlap (tIoU) above which one is left out for a better one.
    pub max_tiou: f64,
    /// Proposals that are left, best first.
    pub most: usize,
}

/// A segment that may show an action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// In frames of the buffer.
    pub segment: Segment,
    /// Probability that it shows one.
    pub score: f32,
}

/// The proposals of one buffer, best first: anchors moved by their offsets, clipped to the first `frames` frames, which
/// hold the video, and without those that overlap a better one.
///
/// # Shapes
/// `scores` and `offsets` are 2A x steps as R-C3D.pytorch's layers give them: channel a of the scores is the logit that
/// anchor a shows nothing and channel A + a that it shows an action; channels 2a and 2a + 1 of the offsets move it.
/// `anchors` are those of [`anchors`], steps x A.
///
/// # Panics
/// When the three do not fit together.
pub fn propose(
    scores: &[f32],
    offsets: &[f32],
    anchors: &[Segment],
    steps: usize,
    frames: f64,
    rule: &ProposalRule,
) -> Vec<Proposal> {
    assert!(scores.len() == 2 * anchors.len() && offsets.len() == scores.len(), "two scores and offsets an anchor");
    let per_step = anchors.len() / steps;
    let mut proposals: Vec<Proposal> = Vec::with_capacity(anchors.len());
    for (index, anchor) in anchors.iter().enumerate() {
        let (step, number) = (index / per_step, index % per_step);
        let at = |channel: usize| channel * steps + step;
        let (nothing, action) = (scores[at(number)], scores[at(per_step + number)]);
        let score = 1.0 / (1.0 + (nothing - action).exp());
        let segment = anchor.moved([offsets[at(2 * number)], offsets[at(2 * number + 1)]]).clipped(frames);
        // What lies behind the end of the video is nothing, and an unusable number is not a segment.
        if segment.length() > 0.0 && score.is_finite() {
            proposals.push(Proposal { segment, score });
        }
    }
    proposals.sort_by(|a, b| b.score.total_cmp(&a.score));
    proposals.truncate(rule.before_nms);
    let ranked: Vec<Segment> = proposals.iter().map(|one| one.segment).collect();
    segment_nms(&ranked, rule.max_tiou, rule.most).into_iter().map(|at| proposals[at]).collect()
}

/// Steps of the features that each of `BINS` equal parts of a segment touches, as first and one after the last. Neighbours may
/// share a step; every part has at least one.
///
/// `roi_temporal_pooling` of R-C3D.pytorch rounds a segment's ends to whole steps first. Here they stay where they are, so that
/// a short segment is not pooled from what lies beside it.
pub fn temporal_bins<const BINS: usize>(segment: &Segment, step_frames: usize, steps: usize) -> [(usize, usize); BINS] {
    let first = segment.start / step_frames as f64;
    let bin = segment.length() / step_frames as f64 / BINS as f64;
    std::array::from_fn(|at| {
        // A millionth of a step is rounding, and touches nothing.
        let start = ((first + at as f64 * bin) + 1e-6).floor().clamp(0.0, (steps - 1) as f64) as usize;
        let end = ((first + (at + 1) as f64 * bin) - 1e-6).ceil().clamp(0.0, steps as f64) as usize;
        (start, end.max(start + 1))
    })
}

/// Temporal RoI max-pooling: for each segment the largest features in each of its parts. The picture was pooled before, in
/// the graph (R-C3D, section 3.3).
///
/// # Shapes
/// `features` is channels x steps x cells, the answer segments x channels x `BINS` x cells.
///
/// # Panics
/// When `features` has another length.
pub fn pool_segments<const BINS: usize>(
    features: &[f32],
    [channels, steps, cells]: [usize; 3],
    segments: &[Segment],
    step_frames: usize,
) -> Vec<f32> {
    assert_eq!(features.len(), channels * steps * cells, "channels x steps x cells");
    let mut pooled = vec![f32::NEG_INFINITY; segments.len() * channels * BINS * cells];
    for (segment, pooled) in segments.iter().zip(pooled.chunks_exact_mut(channels * BINS * cells)) {
        let bins: [(usize, usize); BINS] = temporal_bins(segment, step_frames, steps);
        for (features, pooled) in features.chunks_exact(steps * cells).zip(pooled.chunks_exact_mut(BINS * cells)) {
            for ((start, end), pooled) in bins.iter().zip(pooled.chunks_exact_mut(cells)) {
                for step in features[start * cells..end * cells].chunks_exact(cells) {
                    pooled.iter_mut().zip(step).for_each(|(largest, &value)| *largest = largest.max(value));
                }
            }
        }
    }
    pooled
}

/// A segment and what it shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledSegment {
    /// In frames of the buffer.
    pub segment: Segment,
    /// Index of the label.
    pub label: usize,
    /// Its probability.
    pub score: f32,
}

/// What the head says about proposals: for each label the proposal moved as that label says, with its probability, where it
/// is at least `min_score`.
///
/// # Shapes
/// For each proposal, `scores` has 1 + labels logits, the background first, and `offsets` two for each of these.
///
/// # Panics
/// When the lengths do not fit together.
pub fn label_segments(
    scores: &[f32],
    offsets: &[f32],
    proposals: &[Segment],
    frames: f64,
    deviations: [f32; 2],
    min_score: f32,
) -> Vec<LabelledSegment> {
    if proposals.is_empty() {
        return vec![];
    }
    let classes = scores.len() / proposals.len();
    assert!(scores.len() == classes * proposals.len() && offsets.len() == 2 * scores.len(), "a row for each proposal");
    let mut found = Vec::new();
    let mut row = vec![0.0; classes];
    for (at, proposal) in proposals.iter().enumerate() {
        row.copy_from_slice(&scores[at * classes..(at + 1) * classes]);
        crate::softmax(&mut row);
        for (class, &score) in row.iter().enumerate().skip(1).filter(|(_, score)| **score >= min_score) {
            let place = 2 * (at * classes + class);
            let offset = [offsets[place] * deviations[0], offsets[place + 1] * deviations[1]];
            let segment = proposal.moved(offset).clipped(frames);
            if segment.length() > 0.0 {
                found.push(LabelledSegment { segment, label: class - 1, score });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_lie_around_the_middle_of_steps() {
        let found = anchors(3, 8, &[2.0, 1.0]);
        assert_eq!(found.len(), 6);
        assert_eq!((found[0], found[1]), (Segment::new(-4.0, 12.0), Segment::new(0.0, 8.0)));
        assert_eq!(found[5], Segment::new(16.0, 24.0));
    }

    #[test]
    fn the_best_anchors_are_moved_clipped_and_thinned_out() {
        // Two steps of 8 frames, two anchors: lengths of 8 and 16 frames.
        let anchors = anchors(2, 8, &[1.0, 2.0]);
        // Channels: nothing, nothing, action, action; the second step's short anchor is best, then its long one.
        let scores = [0.0, 0.0, 0.0, 0.0, -1.0, 3.0, -2.0, 2.0];
        // The long anchor of the second step is moved a quarter of its length forwards: frames 8 to 24, of which 16 are there.
        let offsets = [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0];
        let rule = ProposalRule { before_nms: 4, max_tiou: 0.9, most: 3 };
        let found = propose(&scores, &offsets, &anchors, 2, 16.0, &rule);
        let segments: Vec<Segment> = found.iter().map(|one| one.segment).collect();
        // The long one became the short one and is left out for it; the third is the short one of the first step.
        assert_eq!(segments, [Segment::new(8.0, 16.0), Segment::new(0.0, 8.0), Segment::new(0.0, 12.0)]);
        assert!((found[0].score - 1.0 / (1.0 + (-3f32).exp())).abs() < 1e-6);
        // A video that ends after 6 frames has nothing in the second step.
        let found = propose(&scores, &offsets, &anchors, 2, 6.0, &rule);
        assert!(found.iter().all(|one| one.segment.end <= 6.0), "{found:?}");
    }

    #[test]
    fn parts_of_segments_touch_the_steps_that_they_should() {
        let bins = |start: f64, end: f64| temporal_bins::<4>(&Segment::new(start, end), 8, 12);
        assert_eq!(bins(0.0, 32.0), [(0, 1), (1, 2), (2, 3), (3, 4)]);
        assert_eq!(bins(4.0, 36.0), [(0, 2), (1, 3), (2, 4), (3, 5)]);
        // Within one step, and at the very end.
        assert_eq!(bins(1.0, 3.0), [(0, 1); 4]);
        assert_eq!(bins(95.9, 96.0), [(11, 12); 4]);
        assert_eq!(bins(96.0, 96.0), [(11, 12); 4]);
    }

    #[test]
    fn pooling_takes_the_largest_of_each_part() {
        // One channel of 8 steps, two cells: the second holds the negative of the first.
        let features: Vec<f32> = (0..8).flat_map(|step| [step as f32, -(step as f32)]).collect();
        let found = pool_segments::<4>(&features, [1, 8, 2], &[Segment::new(0.0, 64.0), Segment::new(16.0, 24.0)], 8);
        assert_eq!(found[..8], [1.0, 0.0, 3.0, -2.0, 5.0, -4.0, 7.0, -6.0]);
        assert_eq!(found[8..], [2.0, -2.0, 2.0, -2.0, 2.0, -2.0, 2.0, -2.0]);
    }

    #[test]
    fn labels_move_proposals_each_in_its_own_way() {
        let proposals = [Segment::new(10.0, 20.0)];
        let scores = [0.0, 2.0, -9.0];
        let offsets = [9.0, 9.0, 1.0, 0.0, 0.0, 0.0];
        let found = label_segments(&scores, &offsets, &proposals, 20.0, [0.1, 0.2], 0.01);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].label, found[0].segment.end), (0, 20.0));
        assert!((found[0].segment.start - 11.0).abs() < 1e-6 && (found[0].score - 0.8808).abs() < 1e-3, "{found:?}");
        assert_eq!(label_segments(&[], &[], &[], 20.0, [0.1, 0.2], 0.01), []);
    }
}
