//! Which detections of a class are right.

use std::collections::HashMap;
use std::hash::Hash;

/// Whose way to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// VOC's devkit (`VOCevaldet`, from 2010 on): a detection looks at the truth that it overlaps most, taken or free, and is right
    /// if that is free and the overlap is the threshold or more.
    Voc,
    /// ROAD's release (`get_PR_curve`, Singh et al. 2017): a detection takes the free truth that it overlaps most, if by more than
    /// the threshold.
    Road,
}

/// What became of a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is the first that finds its truth.
    Right,
    /// Its truth was found before. By ROAD's rule there is no such thing: what is taken is not looked at.
    Again,
    /// It overlaps no truth enough.
    Wrong,
}

/// Positions by score, the highest first; of equal scores what came first stays first, so that numbers do not depend on the machine.
pub fn ranked<T>(found: &[T], score: impl Fn(&T) -> f32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|&a, &b| score(&found[b]).total_cmp(&score(&found[a])));
    order
}

/// Matches detections of one class, the best first, with the truths of their place, a frame or a video.
///
/// Of truths that a detection overlaps equally it looks at the first free one. The devkit looks at the first, free or not; but where
/// two actors have the same box, as in UCF101-24, the truth itself would be wrong then.
pub fn matches<P: Eq + Hash, T, D>(
    rule: Rule,
    truths: &HashMap<P, Vec<T>>,
    ranked: &[D],
    place: impl Fn(&D) -> P,
    iou: impl Fn(&D, &T) -> f64,
    threshold: f64,
) -> Vec<Match> {
    let mut taken: HashMap<P, Vec<bool>> = HashMap::new();
    let matched = |one: &D| {
        let place = place(one);
        let Some(truths) = truths.get(&place) else { return Match::Wrong };
        let taken = taken.entry(place).or_insert_with(|| vec![false; truths.len()]);
        let mut best: Option<(usize, f64)> = None;
        for (at, truth) in truths.iter().enumerate().filter(|(at, _)| rule == Rule::Voc || !taken[*at]) {
            let iou = iou(one, truth);
            if best.is_none_or(|(before, most)| iou > most || iou == most && taken[before] && !taken[at]) {
                best = Some((at, iou));
            }
        }
        let is_enough = |iou: f64| match rule {
            Rule::Voc => iou >= threshold,
            Rule::Road => iou > threshold,
        };
        let Some((at, _)) = best.filter(|(_, iou)| is_enough(*iou)) else { return Match::Wrong };
        if std::mem::replace(&mut taken[at], true) { Match::Again } else { Match::Right }
    };
    ranked.iter().map(matched).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truths and detections on a line, the overlap of which is written beside each detection.
    fn of(rule: Rule, overlaps: &[&[f64]]) -> Vec<Match> {
        let truths = HashMap::from([((), (0..overlaps[0].len()).collect::<Vec<usize>>())]);
        matches(rule, &truths, overlaps, |_| (), |one, truth| one[*truth], 0.5)
    }

    #[test]
    fn what_is_taken_is_a_mistake_or_passed_over() {
        // The second fits the first truth better, which is taken, and the other well enough.
        let two: [&[f64]; 2] = [&[0.9, 0.1], &[0.8, 0.7]];
        assert_eq!(of(Rule::Voc, &two), [Match::Right, Match::Again]);
        assert_eq!(of(Rule::Road, &two), [Match::Right, Match::Right]);
        let again: [&[f64]; 2] = [&[0.9], &[0.8]];
        assert_eq!(of(Rule::Voc, &again), [Match::Right, Match::Again]);
        assert_eq!(of(Rule::Road, &again), [Match::Right, Match::Wrong]);
    }

    #[test]
    fn the_threshold_is_enough_or_too_little() {
        assert_eq!(of(Rule::Voc, &[&[0.5]]), [Match::Right]);
        assert_eq!(of(Rule::Road, &[&[0.5]]), [Match::Wrong]);
        assert_eq!(of(Rule::Road, &[&[0.5001]]), [Match::Right]);
    }

    #[test]
    fn of_equal_overlaps_the_first_free_truth_is_taken() {
        for rule in [Rule::Voc, Rule::Road] {
            // Had the first taken the second truth, the second would find nothing free.
            assert_eq!(of(rule, &[&[0.6, 0.6], &[0.0, 0.9]]), [Match::Right, Match::Right], "{rule:?}");
            // Two actors in the same place.
            assert_eq!(of(rule, &[&[0.6, 0.6], &[0.6, 0.6]]), [Match::Right, Match::Right], "{rule:?}");
        }
        let three: [&[f64]; 3] = [&[0.6, 0.6], &[0.6, 0.6], &[0.6, 0.6]];
        assert_eq!(of(Rule::Voc, &three), [Match::Right, Match::Right, Match::Again]);
    }
}
