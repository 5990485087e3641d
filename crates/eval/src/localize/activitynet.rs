//! ActivityNet's way to match and to count (`eval_detection.py`).

use super::segment::{Scored, Span, tiou};

/// Whether each detection of a class in a video, in the order of the scores, is right.
///
/// The walk goes over the detections: each takes the free action that it overlaps most, if by `threshold` or more. Of actions
/// that it overlaps equally it takes the later one of the annotations, as the official program does.
pub fn matches(truth: &[Span], found: &[Scored], threshold: f64) -> Vec<bool> {
    let mut is_free = vec![true; truth.len()];
    let take = |one: &Scored| {
        let free = truth.iter().enumerate().filter(|(place, _)| is_free[*place]);
        let overlaps = free.map(|(place, &action)| (place, tiou(one.span, action)));
        let best = overlaps.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, most)| *most >= threshold);
        if let Some((place, _)) = best {
            is_free[place] = false;
        }
        best.is_some()
    };
    found.iter().map(take).collect()
}

/// The area below the curve of precision over recall, where the precision at a recall is the best at that recall or more.
pub fn average_precision(ranked: &[bool], positives: usize) -> f64 {
    let mut right = ranked.iter().filter(|right| **right).count();
    let (mut best, mut sum) = (0.0f64, 0.0);
    for (place, _) in ranked.iter().enumerate().rev().filter(|(_, right)| **right) {
        best = best.max(right as f64 / (place + 1) as f64);
        sum += best;
        right -= 1;
    }
    sum / positives as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spans: &[Span]) -> Vec<Scored> {
        spans.iter().map(|&span| Scored { span, score: 0.0 }).collect()
    }

    #[test]
    fn each_detection_takes_what_it_overlaps_most() {
        // The better score comes first, though the other fits better.
        let two = found(&[(0.0, 6.0), (0.0, 9.0)]);
        assert_eq!(matches(&[(0.0, 10.0)], &two, 0.5), [true, false]);
        // The first takes the second action, which it fits; the other is left for the second.
        assert_eq!(matches(&[(0.0, 10.0), (0.0, 6.0)], &two, 0.5), [true, true]);
        // Where the best is taken, the next will do.
        assert_eq!(matches(&[(0.0, 9.0), (0.0, 10.0)], &found(&[(0.0, 9.0); 3]), 0.5), [true, true, false]);
    }

    #[test]
    fn an_overlap_of_the_threshold_is_enough() {
        assert_eq!(matches(&[(0.0, 10.0)], &found(&[(0.0, 5.0)]), 0.5), [true]);
        assert_eq!(matches(&[(0.0, 10.0)], &found(&[(0.0, 4.9)]), 0.5), [false]);
        assert_eq!(matches(&[(0.0, 10.0)], &found(&[(9.0, 0.0)]), 0.5), [false]);
    }

    #[test]
    fn precision_is_that_of_what_follows_where_it_is_better() {
        // Precisions at what is right: 1/2, 2/3.
        assert_eq!(average_precision(&[false, true, true], 4), (2.0 / 3.0 + 2.0 / 3.0) / 4.0);
        assert_eq!(average_precision(&[true, false, true], 2), (1.0 + 2.0 / 3.0) / 2.0);
        assert_eq!(average_precision(&[], 4), 0.0);
    }
}
