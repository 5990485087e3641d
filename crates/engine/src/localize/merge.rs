//! From what windows found to the segments of a video.

use std::cmp::Ordering;

use unscene_vision::{Segment, segment_nms};

/// A segment in seconds, with its class; proposals are all of one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub segment: Segment,
    pub label: usize,
    pub score: f32,
}

/// Leaves out segments for better ones of their class that they overlap by more than `max_tiou`; of equal scores the earlier
/// counts as the better.
pub(super) fn thin_out(mut found: Vec<Candidate>, max_tiou: f64) -> Vec<Candidate> {
    found.sort_by(|a, b| a.label.cmp(&b.label).then(best(a, b)));
    let mut kept = Vec::new();
    for class in found.chunk_by(|a, b| a.label == b.label) {
        let ranked: Vec<Segment> = class.iter().map(|one| one.segment).collect();
        kept.extend(segment_nms(&ranked, max_tiou, usize::MAX).into_iter().map(|at| class[at]));
    }
    kept
}

/// The best first; of equal scores the earlier.
fn best(a: &Candidate, b: &Candidate) -> Ordering {
    let (one, other) = (a.segment, b.segment);
    b.score.total_cmp(&a.score).then(one.start.total_cmp(&other.start)).then(one.end.total_cmp(&other.end))
}

/// Once there are twice as many as `most`, leaves the `most` best: nothing that is left out could be among them later.
pub(super) fn keep_best(found: &mut Vec<Candidate>, most: usize) {
    if found.len() >= most.saturating_mul(2) {
        found.select_nth_unstable_by(most, best);
        found.truncate(most);
    }
}

/// The best, best first; of equal scores the earlier.
pub(super) fn best_first(mut found: Vec<Candidate>, most: Option<usize>) -> Vec<Candidate> {
    found.sort_by(best);
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
    fn each_class_leaves_out_its_own() {
        for max_tiou in [0.0, 0.3, 0.7] {
            let found = thin_out(some(), max_tiou);
            assert!(found.len() < 600, "{}", found.len());
            for label in 0..3 {
                let class: Vec<Candidate> = some().into_iter().filter(|one| one.label == label).collect();
                let own: Vec<Candidate> = found.iter().filter(|one| one.label == label).copied().collect();
                assert_eq!(own, thin_out(class, max_tiou), "{label} {max_tiou}");
            }
            // What is left out overlaps a better one of its class.
            let better = |left: &Candidate, one: &Candidate| {
                left.label == one.label && left.score >= one.score && left.segment.tiou(&one.segment) > max_tiou
            };
            assert!(some().iter().all(|one| found.contains(one) || found.iter().any(|left| better(left, one))));
        }
        assert_eq!(thin_out(some(), 1.0).len(), 600);
    }

    #[test]
    fn what_is_held_has_an_end_and_the_best_in_it() {
        let mut held = Vec::new();
        for one in some() {
            held.push(one);
            keep_best(&mut held, 50);
            assert!(held.len() < 100);
        }
        assert_eq!(best_first(held, Some(50)), best_first(some(), Some(50)));
        let mut all = some();
        for most in [usize::MAX, usize::MAX / 2 + 1] {
            keep_best(&mut all, most);
            assert_eq!(all.len(), 600);
        }
    }

    #[test]
    fn the_best_come_first_and_the_earlier_of_equals() {
        let one = |start, score| Candidate { segment: Segment::new(start, start + 1.0), label: 0, score };
        let found = best_first(vec![one(5.0, 0.5), one(1.0, 0.5), one(9.0, 0.9)], Some(2));
        assert_eq!(found, [one(9.0, 0.9), one(1.0, 0.5)]);
    }
}
