//! Any ONNX graph that takes pictures: the classifiers and detectors that annotate datasets.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use ort::session::Session;

use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};
use tract_onnx::prelude::*;

use crate::backend::choose;
use crate::backend_ort::{engine_name, open_session};
use crate::backend_tract::VERSION;
use crate::error::{EngineError, Result};
use crate::options::{DeviceChoice, EngineOptions};

/// One output of a graph. Whole numbers come as `f32`, which holds class numbers exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The output's name.
    pub name: String,
    /// Its sides.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Vec<f32>,
}

/// A loaded graph with one input of sides n x `sides`.
pub struct Network {
    graph: Graph,
    sides: Vec<usize>,
    batch: Option<usize>,
    engine: String,
    device: String,
}

enum Graph {
    Ort(Box<Session>),
    /// A plan for one picture, run by several threads at once.
    Tract {
        plan: Arc<TypedRunnableModel>,
        outputs: Vec<String>,
        threads: usize,
    },
}

impl Network {
    /// Loads a graph whose input has these sides after the first, which counts pictures.
    ///
    /// # Errors
    /// When the engine or device cannot be had, the engine refuses the graph, or the graph has another input; the
    /// message shows the inputs that it has.
    pub fn load(path: &Path, sides: &[usize], options: &EngineOptions) -> Result<Self> {
        let ort = |device: DeviceChoice| {
            let session = open_session(path, None, options.resolved_threads(), device, false)?;
            let batch = check_input(path, &session, sides)?;
            Ok((Graph::Ort(Box::new(session)), batch, engine_name(), device.to_string()))
        };
        let tract = || {
            let (plan, outputs) = load_tract(path, sides).map_err(|error| EngineError::Load {
                engine: format!("tract {VERSION}"),
                path: path.to_path_buf(),
                reason: format!("{error:#}"),
            })?;
            let threads = options.resolved_threads();
            Ok((Graph::Tract { plan, outputs, threads }, None, format!("tract {VERSION}"), "cpu".into()))
        };
        let (graph, batch, engine, device) = choose(options, ort, tract)?;
        Ok(Network { graph, sides: sides.to_vec(), batch, engine, device })
    }

    /// Name and version of the engine that runs.
    pub fn engine_name(&self) -> &str {
        &self.engine
    }

    /// The device that it runs on.
    pub fn device_name(&self) -> &str {
        &self.device
    }

    /// The number of pictures that it takes at once, where the graph fixes it.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.batch
    }

    /// Runs `n` pictures at once.
    ///
    /// # Shapes
    /// `input` is n x the sides given to [`Network::load`].
    ///
    /// # Errors
    /// When `input` has another length, or the engine fails.
    pub fn run(&mut self, input: &[f32], n: usize) -> Result<Vec<Array>> {
        let expected = n * self.sides.iter().product::<usize>();
        if n == 0 || input.len() != expected {
            return Err(EngineError::Argument {
                what: "input",
                found: format!("{} values for {n} pictures", input.len()),
                expected: format!("{expected}, and at least one picture"),
            });
        }
        let shape: Vec<usize> = [n].into_iter().chain(self.sides.iter().copied()).collect();
        let arrays = match &mut self.graph {
            Graph::Ort(session) => run_ort(session, shape, input).map_err(|error| error.to_string()),
            Graph::Tract { plan, outputs, threads } => run_on_threads(plan, outputs, *threads, &shape, input),
        };
        arrays
            .map_err(|reason| EngineError::Inference { engine: format!("{} on {}", self.engine, self.device), reason })
    }
}

/// Compares the input with what is wanted, and returns the number of pictures where the graph fixes it.
fn check_input(path: &Path, session: &Session, sides: &[usize]) -> Result<Option<usize>> {
    let inputs = session.inputs();
    let shape = match inputs {
        [input] => match input.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => Some(shape),
            _ => None,
        },
        _ => None,
    };
    // Sides that are not known are -1.
    let fits = |shape: &&ort::value::Shape| {
        shape.len() == sides.len() + 1
            && shape.iter().skip(1).zip(sides).all(|(&found, &wanted)| found < 0 || found as usize == wanted)
    };
    match shape.filter(fits) {
        Some(shape) => Ok(usize::try_from(shape[0]).ok()),
        None => {
            let found: Vec<String> =
                inputs.iter().map(|input| format!("{:?}: {}", input.name(), input.dtype())).collect();
            let wanted: Vec<String> = sides.iter().map(ToString::to_string).collect();
            Err(EngineError::Load {
                engine: engine_name(),
                path: path.to_path_buf(),
                reason: format!(
                    "its inputs are {}, expected one of 32-bit floats, N x {}; change the config to fit",
                    found.join(", "),
                    wanted.join(" x ")
                ),
            })
        }
    }
}

