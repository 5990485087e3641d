//! Runs a written bundle in every engine there is, and compares with what libtorch computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use unscene_engine::{Bundle, DeviceChoice, EngineChoice, EngineError, EngineOptions, Model};
use unscene_graph::{Graph, format_shape};
use unscene_models::manifest::{ClipInput, Precision};
use unscene_models::reference::{ROWS, reference_inputs};

use crate::ExportError;
use crate::bundle::read;
use crate::weights::floats;

/// Clips and the logits libtorch computed from them.
pub(crate) struct Reference {
    input: Vec<f32>,
    logits: Vec<f32>,
    clips: usize,
}

impl Reference {
    /// Reads a run's `reference.safetensors`; it must belong to the weights of this hash.
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
        let tensor = |name: &str, expected: &[usize]| {
            let view = file.tensor(name).map_err(|_| wrong(format!("has no tensor '{name}'")))?;
            match view.shape() {
                [clips, rest @ ..] if *clips > 0 && rest == expected && view.dtype() == Dtype::F32 => {
                    Ok((*clips, floats(&view)))
                }
                other => Err(wrong(format!(
                    "'{name}' is {:?} {other:?}, expected F32 {}",
                    view.dtype(),
                    format_shape(expected)
                ))),
            }
        };
        let (rows, logits) = tensor("logits", &graph.node(graph.outputs[0].1).shape)?;
        let input = reference_inputs(graph, clip).into_iter().next().map(|(_, input)| input).unwrap_or_default();
        match rows == ROWS {
            true => Ok(Self { input, logits, clips: ROWS }),
            false => Err(wrong(format!("has logits of {rows} clips, expected {ROWS}"))),
        }
    }
}

/// The largest difference allowed, relative to the largest logit.
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
        let model = match Model::load(&bundle, &options) {
            Err(EngineError::Unavailable { .. }) if choice == EngineChoice::Ort => continue,
            other => other.map_err(failed)?,
        };
        let logits = model.run_raw(&reference.input, reference.clips).map_err(failed)?;
        let found = relative_difference(&logits, &reference.logits);
        let allowed = tolerance(precision);
        // A reference that is not finite gives NaN, which must not pass.
        if found.is_nan() || found > allowed {
            return Err(ExportError::Parity { engine, found, allowed });
        }
        parity.insert(engine.to_string(), found);
    }
    Ok(parity)
}
