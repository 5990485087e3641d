//! Against tract, which runs both forms.

use tract_onnx::prelude::*;

use super::*;
use crate::proto::{model, value_info};

/// A model in the making, with values that look drawn.
struct Maker {
    graph: pb::GraphProto,
    state: u32,
}

impl Maker {
    fn new(shape: [usize; 4]) -> Self {
        let graph = pb::GraphProto { name: "test".into(), ..Default::default() };
        let mut maker = Self { graph, state: 1 };
        maker.graph.input.push(value_info("clip", FLOAT, &shape));
        maker
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next(&mut self.state)).collect()
    }

    fn parameter(&mut self, name: &str, sides: &[usize]) -> String {
        let bytes = self.values(sides.iter().product()).iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, FLOAT, &longs(sides), bytes));
        name.into()
    }

    fn node(
        &mut self,
        op_type: &str,
        name: &str,
        input: Vec<String>,
        attribute: Vec<pb::AttributeProto>,
        sides: &[usize],
    ) {
        self.graph.node.push(node(name, op_type, input, attribute, name));
        self.graph.value_info.push(value_info(name, FLOAT, sides));
    }

    /// From a tensor of so many channels to a volume.
    fn conv(&mut self, [name, from]: [&str; 2], channels: usize, window: [[usize; 3]; 3], sides: [usize; 4]) {
        let [kernel, ..] = window;
        let shape = [&[sides[0], channels], &kernel[..]].concat();
        let weight = self.parameter(&format!("{name}.weight"), &shape);
        let bias = self.parameter(&format!("{name}.bias"), &sides[..1]);
        self.node("Conv", name, vec![from.into(), weight, bias], windows(window), &sides);
    }

    fn model(mut self, outputs: &[&str]) -> pb::ModelProto {
        let is_output = |info: &pb::ValueInfoProto| outputs.contains(&info.name.as_str());
        self.graph.output = self.graph.value_info.iter().filter(|info| is_output(info)).cloned().collect();
        self.graph.value_info.retain(|info| !is_output(info));
        model(self.graph)
    }
}

fn windows([kernel, stride, padding]: [[usize; 3]; 3]) -> Vec<pb::AttributeProto> {
    let pads = longs(&[padding, padding].concat());
    vec![ints("kernel_shape", longs(&kernel)), ints("strides", longs(&stride)), ints("pads", pads)]
}

/// The outputs of a batch of two, one plan for each row: tract takes one at a time.
fn outputs(model: &pb::ModelProto, shape: [usize; 4], rows: &[f32]) -> Vec<Vec<f32>> {
    let sides = [&[1], &shape[..]].concat();
    let fact = InferenceFact::dt_shape(f32::datum_type(), &sides);
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
    let plan = onnx.model_for_proto_model(model).unwrap().with_input_fact(0, fact).unwrap();
    let plan = plan.into_optimized().unwrap().into_runnable().unwrap();
    let outputs = plan.run(tvec!(Tensor::from_shape(&sides, rows).unwrap().into())).unwrap();
    outputs.iter().map(|one| one.to_plain_array_view::<f32>().unwrap().iter().copied().collect()).collect()
}

/// Fails unless the model says the same when it is flattened, with so many convolutions.
fn assert_same(mut model: pb::ModelProto, shape: [usize; 4], convolutions: usize) {
    let row = Maker::new(shape).values(shape.iter().product());
    let expected = outputs(&model, shape, &row);
    let names = |model: &pb::ModelProto| {
        model.graph.as_ref().unwrap().output.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
    };
    let before = names(&model);
    assert_eq!(flatten(&mut model), convolutions);
    assert_eq!(names(&model), before);
    let graph = model.graph.as_ref().unwrap();
    let is_flat = |node: &&pb::NodeProto| node.op_type != "Conv" || node.attribute[0].ints.len() == 2;
    assert_eq!(graph.node.iter().filter(is_flat).count(), graph.node.len());
    let found = outputs(&model, shape, &row);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        let largest = expected.iter().fold(1e-6_f32, |most, value| most.max(value.abs()));
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-5 * largest));
    }
}

