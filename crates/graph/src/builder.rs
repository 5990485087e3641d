use std::collections::HashSet;

use crate::{Graph, GraphError, Node, NodeInfo, Op, ParamInit, ParamRole, ParamSpec};

/// What a convolution needs to know; spatial lists as in [`Op::Conv`].
#[derive(Debug, Clone)]
pub struct ConvOptions {
    /// Number of filters.
    pub out_channels: usize,
    /// Size of a filter.
    pub kernel: [usize; 3],
    /// Step between filter positions.
    pub stride: [usize; 3],
    /// Zeros added on both sides.
    pub padding: [usize; 3],
    /// Whether a bias is added.
    pub bias: bool,
    /// How weights start; the bias starts at 0.
    pub init: ParamInit,
}

/// Records a model: each method adds one node, infers its shape and checks that it fits.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<NodeInfo>,
    params: Vec<ParamSpec>,
    inputs: Vec<Node>,
    scope: Vec<String>,
    names: HashSet<String>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records inside a scope: names within get `name.` in front.
    pub fn scoped<T>(&mut self, name: impl Into<String>, record: impl FnOnce(&mut Self) -> T) -> T {
        self.scope.push(name.into());
        let result = record(self);
        self.scope.pop();
        result
    }

    /// The shape of a node without the batch.
    ///
    /// # Panics
    /// If the node came from another builder.
    pub fn shape(&self, node: Node) -> &[usize] {
        &self.nodes[node.0].shape
    }

    /// A tensor given from outside, of this shape without the batch.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        if shape.is_empty() || shape.contains(&0) {
            return Err(misfit(
                &full,
                format!("an input of shape {shape:?} holds nothing; every size must be at least 1"),
            ));
        }
        let node = self.push(full, Op::Input, vec![], vec![], shape.to_vec())?;
        self.inputs.push(node);
        Ok(node)
    }

    /// Convolution ([`Op::Conv`]).
    pub fn conv(&mut self, name: &str, x: Node, options: ConvOptions) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let ConvOptions { out_channels, kernel, stride, padding, bias, init } = options;
        if out_channels == 0 {
            return Err(misfit(&full, "a convolution needs at least one output channel".into()));
        }
        let in_channels = self.spatial(&full, x)?.0;
        let shape = self.windows(&full, x, out_channels, &kernel, &stride, &padding)?;
        let mut params = vec![self.param(
            &full,
            "weight",
            [&[out_channels, in_channels], &kernel[..]].concat(),
            init,
            ParamRole::Trainable,
        )?];
        if bias {
            params.push(self.param(
                &full,
                "bias",
                vec![out_channels],
                ParamInit::Constant(0.0),
                ParamRole::Trainable,
            )?);
        }
        let op = Op::Conv { out_channels, kernel: kernel.into(), stride: stride.into(), padding: padding.into(), bias };
        self.push(full, op, vec![x], params, shape)
    }

    /// Batch normalisation ([`Op::BatchNorm`]) with PyTorch's constants; starts as the identity.
    pub fn batch_norm(&mut self, name: &str, x: Node) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let channels = self.shape(x)[0];
        let mut params = Vec::with_capacity(4);
        for (leaf, start, role) in [
            ("weight", 1.0, ParamRole::Trainable),
            ("bias", 0.0, ParamRole::Trainable),
            ("running_mean", 0.0, ParamRole::RunningStatistic),
            ("running_var", 1.0, ParamRole::RunningStatistic),
        ] {
            params.push(self.param(&full, leaf, vec![channels], ParamInit::Constant(start), role)?);
        }
        let shape = self.shape(x).to_vec();
        self.push(full, Op::BatchNorm { eps: 1e-5, momentum: 0.1 }, vec![x], params, shape)
    }

    /// max(x, 0).
    pub fn relu(&mut self, name: &str, x: Node) -> Result<Node, GraphError> {
        let shape = self.shape(x).to_vec();
        self.push(self.full_name(name), Op::Relu, vec![x], vec![], shape)
    }

    /// Maximum over windows ([`Op::MaxPool`]).
    pub fn max_pool(
        &mut self,
        name: &str,
        x: Node,
        kernel: [usize; 3],
        stride: [usize; 3],
        padding: [usize; 3],
    ) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        if (0..3).any(|axis| 2 * padding[axis] > kernel[axis]) {
            return Err(misfit(&full, format!("padding {padding:?} is more than half of kernel {kernel:?}")));
        }
        let channels = self.spatial(&full, x)?.0;
        let shape = self.windows(&full, x, channels, &kernel, &stride, &padding)?;
        let op = Op::MaxPool { kernel: kernel.into(), stride: stride.into(), padding: padding.into() };
        self.push(full, op, vec![x], vec![], shape)
    }

    /// Every `stride`-th position ([`Op::Subsample`]).
    pub fn subsample(&mut self, name: &str, x: Node, stride: [usize; 3]) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let channels = self.spatial(&full, x)?.0;
        let shape = self.windows(&full, x, channels, &[1; 3], &stride, &[0; 3])?;
        self.push(full, Op::Subsample { stride: stride.into() }, vec![x], vec![], shape)
    }

    /// Zero channels added behind ([`Op::PadChannels`]).
    pub fn pad_channels(&mut self, name: &str, x: Node, channels: usize) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let mut shape = self.shape(x).to_vec();
        if channels < shape[0] {
            return Err(misfit(&full, format!("{} channels cannot be padded to {channels}", shape[0])));
        }
        shape[0] = channels;
        self.push(full, Op::PadChannels { channels }, vec![x], vec![], shape)
    }

    /// Mean over all spatial positions ([`Op::GlobalAvgPool`]).
    pub fn global_avg_pool(&mut self, name: &str, x: Node) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let channels = self.spatial(&full, x)?.0;
        self.push(full, Op::GlobalAvgPool, vec![x], vec![], vec![channels])
    }

    /// Fully connected layer ([`Op::Linear`]). Weights and bias start uniform within 1 / sqrt(in_features), as PyTorch's.
    pub fn linear(&mut self, name: &str, x: Node, out_features: usize) -> Result<Node, GraphError> {
        let in_features = self.shape(x).iter().product::<usize>();
        let init = ParamInit::Uniform { bound: 1.0 / (in_features as f64).sqrt() };
        self.linear_with(name, x, out_features, [init; 2])
    }

    /// Fully connected layer ([`Op::Linear`]) whose weights and bias start as said.
    pub fn linear_with(
        &mut self,
        name: &str,
        x: Node,
        out_features: usize,
        [weight, bias]: [ParamInit; 2],
    ) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let &[in_features] = self.shape(x) else {
            return Err(misfit(&full, format!("expects N x features, found {}", crate::format_shape(self.shape(x)))));
        };
        if out_features == 0 {
            return Err(misfit(&full, "needs at least one output (one class)".into()));
        }
        let params = vec![
            self.param(&full, "weight", vec![out_features, in_features], weight, ParamRole::Trainable)?,
            self.param(&full, "bias", vec![out_features], bias, ParamRole::Trainable)?,
        ];
        self.push(full, Op::Linear { out_features }, vec![x], params, vec![out_features])
    }

    /// Sum of two tensors of one shape.
    pub fn add(&mut self, name: &str, a: Node, b: Node) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        if self.shape(a) != self.shape(b) {
            let [a, b] = [a, b].map(|node| crate::format_shape(self.shape(node)));
            return Err(misfit(&full, format!("cannot add {a} and {b}; the shapes must be equal")));
        }
        let shape = self.shape(a).to_vec();
        self.push(full, Op::Add, vec![a, b], vec![], shape)
    }

    /// Ends recording. Each output gets a public name, which ONNX files carry.
    pub fn finish(self, outputs: &[(&str, Node)]) -> Graph {
        Graph {
            nodes: self.nodes,
            params: self.params,
            inputs: self.inputs,
            outputs: outputs.iter().map(|&(name, node)| (name.to_string(), node)).collect(),
        }
    }

    fn full_name(&self, name: &str) -> String {
        self.scope.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    fn push(
        &mut self,
        name: String,
        op: Op,
        inputs: Vec<Node>,
        params: Vec<usize>,
        shape: Vec<usize>,
    ) -> Result<Node, GraphError> {
        self.claim(&name)?;
        self.nodes.push(NodeInfo { name, op, inputs, params, shape });
        Ok(Node(self.nodes.len() - 1))
    }

    fn param(
        &mut self,
        node: &str,
        leaf: &str,
        shape: Vec<usize>,
        init: ParamInit,
        role: ParamRole,
    ) -> Result<usize, GraphError> {
        let name = format!("{node}.{leaf}");
        self.claim(&name)?;
        self.params.push(ParamSpec { name, shape, init, role });
        Ok(self.params.len() - 1)
    }

    fn claim(&mut self, name: &str) -> Result<(), GraphError> {
        match self.names.insert(name.to_string()) {
            true => Ok(()),
            false => Err(GraphError::DuplicateName { name: name.to_string() }),
        }
    }

    /// Channels and spatial sizes of a video tensor.
    fn spatial(&self, name: &str, x: Node) -> Result<(usize, [usize; 3]), GraphError> {
        match *self.shape(x) {
            [channels, frames, height, width] => Ok((channels, [frames, height, width])),
            ref other => Err(misfit(
                name,
                format!("expects N x channels x frames x height x width, found {}", crate::format_shape(other)),
            )),
        }
    }

    /// The shape after sliding a window over `x`.
    fn windows(
        &self,
        name: &str,
        x: Node,
        channels: usize,
        kernel: &[usize; 3],
        stride: &[usize; 3],
        padding: &[usize; 3],
    ) -> Result<Vec<usize>, GraphError> {
        let (_, sizes) = self.spatial(name, x)?;
        let mut shape = vec![channels];
        for axis in 0..3 {
            let padded = sizes[axis] + 2 * padding[axis];
            if kernel[axis] == 0 || stride[axis] == 0 || padded < kernel[axis] {
                let axis_name = ["frames", "height", "width"][axis];
                return Err(misfit(
                    name,
                    format!(
                        "a window of {} with stride {} does not fit {axis_name} {} with padding {}; use a larger clip",
                        kernel[axis], stride[axis], sizes[axis], padding[axis]
                    ),
                ));
            }
            shape.push((padded - kernel[axis]) / stride[axis] + 1);
        }
        Ok(shape)
    }
}

