//! Stochastic gradient descent as PyTorch's `torch.optim.SGD` computes it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use unscene_graph::ParamRole;

use crate::{Net, TrainError};

/// Settings of [`Sgd`]. The default is that of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last step that goes on.
    pub momentum: f64,
    /// Share of the gradient that the momentum leaves out: 0.9 in the paper's release.
    pub dampening: f64,
    /// Pull of every parameter towards 0.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        SgdConfig { lr: 0.001, momentum: 0.9, dampening: 0.0, weight_decay: 1e-5 }
    }
}

/// Moves parameters against their gradients.
#[derive(Debug)]
pub struct Sgd {
    /// May change between steps.
    pub config: SgdConfig,
    /// The learning rate of parameters whose name starts so, where it is not `config.lr`: 0 freezes.
    pub rates: Vec<(String, f64)>,
    /// By net and name of the parameter.
    momentum: HashMap<(usize, String), Tensor>,
}

impl Sgd {
    /// Without momentum yet.
    pub fn new(config: SgdConfig) -> Self {
        Sgd { config, rates: vec![], momentum: HashMap::new() }
    }

    /// Moves the trainable parameters of some nets that have a gradient. A net is known by its position: the same net must
    /// come at the same place each time, and those at the end may be left out.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn step<'a>(&mut self, nets: impl IntoIterator<Item = &'a Net>) -> Result<(), TrainError> {
        tch::no_grad(|| {
            for (position, net) in nets.into_iter().enumerate() {
                for (spec, tensor) in net.params().filter(|(spec, _)| spec.role == ParamRole::Trainable) {
                    let gradient = tensor.f_grad()?;
                    let rate = self.rates.iter().find(|(prefix, _)| spec.name.starts_with(prefix.as_str()));
                    let lr = rate.map_or(self.config.lr, |(_, lr)| *lr);
                    if lr != 0.0 && gradient.defined() {
                        self.move_one((position, &spec.name), tensor, gradient, lr)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn move_one(
        &mut self,
        (position, name): (usize, &str),
        tensor: &Tensor,
        gradient: Tensor,
        lr: f64,
    ) -> Result<(), TrainError> {
        let SgdConfig { momentum, dampening, weight_decay, .. } = self.config;
        let mut step = gradient;
        if weight_decay != 0.0 {
            step = step.f_add(&tensor.f_mul_scalar(weight_decay)?)?;
        }
        if momentum != 0.0 {
            let key = (position, name.to_string());
            step = match self.momentum.get_mut(&key) {
                Some(kept) => {
                    let _ = kept.f_mul_scalar_(momentum)?;
                    let _ = kept.f_add_(&step.f_mul_scalar(1.0 - dampening)?)?;
                    kept.shallow_clone()
                }
                // The first step is taken whole, whatever the dampening.
                None => {
                    let first = step.f_detach()?.f_add_scalar(0.0)?;
                    self.momentum.insert(key, first.shallow_clone());
                    first
                }
            };
        }
        let mut tensor = tensor.shallow_clone();
        let _ = tensor.f_sub_(&step.f_mul_scalar(lr)?)?;
        Ok(())
    }

    /// The momentum by `net.parameter`, to be saved.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.momentum.iter().map(|((net, name), tensor)| (format!("{net}.{name}"), tensor))
    }

    /// Takes over momentum that [`Sgd::state`] gave.
    pub fn set_state(&mut self, state: impl IntoIterator<Item = (String, Tensor)>) {
        self.momentum.clear();
        for (name, tensor) in state {
            if let Some((net, name)) = name.split_once('.')
                && let Ok(net) = net.parse()
            {
                self.momentum.insert((net, name.to_string()), tensor);
            }
        }
    }
}
