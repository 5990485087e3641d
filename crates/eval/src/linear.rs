//! A linear classifier on standardised features.

use linfa::Dataset;
use linfa::traits::{Fit, Predict};
use linfa_logistic::MultiLogisticRegression;
use ndarray::{Array1, Array2, Axis};

use crate::error::{EvalError, Result};

/// Trains multinomial logistic regression (L2 with weight 1, on features of mean 0 and deviation 1) on some rows and gives the
/// labels of others. The problem is convex: nothing is left to chance.
///
/// # Shapes
/// `train` and `test` hold as many features in each row.
pub(crate) fn classify(train: &[&[f64]], labels: &[usize], test: &[&[f64]]) -> Result<Vec<usize>> {
    let width = train.first().map_or(0, |row| row.len());
    let matrix = |rows: &[&[f64]]| Array2::from_shape_fn((rows.len(), width), |(row, column)| rows[row][column]);
    let known = matrix(train);
    let mean = known.mean_axis(Axis(0)).ok_or_else(|| EvalError::TooFew("a classifier needs features".into()))?;
    let deviation = known.std_axis(Axis(0), 0.0).mapv(|deviation| if deviation > 1e-9 { deviation } else { 1.0 });
    let standard = |rows: Array2<f64>| (rows - &mean) / &deviation;
    let known = Dataset::new(standard(known), Array1::from(labels.to_vec()));
    let failed = |error: linfa_logistic::error::Error| EvalError::TooFew(format!("the linear classifier: {error}"));
    let model = MultiLogisticRegression::default().alpha(1.0).max_iterations(200).fit(&known).map_err(failed)?;
    Ok(model.predict(&standard(matrix(test))).to_vec())
}