fn run_ort(session: &mut Session, shape: Vec<usize>, input: &[f32]) -> ort::Result<Vec<Array>> {
    let view = TensorRef::from_array_view((shape, input))?;
    let outputs = session.run(ort::inputs![view])?;
    outputs.iter().map(|(name, value)| array(name, &value)).collect()
}

fn array(name: &str, value: &DynValue) -> ort::Result<Array> {
    fn widened<T: Copy>((shape, values): (&ort::value::Shape, &[T]), to: impl Fn(T) -> f32) -> (Vec<usize>, Vec<f32>) {
        let shape = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
        (shape, values.iter().map(|&value| to(value)).collect())
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(ort::Error::new(format!("output {name:?} is no tensor but {}", value.dtype())));
    };
    let (shape, values) = match ty {
        TensorElementType::Int64 => widened(value.try_extract_tensor::<i64>()?, |value| value as f32),
        TensorElementType::Int32 => widened(value.try_extract_tensor::<i32>()?, |value| value as f32),
        _ => widened(value.try_extract_tensor::<f32>()?, |value| value),
    };
    Ok(Array { name: name.to_string(), shape, values })
}

fn load_tract(path: &Path, sides: &[usize]) -> TractResult<(Arc<TypedRunnableModel>, Vec<String>)> {
    let shape: Vec<usize> = [1].into_iter().chain(sides.iter().copied()).collect();
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let proto = onnx.proto_model_for_path(path)?;
    let outputs = proto.graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.clone()).collect();
    let model = onnx.model_for_proto_model(&proto)?;
    let model = model.with_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape))?;
    Ok((model.into_optimized()?.into_runnable()?, outputs))
}

/// Consecutive pictures on each thread, and their outputs one after the other.
fn run_on_threads(
    plan: &Arc<TypedRunnableModel>,
    names: &[String],
    threads: usize,
    shape: &[usize],
    input: &[f32],
) -> Result<Vec<Array>, String> {
    let (n, size) = (shape[0], input.len() / shape[0]);
    let one: Vec<usize> = [1].into_iter().chain(shape[1..].iter().copied()).collect();
    let run = |picture: &[f32]| run_tract(plan, names, &one, picture).map_err(|error| format!("{error:#}"));
    if n == 1 {
        return run(input);
    }
    let per_thread = n.div_ceil(threads.clamp(1, n));
    let pictures: Vec<Vec<Array>> = thread::scope(|scope| {
        let chunks = input.chunks(per_thread * size);
        let workers: Vec<_> =
            chunks.map(|part| scope.spawn(move || part.chunks(size).map(run).collect::<Result<Vec<_>, _>>())).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().map_err(|_| "a thread of tract panicked".to_string())?);
        joined.collect::<Result<Vec<_>, String>>().map(|parts| parts.concat())
    })?;
    let mut arrays = pictures[0].clone();
    for (at, array) in arrays.iter_mut().enumerate() {
        if array.shape.first() != Some(&1) {
            return Err(format!("output {:?} does not count pictures; give it one at a time", array.name));
        }
        array.shape[0] = n;
        array.values = pictures.iter().flat_map(|arrays| arrays[at].values.iter().copied()).collect();
    }
    Ok(arrays)
}

fn run_tract(
    plan: &Arc<TypedRunnableModel>,
    names: &[String],
    shape: &[usize],
    input: &[f32],
) -> TractResult<Vec<Array>> {
    let outputs = plan.run(tvec!(Tensor::from_shape(shape, input)?.into()))?;
    let arrays = names.iter().zip(outputs.iter()).map(|(name, output)| {
        let floats = output.cast_to::<f32>()?;
        let values = floats.to_plain_array_view::<f32>()?.iter().copied().collect();
        Ok(Array { name: name.clone(), shape: output.shape().to_vec(), values })
    });
    arrays.collect()
}
