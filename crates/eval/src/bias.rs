//! How much of a dataset's actions the scene alone gives away, and whether debiasing pays where it is little.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{EvalError, Result};
use crate::linear::classify;

/// Share of the training videos that each seed trains on. The classifier itself leaves nothing to chance.
const SHARE: f64 = 0.8;

/// The scene representation bias of a dataset (paper, equation 1; Li et al., *RESOUND*, ECCV 2018):
/// `ln(accuracy / chance)` of naming the action by features of the scene.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SceneBias {
    /// Videos that may be trained on.
    pub train_videos: usize,
    /// Videos tested on.
    pub test_videos: usize,
    /// Actions.
    pub labels: usize,
    /// Values of a video's features.
    pub features: usize,
    /// Accuracy of each seed's classifier, from 0 to 1.
    pub accuracies: Vec<f64>,
    /// Their mean.
    pub accuracy: f64,
    /// One in the number of actions: 1.0 % for the 101 of UCF101.
    pub chance: f64,
    /// `ln(accuracy / chance)`; 0 without any bias.
    pub bias: f64,
    /// Standard deviation of the bias over the seeds.
    pub bias_std: f64,
}

/// Trains a linear classifier of actions on scene features, once per seed, each on its own random 80 % of the training videos.
///
/// # Shapes
/// Each is a list of (features, action); `labels` actions in all.
///
/// # Errors
/// With fewer than two actions in the training videos, without test videos, or when a classifier is never right: the
/// logarithm is not there then.
pub fn scene_bias(
    train: &[(Vec<f64>, usize)],
    test: &[(Vec<f64>, usize)],
    labels: usize,
    seeds: &[u64],
) -> Result<SceneBias> {
    let present: std::collections::BTreeSet<usize> = train.iter().map(|(_, action)| *action).collect();
    if present.len() < 2 || test.is_empty() || seeds.is_empty() {
        return Err(EvalError::TooFew(format!(
            "the scene bias needs training videos of two actions, test videos and a seed; found {} videos of {} actions, {} \
             test videos and {} seeds",
            train.len(),
            present.len(),
            test.len(),
            seeds.len()
        )));
    }
    let tested: Vec<&[f64]> = test.iter().map(|(features, _)| features.as_slice()).collect();
    let chance = 1.0 / labels as f64;
    let mut accuracies = Vec::new();
    for &seed in seeds {
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut Pcg64::seed_from_u64(seed));
        order.truncate(((train.len() as f64 * SHARE).ceil() as usize).max(2));
        let rows: Vec<&[f64]> = order.iter().map(|&video| train[video].0.as_slice()).collect();
        let actions: Vec<usize> = order.iter().map(|&video| train[video].1).collect();
        let found = classify(&rows, &actions, &tested)?;
        let right = found.iter().zip(test).filter(|(found, (_, action))| *found == action).count();
        if right == 0 {
            return Err(EvalError::TooFew(format!(
                "no action of the {} test videos is named by its scene, and the logarithm of nothing is no number",
                test.len()
            )));
        }
        accuracies.push(right as f64 / test.len() as f64);
    }
    let of_each: Vec<f64> = accuracies.iter().map(|accuracy| (accuracy / chance).ln()).collect();
    let accuracy = mean(&accuracies);
    Ok(SceneBias {
        train_videos: train.len(),
        test_videos: test.len(),
        labels,
        features: tested[0].len(),
        accuracy,
        chance,
        bias: (accuracy / chance).ln(),
        bias_std: deviation(&of_each),
        accuracies,
    })
}

/// The mean; not a number of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of a sample (n - 1); 0 of a single value.
pub fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

/// A linear relation between two quantities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Correlation {
    /// Pairs.
    pub n: usize,
    /// Pearson's coefficient.
    pub rho: f64,
    /// Probability of one as far from 0 without any relation: two-sided, Student's t with n - 2 degrees of freedom.
    pub p_value: f64,
}

/// Pearson's correlation of pairs.
///
/// # Errors
/// With fewer than three pairs, or where one of the quantities is always the same.
pub fn pearson(pairs: &[(f64, f64)]) -> Result<Correlation> {
    let n = pairs.len();
    let (xs, ys): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (x_mean, y_mean) = (mean(&xs), mean(&ys));
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| of(x - x_mean, y - y_mean)).sum::<f64>();
    let (xy, xx, yy) = (sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y));
    if n < 3 || xx == 0.0 || yy == 0.0 {
        return Err(EvalError::TooFew(format!("a correlation needs three pairs that differ; found {n}")));
    }
    let rho = (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0);
    let freedom = (n - 2) as f64;
    let student = StudentsT::new(0.0, 1.0, freedom).map_err(|error| EvalError::TooFew(error.to_string()))?;
    let p_value =
        if rho.abs() < 1.0 { 2.0 * student.sf(rho.abs() * (freedom / (1.0 - rho * rho)).sqrt()) } else { 0.0 };
    Ok(Correlation { n, rho, p_value })
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// Videos of ten actions whose scene is the action's own in `own` of ten.
    fn videos(count: usize, own: usize, seed: u64) -> Vec<(Vec<f64>, usize)> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let video = |n: usize| {
            let action = n % 10;
            let scene = if n / 10 % 10 < own { action } else { (action + rng.random_range(1..10)) % 10 };
            ((0..10).map(|place| f64::from(place == scene)).collect(), action)
        };
        (0..count).map(video).collect()
    }

    #[test]
    fn the_bias_is_the_logarithm_of_accuracy_over_chance() {
        for own in [4, 7, 10] {
            let found = scene_bias(&videos(500, own, 1), &videos(300, own, 2), 10, &[0, 1, 2, 3, 4]).unwrap();
            let expected = (own as f64).ln();
            assert!((found.bias - expected).abs() < 0.05, "{own} of 10: {found:?}");
            assert_eq!((found.accuracies.len(), found.chance, found.features), (5, 0.1, 10));
        }
        // The paper: 59.7 % of the videos of UCF101's 101 actions, which it rounds to a chance of 1 %.
        assert!(((59.7f64 / 1.0).ln() - 4.09).abs() < 0.005);
        let error = scene_bias(&videos(5, 10, 1)[..1], &videos(5, 10, 1), 10, &[0]).unwrap_err().to_string();
        assert!(error.contains("1 videos of 1 actions"), "{error}");
    }

    #[test]
    fn correlations_are_those_of_scipy() {
        // scipy.stats.pearsonr of SciPy 1.17.1.
        let (rho, p_value) = (-0.9865038590684364, 4.034879948755476e-05);
        let pairs = [(1.26, 0.141), (3.1, 0.06), (3.3, 0.055), (3.2, 0.07), (4.0, 0.012), (4.1, 0.015), (4.05, 0.008)];
        let found = pearson(&pairs).unwrap();
        assert!((found.rho - rho).abs() < 1e-9 && (found.p_value - p_value).abs() < 1e-9, "{found:?}");
        assert_eq!(pearson(&[(0.0, 0.0), (1.0, -1.0), (2.0, -2.0)]).unwrap().p_value, 0.0);
        assert!(pearson(&pairs[..2]).is_err() && pearson(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]).is_err());
    }
}