const CUBE: [[usize; 3]; 3] = [[3; 3], [1; 3], [1; 3]];

#[test]
fn a_residual_network_says_the_same() {
    let shape = [3, 9, 12, 10];
    let mut maker = Maker::new(shape);
    // As its stem, with a filter longer than the blocks that it fills; a shortcut that strides; time that ends as one frame.
    maker.conv(["stem", "clip"], 3, [[7, 5, 5], [1, 2, 2], [3, 2, 2]], [8, 9, 6, 5]);
    maker.node("Relu", "stem.relu", vec!["stem".into()], vec![], &[8, 9, 6, 5]);
    let pool = windows([[3; 3], [2, 1, 1], [1; 3]]);
    maker.node("MaxPool", "pool", vec!["stem.relu".into()], pool, &[8, 5, 6, 5]);
    maker.conv(["one", "pool"], 8, CUBE, [8, 5, 6, 5]);
    maker.node("Add", "add", vec!["one".into(), "pool".into()], vec![], &[8, 5, 6, 5]);
    maker.node("Relu", "relu", vec!["add".into()], vec![], &[8, 5, 6, 5]);
    maker.conv(["two", "relu"], 8, [[3; 3], [2; 3], [1; 3]], [12, 3, 3, 3]);
    maker.conv(["short", "two"], 12, CUBE, [12, 3, 3, 3]);
    maker.conv(["last", "short"], 12, [[3; 3], [3, 1, 1], [0, 1, 1]], [5, 1, 3, 3]);
    maker.conv(["point", "last"], 5, [[1; 3], [1; 3], [0; 3]], [4, 1, 3, 3]);
    maker.node("GlobalAveragePool", "mean", vec!["point".into()], vec![], &[4, 1, 1, 1]);
    maker.node("Flatten", "logits", vec!["mean".into()], vec![int("axis", 1)], &[4]);
    // Volumes that are outputs, too.
    assert_same(maker.model(&["relu", "short", "logits"]), shape, 6);
}

#[test]
fn filters_of_all_lengths_and_strides_say_the_same() {
    for (frames, [kernel, stride, padding], made) in [
        (4, [[1, 3, 3], [1; 3], [0, 1, 1]], 4),
        (7, [[1, 3, 3], [2, 1, 1], [0, 1, 1]], 4),
        (6, [[5, 3, 3], [3, 1, 1], [2, 1, 1]], 2),
        (2, [[3; 3], [1; 3], [1; 3]], 2),
        (2, [[2, 3, 3], [1, 1, 1], [0, 1, 1]], 1),
        (3, [[5, 3, 3], [2, 1, 1], [2, 1, 1]], 2),
        (8, [[4, 3, 3], [4, 1, 1], [0, 1, 1]], 2),
    ] {
        let shape = [6, frames, 4, 5];
        let mut maker = Maker::new(shape);
        maker.conv(["conv", "clip"], 6, [kernel, stride, padding], [3, made, 4, 5]);
        assert_same(maker.model(&["conv"]), shape, 1);
    }
}

#[test]
fn two_frames_at_a_time_say_the_same() {
    // Of eight frames and of four; a stride between; sums with what came in, as planes and as pairs.
    let shape = [16, 8, 6, 5];
    let mut maker = Maker::new(shape);
    maker.conv(["stem", "clip"], 16, [[1, 3, 3], [1; 3], [0, 1, 1]], [16, 8, 6, 5]);
    maker.conv(["one", "stem"], 16, CUBE, [16, 8, 6, 5]);
    maker.node("Add", "add", vec!["one".into(), "stem".into()], vec![], &[16, 8, 6, 5]);
    maker.node("Relu", "relu", vec!["add".into()], vec![], &[16, 8, 6, 5]);
    maker.conv(["two", "relu"], 16, CUBE, [20, 8, 6, 5]);
    maker.conv(["half", "two"], 20, [[3; 3], [2; 3], [1; 3]], [24, 4, 3, 3]);
    maker.conv(["three", "half"], 24, [[3, 3, 1], [1; 3], [1, 1, 0]], [8, 4, 3, 3]);
    maker.node("Relu", "last", vec!["three".into()], vec![], &[8, 4, 3, 3]);
    let model = maker.model(&["relu", "two", "last"]);
    let mut flat = model.clone();
    flatten(&mut flat);
    let halves = flat.graph.unwrap().node.iter().filter(|node| node.op_type == "Sub").count();
    assert_eq!(halves, 3 * 4, "of each of the three, three differences for the products and one for the sums");
    assert_same(model, shape, 5);
}

