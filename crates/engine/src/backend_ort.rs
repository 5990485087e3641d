//! ONNX Runtime, loaded when first asked for.

use std::ffi::CStr;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use libloading::Library;
use ort::environment::Environment;
use ort::ep::cuda::{CUDA_DYLIBS, CUDNN_DYLIBS, ConvAlgorithmSearch};
use ort::ep::{CUDA, ExecutionProvider, TensorRT};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::TensorRef;
use prost::Message;
use tract_onnx::pb::ModelProto;
use unscene_models::manifest::Precision;

use crate::backend::{Backend, GraphShape};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};
use crate::options::{DeviceChoice, EngineOptions};
use crate::planes;

const LIBRARY: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// The process's ONNX Runtime.
pub(crate) struct Runtime {
    environment: Environment,
    /// The library.
    path: PathBuf,
    /// Such as `1.32.0`.
    pub version: String,
}

/// Loads ONNX Runtime on the first call; every later call gives the same answer.
pub(crate) fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    RUNTIME.get_or_init(start).as_ref().map_err(Clone::clone)
}

/// Whether the library was built with the CUDA provider; a device may still be missing.
pub(crate) fn has_cuda() -> bool {
    CUDA::is_available().unwrap_or(false)
}

fn start() -> Result<Runtime, String> {
    let mut tried = Vec::new();
    for path in candidates() {
        match version_of(&path) {
            Ok(version) => {
                let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
                let environment = builder.with_name("unscene").with_telemetry(false).build();
                let environment = environment.map_err(|error| format!("{}: {error}", path.display()))?;
                tracing::debug!("ONNX Runtime {version} from {}", path.display());
                return Ok(Runtime { environment, path, version });
            }
            Err(error) => tried.push(error),
        }
    }
    Err(format!("ONNX Runtime's library cannot be loaded ({})", tried.join("; ")))
}

/// Where the library may be, first choice first. A variable that is set is an order: nothing else is tried then.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let mut paths = Vec::new();
    if let Some(dir) = std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from)) {
        paths.extend([dir.join(LIBRARY), dir.join("../lib").join(LIBRARY)]);
    }
    paths.extend(option_env!("UNSCENE_ORT_BUILT_WITH").map(PathBuf::from));
    paths.retain(|path| path.exists());
    paths.push(LIBRARY.into());
    paths
}

/// Opens the library and asks for its version, which `ort` does not give. The handle is closed again; `ort` holds its
/// own.
fn version_of(path: &Path) -> Result<String, String> {
    type ApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: loading runs the library's initialisers; the user named this library as ONNX Runtime. Its one exported
    // function has had this signature since 1.0, and its strings live as long as the library.
    unsafe {
        let library = Library::new(path).map_err(|error| error.to_string())?;
        let get = library.get::<ApiBase>(b"OrtGetApiBase");
        let get = get.map_err(|_| format!("{} is not ONNX Runtime (no OrtGetApiBase)", path.display()))?;
        let base = get().as_ref().ok_or_else(|| format!("{} has no API", path.display()))?;
        Ok(CStr::from_ptr((base.GetVersionString)()).to_string_lossy().into_owned())
    }
}

/// Name and version of the library that was loaded.
pub(crate) fn engine_name() -> String {
    runtime().map_or_else(|_| "onnxruntime".into(), |runtime| format!("onnxruntime {}", runtime.version))
}

/// Loads a graph on a device: from its file or, when they are given, from the bytes of a model that does the same.
pub(crate) fn open_session(
    path: &Path,
    model: Option<&[u8]>,
    threads: usize,
    device: DeviceChoice,
    fp16: bool,
) -> Result<Session> {
    let runtime = runtime().map_err(|reason| EngineError::Unavailable { requested: "engine ort".into(), reason })?;
    let load_error =
        |reason| EngineError::Load { engine: format!("onnxruntime on {device}"), path: path.to_path_buf(), reason };
    let mut builder = configure(&runtime.environment, threads).map_err(load_error)?;
    if matches!(device, DeviceChoice::Cuda(_) | DeviceChoice::TensorRt(_)) {
        preload_cuda(&runtime.path);
    }
    builder = add_device(builder, device, fp16).map_err(|reason| EngineError::Unavailable {
        requested: format!("device {device}"),
        reason: format!(
            "ONNX Runtime {}: {}; choose the device cpu, or install a build with this provider (`make deps GPU=1`)",
            runtime.version,
            reason.trim_end_matches('.')
        ),
    })?;
    let session = match model {
        Some(model) => builder.commit_from_memory(model),
        None => builder.commit_from_file(path),
    };
    session.map_err(|error| load_error(error.to_string()))
}

