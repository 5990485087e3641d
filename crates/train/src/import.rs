//! Runs made of other people's checkpoints.

mod vgg;

use std::path::Path;

use serde_json::json;
use unscene_models::classifier::Arch;
use unscene_models::run::{RunConfig, RunModel};

use crate::run::{provenance, refuse_occupied};
use crate::weights::{ImportReport, read_weights};
use crate::{Net, TrainError, write_run};

/// Writes a run folder with the weights of a PyTorch checkpoint or safetensors file ([`read_weights`]).
///
/// Of VGG-16, files of torchvision's `vgg16` and ssd.pytorch's `vgg16_reducedfc` do as well: they hold a backbone, and what a
/// model has beside it begins with random weights, which the report names. Files in the names of ssd.pytorch also say in which
/// colours frames are seen.
///
/// # Errors
/// As [`write_run`] and [`read_weights`]; [`TrainError::Misfit`] names every tensor that is not the model's, and then
/// nothing is written.
pub fn import_run(
    model: impl Into<RunModel>,
    weights: &Path,
    labels: Vec<String>,
    out: &Path,
) -> Result<ImportReport, TrainError> {
    refuse_occupied(out)?;
    let model = model.into();
    let graph = model.graph()?;
    let mut weights = read_weights(weights)?;
    let file = weights.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let provenance = provenance([
        ("command", json!("import")),
        ("weights", json!(file)),
        ("weights_sha256", json!(weights.report.sha256)),
    ]);
    let mut config = RunConfig::new(model, labels, provenance);
    if let Arch::Vgg16Ssd { batch_norm } = config.model.arch() {
        vgg::adapt(&graph, batch_norm, &mut weights, &mut config)?;
    }
    let net = Net::from_weights(graph, &weights)?;
    write_run(out, &config, &net)?;
    Ok(weights.report)
}