fn misfit(node: &str, problem: String) -> GraphError {
    GraphError::Shape { node: node.to_string(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(out_channels: usize, kernel: usize, stride: usize, padding: usize) -> ConvOptions {
        ConvOptions {
            out_channels,
            kernel: [kernel; 3],
            stride: [stride; 3],
            padding: [padding; 3],
            bias: false,
            init: ParamInit::KaimingFanOut,
        }
    }

    #[test]
    fn shapes_follow_the_window_formula() {
        for (size, kernel, stride, padding, expected) in
            [(16, 3, 1, 1, 16), (16, 7, 2, 3, 8), (7, 3, 2, 1, 4), (5, 1, 2, 0, 3), (4, 2, 2, 0, 2), (9, 4, 3, 0, 2)]
        {
            let mut g = GraphBuilder::new();
            let x = g.input("x", &[2, size, size, size]).unwrap();
            let y = g.conv("y", x, conv(5, kernel, stride, padding)).unwrap();
            assert_eq!(g.shape(y), [5, expected, expected, expected], "size {size} kernel {kernel}");
        }
    }

    #[test]
    fn scopes_name_nodes_and_parameters() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 4, 4, 4]).unwrap();
        let y = g.scoped("layer1", |g| g.scoped("0", |g| g.conv("conv1", x, conv(3, 3, 1, 1)))).unwrap();
        let graph = g.finish(&[("y", y)]);
        assert_eq!(graph.node(y).name, "layer1.0.conv1");
        assert_eq!(graph.params[0].name, "layer1.0.conv1.weight");
        assert_eq!(graph.params[0].shape, [3, 2, 3, 3, 3]);
    }

    #[test]
    fn a_name_used_twice_is_an_error() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 4, 4, 4]).unwrap();
        g.relu("same", x).unwrap();
        assert_eq!(g.relu("same", x), Err(GraphError::DuplicateName { name: "same".into() }));
    }

    #[test]
    fn misfits_name_the_node_and_both_shapes() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 4, 4, 4]).unwrap();
        let small = g.subsample("small", x, [2; 3]).unwrap();
        let error = g.scoped("block", |g| g.add("sum", x, small)).unwrap_err().to_string();
        assert_eq!(
            error,
            "node 'block.sum': cannot add N x 2 x 4 x 4 x 4 and N x 2 x 2 x 2 x 2; the shapes must be equal"
        );
        let error = g.max_pool("pool", small, [5; 3], [1; 3], [0; 3]).unwrap_err().to_string();
        assert!(error.contains("'pool'") && error.contains("frames 2"), "{error}");
        assert!(g.linear("fc", x, 3).is_err());
        assert!(g.pad_channels("pad", x, 1).is_err());
        assert!(g.input("empty", &[3, 0, 4, 4]).is_err());
    }

    #[test]
    fn multiply_adds_count_convolutions_and_linear_layers() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 4, 4, 4]).unwrap();
        let y = g.conv("conv", x, conv(3, 3, 1, 1)).unwrap();
        let y = g.global_avg_pool("pool", y).unwrap();
        let y = g.linear("fc", y, 7).unwrap();
        let graph = g.finish(&[("logits", y)]);
        assert_eq!(graph.total_multiply_adds(), (3 * 64) * (2 * 27) + 3 * 7);
        assert_eq!(graph.trainable_params(), 3 * 2 * 27 + 3 * 7 + 7);
    }
}