/// The model of a graph as it is run on a CPU, and how many rows it takes at most: one, where that is asked for and can be said. None where
/// it is run as it is in its file.
fn for_a_cpu(path: &Path, one_row: bool) -> Result<Option<(Vec<u8>, usize)>> {
    let error = |reason: String| EngineError::Load { engine: engine_name(), path: path.to_path_buf(), reason };
    let bytes = fs::read(path).map_err(|reason| error(reason.to_string()))?;
    let mut model = ModelProto::decode(&*bytes).map_err(|reason| error(format!("it is no ONNX model: {reason}")))?;
    drop(bytes);
    if planes::flatten(&mut model) == 0 {
        return Ok(None);
    }
    let at_once = if one_row && planes::fix_one_row(&mut model) { 1 } else { usize::MAX };
    Ok(Some((model.encode_to_vec(), at_once)))
}

/// Sessions of ONNX Runtime for each graph.
pub(crate) struct OrtBackend {
    graphs: Vec<OrtGraph>,
}

struct OrtGraph {
    /// On a CPU several, which run rows side by side: two cores do more with a row each than with one together.
    sessions: Vec<Session>,
    shape: GraphShape,
    /// Rows in a batch at most.
    most: usize,
    /// Rows in a run of a session at most.
    at_once: usize,
    /// On a GPU smaller batches are padded to a power of two, because each new size costs a search for algorithms (CUDA) or a build of
    /// the engine (TensorRT).
    is_padded: bool,
    padded: Vec<f32>,
}

impl OrtBackend {
    /// `side_by_side` is how many rows are run at the same time, on a CPU; `most_rows`, rows of each graph in a batch at most.
    pub fn load(
        bundle: &Bundle,
        options: &EngineOptions,
        device: DeviceChoice,
        side_by_side: usize,
        most_rows: &[usize],
    ) -> Result<Self> {
        let fp16 = bundle.manifest.precision == Precision::Fp16;
        let threads = options.resolved_threads();
        // As equal as can be; rows that are alone come to the first.
        let parts = (0..side_by_side).rev().map(|part| ((threads + part) / side_by_side).max(1));
        let load = |(index, shape)| {
            let path = bundle.graph_path(index);
            // Rows of the first graph are large; those of a localizer's second one are many and small.
            let rewritten = if device == DeviceChoice::Cpu { for_a_cpu(&path, index == 0)? } else { None };
            let (model, at_once) = rewritten.map_or((None, usize::MAX), |(model, at_once)| (Some(model), at_once));
            let open = |threads| open_session(&path, model.as_deref(), threads, device, fp16);
            // Weights are put in the order of the kernels on one thread, for each session.
            let sessions = thread::scope(|scope| {
                let opening: Vec<_> = parts.clone().map(|threads| scope.spawn(move || open(threads))).collect();
                let opened = opening.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
                opened.collect::<Result<_>>()
            })?;
            let is_padded = device != DeviceChoice::Cpu;
            Ok(OrtGraph { sessions, shape, most: most_rows[index], at_once, is_padded, padded: Vec::new() })
        };
        let graphs = GraphShape::all(&bundle.manifest).into_iter().enumerate().map(load).collect::<Result<_>>()?;
        Ok(Self { graphs })
    }
}

/// The number of rows that so many are padded to: a power of two, or the largest.
fn bucket(rows: usize, largest: usize) -> usize {
    rows.next_power_of_two().min(largest.max(rows))
}

/// All that [`bucket`] gives.
fn buckets(largest: usize) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|bit| 1 << bit).take_while(|&rows| rows < largest);
    powers.chain([largest]).collect()
}

/// Loads the CUDA libraries that lie beside ONNX Runtime, as `make deps GPU=1` puts them: its CUDA provider names no
/// place to look for them. Those that are not there are left to the system's own search.
fn preload_cuda(onnxruntime: &Path) {
    let Some(folder) = onnxruntime.parent() else { return };
    let libraries = CUDA_DYLIBS.iter().chain(CUDNN_DYLIBS).map(|name| folder.join(name));
    for path in libraries.filter(|path| path.exists()) {
        if let Err(error) = ort::util::preload_dylib(&path) {
            // The provider may do without; if not, its own message follows.
            tracing::warn!("{}: {error}", path.display());
        }
    }
}

fn configure(environment: &Environment, threads: usize) -> Result<SessionBuilder, String> {
    let builder = Session::builder(environment).map_err(|error| error.to_string())?;
    let builder = builder.with_intra_threads(threads).map_err(|error| error.to_string())?;
    // Within a run workers wait for each other by spinning, which keeps short operations short. After it they must
    // not: they would take the time of the decoder and of other sessions on the same cores.
    builder.with_config_entry("session.force_spinning_stop", "1").map_err(|error| error.to_string())
}

