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

    /// Numbers of rows of a graph whose first run takes longer: on a GPU the engine prepares for each, and others are padded to
    /// them; on a CPU memory is taken for the largest, which is enough for all.
    fn buckets(&self, _graph: usize) -> Vec<usize> {
        vec![]
    }
}

/// A backend, and what it turned out to be.
pub(crate) struct Loaded {
    pub backend: Box<dyn Backend>,
    /// Such as `onnxruntime 1.32.0`.
    pub engine: String,
    /// Such as `cpu`, `cuda:0`.
    pub device: String,
    /// Rows of each graph in a batch at most.
    pub most_rows: Vec<usize>,
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

/// Loads the bundle's graphs as the options say, and runs each once with every number of rows that it prepares for: a model
/// that loads but cannot run, or whose outputs have other sizes than the manifest says, is refused here and not at the first
/// request, and no request waits for a preparation.
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
        for rows in loaded.backend.buckets(index) {
            loaded.backend.run(index, &vec![0.0; rows * shape.row_len()], rows).map_err(failed)?;
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
        most_rows: most_rows(&bundle.manifest, options, threads),
    })
}

fn ort(bundle: &Bundle, options: &EngineOptions, device: DeviceChoice) -> Result<Loaded> {
    let gpu = matches!(device, DeviceChoice::Cuda(_) | DeviceChoice::TensorRt(_));
    let clip_len = bundle.manifest.input.len();
    let side_by_side = if gpu { 1 } else { side_by_side(options.resolved_threads(), clip_len) };
    // As many as fill a GPU; on a CPU as many as are run side by side, because few clips at a time overlap best with decoding.
    let suits = if gpu { fills_a_gpu(clip_len) } else { side_by_side };
    let most_rows = most_rows(&bundle.manifest, options, suits);
    Ok(Loaded {
        backend: Box::new(OrtBackend::load(bundle, options, device, side_by_side, &most_rows)?),
        engine: backend_ort::engine_name(),
        device: device.to_string(),
        most_rows,
    })
}

/// Values in a batch at most: 2.6 GB.
const MAX_BATCH_VALUES: usize = 1024 * 3 * 16 * 112 * 112;

/// The largest batch that may be asked for, because it is allocated: 1024 clips of 16 x 112 x 112 are 2.5 GB, and so are 21
/// windows of 768 frames.
pub(crate) fn largest_batch(manifest: &Manifest) -> usize {
    (MAX_BATCH_VALUES / manifest.input.len().max(1)).clamp(1, 1024)
}

/// Rows of each graph in a batch at most: as the options say, or as suits the engine.
fn most_rows(manifest: &Manifest, options: &EngineOptions, suits: usize) -> Vec<usize> {
    let batch = if options.batch == 0 { suits.min(largest_batch(manifest)) } else { options.batch };
    // The head of a localizer sees all proposals of a batch at once.
    let proposals = manifest.localize.as_ref().map_or(1, |localize| localize.rule.proposals.max(1));
    (0..manifest.graphs.len()).map(|graph| if graph == 0 { batch } else { batch * proposals }).collect()
}

/// Clips of so many values that fill a GPU: 8 of 16 x 112 x 112 do, and a localizer's buffer of 768 frames does alone.
fn fills_a_gpu(clip_len: usize) -> usize {
    (8 * 3 * 16 * 112 * 112 / clip_len).clamp(1, 8)
}

/// Clips of so many values that a CPU with so many threads runs side by side. Each has weights and memory of its own, so that there are
/// four at most, of as many values as 16 clips of 16 x 112 x 112.
fn side_by_side(threads: usize, clip_len: usize) -> usize {
    threads.min(16 * 3 * 16 * 112 * 112 / clip_len.max(1)).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use super::{fills_a_gpu, side_by_side};

    #[test]
    fn cores_are_shared_by_a_few_clips_and_not_by_long_buffers() {
        let clip = 3 * 16 * 112 * 112;
        assert_eq!([1, 2, 3, 4, 64].map(|threads| side_by_side(threads, clip)), [1, 2, 3, 4, 4]);
        assert_eq!(side_by_side(8, 48 * clip), 1);
    }

    #[test]
    fn short_clips_are_batched_and_long_buffers_are_not() {
        let len = |frames: usize, size: usize| 3 * frames * size * size;
        assert_eq!([len(16, 112), len(8, 56), len(64, 56), len(768, 112)].map(fills_a_gpu), [8, 8, 8, 1]);
    }
}
