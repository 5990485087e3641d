//! What anchors and proposals of R-C3D are trained towards: which show an action, and how far they are from it.

use crate::segments::Segment;

/// What an anchor is trained to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorTarget {
    /// Nothing: it is neither right nor wrong, or reaches out of the buffer.
    Ignore,
    /// That it shows nothing.
    Background,
    /// That it shows the action of this position among the truths.
    Action(usize),
}

/// Overlaps (tIoU) that make an anchor an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnchorRule {
    /// From here on it shows an action; also does the best one of every action.
    pub action: f64,
    /// Below this it shows nothing.
    pub background: f64,
}

/// Matches anchors that lie within the buffer with the truth, as R-C3D.pytorch: an anchor shows an action when it overlaps one
/// enough, or when no anchor overlaps that action more.
pub fn match_anchors(anchors: &[Segment], truths: &[Segment], frames: f64, rule: &AnchorRule) -> Vec<AnchorTarget> {
    let inside = |anchor: &Segment| anchor.start >= 0.0 && anchor.end <= frames;
    let overlaps: Vec<Vec<f64>> = anchors
        .iter()
        .map(|anchor| match inside(anchor) {
            true => truths.iter().map(|truth| anchor.tiou(truth)).collect(),
            false => vec![],
        })
        .collect();
    let mut best = vec![0f64; truths.len()];
    for row in &overlaps {
        best.iter_mut().zip(row).for_each(|(best, &overlap)| *best = best.max(overlap));
    }
    anchors
        .iter()
        .zip(&overlaps)
        .map(|(anchor, row)| {
            let Some((truth, largest)) = largest(row) else {
                // Without a truth everything within is background.
                let is_background = truths.is_empty() && inside(anchor);
                return if is_background { AnchorTarget::Background } else { AnchorTarget::Ignore };
            };
            let is_best = row.iter().zip(&best).any(|(overlap, best)| *best > 0.0 && overlap == best);
            match (is_best || largest >= rule.action, largest < rule.background) {
                (true, _) => AnchorTarget::Action(truth),
                (false, true) => AnchorTarget::Background,
                (false, false) => AnchorTarget::Ignore,
            }
        })
        .collect()
}

/// The position and value of the largest overlap, the first of equals.
fn largest(row: &[f64]) -> Option<(usize, f64)> {
    row.iter().copied().enumerate().reduce(|best, one| if one.1 > best.1 { one } else { best })
}

/// Leaves at most `most` examples, of which at most `share` show an action; others become [`AnchorTarget::Ignore`].
/// `below(n)` draws a number below n.
pub fn sample_anchors(targets: &mut [AnchorTarget], most: usize, share: f64, below: &mut dyn FnMut(usize) -> usize) {
    let of = |targets: &[AnchorTarget], action: bool| -> Vec<usize> {
        let is_one = |target: &AnchorTarget| match target {
            AnchorTarget::Ignore => false,
            AnchorTarget::Background => !action,
            AnchorTarget::Action(_) => action,
        };
        targets.iter().enumerate().filter(|(_, target)| is_one(target)).map(|(at, _)| at).collect()
    };
    let actions = of(targets, true);
    let most_actions = (share * most as f64) as usize;
    let left = actions.len().min(most_actions);
    for at in all_but(actions, most_actions, below) {
        targets[at] = AnchorTarget::Ignore;
    }
    for at in all_but(of(targets, false), most - left, below) {
        targets[at] = AnchorTarget::Ignore;
    }
}

/// All but `count` that are drawn.
fn all_but(mut list: Vec<usize>, count: usize, below: &mut dyn FnMut(usize) -> usize) -> Vec<usize> {
    let count = count.min(list.len());
    // Fisher and Yates, as far as it is needed.
    for at in 0..count {
        let other = at + below(list.len() - at);
        list.swap(at, other);
    }
    list.split_off(count)
}

/// A segment that the head is trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionTarget {
    /// In frames of the buffer.
    pub segment: Segment,
    /// The action that it shows, as a position among the truths; nothing for the background.
    pub truth: Option<usize>,
}

/// Which proposals the head is trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionRule {
    /// Segments of a buffer.
    pub regions: usize,
    /// The largest share of these that shows an action.
    pub action_share: f64,
    /// Overlap (tIoU) from which on a segment shows an action.
    pub action: f64,
    /// Overlap from which on, up to `action`, it is an example of the background: below, it is too easy.
    pub background: f64,
}