/// Registers the providers of a device. Failure is an error: by default ONNX Runtime would go on with the CPU.
fn add_device(builder: SessionBuilder, device: DeviceChoice, fp16: bool) -> Result<SessionBuilder, String> {
    let cuda = |index: u32| {
        // The default search tries every algorithm for every new shape, for minutes.
        let cuda = CUDA::default().with_device_id(index as i32);
        cuda.with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic).build().error_on_failure()
    };
    let providers = match device {
        DeviceChoice::Auto | DeviceChoice::Cpu => return Ok(builder),
        DeviceChoice::Cuda(index) => vec![cuda(index)],
        // CUDA runs what TensorRT does not take.
        DeviceChoice::TensorRt(index) => {
            let tensorrt = TensorRT::default().with_device_id(index as i32).with_fp16(fp16);
            vec![tensorrt.build().error_on_failure(), cuda(index)]
        }
    };
    builder.with_execution_providers(providers).map_err(|error| error.to_string())
}

impl Backend for OrtBackend {
    fn run(&mut self, graph: usize, input: &[f32], rows: usize) -> Result<Vec<Vec<f32>>, String> {
        self.graphs[graph].run(input, rows).map_err(|error| error.to_string())
    }

    fn buckets(&self, graph: usize) -> Vec<usize> {
        let graph = &self.graphs[graph];
        if graph.is_padded { buckets(graph.most) } else { vec![graph.most] }
    }
}

impl OrtGraph {
    fn run(&mut self, input: &[f32], rows: usize) -> ort::Result<Vec<Vec<f32>>> {
        let side_by_side = self.sessions.len().min(rows);
        if side_by_side < 2 {
            return self.run_together(input, rows);
        }
        // Consecutive rows for each session, their numbers differing by one at most.
        let ends = (1..=side_by_side).map(|part| part * rows / side_by_side);
        let (shape, at_once, mut first) = (&self.shape, self.at_once, 0);
        thread::scope(|scope| {
            let parts = self.sessions.iter_mut().zip(ends).map(|(session, end)| {
                let (rows, part) = (end - first, &input[first * shape.row_len()..end * shape.row_len()]);
                first = end;
                scope.spawn(move || run(session, shape, part, rows, at_once))
            });
            let parts: Vec<_> = parts.collect();
            let mut all: Vec<Vec<f32>> = vec![];
            for part in parts {
                let outputs = part.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                join(&mut all, outputs);
            }
            Ok(all)
        })
    }

    fn run_together(&mut self, input: &[f32], rows: usize) -> ort::Result<Vec<Vec<f32>>> {
        let (mut padded_rows, mut data) = (rows, input);
        if self.is_padded {
            let bucket = bucket(rows, self.most);
            if bucket != rows {
                self.padded.clear();
                self.padded.extend_from_slice(input);
                self.padded.resize(bucket * self.shape.row_len(), 0.0);
                (padded_rows, data) = (bucket, &self.padded);
            }
        }
        let mut outputs = run(&mut self.sessions[0], &self.shape, data, padded_rows, self.at_once)?;
        // Padding is cut off here; wrong numbers of values are left for the caller to see.
        outputs.iter_mut().for_each(|values| values.truncate(values.len() / padded_rows * rows));
        Ok(outputs)
    }
}

/// Runs rows, so many at once at most.
fn run(
    session: &mut Session,
    shape: &GraphShape,
    input: &[f32],
    rows: usize,
    at_once: usize,
) -> ort::Result<Vec<Vec<f32>>> {
    let mut all = vec![];
    for first in (0..rows).step_by(at_once) {
        let rows = at_once.min(rows - first);
        let part = &input[first * shape.row_len()..(first + rows) * shape.row_len()];
        let view = TensorRef::from_array_view((shape.input_of(rows), part))?;
        let outputs = session.run(ort::inputs![view])?;
        let outputs = outputs.values().map(|output| Ok(output.try_extract_tensor::<f32>()?.1.to_vec()));
        join(&mut all, outputs.collect::<ort::Result<_>>()?);
    }
    Ok(all)
}

/// Puts the outputs of more rows behind those of others.
fn join(all: &mut Vec<Vec<f32>>, more: Vec<Vec<f32>>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.iter_mut().zip(more).for_each(|(all, more)| all.extend(more));
    }
}

#[cfg(test)]
mod tests {
    use super::{bucket, buckets};

    #[test]
    fn every_number_of_rows_is_padded_to_one_that_was_warmed_up() {
        assert_eq!(buckets(8), [1, 2, 4, 8]);
        assert_eq!(buckets(6), [1, 2, 4, 6]);
        for largest in 1..40 {
            let warm = buckets(largest);
            let padded: Vec<usize> = (1..=largest).map(|rows| bucket(rows, largest)).collect();
            assert!(padded.iter().all(|rows| warm.contains(rows)), "{largest}: {padded:?}");
            assert!(padded.iter().zip(1..).all(|(&padded, rows)| padded >= rows && padded <= largest));
        }
    }
}
