//! The losses of the paper (section 3), and the step that alternates them.
//!
//! With the backbone's features f, the action classifier A and the scene classifier S:
//!
//! 1. on an ordinary batch, `L_CE(A(f)) + L_Adv(S(reverse(f)))`: the reversal lets S minimise `L_Adv` while f maximises
//!    it, lambda times
//! 2. on a batch in which people are masked out, `-H(A(f))`: f and A maximise the entropy of the action distribution

use tch::{Kind, Tensor};

use crate::gradients::Gradients;
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
    /// Its steps in each iteration: the first with the model, the others alone on the features that the model gave then.
    pub steps: usize,
}

/// An ordinary batch.
pub struct Batch {
    /// N x 3 x frames x height x width.
    pub clips: Tensor,
    /// N, whole numbers.
    pub labels: Tensor,
    /// For each adversary, N x its classes.
    pub attributes: Vec<Tensor>,
}

/// The losses of a step on ordinary batches.
#[derive(Debug, Default)]
pub struct Losses {
    /// Cross-entropy of the action classifier.
    pub action: f64,
    /// Share of clips whose action was right.
    pub accuracy: f64,
    /// Cross-entropy of each adversary.
    pub adversaries: Vec<f64>,
}

/// One ordinary step: all parameters move, once for all batches together. The model is at position 0 of the optimiser, the
/// adversaries follow.
///
/// `model` gives `logits` and `features`, as [`ClassifierConfig::graph_with`] records them. Losses are means over batches.
///
/// # Errors
/// [`TrainError::Diverged`] when a loss is not a number: no parameter is moved then, but running statistics have seen the
/// batch.
///
/// [`ClassifierConfig::graph_with`]: unscene_models::classifier::ClassifierConfig::graph_with
pub fn ordinary_step(
    model: &Net,
    adversaries: &[Adversary],
    sgd: &mut Sgd,
    batches: &[Batch],
) -> Result<Losses, TrainError> {
    let (losses, gradients, features) = ordinary_gradients(model, adversaries, batches)?;
    sgd.step(0, &nets(model, adversaries), gradients)?;
    for (position, adversary) in adversaries.iter().enumerate() {
        for _ in 1..adversary.steps {
            practise(position, adversary, sgd, batches, &features)?;
        }
    }
    Ok(losses)
}

fn nets<'a>(model: &'a Net, adversaries: &'a [Adversary]) -> Vec<&'a Net> {
    std::iter::once(model).chain(adversaries.iter().map(|adversary| &adversary.net)).collect()
}

/// The losses of [`ordinary_step`], their gradients for the model and the adversaries, and the features of each batch.
///
/// # Errors
/// As [`ordinary_step`].
pub fn ordinary_gradients(
    model: &Net,
    adversaries: &[Adversary],
    batches: &[Batch],
) -> Result<(Losses, Gradients, Vec<Tensor>), TrainError> {
    let share = 1.0 / batches.len().max(1) as f64;
    let nets = nets(model, adversaries);
    let mut losses = Losses { adversaries: vec![0.0; adversaries.len()], ..Losses::default() };
    let (mut gradients, mut kept) = (Gradients::default(), Vec::with_capacity(batches.len()));
    for batch in batches {
        let outputs = model.forward(&batch.clips, Mode::Train)?;
        let [logits, features] = two(&outputs)?;
        let action = logits.f_cross_entropy_loss::<&Tensor>(&batch.labels, None, tch::Reduction::Mean, -100, 0.0)?;
        losses.action += share * number("action", &action)?;
        let right = logits.f_argmax(1, false)?.f_eq_tensor(&batch.labels)?.f_to_kind(Kind::Float)?;
        losses.accuracy += share * right.f_mean(Kind::Float)?.f_double_value(&[])?;
        let mut total = action;
        for (position, (adversary, target)) in adversaries.iter().zip(&batch.attributes).enumerate() {
            let reversed = reverse_gradient(features, adversary.lambda)?;
            let loss = soft_cross_entropy(&predict(adversary, &reversed)?, target)?;
            losses.adversaries[position] += share * number("adversary", &loss)?;
            total = total.f_add(&loss)?;
        }
        gradients.add(Gradients::of(&total.f_mul_scalar(share)?, &nets)?)?;
        kept.push(features.f_detach()?);
    }
    Ok((losses, gradients, kept))
}

/// One step of an adversary alone, on features that stay as they are.
fn practise(
    position: usize,
    adversary: &Adversary,
    sgd: &mut Sgd,
    batches: &[Batch],
    features: &[Tensor],
) -> Result<(), TrainError> {
    let mut gradients = Gradients::default();
    for (batch, features) in batches.iter().zip(features) {
        let predicted = predict(adversary, features)?;
        let loss = soft_cross_entropy(&predicted, &batch.attributes[position])?;
        number("adversary", &loss)?;
        gradients.add(Gradients::of(&loss.f_div_scalar(batches.len() as f64)?, &[&adversary.net])?)?;
    }
    sgd.step(1 + position, &[&adversary.net], gradients)
}

fn predict(adversary: &Adversary, features: &Tensor) -> Result<Tensor, TrainError> {
    adversary.net.forward(features, Mode::Train)?.into_iter().next().ok_or_else(no_output)
}

/// One step of confusion: on clips without people, the backbone and the action classifier move towards not knowing.
/// Returns the entropy. In `Mode::Eval`, BatchNorm uses what it knows of ordinary clips, and learns nothing from these.
///
/// # Errors
/// As [`ordinary_step`].
pub fn masked_step(model: &Net, sgd: &mut Sgd, batches: &[Tensor], weight: f64, mode: Mode) -> Result<f64, TrainError> {
    let (unsure, gradients) = masked_gradients(model, batches, weight, mode)?;
    sgd.step(0, &[model], gradients)?;
    Ok(unsure)
}

/// The entropy of [`masked_step`], and the gradients of the loss.
///
/// # Errors
/// As [`ordinary_step`].
pub fn masked_gradients(
    model: &Net,
    batches: &[Tensor],
    weight: f64,
    mode: Mode,
) -> Result<(f64, Gradients), TrainError> {
    let share = 1.0 / batches.len().max(1) as f64;
    let (mut value, mut gradients) = (0.0, Gradients::default());
    for clips in batches {
        let outputs = model.forward(clips, mode)?;
        let [logits, _] = two(&outputs)?;
        let unsure = entropy(logits)?;
        value += share * number("entropy", &unsure)?;
        gradients.add(Gradients::of(&unsure.f_mul_scalar(-weight * share)?, &[model])?)?;
    }
    Ok((value, gradients))
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
