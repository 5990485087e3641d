//! Runs a written bundle in every engine there is, and compares with what libtorch computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use unscene_engine::{Bundle, DeviceChoice, EngineChoice, EngineError, EngineOptions, Graphs};
use unscene_graph::{Graph, format_shape};
use unscene_models::manifest::{ClipInput, Precision};
use unscene_models::reference::{ROWS, reference_inputs};

use crate::ExportError;
use crate::bundle::read;
use crate::weights::floats;

/// Inputs and the outputs that libtorch computed from them, each by its name.
pub(crate) struct Reference {
    path: PathBuf,
    inputs: Vec<(String, Vec<f32>)>,
    outputs: Vec<(String, Vec<f32>)>,
}

impl Reference {
    /// Reads a run's `reference.safetensors`; it must belong to the weights of this hash. `graph` is the run's whole model.
    pub fn read(path: &Path, graph: &Graph, clip: &ClipInput, weights_sha256: &str) -> Result<Self, ExportError> {
        let wrong = |problem: String| ExportError::Reference { path: path.to_path_buf(), problem };
        let unreadable = |source| ExportError::SafeTensors { path: PathBuf::from(path), source };
        let bytes = read(path)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(unreadable)?;
        let made_from = metadata.metadata().as_ref().and_then(|map| map.get("weights_sha256"));
        if made_from.map(String::as_str) != Some(weights_sha256) {
            let found = made_from.map_or("no hash", String::as_str);
            return Err(wrong(format!(
                "was computed from other weights ({found}) than weights.safetensors ({weights_sha256})"
            )));
        }
        let file = SafeTensors::deserialize(&bytes).map_err(unreadable)?;
        let outputs = graph.outputs.iter().map(|(name, node)| {
            let view = file.tensor(name).map_err(|_| wrong(format!("has no tensor '{name}'")))?;
            let expected = &graph.node(*node).shape;
            match view.shape() {
                [ROWS, rest @ ..] if rest == expected && view.dtype() == Dtype::F32 => {
                    Ok((name.clone(), floats(&view)))
                }
                other => {
                    let (dtype, expected) = (view.dtype(), format_shape(expected));
                    Err(wrong(format!("'{name}' is {dtype:?} {other:?}, expected F32 {expected} with N = {ROWS}")))
                }
            }
        });
        let outputs = outputs.collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_path_buf(), inputs: reference_inputs(graph, clip), outputs })
    }

    /// The largest difference of all outputs, each relative to the largest value of its own.
    fn difference(&self, graphs: &Graphs, engine: &'static str) -> Result<f64, ExportError> {
        let wrong = |problem| ExportError::Reference { path: self.path.clone(), problem };
        let (mut largest, mut compared) = (0.0f64, 0);
        for (index, file) in graphs.manifest().graphs.iter().enumerate() {
            let names = file.inputs.iter().map(|input| &input.name);
            let input = self.inputs.iter().find(|(name, _)| names.clone().any(|wanted| wanted == name));
            let (_, input) = input.ok_or_else(|| wrong(format!("has no input of {}", file.file)))?;
            let found = graphs.run(index, input, ROWS).map_err(|source| ExportError::Engine { engine, source })?;
            for (tensor, found) in file.outputs.iter().zip(found) {
                // Outputs that were only asked for in the export are not in the run's reference.
                if let Some((_, expected)) = self.outputs.iter().find(|(name, _)| *name == tensor.name) {
                    let difference = relative_difference(&found, expected);
                    // A reference that is not finite gives NaN, which `max` would drop.
                    largest = if difference.is_nan() { f64::INFINITY } else { largest.max(difference) };
                    compared += 1;
                }
            }
        }
        match compared == self.outputs.len() {
            true => Ok(largest),
            false => Err(wrong("has outputs that the bundle does not have".into())),
        }
    }
}

/// The largest difference allowed, relative to the largest value of an output.
///
/// Single precision: sums are taken in another order and BatchNorm is folded. Half precision has 11 bits.
pub fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 => 1e-5,
        Precision::Fp16 => 5e-3,
    }
}

/// The largest difference divided by the largest magnitude of `expected`; infinite if a value is no number.
///
/// # Panics
/// If the lengths differ.
pub fn relative_difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "number of values");
    let largest = expected.iter().fold(0.0, |max: f64, value| max.max(f64::from(value.abs())));
    let difference = found.iter().zip(expected).fold(0.0, |max: f64, (a, b)| {
        let difference = (f64::from(*a) - f64::from(*b)).abs();
        // `max` would drop a NaN.
        if difference.is_nan() { f64::INFINITY } else { max.max(difference) }
    });
    if difference == 0.0 { 0.0 } else { difference / largest }
}

/// Runs the bundle on the CPU in each engine. An engine that is not installed is left out of the result; tract is
/// always there.
pub(crate) fn check(
    dir: &Path,
    reference: &Reference,
    precision: Precision,
) -> Result<BTreeMap<String, f64>, ExportError> {
    let mut parity = BTreeMap::new();
    for (choice, engine) in [(EngineChoice::Ort, "ort-cpu"), (EngineChoice::Tract, "tract")] {
        let failed = |source| ExportError::Engine { engine, source };
        let bundle = Bundle::open(dir).map_err(failed)?;
        let options = EngineOptions { engine: choice, device: DeviceChoice::Cpu, ..Default::default() };
        let graphs = match Graphs::load(&bundle, &options) {
            Err(EngineError::Unavailable { .. }) if choice == EngineChoice::Ort => continue,
            other => other.map_err(failed)?,
        };
        let found = reference.difference(&graphs, engine)?;
        let allowed = tolerance(precision);
        if found > allowed {
            return Err(ExportError::Parity { engine, found, allowed });
        }
        parity.insert(engine.to_string(), found);
    }
    Ok(parity)
}
