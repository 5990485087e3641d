//! The choice of engine and device.

use unscene_models::manifest::Manifest;

use crate::backend_ort::{self, OrtBackend};
use crate::backend_tract::{self, TractBackend};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::options::{DeviceChoice, EngineChoice, EngineOptions};

/// One loaded graph. Lives on its session's thread.
pub(crate) trait Backend {
    /// Runs `clips` clips. `input` holds exactly that many; the answer is clips x the sides of the graph's output of this
    /// index.
    fn run(&mut self, input: &[f32], clips: usize, output: usize) -> Result<Vec<f32>, String>;
}

/// The index of the output that every classifier has.
pub(crate) const LOGITS: usize = 0;

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

/// Sizes that every backend needs.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub input: [usize; 4],
    pub classes: usize,
}

impl Shape {
    pub fn of(manifest: &Manifest) -> Self {
        let input = &manifest.input;
        Self { input: [3, input.frames, input.height, input.width], classes: manifest.labels.len() }
    }

    /// Values of one clip.
    pub fn clip_len(&self) -> usize {
        self.input.iter().product()
    }
}

/// Loads the bundle's graph as the options say, and runs it once: a model that loads but cannot run, or whose output
/// has another size than the manifest says, is refused here and not at the first request.
pub(crate) fn load(bundle: &Bundle, options: &EngineOptions) -> Result<Loaded> {
    let mut loaded = choose(options, |device| ort(bundle, options, device), || tract(bundle, options))?;
    let shape = Shape::of(&bundle.manifest);
    let warm_up = vec![0.0; shape.clip_len()];
    let failed = |reason| EngineError::Load {
        engine: format!("{} on {}", loaded.engine, loaded.device),
        path: bundle.model_path(),
        reason,
    };
    let logits = loaded.backend.run(&warm_up, 1, LOGITS).map_err(failed)?;
    if logits.len() != shape.classes {
        return Err(failed(format!("one clip gives {} values, expected {} classes", logits.len(), shape.classes)));
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
