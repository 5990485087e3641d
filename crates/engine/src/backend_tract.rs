//! tract: a pure Rust engine, always there, CPU only.

use std::sync::Arc;
use std::thread;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use unscene_models::manifest::Precision;

use crate::backend::{Backend, Shape};
use crate::bundle::Bundle;
use crate::error::{EngineError, Result};

/// The version this crate is pinned to.
pub(crate) const VERSION: &str = "0.23.9";

/// A plan for one clip, run by several threads at once.
///
/// tract's 3-D convolution is 10 to 30 times slower per clip when the batch is above one, so the batch is pinned to
/// one and the clips of a batch are spread over threads.
pub(crate) struct TractBackend {
    plan: Arc<TypedRunnableModel>,
    shape: Shape,
    threads: usize,
}

impl TractBackend {
    pub fn load(bundle: &Bundle, threads: usize) -> Result<Self> {
        let path = bundle.model_path();
        let shape = Shape::of(&bundle.manifest);
        let [c, t, h, w] = shape.input;
        let plan = || -> TractResult<_> {
            let fact = InferenceFact::dt_shape(f32::datum_type(), [1, c, t, h, w]);
            // The exporter's own shape facts hold a symbolic batch, which disagrees with the pinned one.
            let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
            let mut proto = onnx.proto_model_for_path(&path)?;
            if bundle.manifest.precision == Precision::Fp16 {
                widen(&mut proto);
            }
            let model = onnx.model_for_proto_model(&proto)?;
            model.with_input_fact(0, fact)?.into_optimized()?.into_runnable()
        };
        let plan = plan().map_err(|error| EngineError::Load {
            engine: format!("tract {VERSION}"),
            path: path.clone(),
            reason: format!("{error:#}"),
        })?;
        Ok(Self { plan, shape, threads })
    }

    fn run_clip(&self, clip: &[f32], output: usize) -> Result<Vec<f32>, String> {
        let [c, t, h, w] = self.shape.input;
        let run = || -> TractResult<Vec<f32>> {
            let input = Tensor::from_shape(&[1, c, t, h, w], clip)?;
            let outputs = self.plan.run(tvec!(input.into()))?;
            Ok(outputs[output].to_plain_array_view::<f32>()?.iter().copied().collect())
        };
        run().map_err(|error| format!("{error:#}"))
    }
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
    fn run(&mut self, input: &[f32], clips: usize, output: usize) -> Result<Vec<f32>, String> {
        let this = &*self;
        let clip_len = this.shape.clip_len();
        if clips < 2 || this.threads < 2 {
            return input
                .chunks_exact(clip_len)
                .map(|clip| this.run_clip(clip, output))
                .collect::<Result<Vec<_>, _>>()
                .map(|l| l.concat());
        }
        // Consecutive clips per thread, sizes differing by one at most.
        let per_thread = clips.div_ceil(this.threads.min(clips));
        thread::scope(|scope| {
            let workers: Vec<_> = input
                .chunks(per_thread * clip_len)
                .map(|part| {
                    scope.spawn(move || {
                        part.chunks_exact(clip_len)
                            .map(|clip| this.run_clip(clip, output))
                            .collect::<Result<Vec<_>, _>>()
                    })
                })
                .collect();
            let mut values = Vec::new();
            for worker in workers {
                let rows = worker.join().map_err(|_| String::from("a thread of tract panicked"))??;
                values.extend(rows.into_iter().flatten());
            }
            Ok(values)
        })
    }
}
