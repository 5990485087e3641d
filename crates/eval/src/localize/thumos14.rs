//! The official THUMOS14 kit's way to match and to count (`TH14evalDet.m`).

use super::segment::{Scored, Span};

/// Whether each detection of a class in a video, in the order of the scores, is right; `None` counts neither as right nor as
/// wrong.
///
/// The walk goes over the truth: each action takes the free detection that overlaps it most, if by more than `threshold`,
/// whatever its score. What is left and touches an ambiguous moment is out of the count.
pub fn matches(truth: &[Span], ambiguous: &[Span], found: &[Scored], threshold: f64) -> Vec<Option<bool>> {
    let mut right = vec![false; found.len()];
    for &action in truth {
        let mut best: Option<(usize, f64)> = None;
        for (place, one) in found.iter().enumerate().filter(|(place, _)| !right[*place]) {
            let tiou = overlap(action, one.span);
            if best.is_none_or(|(_, most)| tiou > most) {
                best = Some((place, tiou));
            }
        }
        if let Some((place, _)) = best.filter(|(_, most)| *most > threshold) {
            right[place] = true;
        }
    }
    let is_clear = |one: &Scored| ambiguous.iter().all(|&moment| overlap(moment, one.span) == 0.0);
    let counted = |(one, right): (&Scored, bool)| (right || is_clear(one)).then_some(right);
    found.iter().zip(right).map(counted).collect()
}

/// The sum of the precisions at each right detection over the number of actions.
pub fn average_precision(ranked: &[bool], positives: usize) -> f64 {
    let (mut right, mut sum) = (0, 0.0);
    for (place, _) in ranked.iter().enumerate().filter(|(_, right)| **right) {
        right += 1;
        sum += f64::from(right) / (place + 1) as f64;
    }
    sum / positives as f64
}

/// What two spans have in common over all from the first start to the last end, which is rounded as the kit's is.
fn overlap(a: Span, b: Span) -> f64 {
    let common = a.1.min(b.1) - a.0.max(b.0);
    if common > 0.0 { common / (a.1.max(b.1) - a.0.min(b.0)) } else { 0.0 }
}

/// A span with its times in order: the kit takes those that end before they begin for written the wrong way round.
pub fn in_order(span: Span) -> Span {
    (span.0.min(span.1), span.0.max(span.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spans: &[Span]) -> Vec<Scored> {
        spans.iter().map(|&span| Scored { span, score: 0.0 }).collect()
    }

    #[test]
    fn each_action_takes_what_overlaps_it_most() {
        // The better score overlaps less: it is left, and wrong.
        let two = found(&[(0.0, 6.0), (0.0, 9.0)]);
        assert_eq!(matches(&[(0.0, 10.0)], &[], &two, 0.5), [Some(false), Some(true)]);
        // A second action takes what is left.
        assert_eq!(matches(&[(0.0, 10.0), (0.0, 8.0)], &[], &two, 0.5), [Some(true), Some(true)]);
        // Of equal overlaps the better score.
        let equal = found(&[(0.0, 9.0), (1.0, 10.0)]);
        assert_eq!(matches(&[(0.0, 10.0)], &[], &equal, 0.5), [Some(true), Some(false)]);
        // What an action took is not given up for one that it fits better.
        assert_eq!(matches(&[(0.0, 10.0), (0.0, 9.0)], &[], &equal[..1], 0.5), [Some(true)]);
    }

    #[test]
    fn an_overlap_of_the_threshold_is_too_little() {
        let half = found(&[(0.0, 5.0)]);
        assert_eq!(matches(&[(0.0, 10.0)], &[], &half, 0.5), [Some(false)]);
        assert_eq!(matches(&[(0.0, 10.0)], &[], &half, 0.49), [Some(true)]);
        assert_eq!(in_order((5.1, 0.0)), (0.0, 5.1));
    }

    #[test]
    fn wrong_ones_at_ambiguous_moments_are_not_counted() {
        let all = found(&[(0.0, 9.0), (8.0, 12.0), (12.0, 13.0), (20.0, 21.0)]);
        let matched = matches(&[(0.0, 10.0)], &[(8.5, 12.0)], &all, 0.5);
        assert_eq!(matched, [Some(true), None, Some(false), Some(false)]);
    }

    #[test]
    fn precision_is_summed_at_what_is_right() {
        assert_eq!(average_precision(&[true, false, true], 4), (1.0 + 2.0 / 3.0) / 4.0);
        assert_eq!(average_precision(&[], 4), 0.0);
        assert_eq!(average_precision(&[false], 4), 0.0);
    }
}
