//! tract: a pure Rust engine, always there, CPU only.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use unscene_models::manifest::Precision;

use crate::backend::{Backend, GraphShape};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};

/// The version this crate is pinned to.
pub(crate) const VERSION: &str = "0.23.9";

/// A plan for each graph, for one row, run by several threads at once.
///
/// tract's 3-D convolution is 10 to 30 times slower per clip when the batch is above one, so the batch is pinned to
/// one and the rows of a batch are spread over threads.
pub(crate) struct TractBackend {
    plans: Vec<Plan>,
    threads: usize,
}

struct Plan {
    plan: Arc<TypedRunnableModel>,
    shape: GraphShape,
}

impl TractBackend {
    pub fn load(bundle: &Bundle, threads: usize) -> Result<Self> {
        let load = |(index, shape): (usize, GraphShape)| {
            let path = bundle.graph_path(index);
            let plan = plan(&path, &shape, bundle.manifest.precision).map_err(|error| EngineError::Load {
                engine: format!("tract {VERSION}"),
                path: path.clone(),
                reason: format!("{error:#}"),
            })?;
            Ok(Plan { plan, shape })
        };
        let plans = GraphShape::all(&bundle.manifest).into_iter().enumerate().map(load);
        Ok(Self { plans: plans.collect::<Result<_>>()?, threads })
    }
}

fn plan(path: &Path, shape: &GraphShape, precision: Precision) -> TractResult<Arc<TypedRunnableModel>> {
    let fact = InferenceFact::dt_shape(f32::datum_type(), shape.input_of(1));
    // The exporter's own shape facts hold a symbolic batch, which disagrees with the pinned one.
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let mut proto = onnx.proto_model_for_path(path)?;
    if precision == Precision::Fp16 {
        widen(&mut proto);
    }
    onnx.model_for_proto_model(&proto)?.with_input_fact(0, fact)?.into_optimized()?.into_runnable()
}

impl Plan {
    /// The outputs of one row.
    fn run(&self, row: &[f32]) -> Result<Vec<Vec<f32>>, String> {
        let run = || -> TractResult<Vec<Vec<f32>>> {
            let input = Tensor::from_shape(&self.shape.input_of(1), row)?;
            let outputs = self.plan.run(tvec!(input.into()))?;
            outputs.iter().map(|output| Ok(output.to_plain_array_view::<f32>()?.iter().copied().collect())).collect()
        };
        run().map_err(|error| format!("{error:#}"))
    }

    /// The outputs of several rows, one row after the other.
    fn run_all(&self, rows: &[f32]) -> Result<Vec<Vec<f32>>, String> {
        let mut all = vec![Vec::new(); self.shape.outputs.len()];
        for row in rows.chunks_exact(self.shape.row_len()) {
            append(&mut all, self.run(row)?);
        }
        Ok(all)
    }
}

/// Puts the rows of each output behind those that are there.
fn append(all: &mut [Vec<f32>], more: Vec<Vec<f32>>) {
    all.iter_mut().zip(more).for_each(|(all, more)| all.extend(more));
}

/// Turns a half-precision graph into a single-precision one that holds the same (rounded) weights.
///
/// tract 0.23.9 refuses a half-precision Gemm, and CPUs compute half precision no faster.
fn widen(model: &mut ModelProto) {
    const FLOAT: i32 = 1;
    const FLOAT16: i32 = 10;
    let Some(graph) = model.graph.as_mut() else { return };
    for tensor in graph.initializer.iter_mut().filter(|tensor| tensor.data_type == FLOAT16) {
        // ONNX keeps halves as little-endian bytes, or as bits in the low half of a 32-bit integer.
        let bits: Vec<u16> = match tensor.raw_data.is_empty() {
            true => tensor.int32_data.drain(..).map(|bits| bits as u16).collect(),
            false => tensor.raw_data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect(),
        };
        let bytes = bits.into_iter().flat_map(|bits| f16::from_bits(bits).to_f32().to_le_bytes());
        tensor.raw_data = bytes.collect();
        tensor.data_type = FLOAT;
    }
    let casts = graph.node.iter_mut().filter(|node| node.op_type == "Cast");
    for to in casts.flat_map(|node| &mut node.attribute).filter(|attribute| attribute.name == "to") {
        if to.i == i64::from(FLOAT16) {
            to.i = i64::from(FLOAT);
        }
    }
}

impl Backend for TractBackend {
    fn run(&mut self, graph: usize, input: &[f32], rows: usize) -> Result<Vec<Vec<f32>>, String> {
        let plan = &self.plans[graph];
        if rows < 2 || self.threads < 2 {
            return plan.run_all(input);
        }
        // Consecutive rows per thread, sizes differing by one at most.
        let per_thread = rows.div_ceil(self.threads.min(rows));
        thread::scope(|scope| {
            let parts = input.chunks(per_thread * plan.shape.row_len());
            let workers: Vec<_> = parts.map(|part| scope.spawn(move || plan.run_all(part))).collect();
            let mut all = vec![Vec::new(); plan.shape.outputs.len()];
            for worker in workers {
                append(&mut all, worker.join().map_err(|_| String::from("a thread of tract panicked"))??);
            }
            Ok(all)
        })
    }
}
