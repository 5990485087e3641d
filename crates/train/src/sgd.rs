//! Stochastic gradient descent as PyTorch's `torch.optim.SGD` computes it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::gradients::{Gradients, trainable};
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
    /// Gradients are scaled down to this length, taken over all parameters of a step together, where they are longer.
    pub clip_norm: Option<f64>,
}

impl Default for SgdConfig {
    fn default() -> Self {
        SgdConfig { lr: 0.001, momentum: 0.9, dampening: 0.0, weight_decay: 1e-5, clip_norm: None }
    }
}

/// A learning rate and a pull towards 0 of their own for some parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// Position of their net among those that are trained.
    pub net: usize,
    /// How their names start; empty for all of the net.
    pub prefix: String,
    /// Times the common rate; 0 freezes.
    pub factor: f64,
    /// Whether `weight_decay` pulls them.
    pub decays: bool,
}

/// Moves parameters against their gradients.
#[derive(Debug)]
pub struct Sgd {
    /// May change between steps.
    pub config: SgdConfig,
    /// Where the learning rate is not `config.lr`, or nothing pulls; the first that fits counts.
    pub rates: Vec<Rate>,
    /// By net and name of the parameter.
    momentum: HashMap<(usize, String), Tensor>,
}

impl Sgd {
    /// Without momentum yet.
    pub fn new(config: SgdConfig) -> Self {
        Sgd { config, rates: vec![], momentum: HashMap::new() }
    }

    /// Moves the trainable parameters of some nets that have a gradient. `first` is the position of the first of them among
    /// the nets that are trained, by which momentum is kept; the others follow it.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn step(&mut self, first: usize, nets: &[&Net], gradients: Gradients) -> Result<(), TrainError> {
        tch::no_grad(|| {
            let mut moving = Vec::new();
            for (position, (net, gradients)) in nets.iter().zip(gradients.nets).enumerate() {
                let position = first + position;
                for ((name, tensor), gradient) in trainable(net).zip(gradients) {
                    let rate = self.rate(position, name);
                    if rate.0 != 0.0 && gradient.defined() {
                        moving.push(((position, name), tensor, gradient, rate));
                    }
                }
            }
            let scale = match self.config.clip_norm {
                Some(most) => clip_scale(moving.iter().map(|(_, _, gradient, _)| gradient), most)?,
                None => 1.0,
            };
            for (name, tensor, mut gradient, rate) in moving {
                if scale < 1.0 {
                    let _ = gradient.f_mul_scalar_(scale)?;
                }
                self.move_one(name, tensor, gradient, rate)?;
            }
            Ok(())
        })
    }

    /// The learning rate of a parameter and its weight decay.
    fn rate(&self, position: usize, name: &str) -> (f64, f64) {
        let SgdConfig { lr, weight_decay, .. } = self.config;
        let rate = self.rates.iter().find(|rate| rate.net == position && name.starts_with(&rate.prefix));
        rate.map_or((lr, weight_decay), |rate| (lr * rate.factor, if rate.decays { weight_decay } else { 0.0 }))
    }

    /// The learning rate of the parameters of a net that move fastest: that of new layers, where old ones are slower or stay.
    pub fn fastest(&self, position: usize, net: &Net) -> f64 {
        trainable(net).map(|(name, _)| self.rate(position, name).0).fold(0.0, f64::max)
    }

    /// Each line is one pass over memory: an addition with a factor is `addcmul` with a tensor of one number.
    fn move_one(
        &mut self,
        (position, name): (usize, &str),
        tensor: &Tensor,
        gradient: Tensor,
        (lr, weight_decay): (f64, f64),
    ) -> Result<(), TrainError> {
        let SgdConfig { momentum, dampening, .. } = self.config;
        let one = |value: f64| Tensor::f_full([] as [i64; 0], value, (gradient.kind(), gradient.device()));
        let mut step = gradient.shallow_clone();
        if weight_decay != 0.0 {
            let _ = step.f_addcmul_(tensor, &one(weight_decay)?)?;
        }
        if momentum != 0.0 {
            let key = (position, name.to_string());
            step = match self.momentum.get_mut(&key) {
                Some(kept) => {
                    let _ = kept.f_mul_scalar_(momentum)?;
                    let _ = kept.f_addcmul_(&step, &one(1.0 - dampening)?)?;
                    kept.shallow_clone()
                }
                // The first step is taken whole, whatever the dampening.
                None => {
                    self.momentum.insert(key, step.shallow_clone());
                    step
                }
            };
        }
        let _ = tensor.shallow_clone().f_addcmul_(&step, &one(-lr)?)?;
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

/// What gradients are multiplied by to be no longer than `most` together, as PyTorch's `clip_grad_norm_`.
fn clip_scale<'a>(gradients: impl Iterator<Item = &'a Tensor>, most: f64) -> Result<f64, TrainError> {
    let mut squares = 0.0;
    for gradient in gradients {
        squares += gradient.f_square()?.f_sum(tch::Kind::Double)?.f_double_value(&[])?;
    }
    Ok((most / (squares.sqrt() + 1e-6)).min(1.0))
}
