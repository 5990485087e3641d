//! What features tell about the scene: the accuracy of a linear classifier that is trained on them afresh.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::Serialize;

use crate::error::{EvalError, Result};
use crate::linear::classify;

/// Parts that take turns as the test.
const FOLDS: usize = 5;

/// How well a label can be read off features. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// Videos used.
    pub videos: usize,
    /// Labels that they have.
    pub labels: usize,
    /// Values of a video's features.
    pub features: usize,
    /// Share of videos whose label is predicted by a classifier that was trained on the others.
    pub accuracy: f64,
    /// Share of the commonest label: what can be had without looking.
    pub chance: f64,
    /// Parts that took turns as the test.
    pub folds: usize,
}

/// Trains multinomial logistic regression (L2 with weight 1, on features of mean 0 and deviation 1) on four fifths of the videos
/// and tests on the rest, five times, so that every video is tested once. The problem is convex: only `seed`, which deals
/// the videos into fifths, is left to chance.
///
/// Where labels go with actions, features of actions predict them: measure on videos in which they do not.
///
/// # Errors
/// With fewer than two labels or fewer videos than fifths.
pub fn probe(features: &[Vec<f64>], labels: &[usize], seed: u64) -> Result<ProbeReport> {
    let width = features.first().map_or(0, Vec::len);
    let mut present: Vec<usize> = labels.to_vec();
    present.sort_unstable();
    present.dedup();
    if width == 0 || present.len() < 2 || labels.len() < 2 * FOLDS {
        return Err(EvalError::TooFew(format!(
            "a probe needs features, at least two labels and {} videos; found {} videos with {} labels and {width} features",
            2 * FOLDS,
            labels.len(),
            present.len()
        )));
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(&mut Pcg64::seed_from_u64(seed));
    let rows = |of: &[usize]| of.iter().map(|&video| features[video].as_slice()).collect::<Vec<_>>();
    let mut right = 0;
    for fold in 0..FOLDS {
        let in_fold = |(position, _): &(usize, &usize)| position % FOLDS == fold;
        let test: Vec<usize> = order.iter().enumerate().filter(in_fold).map(|(_, &video)| video).collect();
        let train: Vec<usize> = order.iter().enumerate().filter(|at| !in_fold(at)).map(|(_, &video)| video).collect();
        let truth: Vec<usize> = train.iter().map(|&video| labels[video]).collect();
        let found = classify(&rows(&train), &truth, &rows(&test))?;
        right += found.iter().zip(&test).filter(|(found, video)| **found == labels[**video]).count();
    }
    let commonest = present.iter().map(|label| labels.iter().filter(|other| *other == label).count()).max();
    let share = |count: usize| count as f64 / labels.len() as f64;
    Ok(ProbeReport {
        videos: labels.len(),
        labels: present.len(),
        features: width,
        accuracy: share(right),
        chance: share(commonest.unwrap_or(0)),
        folds: FOLDS,
    })
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn noise(videos: usize, width: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = Pcg64::seed_from_u64(seed);
        (0..videos).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
    }

    #[test]
    fn a_label_in_the_features_is_found_and_one_that_is_not_is_not() {
        let labels: Vec<usize> = (0..120).map(|video| video * 7 % 4).collect();
        let mut features = noise(120, 12, 1);
        let blind = probe(&features, &labels, 0).unwrap();
        assert!(blind.accuracy < 0.4, "{blind:?}");
        assert_eq!((blind.videos, blind.labels, blind.features, blind.chance), (120, 4, 12, 0.25));
        // A tenth of the noise in another unit, and a feature that never changes.
        for (video, features) in features.iter_mut().enumerate() {
            features[labels[video]] += 1000.0;
            features[11] = 5.0;
        }
        let seeing = probe(&features, &labels, 0).unwrap();
        assert_eq!(seeing.accuracy, 1.0);
        assert_eq!(seeing, probe(&features, &labels, 0).unwrap());
    }

    #[test]
    fn too_little_is_named() {
        for (features, labels) in [
            (noise(20, 3, 0), vec![1; 20]),
            (noise(4, 3, 0), vec![0, 1, 0, 1]),
            (vec![vec![]; 20], (0..20).map(|n| n % 2).collect()),
            (vec![], vec![]),
        ] {
            let error = probe(&features, &labels, 0).unwrap_err().to_string();
            assert!(error.contains("at least two labels"), "{error}");
        }
    }
}
