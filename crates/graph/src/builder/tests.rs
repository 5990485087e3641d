use super::*;

fn conv(out_channels: usize, kernel: usize, stride: usize, padding: usize) -> ConvOptions<3> {
    ConvOptions {
        out_channels,
        kernel: [kernel; 3],
        stride: [stride; 3],
        padding: [padding; 3],
        dilation: [1; 3],
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
    assert_eq!(error, "node 'block.sum': cannot add N x 2 x 4 x 4 x 4 and N x 2 x 2 x 2 x 2; the shapes must be equal");
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

#[test]
fn pictures_have_two_dimensions() {
    let mut g = GraphBuilder::new();
    let x = g.input("x", &[2, 19, 19]).unwrap();
    let options = ConvOptions {
        out_channels: 5,
        kernel: [3; 2],
        stride: [1; 2],
        padding: [6; 2],
        dilation: [6; 2],
        bias: true,
        init: ParamInit::KaimingFanOut,
    };
    let fc6 = g.conv("fc6", x, options.clone()).unwrap();
    assert_eq!(g.shape(fc6), [5, 19, 19]);
    let wide = g.conv("wide", x, ConvOptions { padding: [0; 2], stride: [2; 2], ..options.clone() }).unwrap();
    // A filter spans 13 positions.
    assert_eq!(g.shape(wide), [5, 4, 4]);
    for (stride, dilation, kernel) in [([1; 2], [10; 2], [3; 2]), ([0; 2], [1; 2], [3; 2]), ([1; 2], [1; 2], [0; 2])] {
        let options = ConvOptions { stride, dilation, kernel, padding: [0; 2], ..options.clone() };
        let error = g.conv("bad", x, options).unwrap_err().to_string();
        assert!(error.contains("'bad': a window of") && error.contains("height 19"), "{error}");
    }
    assert!(g.conv("gaps", x, ConvOptions { dilation: [0; 2], ..options.clone() }).is_err());
    let pooled = g.max_pool("pool", x, [2; 2], [2; 2], [0; 2]).unwrap();
    let all = g.max_pool_ceil("ceil", x, [2; 2]).unwrap();
    assert_eq!((g.shape(pooled), g.shape(all)), (&[2, 9, 9][..], &[2, 10, 10][..]));
    let mean = g.global_avg_pool("mean", x).unwrap();
    assert_eq!(g.shape(mean), [2]);
    let error = g.max_pool("video", x, [2; 3], [2; 3], [0; 3]).unwrap_err().to_string();
    assert_eq!(error, "node 'video': expects N x channels x frames x height x width, found N x 2 x 19 x 19");
    let graph = g.finish(&[("mean", mean)]);
    let labels: Vec<String> = graph.nodes.iter().map(|node| node.op.label()).collect();
    assert_eq!(labels[1..5], ["Conv 3x3 @6x6", "Conv 3x3 /2x2 @6x6", "MaxPool 2x2 /2x2", "MaxPool 2x2 /2x2 ceil"]);
}

#[test]
fn values_move_to_other_shapes() {
    let mut g = GraphBuilder::new();
    let x = g.input("x", &[8, 3, 5]).unwrap();
    let norm = g.l2_norm("norm", x, 20.0).unwrap();
    let last = g.channels_last("last", norm).unwrap();
    assert_eq!(g.shape(last), [3, 5, 8]);
    let rows = g.reshape("rows", last, &[30, 4]).unwrap();
    let twice = g.concat("twice", &[rows, rows]).unwrap();
    assert_eq!(g.shape(twice), [60, 4]);
    let error = g.reshape("odd", last, &[7, 4]).unwrap_err().to_string();
    assert_eq!(error, "node 'odd': N x 3 x 5 x 8 cannot become N x 7 x 4; both must hold as many values");
    let error = g.concat("mixed", &[rows, last]).unwrap_err().to_string();
    assert!(error.contains("cannot put N x 3 x 5 x 8 behind N x 30 x 4"), "{error}");
    assert!(g.concat("nothing", &[]).is_err());
    let graph = g.finish(&[("y", twice)]);
    assert_eq!(graph.params[0].name, "norm.weight");
    assert_eq!((&graph.params[0].shape[..], graph.params[0].init), (&[8][..], ParamInit::Constant(20.0)));
}
