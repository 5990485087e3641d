use std::fmt;

use serde::Serialize;

use crate::{Node, Op};

/// A finished model: nodes in an order in which they can be computed, and the parameters they need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graph {
    /// Nodes; the inputs of each come before it.
    pub nodes: Vec<NodeInfo>,
    /// Parameters in the order in which they were recorded.
    pub params: Vec<ParamSpec>,
    /// The nodes to be fed, in order.
    pub inputs: Vec<Node>,
    /// The results and their public names, in order.
    pub outputs: Vec<(String, Node)>,
}

/// One operation of a graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeInfo {
    /// Full name with scopes, unique in the graph: `layer1.0.conv1`.
    pub name: String,
    /// What is computed.
    #[serde(flatten)]
    pub op: Op,
    /// What it is computed from.
    pub inputs: Vec<Node>,
    /// Positions in [`Graph::params`], in the order that the docs of [`Op`] give.
    pub params: Vec<usize>,
    /// Shape of the result without the batch.
    pub shape: Vec<usize>,
}

/// A tensor that a graph needs: part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParamSpec {
    /// Name in checkpoints: `layer1.0.bn1.running_mean`.
    pub name: String,
    /// Full shape.
    pub shape: Vec<usize>,
    /// How a new model starts.
    pub init: ParamInit,
    /// Whether gradients change it.
    pub role: ParamRole,
}

/// How a parameter starts. tch's own defaults differ from PyTorch's, so that each is stated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamInit {
    /// Every value the same.
    Constant(f64),
    /// Normal with mean 0 and std sqrt(2 / fan_out), He et al. 2015: `kaiming_normal_(mode="fan_out")` of PyTorch.
    KaimingFanOut,
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in -bound .. bound.
    Uniform {
        /// The largest magnitude.
        bound: f64,
    },
}

/// Whether a parameter is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamRole {
    /// Changed by gradients.
    Trainable,
    /// Changed by the forward pass in training: BatchNorm's running mean and variance.
    RunningStatistic,
}

impl ParamSpec {
    /// Number of values.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Graph {
    /// The node of an id.
    ///
    /// # Panics
    /// If the id came from another, larger graph.
    pub fn node(&self, node: Node) -> &NodeInfo {
        &self.nodes[node.0]
    }

    /// Number of learned values, as PyTorch's `sum(p.numel() for p in model.parameters())` counts them.
    pub fn trainable_params(&self) -> usize {
        self.params.iter().filter(|p| p.role == ParamRole::Trainable).map(ParamSpec::numel).sum()
    }

    /// Multiply-adds of one node for a batch of one. Convolutions and linear layers count, the rest is noise beside them.
    pub fn multiply_adds(&self, node: &NodeInfo) -> u64 {
        let per_output = match &node.op {
            Op::Conv { kernel, .. } => self.node(node.inputs[0]).shape[0] * kernel.iter().product::<usize>(),
            Op::Linear { .. } => self.node(node.inputs[0]).shape[0],
            _ => 0,
        };
        per_output as u64 * node.shape.iter().product::<usize>() as u64
    }

    /// Multiply-adds of the whole graph for a batch of one.
    pub fn total_multiply_adds(&self) -> u64 {
        self.nodes.iter().map(|node| self.multiply_adds(node)).sum()
    }
}

/// `N x 3 x 16 x 112 x 112`: a shape as people write it, with the batch.
pub fn format_shape(shape: &[usize]) -> String {
    shape.iter().fold("N".to_string(), |text, size| format!("{text} x {size}"))
}

/// The graph as text, one node a line: what snapshot tests compare.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let inputs: Vec<_> = node.inputs.iter().map(|&input| self.node(input).name.as_str()).collect();
            let params: usize = node.params.iter().map(|&param| self.params[param].numel()).sum();
            write!(f, "{} = {}({}) -> {}", node.name, node.op.label(), inputs.join(", "), format_shape(&node.shape))?;
            match params {
                0 => writeln!(f)?,
                count => writeln!(f, " [{count}]")?,
            }
        }
        Ok(())
    }
}