/// Draws the segments that the head is trained on, actions first, from the proposals and the truths themselves. As in
/// R-C3D.pytorch, examples are drawn again where there are too few, so that every buffer counts the same; without any, there are
/// none. `below(n)` draws a number below n.
pub fn sample_regions(
    proposals: &[Segment],
    truths: &[Segment],
    rule: &RegionRule,
    below: &mut dyn FnMut(usize) -> usize,
) -> Vec<RegionTarget> {
    let (mut actions, mut background) = (vec![], vec![]);
    for segment in proposals.iter().chain(truths).copied() {
        let row: Vec<f64> = truths.iter().map(|truth| segment.tiou(truth)).collect();
        match largest(&row) {
            Some((truth, overlap)) if overlap >= rule.action => {
                actions.push(RegionTarget { segment, truth: Some(truth) });
            }
            Some((_, overlap)) if overlap >= rule.background => background.push(RegionTarget { segment, truth: None }),
            _ => {}
        }
    }
    let most_actions = ((rule.action_share * rule.regions as f64).round() as usize).max(1);
    let mut sampled: Vec<RegionTarget> = match (actions.is_empty(), background.is_empty()) {
        (true, true) => return vec![],
        (true, false) => vec![],
        (false, true) => (0..rule.regions).map(|_| actions[below(actions.len())]).collect(),
        (false, false) => {
            let order: Vec<usize> = (0..actions.len()).collect();
            let left_out = all_but(order, most_actions, below);
            let is_in = |at: &usize| !left_out.contains(at);
            (0..actions.len()).filter(is_in).map(|at| actions[at]).collect()
        }
    };
    while sampled.len() < rule.regions {
        sampled.push(background[below(background.len())]);
    }
    sampled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(list: &[(f64, f64)]) -> Vec<Segment> {
        list.iter().map(|&(start, end)| Segment::new(start, end)).collect()
    }

    /// A generator whose numbers are not random, but differ.
    fn counter() -> impl FnMut(usize) -> usize {
        let mut number = 0;
        move |n| {
            number += 7;
            number % n
        }
    }

    #[test]
    fn anchors_that_overlap_enough_or_best_show_the_action() {
        use AnchorTarget::*;
        let anchors =
            segments(&[(0.0, 10.0), (1.0, 11.0), (4.0, 14.0), (50.0, 60.0), (-5.0, 5.0), (30.0, 40.0), (33.0, 43.0)]);
        let truths = segments(&[(0.0, 10.0), (28.0, 48.0)]);
        let rule = AnchorRule { action: 0.7, background: 0.3 };
        let found = match_anchors(&anchors, &truths, 60.0, &rule);
        // The last two overlap the long action by half, and none more.
        assert_eq!(found, [Action(0), Action(0), Ignore, Background, Ignore, Action(1), Action(1)]);
        assert_eq!(match_anchors(&anchors[3..5], &[], 60.0, &rule), [Background, Ignore]);
    }

    #[test]
    fn few_anchors_are_left_and_half_of_them_show_actions() {
        let mut targets: Vec<AnchorTarget> = (0..30).map(AnchorTarget::Action).collect();
        targets.extend([AnchorTarget::Background; 100]);
        targets.push(AnchorTarget::Ignore);
        sample_anchors(&mut targets, 20, 0.5, &mut counter());
        let count = |wanted: fn(&AnchorTarget) -> bool| targets.iter().filter(|one| wanted(one)).count();
        assert_eq!(count(|one| matches!(one, AnchorTarget::Action(_))), 10);
        assert_eq!(count(|one| matches!(one, AnchorTarget::Background)), 10);
        // Few actions leave room for background.
        let mut targets = [vec![AnchorTarget::Action(0); 2], vec![AnchorTarget::Background; 100]].concat();
        sample_anchors(&mut targets, 20, 0.5, &mut counter());
        assert_eq!(targets.iter().filter(|one| matches!(one, AnchorTarget::Background)).count(), 18);
    }

    #[test]
    fn regions_are_drawn_until_there_are_enough() {
        let truths = segments(&[(10.0, 20.0)]);
        let rule = RegionRule { regions: 8, action_share: 0.5, action: 0.5, background: 0.1 };
        let proposals = segments(&[(11.0, 20.0), (18.0, 30.0), (50.0, 60.0), (9.0, 19.0), (10.0, 21.0), (12.0, 20.0)]);
        let found = sample_regions(&proposals, &truths, &rule, &mut counter());
        assert_eq!(found.len(), 8);
        assert!(found[..4].iter().all(|one| one.truth == Some(0)), "{found:?}");
        // The only one with an overlap between 0.1 and 0.5 stands for all the background.
        assert!(found[4..].iter().all(|one| one.truth.is_none() && one.segment.start == 18.0), "{found:?}");
        let only_far = sample_regions(&proposals[2..3], &truths, &rule, &mut counter());
        assert!(only_far.len() == 8 && only_far.iter().all(|one| one.segment == truths[0]), "{only_far:?}");
        assert_eq!(sample_regions(&proposals, &[], &rule, &mut counter()), []);
    }
}
