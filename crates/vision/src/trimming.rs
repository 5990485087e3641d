//! When a tube shows its action: temporal labelling by an online Viterbi (ROAD, Singh et al. 2017, section 3.4).

use crate::linking::{DetectedTube, TubeRule};
use crate::tube::Tube;

/// Frames, the surest, that a tube's score is the mean of, as in ROAD's release.
const SUREST: usize = 40;

/// Labels the frames of a tube as action or background while they arrive: the labels whose sum of scores is largest, a
/// frame's score being s for the action and 1 - s for the background, less the cost of each change.
///
/// Of the best labels up to a frame, one row ends in the action and one in the background. With two labels they part
/// once: since then one has been action and the other background throughout. So all that Viterbi's tables would hold is
/// how far the one is ahead, and how many frames wait. When one is ahead by the cost of a change, both labels of the
/// next frame follow from it, and what waits is settled.
#[derive(Debug)]
struct Labeller {
    change_cost: f64,
    delay: usize,
    /// How far the row that ends in the action is ahead.
    lead: f64,
    waiting: usize,
}

impl Labeller {
    fn new(rule: &TubeRule) -> Self {
        Labeller { change_cost: rule.change_cost, delay: rule.delay_frames, lead: 0.0, waiting: 0 }
    }

    /// What this frame and all that wait show, once it is settled: the action or not. That is what Viterbi finds at the
    /// end of the tube, unless more than `delay` frames would wait; then it is the better row so far.
    fn push(&mut self, score: f32) -> Option<bool> {
        self.lead += 2.0 * f64::from(score) - 1.0;
        self.waiting += 1;
        let is_clear = self.lead >= self.change_cost || self.lead < -self.change_cost;
        if !is_clear && self.waiting <= self.delay {
            return None;
        }
        self.waiting = 0;
        let is_action = self.is_action();
        // The other row goes on from this one, with a change.
        self.lead = if is_action { self.change_cost } else { -self.change_cost };
        Some(is_action)
    }

    /// What the frames that wait show, if none comes any more.
    fn is_action(&self) -> bool {
        self.lead >= 0.0
    }
}

/// The frames of a tube that are not told yet: those of the stretch that it shows the action in, then those that wait.
#[derive(Debug)]
pub(crate) struct Trimmer {
    labeller: Labeller,
    min_frames: usize,
    tube: Tube,
    scores: Vec<f32>,
    /// Frames of the stretch.
    shown: usize,
}

impl Trimmer {
    pub(crate) fn new(label: usize, start_frame: usize, rule: &TubeRule) -> Self {
        let tube = Tube { label, start_frame, boxes: vec![] };
        Trimmer { labeller: Labeller::new(rule), min_frames: rule.min_frames, tube, scores: vec![], shown: 0 }
    }

    /// Takes the next frame; gives the stretch that ended, once that is settled.
    pub(crate) fn push(&mut self, corners: [f32; 4], score: f32) -> Option<DetectedTube> {
        self.tube.boxes.push(corners);
        self.scores.push(score);
        match self.labeller.push(score) {
            Some(true) => {
                self.shown = self.scores.len();
                None
            }
            Some(false) => self.take(),
            None => None,
        }
    }

    /// The stretch that lasts until the end.
    pub(crate) fn finish(&mut self) -> Option<DetectedTube> {
        if self.labeller.is_action() {
            self.shown = self.scores.len();
        }
        self.take()
    }

    /// Frames held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.scores.len()
    }

    /// Gives the stretch, if it is long enough, and forgets all frames.
    fn take(&mut self) -> Option<DetectedTube> {
        let next = Tube { label: self.tube.label, start_frame: self.tube.end_frame(), boxes: vec![] };
        let mut tube = std::mem::replace(&mut self.tube, next);
        let mut scores = std::mem::take(&mut self.scores);
        let shown = std::mem::take(&mut self.shown);
        tube.boxes.truncate(shown);
        scores.truncate(shown);
        (shown >= self.min_frames.max(1)).then(|| DetectedTube { tube, score: surest_mean(&scores), scores })
    }
}

/// The mean of the highest scores.
fn surest_mean(scores: &[f32]) -> f32 {
    let mut scores = scores.to_vec();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores.truncate(SUREST);
    scores.iter().sum::<f32>() / scores.len() as f32
}

