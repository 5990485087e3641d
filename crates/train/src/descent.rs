//! What trainings by a sum of losses have in common: a step, and a validation.

use std::time::Instant;

use tch::Tensor;
use unscene_data::{DataError, Failure};

use crate::fit::Metrics;
use crate::gradients::Gradients;
use crate::{Net, Sgd, TrainError};

/// A step by the mean of several batches' losses, whose sum is minimised. Each batch is dropped before the next is taken; without a
/// batch there is no step and no metric.
///
/// # Errors
/// When a batch cannot be read, a loss is no number, or libtorch fails.
pub(crate) fn descend<B, const N: usize>(
    model: &Net,
    sgd: &mut Sgd,
    names: [&'static str; N],
    batches: impl Iterator<Item = Result<B, TrainError>>,
    losses: impl Fn(&B) -> Result<[Tensor; N], TrainError>,
) -> Result<Metrics, TrainError> {
    let (mut metrics, mut gradients, mut count) = (Metrics::new(), Gradients::default(), 0.0);
    let mut waiting = Instant::now();
    for batch in batches {
        let batch = batch?;
        *metrics.entry("waited_s".into()).or_default() += waiting.elapsed().as_secs_f64();
        let mut total: Option<Tensor> = None;
        for (name, loss) in names.into_iter().zip(losses(&batch)?) {
            let value = loss.f_double_value(&[])?;
            if !value.is_finite() {
                return Err(TrainError::Diverged { what: name, value });
            }
            *metrics.entry(name.into()).or_default() += value;
            total = Some(total.map_or(Ok(loss.shallow_clone()), |sum| sum.f_add(&loss))?);
        }
        drop(batch);
        if let Some(total) = total {
            gradients.add(Gradients::of(&total, &[model])?)?;
        }
        count += 1.0;
        waiting = Instant::now();
    }
    if count == 0.0 {
        return Ok(metrics);
    }
    names.into_iter().for_each(|name| *metrics.entry(name.into()).or_default() /= count);
    gradients.divide(count)?;
    sgd.step(0, &[model], gradients)?;
    Ok(metrics)
}

/// The mean losses over batches, that of their sum as `loss`, and the number of batches; nothing without one.
///
/// # Errors
/// When a batch cannot be read, or libtorch fails.
pub(crate) fn mean_losses<B, const N: usize>(
    names: [&'static str; N],
    batches: impl Iterator<Item = Result<B, TrainError>>,
    losses: impl Fn(&B) -> Result<[Tensor; N], TrainError>,
) -> Result<Option<(Metrics, f64)>, TrainError> {
    let (mut metrics, mut count) = (Metrics::new(), 0.0);
    for batch in batches {
        let batch = batch?;
        for (name, loss) in names.into_iter().zip(tch::no_grad(|| losses(&batch))?) {
            let value = loss.f_double_value(&[])?;
            *metrics.entry(name.into()).or_default() += value;
            *metrics.entry("loss".into()).or_default() += value;
        }
        count += 1.0;
    }
    metrics.values_mut().for_each(|sum| *sum /= count);
    Ok((count > 0.0).then_some((metrics, count)))
}

/// Batches of which something could be read.
pub(crate) fn there<B>(
    batches: impl Iterator<Item = Result<B, DataError>>,
    is_empty: impl Fn(&B) -> bool,
) -> impl Iterator<Item = Result<B, TrainError>> {
    batches.filter(move |batch| !batch.as_ref().is_ok_and(&is_empty)).map(|batch| Ok(batch?))
}

/// That nothing of a part can be validated on.
pub(crate) fn nothing_read(part: &str, failures: &[Failure]) -> TrainError {
    let last = failures.last().map_or(String::new(), |last| format!("; {}: {}", last.id, last.reason));
    TrainError::Data(format!("nothing of the part {part:?} can be read{last}"))
}
