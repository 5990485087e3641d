//! From what an SSD says of a frame to boxes with labels.

use serde::{Deserialize, Serialize};

use crate::boxes::iou;
use crate::priors::{Prior, decode_box};

/// Which boxes of a frame are told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectRule {
    /// Probability that a box must have.
    pub min_score: f32,
    /// Boxes of a class, best first, that are looked at.
    pub before_nms: usize,
    /// Overlap (IoU) above which one is left out for a better one of its class.
    pub max_iou: f32,
    /// Boxes of all classes that are left, best first.
    pub most: usize,
}

impl Default for DetectRule {
    /// Those of ssd.pytorch's test.
    fn default() -> Self {
        DetectRule { min_score: 0.01, before_nms: 200, max_iou: 0.45, most: 200 }
    }
}

/// An actor in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledBox {
    /// Index of the label.
    pub label: usize,
    /// Its probability.
    pub score: f32,
    /// Left, top, right, bottom in pixels of the displayed frame, within it.
    pub corners: [f32; 4],
}

/// The boxes of a frame of `width` x `height` pixels, best first. A prior gives a box for each class that is probable enough;
/// the frame was squeezed to the network's square, so that shares of it are shares of the frame.
///
/// # Shapes
/// `offsets` is priors x 4 and `scores` priors x (1 + labels): logits, the background first.
///
/// # Panics
/// When they do not fit together.
pub fn find_boxes(
    offsets: &[f32],
    scores: &[f32],
    priors: &[Prior],
    [width, height]: [f32; 2],
    rule: &DetectRule,
) -> Vec<LabelledBox> {
    let classes = scores.len() / priors.len().max(1);
    assert!(
        offsets.len() == 4 * priors.len() && scores.len() == classes * priors.len(),
        "offsets and scores of each prior"
    );
    let mut by_class = vec![Best::new(rule.before_nms); classes];
    let mut row = vec![0.0; classes];
    for (at, logits) in scores.chunks_exact(classes.max(1)).enumerate() {
        // Most priors see nothing: a class cannot reach the score if it stays that far behind the background.
        let most = logits[1..].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if (most - logits[0]).exp() < rule.min_score {
            continue;
        }
        row.copy_from_slice(logits);
        crate::softmax(&mut row);
        for (class, &score) in row.iter().enumerate().skip(1).filter(|(_, score)| **score >= rule.min_score) {
            by_class[class].push(score, at);
        }
    }
    let mut found: Vec<LabelledBox> = vec![];
    for (class, best) in by_class.into_iter().enumerate() {
        let first = found.len();
        for (score, at) in best.in_order() {
            let offset = [offsets[4 * at], offsets[4 * at + 1], offsets[4 * at + 2], offsets[4 * at + 3]];
            let [x1, y1, x2, y2] = decode_box(priors[at], offset).map(|side| side.clamp(0.0, 1.0));
            let corners = [x1 * width, y1 * height, x2 * width, y2 * height];
            let is_box = corners[2] > corners[0] && corners[3] > corners[1];
            if is_box && found[first..].iter().all(|better| iou(&better.corners, &corners) <= rule.max_iou) {
                found.push(LabelledBox { label: class - 1, score, corners });
            }
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(rule.most);
    found
}

/// The best priors of a class, by score; of equal ones those that come first.
#[derive(Clone)]
struct Best {
    most: usize,
    candidates: Vec<(f32, usize)>,
    /// Scores up to this are not among the best. Sorting out now and then keeps most of the others out at once.
    cut: f32,
}

impl Best {
    fn new(most: usize) -> Self {
        Best { most, candidates: vec![], cut: f32::NEG_INFINITY }
    }

    /// Takes the next prior.
    fn push(&mut self, score: f32, at: usize) {
        if score > self.cut {
            self.candidates.push((score, at));
            if self.candidates.len() >= self.most.saturating_mul(2) {
                self.sort_out();
            }
        }
    }

    fn sort_out(&mut self) {
        if self.candidates.len() > self.most && self.most > 0 {
            let (_, last, _) = self.candidates.select_nth_unstable_by(self.most - 1, Self::order);
            self.cut = last.0;
        }
        self.candidates.truncate(self.most);
    }

    fn in_order(mut self) -> Vec<(f32, usize)> {
        self.sort_out();
        self.candidates.sort_unstable_by(Self::order);
        self.candidates
    }

    fn order(a: &(f32, usize), b: &(f32, usize)) -> std::cmp::Ordering {
        b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::boxes::{Detection, nms};
    use crate::priors::{PRIOR_SCALES, prior_maps, priors};

    #[test]
    fn a_prior_that_is_sure_becomes_a_box_in_pixels() {
        let priors = [[0.5, 0.5, 0.5, 0.5], [0.1, 0.5, 0.4, 0.5]];
        // The second has the same class, moved by half its width to the right.
        let offsets = [0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0];
        let scores = [0.0, 3.0, -3.0, 0.0, 2.0, -9.0];
        let rule = DetectRule { min_score: 0.5, ..DetectRule::default() };
        let found = find_boxes(&offsets, &scores, &priors, [200.0, 100.0], &rule);
        assert_eq!(found.len(), 2, "{found:?}");
        let near = |found: [f32; 4], expected: [f32; 4]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near(found[0].corners, [50.0, 25.0, 150.0, 75.0]), "{found:?}");
        assert!(near(found[1].corners, [20.0, 25.0, 100.0, 75.0]), "{found:?}");
        let sum = 1.0 + 3f32.exp() + (-3f32).exp();
        assert!((found[0].score - 3f32.exp() / sum).abs() < 1e-6 && found[0].label == 0);
        // By a third of both together, which is too much for this rule.
        let rule = DetectRule { max_iou: 0.3, ..rule };
        assert_eq!(find_boxes(&offsets, &scores, &priors, [200.0, 100.0], &rule).len(), 1);
        assert_eq!(find_boxes(&[], &[], &[], [9.0, 9.0], &rule), []);
    }

    /// Every prior and class in turn, with the suppression that people's boxes go through.
    #[test]
    fn random_outputs_give_what_the_slow_way_gives() {
        let mut rng = Pcg64::seed_from_u64(9);
        let priors = priors(96, &prior_maps(96, &[12, 6, 3, 2], &PRIOR_SCALES));
        for (min_score, before_nms) in [(0.01, 10_000), (0.2, 10_000), (0.4, 10_000), (0.01, 30)] {
            let classes = 5;
            let mut random = |count: usize, most: f32| -> Vec<f32> {
                (0..count).map(|_| (rng.random_range(0..1000) as f32 / 500.0 - 1.0) * most).collect()
            };
            let (offsets, scores) = (random(4 * priors.len(), 2.0), random(classes * priors.len(), 3.0));
            let rule = DetectRule { min_score, before_nms, max_iou: 0.45, most: 10_000 };
            let mut expected: Vec<(usize, Detection)> = vec![];
            for class in 1..classes {
                let mut all = vec![];
                for (at, prior) in priors.iter().enumerate() {
                    let mut row = scores[at * classes..][..classes].to_vec();
                    crate::softmax(&mut row);
                    let corners = decode_box(*prior, std::array::from_fn(|side| offsets[4 * at + side]));
                    let corners = corners.map(|side| side.clamp(0.0, 1.0) * 50.0);
                    if row[class] >= min_score {
                        all.push(Detection { corners, score: row[class] });
                    }
                }
                all.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap());
                all.truncate(before_nms);
                all.retain(|one| one.corners[2] > one.corners[0] && one.corners[3] > one.corners[1]);
                expected.extend(nms(all, 0.45).into_iter().map(|one| (class - 1, one)));
            }
            expected.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
            let found = find_boxes(&offsets, &scores, &priors, [50.0, 50.0], &rule);
            assert!(!found.is_empty());
            let found: Vec<(usize, Detection)> = found
                .into_iter()
                .map(|LabelledBox { label, score, corners }| (label, Detection { corners, score }))
                .collect();
            assert_eq!(found, expected, "{min_score}");
            let few = DetectRule { before_nms: 3, most: 7, ..rule };
            assert!(find_boxes(&offsets, &scores, &priors, [50.0, 50.0], &few).len() <= 7);
        }
    }
}
