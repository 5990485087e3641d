//! From what windows found to the segments of a video.

use unscene_vision::{Segment, segment_nms};

/// A segment in seconds, with its class; proposals are all of one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub segment: Segment,
    pub label: usize,
    pub score: f32,
}

/// Leaves out segments for better ones of their class that they overlap by more than `max_tiou`.
///
/// The answer is that of [`segment_nms`] over each class. It is called for each group of segments that hang together in time,
/// as those of other groups do not matter: a long video with gaps costs in proportion to its length, and one without grows faster.
pub(super) fn thin_out(mut found: Vec<Candidate>, max_tiou: f64) -> Vec<Candidate> {
    found.sort_by(|a, b| a.label.cmp(&b.label).then(a.segment.start.total_cmp(&b.segment.start)));
    let mut kept = Vec::new();
    let mut rest = found.as_slice();
    while let Some(first) = rest.first() {
        let mut end = first.segment.end;
        let hangs = |next: &&Candidate| {
            let hangs = next.label == first.label && next.segment.start < end.max(first.segment.end);
            end = end.max(if hangs { next.segment.end } else { end });
            hangs
        };
        let length = rest.iter().take_while(hangs).count().max(1);
        let (group, others) = rest.split_at(length);
        let segments: Vec<Segment> = group.iter().map(|one| one.segment).collect();
        let scores: Vec<f32> = group.iter().map(|one| one.score).collect();
        kept.extend(segment_nms(&segments, &scores, max_tiou, usize::MAX).into_iter().map(|at| group[at]));
        rest = others;
    }
    kept
}

/// The best, best first; of equal scores the earlier.
pub(super) fn best_first(mut found: Vec<Candidate>, most: Option<usize>) -> Vec<Candidate> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.segment.start.total_cmp(&b.segment.start)));
    found.truncate(most.unwrap_or(usize::MAX));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments here and there, from a formula: starts from 0 to 400, lengths from 1 to 20, three classes.
    fn some() -> Vec<Candidate> {
        let number = |at: usize, step: usize, below: usize| (at * step + at * at % 17) % below;
        let one = |at: usize| {
            let start = number(at, 7919, 4000) as f64 / 10.0;
            let length = 1.0 + number(at, 104_729, 190) as f64 / 10.0;
            let score = number(at, 1_299_709, 1009) as f32 / 1009.0;
            Candidate { segment: Segment::new(start, start + length), label: at % 3, score }
        };
        (0..600).map(one).collect()
    }

    #[test]
    fn groups_give_what_whole_classes_give() {
        for max_tiou in [0.0, 0.3, 0.7, 1.0] {
            let found = best_first(thin_out(some(), max_tiou), None);
            let mut expected = Vec::new();
            for label in 0..3 {
                // In order of time, so that equal scores are resolved alike.
                let mut class: Vec<Candidate> = some().into_iter().filter(|one| one.label == label).collect();
                class.sort_by(|a, b| a.segment.start.total_cmp(&b.segment.start));
                let segments: Vec<Segment> = class.iter().map(|one| one.segment).collect();
                let scores: Vec<f32> = class.iter().map(|one| one.score).collect();
                expected.extend(segment_nms(&segments, &scores, max_tiou, 600).into_iter().map(|at| class[at]));
            }
            assert_eq!(found, best_first(expected, None), "{max_tiou}");
            assert!(max_tiou == 1.0 || found.len() < 600, "{}", found.len());
        }
    }

    #[test]
    fn the_best_come_first_and_the_earlier_of_equals() {
        let one = |start, score| Candidate { segment: Segment::new(start, start + 1.0), label: 0, score };
        let found = best_first(vec![one(5.0, 0.5), one(1.0, 0.5), one(9.0, 0.9)], Some(2));
        assert_eq!(found, [one(9.0, 0.9), one(1.0, 0.5)]);
    }
}
