//! 3-D convolutions as 2-D ones, for CPUs: ONNX Runtime's kernels for 2-D convolutions read their input where it lies, those for 3-D
//! ones first copy every window of it.
//!
//! A filter that sees `k` frames is a filter of one picture that has the channels of those `k` frames, one after the other. A tensor
//! `N x C x T x H x W` (a volume) is therefore kept as `NT x C x H x W` (planes) from one convolution to the next; operators that
//! are not known here get volumes, as before. Where time is no longer than the filter, all frames are channels, and the
//! filter's taps that would only meet zeros are left out. The sums are the same ones in another order. Filters that see three frames
//! of many channels make two frames at a time, with fewer multiplications (`pairs`), and so do long ones of few channels (`halves`).

use std::collections::{HashMap, HashSet};

use tract_onnx::pb;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;

use self::filter::{Filter, seen};
use self::window::Window;
use crate::proto::{FLOAT, INT64, int, ints, longs, node, tensor};

mod filter;
mod halves;
mod pairs;
mod window;

/// Rewrites the 3-D convolutions of a model, and what lies between them. A model without any, or whose shapes are not told, stays as it
/// is. Returns how many were rewritten.
pub(crate) fn flatten(model: &mut pb::ModelProto) -> usize {
    let Some(graph) = model.graph.as_mut() else { return 0 };
    let mut rewriter = Rewriter {
        shapes: shapes(graph),
        parameters: std::mem::take(&mut graph.initializer).into_iter().map(|one| (one.name.clone(), one)).collect(),
        values: HashMap::new(),
        nodes: vec![],
        made: 0,
        rewritten: 0,
    };
    for node in std::mem::take(&mut graph.node) {
        rewriter.node(node);
    }
    for output in &graph.output {
        rewriter.volume(&output.name);
    }
    graph.node = rewriter.nodes;
    let used: HashSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
    let mut parameters: Vec<_> = rewriter.parameters.into_values().filter(|one| used.contains(&one.name)).collect();
    parameters.sort_by(|one, other| one.name.cmp(&other.name));
    graph.initializer = parameters;
    // Of tensors that are not there any more.
    graph.value_info.clear();
    rewriter.rewritten
}

/// Says that there is one row at a time, where the rows of inputs and outputs have a name, the same one; or else nothing, and returns
/// false. Only where it knows all sides does ONNX Runtime add to the sums of a convolution as it goes.
pub(crate) fn fix_one_row(model: &mut pb::ModelProto) -> bool {
    let Some(graph) = model.graph.as_mut() else { return false };
    let rows: Option<Vec<_>> = graph.input.iter_mut().chain(&mut graph.output).map(rows).collect();
    let Some(mut rows) = rows else { return false };
    let names: HashSet<_> =
        rows.iter().map(|rows| if let Side::DimParam(name) = rows { name.clone() } else { String::new() }).collect();
    if names.len() != 1 || names.contains("") {
        return false;
    }
    rows.iter_mut().for_each(|rows| **rows = Side::DimValue(1));
    true
}

/// The first side of a tensor.
fn rows(info: &mut pb::ValueInfoProto) -> Option<&mut Side> {
    let Some(pb::type_proto::Value::TensorType(tensor)) = info.r#type.as_mut()?.value.as_mut() else { return None };
    tensor.shape.as_mut()?.dim.first_mut()?.value.as_mut()
}

/// A volume without its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    channels: usize,
    frames: usize,
    height: usize,
    width: usize,
}

/// Those of all volumes.
fn shapes(graph: &pb::GraphProto) -> HashMap<String, Shape> {
    let infos = graph.input.iter().chain(&graph.value_info).chain(&graph.output);
    infos.filter_map(|info| Some((info.name.clone(), shape(info)?))).collect()
}

