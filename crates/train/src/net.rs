mod ops;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use unscene_graph::{Graph, NodeInfo, Op, ParamInit, ParamRole, ParamSpec, format_shape};

use crate::error::by;
use crate::random::Random;
use crate::run::values;
use crate::{Misfits, TrainError, Weights};

/// Whether batch statistics or running statistics normalise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// BatchNorm uses the batch and updates its running statistics.
    Train,
    /// BatchNorm uses its running statistics; nothing changes.
    Eval,
}

/// In what precision convolutions are computed. Weights and everything else are float32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// As the weights.
    #[default]
    Float32,
    /// Half the memory, for GPUs with tensor cores (Ampere and later). It has the range of float32, so that gradients need no
    /// scaling.
    Bfloat16,
}

/// A graph and a float32 tensor for each of its parameters, on one device.
///
/// Trainable parameters are leaves with `requires_grad`: `loss.backward()` fills their `grad()`.
#[derive(Debug)]
pub struct Net {
    graph: Graph,
    /// As [`Graph::params`].
    params: Vec<Tensor>,
    device: Device,
    precision: Precision,
    /// Nodes at the start of the graph that are not trained.
    frozen_nodes: usize,
    /// Whether BatchNorm stays as it is everywhere.
    fixed_batch_norm: bool,
}

impl Net {
    /// A new model on the CPU, each parameter as its [`ParamInit`] says. The same seed gives the same values on every machine.
    pub fn init(graph: Graph, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let params = graph.params.iter().map(|spec| leaf(spec, &initial(spec, &mut random))).collect();
        Self {
            graph,
            params,
            device: Device::Cpu,
            precision: Precision::default(),
            frozen_nodes: 0,
            fixed_batch_norm: false,
        }
    }

    /// A model on the CPU with the weights of a file. Every tensor must fit by name and shape, and none may be left over.
    ///
    /// # Errors
    /// [`TrainError::Misfit`] names all that do not fit.
    pub fn from_weights(graph: Graph, weights: &Weights) -> Result<Self, TrainError> {
        let mut misfits = Misfits::default();
        for spec in &graph.params {
            match weights.tensors.get(&spec.name) {
                None => misfits.missing.push((spec.name.clone(), spec.shape.clone())),
                Some(found) if found.shape != spec.shape => {
                    misfits.reshaped.push((spec.name.clone(), found.shape.clone(), spec.shape.clone()));
                }
                Some(_) => {}
            }
        }
        let needed: std::collections::HashSet<_> = graph.params.iter().map(|spec| &spec.name).collect();
        for (name, tensor) in &weights.tensors {
            if !needed.contains(name) {
                misfits.extra.push((name.clone(), tensor.shape.clone()));
            }
        }
        if !misfits.is_empty() {
            return Err(TrainError::Misfit { path: weights.path.clone(), misfits });
        }
        let params = graph.params.iter().map(|spec| leaf(spec, &weights.tensors[&spec.name].values)).collect();
        Ok(Self {
            graph,
            params,
            device: Device::Cpu,
            precision: Precision::default(),
            frozen_nodes: 0,
            fixed_batch_norm: false,
        })
    }

    /// The same model with convolutions in another precision.
    pub fn computing(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same model on another device; on CUDA, weights of convolutions lie channels last, which cuDNN is faster with. Call
    /// [`crate::load_cuda`] before the first CUDA device.
    pub fn to_device(self, device: Device) -> Result<Self, TrainError> {
        let move_one = |tensor: &Tensor| {
            let mut moved = tensor.f_detach()?.f_to_device(device)?;
            if device.is_cuda() {
                moved = channels_last(&moved)?;
            }
            Ok(moved.f_set_requires_grad(tensor.requires_grad())?)
        };
        let params = self.params.iter().map(move_one).collect::<Result<_, TrainError>>()?;
        Ok(Self { params, device, ..self })
    }

    /// The same model, trained only from a layer on: what comes before, by the order of the graph, keeps its weights and its
    /// running statistics, and needs no backward pass. `layer` is how names of parameters start, such as `layer4`.
    ///
    /// # Errors
    /// [`TrainError::Layer`] when no parameter has such a name; it lists the layers.
    pub fn trained_from(mut self, layer: &str) -> Result<Self, TrainError> {
        let of = |name: &str| name == layer || name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'));
        let has_layer = |node: &NodeInfo| node.params.iter().any(|&param| of(&self.graph.params[param].name));
        let Some(first) = self.graph.nodes.iter().position(has_layer) else {
            let mut layers: Vec<String> = vec![];
            for param in &self.graph.params {
                let name = param.name.split('.').next().unwrap_or_default();
                if !layers.iter().any(|known| known == name) {
                    layers.push(name.to_string());
                }
            }
            return Err(TrainError::Layer { layer: layer.into(), layers: layers.join(", ") });
        };
        for &param in self.graph.nodes[..first].iter().flat_map(|node| &node.params) {
            self.params[param] = self.params[param].f_detach()?;
        }
        self.frozen_nodes = first;
        Ok(self)
    }

    /// The same model, whose BatchNorm keeps its weights and its running statistics, as when it is tested: for batches that are
    /// too small to say what is normal.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn with_fixed_batch_norm(mut self) -> Result<Self, TrainError> {
        for node in self.graph.nodes.iter().filter(|node| matches!(node.op, Op::BatchNorm { .. })) {
            for &param in &node.params {
                self.params[param] = self.params[param].f_detach()?;
            }
        }
        self.fixed_batch_norm = true;
        Ok(self)
    }

