//! What the bundle of a classifier holds: one graph, and with `--maps` the weights that turn activations into maps.

use std::path::Path;

use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use unscene_graph::Graph;
use unscene_models::classifier::{CLASSIFIER, ClassifierConfig};
use unscene_models::manifest::Task;
use unscene_models::r3d::ModelError;

use crate::bundle::Parts;
use crate::{ExportError, ExportOptions, Weights};

/// The name of the graph's file inside a bundle.
pub const MODEL_FILE: &str = "model.onnx";

/// The name of the file of the classifier's weights inside a bundle.
pub(crate) const CLASSIFIER_FILE: &str = "classifier.safetensors";

pub(crate) fn parts(model: &ClassifierConfig, options: &ExportOptions) -> Result<Parts, ModelError> {
    let outputs = [("features", options.features), ("maps", options.maps)];
    let outputs: Vec<&str> = outputs.iter().filter(|one| one.1).map(|one| one.0).collect();
    Ok(Parts {
        graphs: vec![(MODEL_FILE, model.graph_with(&outputs)?)],
        localize: None,
        detect: None,
        model: json!(model),
    })
}

/// Refuses what only classifiers give.
pub(crate) fn refuse(options: &ExportOptions, run: &Path, task: Task) -> Result<(), ExportError> {
    let asked = [("--features", options.features), ("--maps", options.maps)].into_iter().find(|(_, asked)| *asked);
    match asked {
        Some((option, _)) => Err(ExportError::Option { option, run: run.to_path_buf(), task }),
        None => Ok(()),
    }
}

/// The layer from features to logits as a safetensors file: `weight`, classes x channels, and `bias`.
pub(crate) fn class_weights(graph: &Graph, weights: &Weights) -> Result<Vec<u8>, ExportError> {
    let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = graph
        .params
        .iter()
        .filter_map(|param| {
            let name = param.name.strip_prefix(CLASSIFIER)?.strip_prefix('.')?;
            let bytes = weights.get(&param.name).iter().flat_map(|value| value.to_le_bytes()).collect();
            Some((name, param.shape.clone(), bytes))
        })
        .collect();
    let failed = |source| ExportError::SafeTensors { path: CLASSIFIER_FILE.into(), source };
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(failed)?)))
        .collect::<Result<Vec<_>, ExportError>>()?;
    safetensors::serialize(views, None).map_err(failed)
}
