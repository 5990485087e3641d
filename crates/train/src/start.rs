//! Beginning with what another run has learned.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unscene_graph::ParamRole;
use unscene_models::run::RunFolder;

use crate::error::by;
use crate::sgd::Rate;
use crate::snapshot::{BEST, CHECKPOINT};
use crate::weights::{Weights, read_weights};
use crate::{Net, TrainError};

/// Another run to begin with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSpec {
    /// Its folder: the best epoch of a training, adversaries included, or what `unscene import` made.
    pub run: PathBuf,
    /// Layers of the model that are not taken over, by how their names start, such as `fc`.
    #[serde(default)]
    pub new_layers: Vec<String>,
    /// Train the model only from this layer on, such as `layer4`; what comes before stays as it was taken over.
    #[serde(default)]
    pub from_layer: Option<String>,
    /// The learning rate of what is taken over, times that of new layers.
    #[serde(default = "one")]
    pub old_lr_factor: f64,
    /// Epochs at the start in which only new layers are trained.
    #[serde(default)]
    pub warm_up_epochs: usize,
    /// Their learning rate in these epochs; the common one when not given.
    #[serde(default)]
    pub warm_up_lr: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// What was taken over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Started {
    /// The file.
    pub path: PathBuf,
    /// Net and parameter, as `(0, "conv1.weight")`.
    pub old: Vec<(usize, String)>,
    /// What begins with random weights.
    pub new: Vec<(usize, String)>,
    /// Tensors of the file that no net has.
    pub left: Vec<String>,
}

/// Loads the weights of another run into nets, the model first.
///
/// A net that the run does not have, such as a new adversary, begins with random weights. A net that it has must fit, but for
/// the new layers.
///
/// # Errors
/// [`TrainError::Start`] names every tensor of the model that is missing or of another shape; no net is changed then.
pub fn start(spec: &StartSpec, nets: &[(&str, &Net)]) -> Result<Started, TrainError> {
    let (path, weights) = read(&spec.run, nets)?;
    let mut weights = weights.tensors;
    let mut started = Started { path: path.clone(), old: vec![], new: vec![], left: vec![] };
    let (mut loads, mut misfits) = (vec![], vec![]);
    for (position, (net_name, net)) in nets.iter().enumerate() {
        let is_known = position == 0 || weights.keys().any(|name| name.starts_with(&format!("net.{net_name}.")));
        for (param, tensor) in net.params() {
            let name = format!("net.{net_name}.{}", param.name);
            let is_new = position == 0 && spec.new_layers.iter().any(|layer| param.name.starts_with(layer.as_str()));
            let found = weights.remove(&name);
            match found.filter(|_| !is_new) {
                None if is_new || !is_known => started.new.push((position, param.name.clone())),
                None => misfits.push(format!("{} is missing", param.name)),
                Some(found) if found.shape != param.shape => {
                    misfits.push(format!("{} is {}, expected {}", param.name, by(&found.shape), by(&param.shape)));
                }
                Some(found) => {
                    started.old.push((position, param.name.clone()));
                    loads.push((tensor, found));
                }
            }
        }
    }
    if !misfits.is_empty() {
        let problem = format!(
            "not of this model: {}; give the architecture it was trained with, or list layers to begin anew in \
             start.new_layers",
            misfits.join(", ")
        );
        return Err(TrainError::format(&path, problem));
    }
    for (tensor, found) in loads {
        found.copy_to(tensor)?;
    }
    started.left = weights.into_keys().filter(|name| !name.starts_with("sgd.")).collect();
    started.left.sort();
    Ok(started)
}

/// The run's weights by `net.NAME.PARAMETER`: the best snapshot where there is one, for its adversaries.
fn read(run: &Path, nets: &[(&str, &Net)]) -> Result<(PathBuf, Weights), TrainError> {
    let best = run.join(CHECKPOINT).join(BEST);
    if best.is_file() {
        return Ok((best.clone(), read_weights(&best)?));
    }
    let path = RunFolder::new(run).weights_path();
    if !path.is_file() {
        let problem = "no run: it has neither checkpoint/best.safetensors nor weights.safetensors; a run is made by \
                       `unscene pretrain` or `unscene import`";
        return Err(TrainError::format(run, problem));
    }
    let mut weights = read_weights(&path)?;
    let model = nets.first().map_or("model", |(name, _)| name);
    weights.tensors = weights.tensors.into_iter().map(|(name, value)| (format!("net.{model}.{name}"), value)).collect();
    Ok((path, weights))
}

impl Started {
    /// The learning rates that differ in an epoch; `lr` is the common one.
    pub fn rates(&self, spec: &StartSpec, epoch: usize, lr: f64) -> Vec<Rate> {
        let is_warm_up = epoch < spec.warm_up_epochs;
        let (old, new) = match is_warm_up {
            true => (0.0, spec.warm_up_lr.map_or(1.0, |warm_up| warm_up / lr)),
            false => (spec.old_lr_factor, 1.0),
        };
        let rates = |names: &[(usize, String)], factor: f64| {
            let rate = |(net, name): &(usize, String)| Rate { net: *net, prefix: name.clone(), factor, decays: true };
            names.iter().map(rate).filter(|rate| rate.factor != 1.0).collect::<Vec<_>>()
        };
        [rates(&self.old, old), rates(&self.new, new)].concat()
    }

    /// In one line, for people: parameters only, without running statistics.
    pub fn describe(&self, nets: &[(&str, &Net)]) -> String {
        let count = |list: &[(usize, String)]| {
            let is_weight = |(net, name): &&(usize, String)| {
                nets[*net].1.params().any(|(spec, _)| spec.name == *name && spec.role == ParamRole::Trainable)
            };
            list.iter().filter(is_weight).count()
        };
        let mut text = format!("{}: took over {} tensors", self.path.display(), count(&self.old));
        if !self.new.is_empty() {
            let first: Vec<&str> = self.new.iter().take(3).map(|(_, name)| name.as_str()).collect();
            text += &format!(", {} begin anew ({}, ...)", count(&self.new), first.join(", "));
        }
        if !self.left.is_empty() {
            let first: Vec<&str> = self.left.iter().take(3).map(String::as_str).collect();
            text += &format!(", left {} ({}, ...)", self.left.len(), first.join(", "));
        }
        text
    }
}
