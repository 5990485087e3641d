//! The choice of engine and device.

use unscene_models::manifest::{Dim, GraphFile, Manifest, TensorInfo};

use crate::backend_ort::{self, OrtBackend};
use crate::backend_tract::{self, TractBackend};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::options::{DeviceChoice, EngineChoice, EngineOptions};

/// The loaded graphs of a bundle. Lives on its session's thread.
pub(crate) trait Backend {
    /// Runs one of the graphs on `rows` rows. `input` holds exactly that many; the answer is every output of the graph, each
    /// rows x its sides.
    fn run(&mut self, graph: usize, input: &[f32], rows: usize) -> Result<Vec<Vec<f32>>, String>;
}

/// A backend, and what it turned out to be.
pub(crate) struct Loaded {
    pub backend: Box<dyn Backend>,
    /// Such as `onnxruntime 1.32.0`.
    pub engine: String,
    /// Such as `cpu`, `cuda:0`.
    pub device: String,
    /// Clips per run that suit it.
    pub batch: usize,
}

/// Sides of a graph's input and outputs, without the first, which counts rows.
#[derive(Clone, Debug)]
pub(crate) struct GraphShape {
    pub input: Vec<usize>,
    pub outputs: Vec<Vec<usize>>,
}

impl GraphShape {
    /// Those of every graph of a bundle; each has one input.
    pub fn all(manifest: &Manifest) -> Vec<Self> {
        let sides = |tensor: &TensorInfo| {
            let fixed =
                tensor.shape.iter().filter_map(|side| if let Dim::Fixed(side) = side { Some(*side) } else { None });
            fixed.collect::<Vec<_>>()
        };
        let of = |graph: &GraphFile| Self {
            input: graph.inputs.first().map(sides).unwrap_or_default(),
            outputs: graph.outputs.iter().map(sides).collect(),
        };
        manifest.graphs.iter().map(of).collect()
    }

    /// Values of one row of the input.
    pub fn row_len(&self) -> usize {
        self.input.iter().product()
    }

    /// The input's sides with the number of rows.
    pub fn input_of(&self, rows: usize) -> Vec<usize> {
        [rows].iter().chain(&self.input).copied().collect()
    }
}

/// Loads the bundle's graphs as the options say, and runs each once: a model that loads but cannot run, or whose outputs
/// have other sizes than the manifest says, is refused here and not at the first request.
pub(crate) fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Loaded> {
    let mut loaded = choose(options, |device| ort(bundle, options, device), || tract(bundle, options))?;
    for (index, shape) in GraphShape::all(&bundle.manifest).iter().enumerate() {
        let failed = |reason| EngineError::Load {
            engine: format!("{} on {}", loaded.engine, loaded.device),
            path: bundle.graph_path(index),
            reason,
        };
        let outputs = loaded.backend.run(index, &vec![0.0; shape.row_len()], 1).map_err(failed)?;
        let found: Vec<usize> = outputs.iter().map(Vec::len).collect();
        let expected: Vec<usize> = shape.outputs.iter().map(|sides| sides.iter().product()).collect();
        if found != expected {
            return Err(failed(format!("one clip gives outputs of {found:?} values, expected {expected:?}")));
        }
    }
    Ok(loaded)
}

/// Loads with the engine and on the device that the options say.
pub(crate) fn choose<T>(
    options: &EngineOptions,
    ort: impl Fn(DeviceChoice) -> Result<T>,
    tract: impl Fn() -> Result<T>,
) -> Result<T> {
    match (options.engine, options.device) {
        (EngineChoice::Tract, DeviceChoice::Auto | DeviceChoice::Cpu) => tract(),
        (EngineChoice::Tract, device) => Err(EngineError::Unavailable {
            requested: format!("device {device}"),
            reason: "the engine tract runs on the CPU only; use engine `ort`, or device `cpu`".into(),
        }),
        // A device other than the CPU asks for ONNX Runtime, whatever the engine.
        (EngineChoice::Auto, DeviceChoice::Auto | DeviceChoice::Cpu) => match backend_ort::runtime() {
            Ok(_) => ort_on(options.device, ort),
            Err(reason) => {
                tracing::warn!("running on tract, because ONNX Runtime does not load: {reason}");
                tract()
            }
        },
        (EngineChoice::Auto | EngineChoice::Ort, device) => ort_on(device, ort),
    }
}

/// Loads with ONNX Runtime, on the GPU first where either will do.
fn ort_on<T>(device: DeviceChoice, ort: impl Fn(DeviceChoice) -> Result<T>) -> Result<T> {
    backend_ort::runtime().map_err(|reason| EngineError::Unavailable {
        requested: match device {
            DeviceChoice::Auto | DeviceChoice::Cpu => "engine ort".into(),
            other => format!("device {other}"),
        },
        reason: format!("{reason}; run `make deps`, or point ORT_DYLIB_PATH at libonnxruntime.so"),
    })?;
    match device {
        DeviceChoice::Auto if backend_ort::has_cuda() => ort(DeviceChoice::Cuda(0)).or_else(|error| {
            tracing::warn!("running on the CPU, because device auto cannot use cuda:0: {error}");
            ort(DeviceChoice::Cpu)
        }),
        DeviceChoice::Auto => ort(DeviceChoice::Cpu),
        device => ort(device),
    }
}

fn tract(bundle: &Bundle, options: &EngineOptions) -> Result<Loaded> {
    let threads = options.resolved_threads();
    Ok(Loaded {
        backend: Box::new(TractBackend::load(bundle, threads)?),
        engine: format!("tract {}", backend_tract::VERSION),
        device: "cpu".into(),
        // A clip for each thread: the plan takes one at a time.
        batch: threads,
    })
}

fn ort(bundle: &Bundle, options: &EngineOptions, device: DeviceChoice) -> Result<Loaded> {
    let backend = OrtBackend::load(bundle, options, device)?;
    Ok(Loaded {
        batch: backend.default_batch(),
        backend: Box::new(backend),
        engine: backend_ort::engine_name(),
        device: device.to_string(),
    })
}
