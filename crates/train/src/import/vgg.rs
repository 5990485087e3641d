//! The forms in which people have VGG-16: torchvision's `vgg16`, ssd.pytorch's `vgg16_reducedfc`, and a trained SSD.

use unscene_graph::Graph;
use unscene_models::run::{RunConfig, RunModel};

use crate::error::by;
use crate::run::values;
use crate::weights::{HostTensor, Weights};
use crate::{Net, TrainError};

/// Layers of torchvision's classifier, their names here (without BatchNorm, and with it), and of how many values of each dimension one is kept: of fc6, seen as
/// filters of 7 x 7, every fourth filter and every third position; of fc7 every fourth filter and, to fit, every fourth channel.
/// Liu et al. 2016, section 3.1, subsample the parameters so; the steps are those of their `VGG_ILSVRC_16_layers_fc_reduced`.
const REDUCED: [(&str, [&str; 2], [usize; 4], usize); 2] =
    [("classifier.0", ["vgg.31", "vgg.44"], [4, 1, 3, 3], 7), ("classifier.3", ["vgg.33", "vgg.46"], [4, 4, 1, 1], 1)];

/// The last layer of torchvision's classifier, for ImageNet.
const IMAGENET: &str = "classifier.6.";

/// What ssd.pytorch subtracts: written (104, 117, 123) and taken from BGR, before the channels are swapped to RGB.
const SSD_MEAN: [f32; 3] = [123.0, 117.0, 104.0];

/// Gives tensors the names and shapes of the model, where they are those of a form that is known; adds what the file of a
/// backbone cannot have; and sets the colours that the weights are made for.
///
/// # Errors
/// When libtorch fails.
pub(super) fn adapt(
    graph: &Graph,
    batch_norm: bool,
    weights: &mut Weights,
    config: &mut RunConfig,
) -> Result<(), TrainError> {
    let is_torchvision = weights.tensors.keys().any(|name| name.starts_with("features."));
    let is_reduced = weights.tensors.keys().all(|name| name.starts_with(|first: char| first.is_ascii_digit()));
    if is_torchvision {
        from_torchvision(weights, batch_norm);
    } else if is_reduced {
        let tensors = std::mem::take(&mut weights.tensors);
        weights.tensors = tensors.into_iter().map(|(name, tensor)| (format!("vgg.{name}"), tensor)).collect();
    }
    if is_torchvision || is_reduced {
        add_new(graph, weights)?;
    }
    if is_reduced || (!is_torchvision && matches!(config.model, RunModel::Detect(_))) {
        (config.input.mean, config.input.std, config.input.range) = (SSD_MEAN, [1.0; 3], 255.0);
    }
    Ok(())
}

fn from_torchvision(weights: &mut Weights, batch_norm: bool) {
    for (name, tensor) in std::mem::take(&mut weights.tensors) {
        if name.starts_with(IMAGENET) {
            weights.report.heads.push(name);
            continue;
        }
        let reduced = REDUCED.iter().find_map(|(from, to, step, side)| {
            let leaf = name.strip_prefix(from)?;
            Some((format!("{}{leaf}", to[usize::from(batch_norm)]), reduce(&tensor, *step, *side)?))
        });
        let (name, tensor) = match (reduced, name.strip_prefix("features.")) {
            (Some((name, reduced)), _) => {
                let [found, kept] = [&tensor, &reduced].map(|tensor| by(&tensor.shape));
                weights.report.reduced.push(format!("{name}: {kept} of {found}"));
                (name, reduced)
            }
            (None, Some(rest)) => (format!("vgg.{rest}"), tensor),
            // Nothing that is known; the model will not have it.
            (None, None) => (name, tensor),
        };
        weights.tensors.insert(name, tensor);
    }
}

/// A fully connected layer as convolution, or its bias, of which one of every few values is kept. Nothing where it cannot be seen
/// as filters of `side` x `side`.
fn reduce(tensor: &HostTensor, step: [usize; 4], side: usize) -> Option<HostTensor> {
    let positions = side * side;
    let (sides, dims) = match tensor.shape[..] {
        [filters] => ([filters, 1, 1, 1], 1),
        [filters, inputs] if inputs.is_multiple_of(positions) => ([filters, inputs / positions, side, side], 4),
        _ => return None,
    };
    let step = if dims == 1 { [step[0], 1, 1, 1] } else { step };
    let kept: [usize; 4] = std::array::from_fn(|axis| sides[axis].div_ceil(step[axis]));
    let mut values = Vec::with_capacity(kept.iter().product());
    for filter in (0..sides[0]).step_by(step[0]) {
        for channel in (0..sides[1]).step_by(step[1]) {
            for y in (0..sides[2]).step_by(step[2]) {
                for x in (0..sides[3]).step_by(step[3]) {
                    let at = ((filter * sides[1] + channel) * sides[2] + y) * sides[3] + x;
                    values.push(tensor.values[at]);
                }
            }
        }
    }
    Some(HostTensor { shape: kept[..dims].to_vec(), values })
}

/// What a backbone does not have, as a new model begins.
fn add_new(graph: &Graph, weights: &mut Weights) -> Result<(), TrainError> {
    let new = Net::init(graph.clone(), 0);
    for (spec, tensor) in new.params() {
        if !spec.name.starts_with("vgg.") && !weights.tensors.contains_key(&spec.name) {
            let (shape, values) = (spec.shape.clone(), values(tensor)?);
            weights.tensors.insert(spec.name.clone(), HostTensor { shape, values });
            weights.report.new.push(spec.name.clone());
        }
    }
    Ok(())
}