    /// The graph that is run.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Parameters and running statistics with their descriptions, in the graph's order.
    pub fn params(&self) -> impl Iterator<Item = (&ParamSpec, &Tensor)> {
        self.graph.params.iter().zip(&self.params)
    }

    /// The parameter or running statistic of a name.
    pub fn param(&self, name: &str) -> Option<&Tensor> {
        self.params().find(|(spec, _)| spec.name == name).map(|(_, tensor)| tensor)
    }

    /// The values of a parameter or running statistic, on the CPU.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        let found = self.param(name);
        values(found.ok_or_else(|| TrainError::Data(format!("the model has no parameter {name:?}")))?)
    }

    /// Computes the outputs of a graph with one input. Gradients are recorded in both modes, unless within `tch::no_grad`.
    ///
    /// # Shapes
    /// `input` is N x the shape of the graph's input, of any floating type (computed in float32) and on any device. The results
    /// are float32, in the order of [`Graph::outputs`].
    ///
    /// # Errors
    /// An input of another shape, an empty batch, a graph with several inputs, or one value per channel in training.
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Vec<Tensor>, TrainError> {
        let &[only] = self.graph.inputs.as_slice() else {
            let problem = format!("the graph has {} inputs, but one tensor is given", self.graph.inputs.len());
            return Err(TrainError::Node { node: "input".into(), problem });
        };
        let outputs: Vec<&str> = self.graph.outputs.iter().map(|(name, _)| name.as_str()).collect();
        self.compute(&[(&self.graph.node(only).name, input)], &outputs, mode)
    }

    /// Computes some outputs from the inputs that they need, by name; everything else is left alone. As [`Net::forward`]
    /// otherwise.
    ///
    /// # Errors
    /// As [`Net::forward`]; an output that the graph does not have, an input that is needed and not given.
    pub fn compute(&self, given: &[(&str, &Tensor)], wanted: &[&str], mode: Mode) -> Result<Vec<Tensor>, TrainError> {
        let wanted = wanted.iter().map(|&name| {
            let found = self.graph.outputs.iter().find(|(output, _)| output == name).map(|(_, node)| node.index());
            let problem = "the graph has no such output".into();
            found.ok_or_else(|| TrainError::Node { node: name.into(), problem })
        });
        let wanted = wanted.collect::<Result<Vec<usize>, TrainError>>()?;
        let last_use = self.last_uses(&wanted);
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.graph.nodes.len());
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let mode = if index < self.frozen_nodes { Mode::Eval } else { mode };
            values.push(match (last_use[index], &node.op) {
                (None, _) => None,
                (Some(_), Op::Input) => Some(self.input(node, given)?),
                (Some(_), _) => {
                    let inputs: Vec<&Tensor> =
                        node.inputs.iter().filter_map(|input| values[input.index()].as_ref()).collect();
                    Some(self.run(node, &inputs, mode)?)
                }
            });
            for used in &node.inputs {
                if last_use[used.index()] == Some(index) {
                    values[used.index()] = None;
                }
            }
        }
        Ok(wanted.iter().filter_map(|&node| values[node].as_ref().map(Tensor::shallow_clone)).collect())
    }

    /// The tensor given for an input, checked, on this device.
    fn input(&self, node: &NodeInfo, given: &[(&str, &Tensor)]) -> Result<Tensor, TrainError> {
        let Some((_, input)) = given.iter().find(|(name, _)| *name == node.name) else {
            let problem = "this input is needed and not given".into();
            return Err(TrainError::Node { node: node.name.clone(), problem });
        };
        let found = input.size();
        let fits = found.len() == node.shape.len() + 1
            && found[0] > 0
            && found[1..].iter().zip(&node.shape).all(|(&found, &expected)| found == expected as i64);
        if !fits {
            let expected = format_shape(&node.shape);
            return Err(TrainError::Input { node: node.name.clone(), found: by(&found), expected });
        }
        let input = input.f_to_device(self.device)?.f_to_kind(Kind::Float)?;
        // On a CPU, too, training on pictures is faster so in narrow networks: by a sixth at an eighth of VGG-16's width, by nothing at
        // a quarter and at the whole.
        let is_picture = node.shape.len() == 4 && node.shape[1] == 1;
        if self.device.is_cuda() || is_picture { channels_last(&input) } else { Ok(input) }
    }

    /// Computes the outputs in eval mode, from numbers to numbers.
    ///
    /// # Shapes
    /// `sides` is N and the shape of the graph's input, `input` has as many values; the outputs come in the order of
    /// [`Graph::outputs`].
    ///
    /// # Errors
    /// As [`Net::forward`].
    pub fn infer(&self, input: &[f32], sides: &[usize]) -> Result<Vec<Vec<f32>>, TrainError> {
        let input = Tensor::from_slice(input).f_reshape(sizes(sides))?;
        let outputs = tch::no_grad(|| self.forward(&input, Mode::Eval))?;
        outputs.iter().map(values).collect()
    }

    /// As [`Net::infer`], for some outputs of one of the graph's inputs; see [`Net::compute`].
    ///
    /// # Errors
    /// As [`Net::compute`].
    pub fn infer_outputs(
        &self,
        name: &str,
        input: &[f32],
        sides: &[usize],
        outputs: &[&str],
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        let input = Tensor::from_slice(input).f_reshape(sizes(sides))?;
        let outputs = tch::no_grad(|| self.compute(&[(name, &input)], outputs, Mode::Eval))?;
        outputs.iter().map(values).collect()
    }

    /// The position of the last node that reads each node that `wanted` ones need; the wanted stay to the end. Without this,
    /// evaluation would hold every activation at once.
    fn last_uses(&self, wanted: &[usize]) -> Vec<Option<usize>> {
        let mut last = vec![None; self.graph.nodes.len()];
        wanted.iter().for_each(|&node| last[node] = Some(usize::MAX));
        for (index, node) in self.graph.nodes.iter().enumerate().rev() {
            if last[index].is_some() {
                for input in &node.inputs {
                    last[input.index()] = last[input.index()].or(Some(index));
                }
            }
        }
        last
    }
}

