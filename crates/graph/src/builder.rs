use std::collections::HashSet;

use crate::{Graph, GraphError, Node, NodeInfo, Op, ParamInit, ParamRole, ParamSpec};

/// What a convolution needs to know; spatial lists as in [`Op::Conv`], of D = 3 entries for video and 2 for pictures.
#[derive(Debug, Clone)]
pub struct ConvOptions<const D: usize> {
    /// Number of filters.
    pub out_channels: usize,
    /// Size of a filter.
    pub kernel: [usize; D],
    /// Step between filter positions.
    pub stride: [usize; D],
    /// Zeros added on both sides.
    pub padding: [usize; D],
    /// Step between the positions that a filter looks at; 1 is a filter without gaps.
    pub dilation: [usize; D],
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
    pub fn conv<const D: usize>(&mut self, name: &str, x: Node, options: ConvOptions<D>) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let ConvOptions { out_channels, kernel, stride, padding, dilation, bias, init } = options;
        if out_channels == 0 {
            return Err(misfit(&full, "a convolution needs at least one output channel".into()));
        }
        if dilation.contains(&0) {
            return Err(misfit(&full, format!("a dilation of {dilation:?}; 1 is a filter without gaps")));
        }
        let in_channels = self.spatial::<D>(&full, x)?.0;
        // What a filter spans, gaps included.
        let span: [usize; D] =
            std::array::from_fn(|axis| kernel[axis].checked_sub(1).map_or(0, |steps| dilation[axis] * steps + 1));
        let shape = self.windows(&full, x, out_channels, span, stride, padding)?;
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
        let [kernel, stride, padding, dilation] = [kernel, stride, padding, dilation].map(Vec::from);
        let op = Op::Conv { out_channels, kernel, stride, padding, dilation, bias };
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
    pub fn max_pool<const D: usize>(
        &mut self,
        name: &str,
        x: Node,
        kernel: [usize; D],
        stride: [usize; D],
        padding: [usize; D],
    ) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        if (0..D).any(|axis| 2 * padding[axis] > kernel[axis]) {
            return Err(misfit(&full, format!("padding {padding:?} is more than half of kernel {kernel:?}")));
        }
        let channels = self.spatial::<D>(&full, x)?.0;
        let shape = self.windows(&full, x, channels, kernel, stride, padding)?;
        let [kernel, stride, padding] = [kernel, stride, padding].map(Vec::from);
        self.push(full, Op::MaxPool { kernel, stride, padding, ceil: false }, vec![x], vec![], shape)
    }

    /// Maximum over windows side by side, the last of which may end outside ([`Op::MaxPool`]).
    pub fn max_pool_ceil<const D: usize>(
        &mut self,
        name: &str,
        x: Node,
        kernel: [usize; D],
    ) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let (channels, sizes) = self.spatial::<D>(&full, x)?;
        if kernel.contains(&0) {
            return Err(misfit(&full, format!("windows of {kernel:?} hold nothing")));
        }
        let shape = [channels].into_iter().chain((0..D).map(|axis| sizes[axis].div_ceil(kernel[axis]))).collect();
        let (padding, kernel) = (vec![0; D], Vec::from(kernel));
        self.push(full, Op::MaxPool { stride: kernel.clone(), kernel, padding, ceil: true }, vec![x], vec![], shape)
    }

    /// Every `stride`-th position ([`Op::Subsample`]).
    pub fn subsample(&mut self, name: &str, x: Node, stride: [usize; 3]) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let channels = self.spatial::<3>(&full, x)?.0;
        let shape = self.windows(&full, x, channels, [1; 3], stride, [0; 3])?;
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
        let &[channels, _, ..] = self.shape(x) else {
            let found = crate::format_shape(self.shape(x));
            return Err(misfit(&full, format!("expects channels at positions, found {found}")));
        };
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

    /// Each position at length 1, times a scale of each channel that starts at `scale` ([`Op::L2Norm`]).
    pub fn l2_norm(&mut self, name: &str, x: Node, scale: f64) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let shape = self.shape(x).to_vec();
        let init = ParamInit::Constant(scale);
        let weight = self.param(&full, "weight", vec![shape[0]], init, ParamRole::Trainable)?;
        self.push(full, Op::L2Norm { eps: 1e-10 }, vec![x], vec![weight], shape)
    }

    /// The channels of each position side by side ([`Op::ChannelsLast`]).
    pub fn channels_last(&mut self, name: &str, x: Node) -> Result<Node, GraphError> {
        let mut shape = self.shape(x).to_vec();
        shape.rotate_left(1);
        self.push(self.full_name(name), Op::ChannelsLast, vec![x], vec![], shape)
    }

    /// The same values in another shape, without the batch ([`Op::Reshape`]).
    pub fn reshape(&mut self, name: &str, x: Node, shape: &[usize]) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let found = self.shape(x);
        if shape.is_empty() || found.iter().product::<usize>() != shape.iter().product() {
            let [found, shape] = [found, shape].map(crate::format_shape);
            return Err(misfit(&full, format!("{found} cannot become {shape}; both must hold as many values")));
        }
        self.push(full, Op::Reshape { shape: shape.to_vec() }, vec![x], vec![], shape.to_vec())
    }

    /// Tensors one behind the other in the first dimension ([`Op::Concat`]).
    pub fn concat(&mut self, name: &str, parts: &[Node]) -> Result<Node, GraphError> {
        let full = self.full_name(name);
        let Some(&first) = parts.first() else { return Err(misfit(&full, "nothing to put together".into())) };
        let mut shape = self.shape(first).to_vec();
        for &part in &parts[1..] {
            let other = self.shape(part);
            if other[1..] != shape[1..] {
                let [first, other] = [self.shape(first), other].map(crate::format_shape);
                let problem = format!("cannot put {other} behind {first}; only the first sizes may differ");
                return Err(misfit(&full, problem));
            }
            shape[0] += other[0];
        }
        self.push(full, Op::Concat, parts.to_vec(), vec![], shape)
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

    /// Channels and spatial sizes of a tensor of video (D = 3) or pictures (D = 2).
    fn spatial<const D: usize>(&self, name: &str, x: Node) -> Result<(usize, [usize; D]), GraphError> {
        let shape = self.shape(x);
        let sizes = shape.get(1..).and_then(|sizes| sizes.try_into().ok());
        sizes.map(|sizes| (shape[0], sizes)).ok_or_else(|| {
            let (axes, found) = (axis_names::<D>().join(" x "), crate::format_shape(shape));
            misfit(name, format!("expects N x channels x {axes}, found {found}"))
        })
    }

    /// The shape after sliding a window over `x`.
    fn windows<const D: usize>(
        &self,
        name: &str,
        x: Node,
        channels: usize,
        window: [usize; D],
        stride: [usize; D],
        padding: [usize; D],
    ) -> Result<Vec<usize>, GraphError> {
        let (_, sizes) = self.spatial::<D>(name, x)?;
        let mut shape = vec![channels];
        for axis in 0..D {
            let padded = sizes[axis] + 2 * padding[axis];
            if window[axis] == 0 || stride[axis] == 0 || padded < window[axis] {
                let axis_name = axis_names::<D>()[axis];
                return Err(misfit(
                    name,
                    format!(
                        "a window of {} with stride {} does not fit {axis_name} {} with padding {}; use a larger clip",
                        window[axis], stride[axis], sizes[axis], padding[axis]
                    ),
                ));
            }
            shape.push((padded - window[axis]) / stride[axis] + 1);
        }
        Ok(shape)
    }
}

/// Names of the last D of a clip's axes.
fn axis_names<const D: usize>() -> &'static [&'static str] {
    let names: &[&str] = &["frames", "height", "width"];
    &names[names.len().saturating_sub(D)..]
}

fn misfit(node: &str, problem: String) -> GraphError {
    GraphError::Shape { node: node.to_string(), problem }
}

#[cfg(test)]
mod tests;
