//! Writes a graph as an ONNX model (opset 17, IR version 8), one ONNX operator for each [`Op`] wherever there is one.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;
use tract_onnx::pb;
use unscene_engine::proto;
use unscene_graph::{Graph, Node, NodeInfo, Op};
use unscene_models::manifest::Precision;

use crate::Weights;

/// Builds the ONNX model of a graph. Nodes that no output needs are left out.
///
/// With [`Precision::Fp16`] weights and arithmetic are half precision between a Cast after each input and one before
/// each output, which stay float32.
pub fn write_onnx(graph: &Graph, weights: &Weights, precision: Precision) -> pb::ModelProto {
    let mut writer = Writer {
        graph,
        weights,
        half: precision == Precision::Fp16,
        out: pb::GraphProto { name: "unscene".into(), ..Default::default() },
        tensors: BTreeMap::new(),
        parameters: BTreeSet::new(),
    };
    let needed = needed(graph);
    for (node, needed) in graph.nodes.iter().zip(needed) {
        if needed || node.op == Op::Input {
            writer.node(node);
        }
    }
    writer.outputs();
    proto::model(writer.out)
}

/// Which nodes the outputs depend on.
fn needed(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes.len()];
    graph.outputs.iter().for_each(|(_, node)| needed[node.index()] = true);
    for index in (0..graph.nodes.len()).rev() {
        if needed[index] {
            graph.nodes[index].inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    needed
}

struct Writer<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    half: bool,
    out: pb::GraphProto,
    /// The tensor that holds the result of a node, by the node's name.
    tensors: BTreeMap<&'a str, String>,
    /// Initializers written so far: two nodes may share one.
    parameters: BTreeSet<&'a str>,
}

impl<'a> Writer<'a> {
    fn node(&mut self, node: &'a NodeInfo) {
        let name = node.name.as_str();
        let mut inputs: Vec<String> = node.inputs.iter().map(|&input| self.tensor(input)).collect();
        // A scale of channels is multiplied with positions: it has sides of 1 behind.
        let ones = if matches!(node.op, Op::L2Norm { .. }) { node.shape.len() - 1 } else { 0 };
        for &param in &node.params {
            inputs.push(self.parameter(param, ones));
        }
        let output = match &node.op {
            Op::Input => {
                self.out.input.push(proto::end_info(name, proto::FLOAT, &node.shape));
                match self.half {
                    true => self.cast(format!("{name}.half"), name.into(), proto::FLOAT16, &node.shape),
                    false => name.to_string(),
                }
            }
            Op::Conv { kernel, stride, padding, dilation, .. } => {
                let mut attributes = windows(kernel, stride, padding);
                if dilation.iter().any(|&step| step != 1) {
                    attributes.push(proto::ints("dilations", proto::longs(dilation)));
                }
                self.emit(name, "Conv", inputs, attributes, &node.shape)
            }
            Op::BatchNorm { eps, .. } => {
                self.emit(name, "BatchNormalization", inputs, vec![proto::float("epsilon", *eps as f32)], &node.shape)
            }
            Op::Relu => self.emit(name, "Relu", inputs, vec![], &node.shape),
            Op::MaxPool { kernel, stride, padding, ceil } => {
                let mut attributes = windows(kernel, stride, padding);
                if *ceil {
                    attributes.push(proto::int("ceil_mode", 1));
                }
                self.emit(name, "MaxPool", inputs, attributes, &node.shape)
            }
            Op::Subsample { stride } => {
                let axes: Vec<i64> = (2..2 + stride.len() as i64).collect();
                inputs.push(self.constant(name, "starts", &vec![0; stride.len()]));
                inputs.push(self.constant(name, "ends", &vec![i64::MAX; stride.len()]));
                inputs.push(self.constant(name, "axes", &axes));
                inputs.push(self.constant(name, "steps", &proto::longs(stride)));
                self.emit(name, "Slice", inputs, vec![], &node.shape)
            }
            Op::PadChannels { channels } => {
                let before = &self.graph.node(node.inputs[0]).shape;
                let rank = 1 + before.len();
                let mut pads = vec![0; 2 * rank];
                pads[rank + 1] = (channels - before[0]) as i64;
                inputs.push(self.constant(name, "pads", &pads));
                self.emit(name, "Pad", inputs, vec![proto::text("mode", "constant")], &node.shape)
            }
            Op::GlobalAvgPool => {
                let rank = self.graph.node(node.inputs[0]).shape.len();
                let pooled = [&node.shape[..], &vec![1; rank - 1]].concat();
                let mean = self.emit(&format!("{name}.mean"), "GlobalAveragePool", inputs, vec![], &pooled);
                self.emit(name, "Flatten", vec![mean], vec![proto::int("axis", 1)], &node.shape)
            }
            Op::Linear { .. } => self.emit(name, "Gemm", inputs, vec![proto::int("transB", 1)], &node.shape),
            Op::Add => self.emit(name, "Add", inputs, vec![], &node.shape),
            Op::L2Norm { eps } => self.l2_norm(node, [0, 1].map(|at| inputs[at].clone()), *eps),
            Op::ChannelsLast => {
                let rank = 1 + node.shape.len() as i64;
                let order = [0].into_iter().chain(2..rank).chain([1]).collect();
                self.emit(name, "Transpose", inputs, vec![proto::ints("perm", order)], &node.shape)
            }
            Op::Reshape { shape } => {
                // 0 leaves the batch as it is.
                inputs.push(self.constant(name, "shape", &[&[0], &proto::longs(shape)[..]].concat()));
                self.emit(name, "Reshape", inputs, vec![], &node.shape)
            }
            Op::Concat => self.emit(name, "Concat", inputs, vec![proto::int("axis", 1)], &node.shape),
        };
        self.tensors.insert(name, output);
    }