/// The same values with those of a position side by side. Only tensors of pictures and clips have such an order.
pub(crate) fn channels_last(tensor: &Tensor) -> Result<Tensor, TrainError> {
    let dims = tensor.dim() as i64;
    if dims < 4 {
        return Ok(tensor.shallow_clone());
    }
    let to_last: Vec<i64> = std::iter::once(0).chain(2..dims).chain([1]).collect();
    let back: Vec<i64> = [0, dims - 1].into_iter().chain(1..dims - 1).collect();
    Ok(tensor.f_permute(&to_last[..])?.f_contiguous()?.f_permute(&back[..])?)
}

fn sizes(list: &[usize]) -> Vec<i64> {
    list.iter().map(|&size| size as i64).collect()
}

/// Values as a leaf of the autograd graph.
fn leaf(spec: &ParamSpec, values: &[f32]) -> Tensor {
    Tensor::from_slice(values).reshape(sizes(&spec.shape)).set_requires_grad(spec.role == ParamRole::Trainable)
}

fn initial(spec: &ParamSpec, random: &mut Random) -> Vec<f32> {
    let count = spec.numel();
    let mut draw = |value: &mut dyn FnMut(&mut Random) -> f64| (0..count).map(|_| value(random) as f32).collect();
    match spec.init {
        ParamInit::Constant(value) => vec![value as f32; count],
        ParamInit::KaimingFanOut => {
            // fan_out = filters x positions of a filter
            let fan_out = spec.shape[0] * spec.shape[2..].iter().product::<usize>();
            let std = (2.0 / fan_out as f64).sqrt();
            draw(&mut |random| std * random.normal())
        }
        ParamInit::Normal { std } => draw(&mut |random| std * random.normal()),
        ParamInit::Uniform { bound } => draw(&mut |random| bound * (2.0 * random.uniform() - 1.0)),
    }
}