#[cfg(test)]
pub(crate) mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn rule(change_cost: f64, delay_frames: usize) -> TubeRule {
        TubeRule { change_cost, delay_frames, min_frames: 1, ..TubeRule::default() }
    }

    /// What the labels are worth, by the definition.
    fn worth(scores: &[f32], labels: &[bool], change_cost: f64) -> f64 {
        let score = |(&score, &is_action): (&f32, &bool)| f64::from(if is_action { score } else { 1.0 - score });
        let changes = labels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        scores.iter().zip(labels).map(score).sum::<f64>() - change_cost * changes as f64
    }

    /// Viterbi over a whole tube, by its tables: the first labels as given, the rest the best; of equal ones the
    /// action. With `next` the last may cost a change to it.
    fn table(scores: &[f32], given: &[bool], next: Option<bool>, change_cost: f64) -> Vec<bool> {
        const LABELS: [bool; 2] = [true, false];
        let cost = |from: bool, to: bool| if from == to { 0.0 } else { change_cost };
        let better = |worths: [f64; 2], to: Option<bool>| {
            let worth = |at: usize| worths[at] - to.map_or(0.0, |to| cost(LABELS[at], to));
            if worth(0) >= worth(1) { (0, worth(0)) } else { (1, worth(1)) }
        };
        let (mut worths, mut from) = ([0.0; 2], vec![]);
        for (at, &score) in scores.iter().enumerate() {
            let before = LABELS.map(|to| if at == 0 { (0, 0.0) } else { better(worths, Some(to)) });
            from.push(before.map(|(label, _)| label));
            worths = std::array::from_fn(|label| match given.get(at) {
                Some(given) if *given != LABELS[label] => f64::NEG_INFINITY,
                _ => before[label].1 + f64::from(if LABELS[label] { score } else { 1.0 - score }),
            });
        }
        let mut label = better(worths, next).0;
        let mut labels = vec![false; scores.len()];
        for at in (0..scores.len()).rev() {
            labels[at] = LABELS[label];
            label = from[at][label];
        }
        labels
    }

    /// The labels of all frames, found slowly: after every frame the best rows that either label of the next would
    /// follow from, by the whole table, what was settled before being given. Settled is where they agree; and, when
    /// more than `delay` frames are not, the best row so far. Also whether that ever happened.
    pub(crate) fn slowly(scores: &[f32], change_cost: f64, delay: usize) -> (Vec<bool>, bool) {
        let (mut settled, mut is_forced) = (vec![], false);
        for end in 1..=scores.len() {
            let seen = &scores[..end];
            let [action, background] = [true, false].map(|next| table(seen, &settled, Some(next), change_cost));
            let agreed = action.iter().zip(&background).take_while(|(a, b)| a == b).count();
            assert!(agreed >= settled.len());
            settled = action[..agreed].to_vec();
            if end - agreed > delay {
                settled = table(seen, &settled, None, change_cost);
                is_forced = true;
            }
        }
        (table(scores, &settled, None, change_cost), is_forced)
    }

    /// The labels that the labeller gives, and the most frames that waited.
    fn online(scores: &[f32], change_cost: f64, delay: usize) -> (Vec<bool>, usize) {
        let mut labeller = Labeller::new(&rule(change_cost, delay));
        let (mut labels, mut most) = (vec![], 0);
        for (at, &score) in scores.iter().enumerate() {
            if let Some(is_action) = labeller.push(score) {
                labels.resize(at + 1, is_action);
            }
            most = most.max(at + 1 - labels.len());
        }
        labels.resize(scores.len(), labeller.is_action());
        (labels, most)
    }

    /// Scores that stay high or low for a while; sixteenths, so that sums are exact and ties happen.
    pub(crate) fn random_scores(rng: &mut Pcg64, frames: usize) -> Vec<f32> {
        let mut is_high = rng.random_range(0..2) == 0;
        let mut score = || {
            is_high ^= rng.random_range(0..9) == 0;
            let base = if is_high { 6 } else { 0 };
            (base + rng.random_range(0..11)) as f32 / 16.0
        };
        (0..frames).map(|_| score()).collect()
    }

    #[test]
    fn no_other_labels_are_worth_more() {
        let mut rng = Pcg64::seed_from_u64(5);
        for round in 0..300 {
            let change_cost = [0.0, 0.5, 1.0, 1.75][round % 4];
            let scores = random_scores(&mut rng, 1 + round % 12);
            let (found, _) = online(&scores, change_cost, usize::MAX);
            let all = (0..1u32 << scores.len())
                .map(|bits| (0..scores.len()).map(|at| bits >> at & 1 == 1).collect::<Vec<bool>>());
            let best = all.map(|labels| worth(&scores, &labels, change_cost)).fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(worth(&scores, &found, change_cost), best, "{scores:?} {change_cost}");
            assert_eq!(table(&scores, &[], None, change_cost), found, "{scores:?} {change_cost}");
        }
    }

    #[test]
    fn what_is_settled_early_is_what_the_whole_tube_says() {
        let mut rng = Pcg64::seed_from_u64(6);
        let (mut forced, mut changed) = (0, 0);
        for round in 0..300 {
            let change_cost = [0.0, 1.0, 2.5, 4.0][round % 4];
            let scores = random_scores(&mut rng, 90);
            for delay in [0, 3, 8, 20, 90] {
                let (found, most) = online(&scores, change_cost, delay);
                let (expected, is_forced) = slowly(&scores, change_cost, delay);
                assert_eq!(found, expected, "{scores:?} {change_cost} {delay}");
                assert!(most <= delay, "{most} {delay}");
                if is_forced {
                    forced += 1;
                } else {
                    // The guarantee: whoever never had to hurry is right.
                    assert_eq!(found, table(&scores, &[], None, change_cost), "{scores:?} {change_cost} {delay}");
                    changed += usize::from(found.windows(2).any(|pair| pair[0] != pair[1]));
                }
            }
        }
        assert!(forced > 100 && changed > 100, "{forced} {changed}");
    }

    #[test]
    fn the_surest_frames_are_the_score() {
        let mut trimmer = Trimmer::new(3, 7, &rule(3.0, 9));
        for at in 0..60 {
            let score = if at % 3 == 0 { 0.5 } else { 1.0 };
            assert_eq!(trimmer.push([at as f32; 4], score), None);
        }
        let found = trimmer.finish().unwrap();
        assert_eq!((found.tube.label, found.tube.start_frame, found.tube.boxes.len()), (3, 7, 60));
        assert_eq!((found.score, found.scores[3], found.tube.boxes[59]), (1.0, 0.5, [59.0; 4]));
        // Of fewer, all of them count.
        assert_eq!(surest_mean(&[0.25, 0.75]), 0.5);
    }
}