    /// Lengths are sums of squares, which are too large for half precision, and `eps` is too small for it.
    fn l2_norm(&mut self, node: &NodeInfo, [x, weight]: [String; 2], eps: f64) -> String {
        let (name, shape) = (&node.name, &node.shape);
        let one = [&[1], &shape[1..]].concat();
        let x = if self.half { self.cast(format!("{name}.single"), x, proto::FLOAT, shape) } else { x };
        let axes = vec![proto::ints("axes", vec![1])];
        let length = self.emit(&format!("{name}.length"), "ReduceL2", vec![x.clone()], axes, &one);
        let tiny = format!("{name}.eps");
        self.out.initializer.push(proto::tensor(&tiny, proto::FLOAT, &[], (eps as f32).to_le_bytes().into()));
        let length = self.emit(&format!("{name}.positive"), "Add", vec![length, tiny], vec![], &one);
        let mut unit = self.emit(&format!("{name}.unit"), "Div", vec![x, length], vec![], shape);
        if self.half {
            unit = self.cast(format!("{name}.half"), unit, proto::FLOAT16, shape);
        }
        self.emit(name, "Mul", vec![unit, weight], vec![], shape)
    }

    /// Describes the outputs, and adds what is missing to reach their public names: the Cast back to float32, or an
    /// Identity where one node is several outputs.
    fn outputs(&mut self) {
        for (name, node) in &self.graph.outputs {
            let tensor = self.tensor(*node);
            let shape = &self.graph.node(*node).shape;
            self.out.output.push(proto::end_info(name, proto::FLOAT, shape));
            if self.half {
                self.cast(name.clone(), tensor, proto::FLOAT, shape);
            } else if &tensor != name {
                self.emit(name, "Identity", vec![tensor], vec![], shape);
            }
        }
        // Engines that widen half-precision weights to compute in float32 would be contradicted by the element types.
        if self.half {
            self.out.value_info.clear();
        }
        // Outputs are described once: as outputs.
        let outputs: BTreeSet<&str> = self.graph.outputs.iter().map(|(name, _)| name.as_str()).collect();
        self.out.value_info.retain(|info| !outputs.contains(info.name.as_str()));
    }

    fn tensor(&self, node: Node) -> String {
        self.tensors[self.graph.node(node).name.as_str()].clone()
    }

    /// Adds a node. Its only result carries the node's name, or the public name if it is an output.
    fn emit(
        &mut self,
        name: &str,
        op_type: &str,
        input: Vec<String>,
        attribute: Vec<pb::AttributeProto>,
        shape: &[usize],
    ) -> String {
        let element = if self.half { proto::FLOAT16 } else { proto::FLOAT };
        let public = self.graph.outputs.iter().find(|(_, node)| !self.half && self.graph.node(*node).name == name);
        let output = public.map_or(name, |(public, _)| public);
        self.out.node.push(proto::node(name, op_type, input, attribute, output));
        self.out.value_info.push(proto::value_info(output, element, shape));
        output.to_string()
    }

    fn cast(&mut self, name: String, from: String, to: i32, shape: &[usize]) -> String {
        self.out.node.push(proto::node(&name, "Cast", vec![from], vec![proto::int("to", to.into())], &name));
        self.out.value_info.push(proto::value_info(&name, to, shape));
        name
    }

    /// The initializer of a parameter, with some sides of 1 behind its own.
    fn parameter(&mut self, param: usize, ones: usize) -> String {
        let spec = &self.graph.params[param];
        let sides = [&proto::longs(&spec.shape)[..], &vec![1; ones]].concat();
        if self.parameters.insert(&spec.name) {
            let values = self.weights.get(&spec.name);
            let tensor = match self.half {
                true => {
                    let bytes = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
                    proto::tensor(&spec.name, proto::FLOAT16, &sides, bytes)
                }
                false => {
                    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    proto::tensor(&spec.name, proto::FLOAT, &sides, bytes)
                }
            };
            self.out.initializer.push(tensor);
        }
        spec.name.clone()
    }

    fn constant(&mut self, node: &str, leaf: &str, values: &[i64]) -> String {
        let name = format!("{node}.{leaf}");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.out.initializer.push(proto::tensor(&name, proto::INT64, &[values.len() as i64], bytes));
        name
    }
}

/// Attributes of operators that slide a window.
fn windows(kernel: &[usize], stride: &[usize], padding: &[usize]) -> Vec<pb::AttributeProto> {
    vec![
        proto::ints("kernel_shape", proto::longs(kernel)),
        proto::ints("strides", proto::longs(stride)),
        proto::ints("pads", proto::longs(&[padding, padding].concat())),
    ]
}