#[test]
fn two_frames_at_a_time_of_few_channels_say_the_same() {
    // As a stem and what follows it: a maximum over time of every second frame, and filters that see pairs, too.
    let shape = [3, 16, 9, 8];
    let mut maker = Maker::new(shape);
    maker.conv(["stem", "clip"], 3, [[7, 5, 5], [1, 2, 2], [3, 2, 2]], [8, 16, 5, 4]);
    maker.node("Relu", "relu", vec!["stem".into()], vec![], &[8, 16, 5, 4]);
    maker.node("MaxPool", "pool", vec!["relu".into()], windows([[3; 3], [2; 3], [1; 3]]), &[8, 8, 3, 2]);
    maker.conv(["behind", "relu"], 8, CUBE, [4, 16, 5, 4]);
    let model = maker.model(&["stem", "pool", "behind"]);
    let mut flat = model.clone();
    flatten(&mut flat);
    // Two taps at a time, of four, of four and of three; and four products behind it.
    assert_eq!(convolutions(&flat), 2 + 2 + 2 + 4);
    assert_same(model, shape, 2);
    let pools = flat.graph.unwrap().node.into_iter().filter(|node| node.op_type == "MaxPool");
    assert_eq!(pools.count(), 2, "of even and of odd frames");
    // Of one channel to three, and as few frames as may be.
    for channels in 1..4 {
        for taps in [5, 7, 9] {
            for frames in [taps + 1, taps + 5] {
                let shape = [channels, frames, 4, 5];
                let mut maker = Maker::new(shape);
                let window = [[taps, 3, 3], [1; 3], [taps / 2, 1, 1]];
                maker.conv(["conv", "clip"], channels, window, [3, frames, 4, 5]);
                let model = maker.model(&["conv"]);
                let mut flat = model.clone();
                flatten(&mut flat);
                let most = 7 / channels;
                let filters = 2 * taps.div_ceil(2).div_ceil(most) + (taps / 2).div_ceil(most);
                assert_eq!(convolutions(&flat), filters, "{channels} channels, {taps} taps, {frames} frames");
                assert_same(model, shape, 1);
            }
        }
    }
}

/// How many it has.
fn convolutions(model: &pb::ModelProto) -> usize {
    model.graph.iter().flat_map(|graph| &graph.node).filter(|node| node.op_type == "Conv").count()
}

#[test]
fn one_row_is_said_where_rows_have_a_name() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/conv/model.onnx");
    let mut model = <pb::ModelProto as prost::Message>::decode(&*std::fs::read(fixture).unwrap()).unwrap();
    assert_eq!(flatten(&mut model), 1, "the engine's tests run it as it is rewritten");
    let mut numbered = model.clone();
    *rows(&mut numbered.graph.as_mut().unwrap().input[0]).unwrap() = Side::DimValue(2);
    let before = numbered.clone();
    assert!(!fix_one_row(&mut numbered) && numbered == before);
    assert!(fix_one_row(&mut model));
    let graph = model.graph.as_mut().unwrap();
    assert_eq!(rows(&mut graph.input[0]), Some(&mut Side::DimValue(1)));
    assert_eq!(rows(&mut graph.output[0]), Some(&mut Side::DimValue(1)));
}

#[test]
fn what_is_not_known_stays() {
    let mut maker = Maker::new([4, 6, 4, 4]);
    maker.conv(["conv", "clip"], 4, CUBE, [4, 6, 4, 4]);
    maker.graph.node[0].attribute.push(ints("dilations", vec![1, 1, 1]));
    let mut model = maker.model(&["conv"]);
    let before = model.clone();
    assert_eq!(flatten(&mut model), 0);
    assert_eq!(model.graph.unwrap().node, before.graph.unwrap().node);
}
