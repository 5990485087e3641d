//! Gradients of a loss, by net and parameter.
//!
//! They are computed for a step and moved into the optimiser, instead of lying in the parameters' `grad()`: nothing has to be
//! cleared before the next step or added to it, which costs several percent of a step.

use tch::Tensor;

use crate::{Net, TrainError};

/// For each net, a gradient of each trainable parameter, in the order of [`Net::params`]. What the loss does not depend on has
/// an undefined tensor.
#[derive(Debug, Default)]
pub struct Gradients {
    pub(crate) nets: Vec<Vec<Tensor>>,
}

impl Gradients {
    /// The gradients of a loss. The loss's graph is freed.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn of(loss: &Tensor, nets: &[&Net]) -> Result<Self, TrainError> {
        let trainable: Vec<Vec<&Tensor>> =
            nets.iter().map(|net| trainable(net).map(|(_, tensor)| tensor).collect()).collect();
        let inputs: Vec<&Tensor> = trainable.iter().flatten().copied().collect();
        let mut found = Tensor::f_run_backward(&[loss], &inputs, false, false)?.into_iter();
        let nets = trainable.iter().map(|params| found.by_ref().take(params.len()).collect()).collect();
        Ok(Gradients { nets })
    }

    /// Adds those of another loss of the same nets.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn add(&mut self, other: Gradients) -> Result<(), TrainError> {
        if self.nets.is_empty() {
            *self = other;
            return Ok(());
        }
        for (sum, gradient) in self.nets.iter_mut().flatten().zip(other.nets.into_iter().flatten()) {
            match (sum.defined(), gradient.defined()) {
                (true, true) => *sum = sum.f_add(&gradient)?,
                (false, true) => *sum = gradient,
                (_, false) => {}
            }
        }
        Ok(())
    }

    /// Divides all of them by a number.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn divide(&mut self, by: f64) -> Result<(), TrainError> {
        if by != 1.0 {
            for gradient in self.nets.iter_mut().flatten().filter(|gradient| gradient.defined()) {
                *gradient = gradient.f_div_scalar(by)?;
            }
        }
        Ok(())
    }

    /// The gradient of a parameter, where the loss depends on it.
    pub fn get(&self, position: usize, net: &Net, name: &str) -> Option<&Tensor> {
        let index = trainable(net).position(|(found, _)| found == name)?;
        self.nets.get(position)?.get(index).filter(|gradient| gradient.defined())
    }
}

/// Names and values of what is trained.
pub(crate) fn trainable(net: &Net) -> impl Iterator<Item = (&str, &Tensor)> {
    let params = net.params().filter(|(_, tensor)| tensor.requires_grad());
    params.map(|(spec, tensor)| (spec.name.as_str(), tensor))
}