fn shape(info: &pb::ValueInfoProto) -> Option<Shape> {
    let Some(pb::type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref()?.value else { return None };
    let sides = tensor.shape.as_ref()?.dim.iter().skip(1).map(|dim| match dim.value {
        Some(Side::DimValue(side)) if side > 0 => usize::try_from(side).ok(),
        _ => None,
    });
    let sides: Vec<usize> = sides.collect::<Option<_>>()?;
    let [channels, frames, height, width] = sides[..] else { return None };
    (tensor.elem_type == FLOAT).then_some(Shape { channels, frames, height, width })
}

/// The forms in which a tensor is there.
#[derive(Default)]
struct Forms {
    volume: Option<String>,
    planes: Option<String>,
    /// The frames with even numbers and those with odd ones, as planes.
    pairs: Option<[String; 2]>,
}

impl Forms {
    fn planes(name: String) -> Self {
        Self { planes: Some(name), ..Self::default() }
    }

    fn pairs(names: [String; 2]) -> Self {
        Self { pairs: Some(names), ..Self::default() }
    }

    fn is_rewritten(&self) -> bool {
        self.planes.is_some() || self.pairs.is_some()
    }
}

struct Rewriter {
    shapes: HashMap<String, Shape>,
    parameters: HashMap<String, pb::TensorProto>,
    /// By the name that a tensor has in the model.
    values: HashMap<String, Forms>,
    nodes: Vec<pb::NodeProto>,
    made: usize,
    rewritten: usize,
}

impl Rewriter {
    fn node(&mut self, node: pb::NodeProto) {
        let made = match node.op_type.as_str() {
            "Conv" => self.conv(&node),
            "MaxPool" => self.max_pool(&node).map(Forms::planes),
            "Relu" | "Add" => self.each(&node),
            _ => None,
        };
        if let (Some(made), Some(output)) = (made, node.output.first()) {
            self.values.insert(output.clone(), made);
            return;
        }
        let input = node.input.iter().map(|name| self.volume(name)).collect();
        for output in &node.output {
            self.values.insert(output.clone(), Forms { volume: Some(output.clone()), ..Forms::default() });
        }
        self.nodes.push(pb::NodeProto { input, ..node });
    }

    /// A convolution of a volume.
    fn conv(&mut self, node: &pb::NodeProto) -> Option<Forms> {
        let window = Window::of(node)?;
        let (input, output) = (*self.shapes.get(node.input.first()?)?, *self.shapes.get(node.output.first()?)?);
        let weights = floats(self.parameters.get(node.input.get(1)?)?)?;
        let bias = match node.input.get(2) {
            Some(name) => Some(floats(self.parameters.get(name)?)?),
            None => None,
        };
        let [taps, rows, columns] = window.kernel;
        if weights.len() != output.channels * input.channels * taps * rows * columns {
            return None;
        }
        let filter = Filter { weights: &weights, inputs: input.channels, taps, area: rows * columns };
        if pairs::is_worth(&window, input, output) {
            self.rewritten += 1;
            return self.conv_pairs(node, input, &filter, bias.as_deref(), &window).map(Forms::pairs);
        }
        if halves::is_worth(&window, input, output) {
            self.rewritten += 1;
            return self.conv_halves(node, [input, output], &filter, bias.as_deref(), &window).map(Forms::pairs);
        }
        let named = |part: &str| format!("{}.{part}", node.name);
        let is_short = input.frames <= taps;
        // Where all frames are channels, filters of all frames that come of them are those of one picture.
        let (pictures, copies, planes, weights) = if is_short {
            let planes = self.planes(&node.input[0])?;
            let all = input.frames * input.channels;
            let planes = self.reshape(planes, &[all, input.height, input.width]);
            let weights = filter.over_all(output.channels, input.frames, output.frames, &window);
            (all, output.frames, planes, weights)
        } else {
            let seen = seen(taps, input.channels);
            let is_plain = seen == 1 && window.stride[0] == 1 && window.padding[0] == 0;
            let planes = match is_plain {
                true => self.planes(&node.input[0])?,
                false => self.gather(&node.input[0], input, output.frames, seen, &window)?,
            };
            let each: Vec<Vec<usize>> = (0..seen).map(|tap| (tap..taps.min(tap + 1)).collect()).collect();
            (seen * input.channels, 1, planes, filter.sums(output.channels, &each))
        };
        let filters = copies * output.channels;
        let sides = [filters, pictures, rows, columns];
        let mut inputs = vec![planes, self.parameter(named("planes"), &sides, &weights)];
        if let Some(bias) = bias {
            inputs.push(self.parameter(named("bias.planes"), &[filters], &bias.repeat(copies)));
        }
        let made = self.emit("Conv", inputs, window.attributes());
        self.rewritten += 1;
        let sides = [output.channels, output.height, output.width];
        Some(Forms::planes(if copies == 1 { made } else { self.reshape(made, &sides) }))
    }

    /// A maximum over windows of a volume: over those of each frame, then over frames.
    fn max_pool(&mut self, node: &pb::NodeProto) -> Option<String> {
        let window = Window::of(node)?;
        let (input, output) = (*self.shapes.get(node.input.first()?)?, *self.shapes.get(node.output.first()?)?);
        // Others stay as they are.
        let forms = self.values.get(&node.input[0]).filter(|forms| forms.is_rewritten())?;
        let time = [window.kernel[0], window.stride[0], window.padding[0]];
        if let (Some(pairs), [3, 2, 1]) = (forms.pairs.clone(), time) {
            // An even frame, and the odd ones before it and behind it.
            let [even, odd] = pairs.map(|half| self.emit("MaxPool", vec![half], window.attributes()));
            let shape = Shape { channels: input.channels, frames: input.frames, ..output };
            let before = self.shifted(&odd, shape, 1, Some(f32::MIN));
            return Some(self.emit("Max", vec![before, even, odd], vec![]));
        }
        let planes = self.planes(&node.input[0])?;
        let mut planes = self.emit("MaxPool", vec![planes], window.attributes());
        let ([taps, ..], Shape { height, width, .. }) = (window.kernel, output);
        if taps == 1 && window.stride[0] == 1 {
            return Some(planes);
        }
        planes = self.reshape(planes, &[input.frames, input.channels, height, width]);
        let frames = self.pad_frames(planes, window.padding[0], window.padding[0], Some(f32::MIN));
        let parts = (0..taps).map(|tap| self.every(&frames, tap, output.frames, window.stride[0])).collect();
        let made = self.emit("Max", parts, vec![]);
        Some(self.reshape(made, &[output.channels, height, width]))
    }

    /// What is done with each value alone: with planes or pairs, where one of the inputs is there as such.
    fn each(&mut self, node: &pb::NodeProto) -> Option<Forms> {
        let shape = *self.shapes.get(node.output.first()?)?;
        if node.input.iter().any(|input| self.shapes.get(input) != Some(&shape)) {
            return None;
        }
        let is_any = |is: fn(&Forms) -> bool| node.input.iter().any(|input| self.values.get(input).is_some_and(is));
        if is_any(|forms| forms.pairs.is_some()) {
            let inputs: Vec<_> = node.input.iter().map(|input| self.pairs(input)).collect::<Option<_>>()?;
            let [even, odd] = [0, 1].map(|half| inputs.iter().map(|pair| pair[half].clone()).collect());
            let [even, odd] = [even, odd].map(|inputs| self.emit(&node.op_type, inputs, vec![]));
            return Some(Forms::pairs([even, odd]));
        }
        if !is_any(Forms::is_rewritten) {
            return None;
        }
        let inputs = node.input.iter().map(|input| self.planes(input)).collect::<Option<_>>()?;
        Some(Forms::planes(self.emit(&node.op_type, inputs, vec![])))
    }

    /// The frames that a filter sees, as channels: `seen` of them for each of `frames`.
    fn gather(&mut self, name: &str, shape: Shape, frames: usize, seen: usize, window: &Window) -> Option<String> {
        let (padding, stride) = (window.padding[0], window.stride[0]);
        let mut all = self.frames(name)?;
        let behind = ((frames - 1) * stride + seen).saturating_sub(padding + shape.frames);
        if padding + behind > 0 {
            all = self.pad_frames(all, padding, behind, None);
        }
        let parts = (0..seen).map(|tap| self.every(&all, tap, frames, stride)).collect();
        Some(self.as_channels(parts, shape))
    }

    /// Frames that stand at the same place of several such rows, as the channels of one picture.
    fn as_channels(&mut self, parts: Vec<String>, shape: Shape) -> String {
        let channels = parts.len() * shape.channels;
        let gathered = match &parts[..] {
            [part] => part.clone(),
            _ => self.emit("Concat", parts, vec![int("axis", 2)]),
        };
        self.reshape(gathered, &[channels, shape.height, shape.width])
    }

    /// Frames added before and behind, of zeros or of another value: `N x T x C x H x W`.
    fn pad_frames(&mut self, frames: String, before: usize, behind: usize, value: Option<f32>) -> String {
        let pads = self.integers(&[0, before as i64, 0, 0, 0, 0, behind as i64, 0, 0, 0]);
        let mut inputs = vec![frames, pads];
        if let Some(value) = value {
            let name = self.name();
            inputs.push(self.parameter(name, &[], &[value]));
        }
        self.emit("Pad", inputs, vec![])
    }

    /// So many frames, from a first one on, a stride apart.
    fn every(&mut self, frames: &str, first: usize, count: usize, stride: usize) -> String {
        let ends = first + (count - 1) * stride + 1;
        let mut inputs = vec![frames.to_owned()];
        for number in [first, ends, 1, stride] {
            inputs.push(self.integers(&[number as i64]));
        }
        self.emit("Slice", inputs, vec![])
    }

    /// The tensor of that name as it was, a volume if it is one.
    fn volume(&mut self, name: &str) -> String {
        if self.values.get(name).is_none_or(|forms| forms.volume.is_some()) {
            return name.to_owned();
        }
        let (Some(planes), shape) = (self.planes(name), self.shapes[name]) else { return name.to_owned() };
        let Shape { channels, frames, height, width } = shape;
        // With one frame the values lie as they did.
        let node = if frames == 1 {
            let sides = self.integers(&[-1, channels as i64, 1, height as i64, width as i64]);
            node(name, "Reshape", vec![planes, sides], vec![], name)
        } else {
            let frames = self.reshape(planes, &[frames, channels, height, width]);
            node(name, "Transpose", vec![frames], vec![ints("perm", vec![0, 2, 1, 3, 4])], name)
        };
        self.nodes.push(node);
        self.values.entry(name.to_owned()).or_default().volume = Some(name.to_owned());
        name.to_owned()
    }

    /// A volume as planes.
    fn planes(&mut self, name: &str) -> Option<String> {
        let Shape { channels, frames, height, width } = *self.shapes.get(name)?;
        let forms = self.values.get(name);
        if let Some(planes) = forms.and_then(|forms| forms.planes.clone()) {
            return Some(planes);
        }
        let frames = match forms.and_then(|forms| forms.pairs.clone()) {
            Some(pairs) => {
                let halves = pairs.map(|half| self.reshape(half, &[1, channels, height, width]));
                self.emit("Concat", halves.into(), vec![int("axis", 1)])
            }
            None if frames == 1 => name.to_owned(),
            None => self.emit("Transpose", vec![name.to_owned()], vec![ints("perm", vec![0, 2, 1, 3, 4])]),
        };
        let planes = self.reshape(frames, &[channels, height, width]);
        self.values
            .entry(name.to_owned())
            .or_insert_with(|| Forms { volume: Some(name.to_owned()), ..Forms::default() })
            .planes = Some(planes.clone());
        Some(planes)
    }

    /// A volume frame by frame: `N x T x C x H x W`.
    fn frames(&mut self, name: &str) -> Option<String> {
        let Shape { channels, frames, height, width } = *self.shapes.get(name)?;
        let planes = self.planes(name)?;
        Some(self.reshape(planes, &[frames, channels, height, width]))
    }

    /// The same values with other sides behind the first.
    fn reshape(&mut self, tensor: String, sides: &[usize]) -> String {
        let sides = self.integers(&[&[-1], &longs(sides)[..]].concat());
        self.emit("Reshape", vec![tensor, sides], vec![])
    }

    fn emit(&mut self, op_type: &str, inputs: Vec<String>, attributes: Vec<pb::AttributeProto>) -> String {
        let output = self.name();
        self.nodes.push(node(&output, op_type, inputs, attributes, &output));
        output
    }

    fn parameter(&mut self, name: String, sides: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(tensor(&name, FLOAT, &longs(sides), bytes))
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = self.name();
        self.constant(tensor(&name, INT64, &[values.len() as i64], bytes))
    }

    fn constant(&mut self, tensor: pb::TensorProto) -> String {
        let name = tensor.name.clone();
        self.parameters.insert(name.clone(), tensor);
        name
    }

    /// One that nothing else has.
    fn name(&mut self) -> String {
        self.made += 1;
        format!("planes.{}", self.made)
    }
}

/// The values of a parameter that is kept as bytes.
fn floats(tensor: &pb::TensorProto) -> Option<Vec<f32>> {
    let is_single = tensor.data_type == FLOAT && !tensor.raw_data.is_empty();
    let values = tensor.raw_data.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    is_single.then(|| values.collect())
}

#[cfg(test)]
mod tests;
