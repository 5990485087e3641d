//! The losses of the paper (section 3), and the step that alternates them.
//!
//! With the backbone's features f, the action classifier A and the scene classifier S:
//!
//! 1. on an ordinary batch, `L_CE(A(f)) + L_Adv(S(reverse(f)))`: the reversal lets S minimise `L_Adv` while f maximises
//!    it, lambda times
//! 2. on a batch in which people are masked out, `-H(A(f))`: f and A maximise the entropy of the action distribution

use tch::{Kind, Tensor};

use crate::sgd::Sgd;
use crate::{Mode, Net, TrainError};

/// Passes values on as they are, and gradients back times `-lambda` (Ganin and Lempitsky 2015).
///
/// In the forward pass the two terms cancel to the last bit, because `x - x` is 0.
pub fn reverse_gradient(x: &Tensor, lambda: f64) -> Result<Tensor, TrainError> {
    let still = x.f_detach()?;
    let moving = (x.f_sub(&still)?).f_mul_scalar(-lambda)?;
    Ok(still.f_add(&moving)?)
}

/// Mean cross-entropy against distributions.
///
/// # Shapes
/// Both are N x classes; `targets` sum to 1 in each row.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor, TrainError> {
    let log = logits.f_log_softmax(1, Kind::Float)?;
    let products = log.f_mul(targets)?;
    Ok(products.f_sum_dim_intlist(1, false, Kind::Float)?.f_mean(Kind::Float)?.f_neg()?)
}

/// Mean entropy of the distributions that logits stand for, in nats.
///
/// # Shapes
/// `logits` is N x classes.
pub fn entropy(logits: &Tensor) -> Result<Tensor, TrainError> {
    let log = logits.f_log_softmax(1, Kind::Float)?;
    let products = log.f_exp()?.f_mul(&log)?;
    Ok(products.f_sum_dim_intlist(1, false, Kind::Float)?.f_mean(Kind::Float)?.f_neg()?)
}

/// A classifier of a protected attribute, against which features are trained.
#[derive(Debug)]
pub struct Adversary {
    /// From features to logits.
    pub net: Net,
    /// How strongly features move against it; 0.5 in the paper.
    pub lambda: f64,
}

/// An ordinary batch.
pub struct Batch<'a> {
    /// N x 3 x frames x height x width.
    pub clips: &'a Tensor,
    /// N, whole numbers.
    pub labels: &'a Tensor,
    /// For each adversary, N x its classes.
    pub attributes: &'a [Tensor],
}

/// The losses of a step on an ordinary batch.
#[derive(Debug)]
pub struct Losses {
    /// Cross-entropy of the action classifier.
    pub action: f64,
    /// Cross-entropy of each adversary.
    pub adversaries: Vec<f64>,
    /// N x classes, for counting what was right.
    pub logits: Tensor,
}

/// One ordinary step: all parameters move.
///
/// `model` gives `logits` and `features`, as [`R3dConfig::graph_with_features`] records them.
///
/// # Errors
/// [`TrainError::Diverged`] when a loss is not a number: no parameter is moved then, but running statistics have seen the
/// batch.
///
/// [`R3dConfig::graph_with_features`]: unscene_models::r3d::R3dConfig::graph_with_features
pub fn ordinary_step(
    model: &Net,
    adversaries: &[Adversary],
    sgd: &mut Sgd,
    batch: &Batch<'_>,
) -> Result<Losses, TrainError> {
    let outputs = model.forward(batch.clips, Mode::Train)?;
    let [logits, features] = two(&outputs)?;
    let action = logits.f_cross_entropy_loss::<&Tensor>(batch.labels, None, tch::Reduction::Mean, -100, 0.0)?;
    let mut total = action.shallow_clone();
    let mut losses = Losses { action: number("action", &action)?, adversaries: vec![], logits: logits.f_detach()? };
    for (adversary, target) in adversaries.iter().zip(batch.attributes) {
        let reversed = reverse_gradient(features, adversary.lambda)?;
        let predicted = adversary.net.forward(&reversed, Mode::Train)?;
        let predicted = predicted.first().ok_or_else(no_output)?;
        let loss = soft_cross_entropy(predicted, target)?;
        losses.adversaries.push(number("adversary", &loss)?);
        total = total.f_add(&loss)?;
    }
    let nets = || std::iter::once(model).chain(adversaries.iter().map(|adversary| &adversary.net));
    nets().for_each(Net::zero_grad);
    total.f_backward()?;
    sgd.step(nets())?;
    Ok(losses)
}

/// One step of confusion: on clips without people, the backbone and the action classifier move towards not knowing.
/// Returns the entropy.
///
/// # Errors
/// As [`ordinary_step`].
pub fn masked_step(model: &Net, sgd: &mut Sgd, clips: &Tensor, weight: f64) -> Result<f64, TrainError> {
    let outputs = model.forward(clips, Mode::Train)?;
    let [logits, _] = two(&outputs)?;
    let unsure = entropy(logits)?;
    let value = number("entropy", &unsure)?;
    model.zero_grad();
    unsure.f_mul_scalar(-weight)?.f_backward()?;
    sgd.step([model])?;
    Ok(value)
}

fn two(outputs: &[Tensor]) -> Result<[&Tensor; 2], TrainError> {
    match outputs {
        [logits, features] => Ok([logits, features]),
        _ => Err(no_output()),
    }
}

fn no_output() -> TrainError {
    TrainError::Node { node: "output".into(), problem: "pretraining needs the outputs logits and features".into() }
}

fn number(what: &'static str, loss: &Tensor) -> Result<f64, TrainError> {
    let value = loss.f_double_value(&[])?;
    if value.is_finite() { Ok(value) } else { Err(TrainError::Diverged { what, value }) }
}
