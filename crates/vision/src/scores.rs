//! From logits to ranked probabilities.

use std::cmp::Ordering;

/// Turns logits into probabilities, in place. The largest logit is subtracted first, so that none overflows.
///
/// An empty slice stays empty. A NaN makes every probability NaN: it is not hidden.
pub fn softmax(logits: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f32;
    for v in logits.iter_mut() {
        *v = (*v - max).exp();
        sum += *v;
    }
    for v in logits.iter_mut() {
        *v /= sum;
    }
}

/// Indices of the `k` largest scores, largest first. Equal scores keep the order of their indices; NaN comes last.
/// At most `scores.len()` indices are returned.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // A total order: `total_cmp` alone would put NaN first and tell -0 from 0.
    order.sort_by(|&a, &b| match (scores[a].is_nan(), scores[b].is_nan()) {
        (false, false) => scores[b].partial_cmp(&scores[a]).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    });
    order.truncate(k);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_follow_the_definition_and_sum_to_one() {
        let logits = [1.5f32, -2.0, 0.0, 3.25];
        let total: f64 = logits.iter().map(|&v| f64::from(v).exp()).sum();
        let mut found = logits;
        softmax(&mut found);
        for (p, l) in found.iter().zip(logits) {
            assert!((f64::from(*p) - f64::from(l).exp() / total).abs() < 1e-7);
        }
    }

    #[test]
    fn large_logits_do_not_overflow_and_nan_is_not_hidden() {
        let mut large = [1000.0, 1000.0];
        softmax(&mut large);
        assert_eq!(large, [0.5, 0.5]);
        let mut bad = [1.0, f32::NAN];
        softmax(&mut bad);
        assert!(bad.iter().all(|p| p.is_nan()));
        softmax(&mut []);
    }

    #[test]
    fn ties_keep_their_order_and_nan_is_last() {
        assert_eq!(top_k(&[0.1, 0.5, f32::NAN, 0.5, 0.0, -0.0], 6), [1, 3, 0, 4, 5, 2]);
        assert_eq!(top_k(&[0.1, 0.9], 1), [1]);
        assert_eq!(top_k(&[0.1, 0.9], 7), [1, 0]);
        assert!(top_k(&[], 3).is_empty());
    }
}
