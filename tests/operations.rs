//! Graphs of one operation each, the lowest rung of the ladder.

use unscene_graph::{ConvOptions, Graph, GraphBuilder, GraphError, Node, ParamInit};

use crate::CLASSES;

fn options(out_channels: usize, kernel: [usize; 3], stride: [usize; 3], padding: [usize; 3]) -> ConvOptions<3> {
    let init = ParamInit::KaimingFanOut;
    ConvOptions { out_channels, kernel, stride, padding, dilation: [1; 3], bias: true, init }
}

/// A graph of one operation between a clip and logits. The head weighs every position differently, so that nothing is
/// lost in the mean.
pub fn graph_of(record: impl FnOnce(&mut GraphBuilder, Node) -> Result<Node, GraphError>) -> Graph {
    let build = || {
        let mut g = GraphBuilder::new();
        let clip = g.input("clip", &[3, 6, 9, 8])?;
        let x = record(&mut g, clip)?;
        let x = match *g.shape(x) {
            [_, frames, height, width] => {
                let x = g.conv("head", x, options(6, [frames, height, width], [1; 3], [0; 3]))?;
                g.global_avg_pool("head.pool", x)?
            }
            [_, ..] if g.shape(x).len() > 1 => {
                let values = g.shape(x).iter().product();
                g.reshape("head", x, &[values])?
            }
            _ => x,
        };
        let logits = g.linear("fc", x, CLASSES)?;
        Ok::<_, GraphError>(g.finish(&[("logits", logits)]))
    };
    build().unwrap()
}

/// The clip as a picture of many channels.
fn picture(g: &mut GraphBuilder, clip: Node) -> Result<Node, GraphError> {
    g.reshape("picture", clip, &[18, 9, 8])
}

/// Filters for pictures, with gaps.
fn filters(out_channels: usize) -> ConvOptions<2> {
    let (kernel, stride, padding, dilation) = ([3; 2], [1; 2], [3; 2], [3; 2]);
    ConvOptions { out_channels, kernel, stride, padding, dilation, bias: true, init: ParamInit::KaimingFanOut }
}

/// Every operation, by name.
pub fn operations() -> Vec<(&'static str, Graph)> {
    let plain = ConvOptions { bias: false, ..options(4, [3; 3], [1; 3], [1; 3]) };
    vec![
        ("conv", graph_of(|g, x| g.conv("conv", x, plain.clone()))),
        ("conv stride, bias", graph_of(|g, x| g.conv("conv", x, options(4, [3, 7, 5], [1, 2, 3], [1, 3, 0])))),
        ("batch norm alone", graph_of(|g, x| g.batch_norm("bn", x))),
        (
            "batch norm folded",
            graph_of(|g, x| {
                let x = g.conv("conv", x, plain.clone())?;
                g.batch_norm("bn", x)
            }),
        ),
        (
            "batch norm folded in bias",
            graph_of(|g, x| {
                let x = g.conv("conv", x, options(4, [1; 3], [1; 3], [0; 3]))?;
                g.batch_norm("bn", x)
            }),
        ),
        (
            "batch norm not foldable",
            graph_of(|g, x| {
                let x = g.conv("conv", x, plain.clone())?;
                let y = g.batch_norm("bn", x)?;
                g.add("add", x, y)
            }),
        ),
        ("relu", graph_of(|g, x| g.relu("relu", x))),
        ("max pool", graph_of(|g, x| g.max_pool("pool", x, [3; 3], [2; 3], [1; 3]))),
        ("max pool uneven", graph_of(|g, x| g.max_pool("pool", x, [1, 2, 3], [1, 2, 3], [0, 1, 0]))),
        ("subsample", graph_of(|g, x| g.subsample("sub", x, [2; 3]))),
        ("subsample uneven", graph_of(|g, x| g.subsample("sub", x, [1, 2, 3]))),
        ("pad channels", graph_of(|g, x| g.pad_channels("pad", x, 7))),
        ("pad no channels", graph_of(|g, x| g.pad_channels("pad", x, 3))),
        ("global average pool", graph_of(|g, x| g.global_avg_pool("pool", x))),
        ("add to itself", graph_of(|g, x| g.add("add", x, x))),
        ("conv with gaps", graph_of(|g, x| g.conv("conv", x, ConvOptions { dilation: [2, 1, 3], ..plain.clone() }))),
        ("picture", graph_of(picture)),
        (
            "picture conv with gaps",
            graph_of(|g, x| {
                let x = picture(g, x)?;
                g.conv("conv", x, filters(4))
            }),
        ),
        (
            "picture max pool",
            graph_of(|g, x| {
                let x = picture(g, x)?;
                g.max_pool("pool", x, [3; 2], [1; 2], [1; 2])
            }),
        ),
        (
            "max pool rounded up",
            graph_of(|g, x| {
                let x = picture(g, x)?;
                g.max_pool_ceil("pool", x, [2; 2])
            }),
        ),
        ("l2 norm", graph_of(|g, x| g.l2_norm("norm", x, 20.0))),
        (
            "l2 norm of nothing",
            graph_of(|g, x| {
                let x = picture(g, x)?;
                let x = g.conv("conv", x, filters(2))?;
                let x = g.relu("relu", x)?;
                g.l2_norm("norm", x, 20.0)
            }),
        ),
        ("channels last", graph_of(|g, x| g.channels_last("last", x))),
        (
            "rows of two maps",
            graph_of(|g, x| {
                let last = g.channels_last("last", x)?;
                let rows = g.reshape("rows", last, &[6 * 9 * 4, 6])?;
                let small = g.subsample("small", x, [2; 3])?;
                let small = g.channels_last("small.last", small)?;
                let small = g.reshape("small.rows", small, &[30, 6])?;
                g.concat("all", &[rows, small])
            }),
        ),
    ]
}
