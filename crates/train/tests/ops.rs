//! Each operation against a slow and obvious reference, and its gradients against finite differences.

mod common;

use common::{difference, formula_net, tensor, values};
use tch::{Kind, Tensor};
use unscene_graph::{ConvOptions, Graph, GraphBuilder, GraphError, Node, ParamInit};
use unscene_train::{Mode, Net, TrainError};

/// A graph of one operation on a clip `x`.
fn one(shape: &[usize], op: impl FnOnce(&mut GraphBuilder, Node) -> Result<Node, GraphError>) -> Graph {
    let mut g = GraphBuilder::new();
    let x = g.input("x", shape).unwrap();
    let y = op(&mut g, x).unwrap();
    g.finish(&[("y", y)])
}

fn conv(bias: bool) -> Graph {
    let options = ConvOptions {
        out_channels: 3,
        kernel: [3, 2, 3],
        stride: [1, 2, 2],
        padding: [1, 0, 1],
        dilation: [1; 3],
        bias,
        init: ParamInit::KaimingFanOut,
    };
    one(&[2, 3, 4, 5], |g, x| g.conv("op", x, options))
}

fn max_pool() -> Graph {
    one(&[2, 3, 4, 5], |g, x| g.max_pool("op", x, [3, 3, 3], [2, 2, 2], [1, 1, 1]))
}

/// The frames as channels of a picture, which filters with gaps look at.
fn picture() -> Graph {
    let options = ConvOptions {
        out_channels: 3,
        kernel: [2, 3],
        stride: [1, 2],
        padding: [1, 2],
        dilation: [3, 2],
        bias: true,
        init: ParamInit::KaimingFanOut,
    };
    one(&[2, 3, 4, 5], |g, x| {
        let x = g.reshape("picture", x, &[6, 4, 5])?;
        g.conv("op", x, options)
    })
}

/// Two values of each position in a row, twice.
fn rows() -> Graph {
    one(&[4, 2, 1, 3], |g, x| {
        let last = g.channels_last("last", x)?;
        let rows = g.reshape("rows", last, &[12, 2])?;
        g.concat("op", &[rows, rows])
    })
}

/// Runs a net and returns the values of its only output.
fn run(net: &Net, x: &Tensor, mode: Mode) -> Vec<f64> {
    values(&net.forward(x, mode).unwrap()[0])
}

/// The value at a position of N x C x T x H x W, or nothing outside.
fn at(x: &[f64], size: [i64; 5], position: [i64; 5]) -> Option<f64> {
    let inside = (0..5).all(|axis| (0..size[axis]).contains(&position[axis]));
    inside.then(|| x[(0..5).fold(0, |index, axis| index * size[axis] + position[axis]) as usize])
}

/// All positions of a box, the last dimension fastest.
fn positions<const N: usize>(size: [i64; N]) -> Vec<[i64; N]> {
    let count = size.iter().product();
    let position = |mut index: i64| {
        let mut position = [0; N];
        for axis in (0..N).rev() {
            position[axis] = index % size[axis];
            index /= size[axis];
        }
        position
    };
    (0..count).map(position).collect()
}

#[test]
fn convolution_sums_over_windows() {
    for bias in [false, true] {
        let net = formula_net(conv(bias));
        let x = tensor("x", &[2, 2, 3, 4, 5]);
        let (input, weight) = (values(&x), values(net.param("op.weight").unwrap()));
        let expected: Vec<f64> = positions([2, 3, 3, 2, 3])
            .into_iter()
            .map(|[n, out, t, h, w]| {
                let start = net.param("op.bias").map_or(0.0, |bias| values(bias)[out as usize]);
                positions([2, 3, 2, 3]).into_iter().fold(start, |sum, [c, i, j, k]| {
                    let value = at(&input, [2, 2, 3, 4, 5], [n, c, t + i - 1, 2 * h + j, 2 * w + k - 1]);
                    let filter = at(&weight, [3, 2, 3, 2, 3], [out, c, i, j, k]).unwrap();
                    sum + filter * value.unwrap_or(0.0)
                })
            })
            .collect();
        assert!(difference(&run(&net, &x, Mode::Eval), &expected) < 1e-6);
    }
}

#[test]
fn padding_never_wins_in_max_pool() {
    let net = Net::init(max_pool(), 0);
    let x = tensor("x", &[2, 2, 3, 4, 5]) - 2.0; // all negative: a padded zero would win
    let input = values(&x);
    let expected: Vec<f64> = positions([2, 2, 2, 2, 3])
        .into_iter()
        .map(|[n, c, t, h, w]| {
            let window = positions([3, 3, 3]).into_iter().filter_map(|[i, j, k]| {
                at(&input, [2, 2, 3, 4, 5], [n, c, 2 * t + i - 1, 2 * h + j - 1, 2 * w + k - 1])
            });
            window.fold(f64::NEG_INFINITY, f64::max)
        })
        .collect();
    assert_eq!(run(&net, &x, Mode::Eval), expected);
}

#[test]
fn simple_operations_do_what_they_say() {
    let size = [2, 2, 3, 4, 5];
    let x = tensor("x", &size);
    let input = values(&x);
    let eval = |graph: Graph| run(&Net::init(graph, 0), &x, Mode::Eval);
    let shape = [2, 3, 4, 5];

    let relu: Vec<f64> = input.iter().map(|v| v.max(0.0)).collect();
    assert_eq!(eval(one(&shape, |g, x| g.relu("op", x))), relu);

    let every: Vec<f64> = positions([2, 2, 2, 2, 2])
        .into_iter()
        .map(|[n, c, t, h, w]| at(&input, size, [n, c, 2 * t, 2 * h, 3 * w]).unwrap())
        .collect();
    assert_eq!(eval(one(&shape, |g, x| g.subsample("op", x, [2, 2, 3]))), every);

    let padded: Vec<f64> =
        positions([2, 5, 3, 4, 5]).into_iter().map(|position| at(&input, size, position).unwrap_or(0.0)).collect();
    assert_eq!(eval(one(&shape, |g, x| g.pad_channels("op", x, 5))), padded);

    let means: Vec<f64> = input.chunks(60).map(|channel| channel.iter().sum::<f64>() / 60.0).collect();
    assert!(difference(&eval(one(&shape, |g, x| g.global_avg_pool("op", x))), &means) < 1e-6);

    let doubled: Vec<f64> = input.iter().map(|v| v + v).collect();
    assert_eq!(eval(one(&shape, |g, x| g.add("op", x, x))), doubled);
}

#[test]
fn linear_multiplies_by_rows_of_the_weight() {
    let net = formula_net(one(&[4], |g, x| g.linear("op", x, 3)));
    let x = tensor("x", &[2, 4]);
    let (input, weight, bias) =
        (values(&x), values(net.param("op.weight").unwrap()), values(net.param("op.bias").unwrap()));
    let expected: Vec<f64> = positions([2, 3])
        .into_iter()
        .map(|[n, out]| {
            let product = |i: usize| input[n as usize * 4 + i] * weight[out as usize * 4 + i];
            bias[out as usize] + (0..4).map(product).sum::<f64>()
        })
        .collect();
    assert!(difference(&run(&net, &x, Mode::Eval), &expected) < 1e-6);
}

/// PyTorch normalises by the biased variance and keeps the unbiased one.
#[test]
fn batch_norm_follows_the_mode() {
    let net = formula_net(one(&[2, 2, 2, 3], |g, x| g.batch_norm("op", x)));
    let x = tensor("x", &[2, 2, 2, 2, 3]);
    let input = values(&x);
    let read = |name: &str| values(net.param(&format!("op.{name}")).unwrap());
    let (weight, bias, mean, var) = (read("weight"), read("bias"), read("running_mean"), read("running_var"));
    let normalised = |mean: &[f64], var: &[f64]| -> Vec<f64> {
        let value = |(index, v): (usize, &f64)| {
            let c = index / 12 % 2;
            (v - mean[c]) / (var[c] + 1e-5).sqrt() * weight[c] + bias[c]
        };
        input.iter().enumerate().map(value).collect()
    };
    assert!(difference(&run(&net, &x, Mode::Eval), &normalised(&mean, &var)) < 1e-6);
    assert_eq!((read("running_mean"), read("running_var")), (mean.clone(), var.clone()), "evaluation changes nothing");

    let channel = |c: usize| -> Vec<f64> {
        input.iter().enumerate().filter(|(index, _)| index / 12 % 2 == c).map(|(_, v)| *v).collect()
    };
    let batch_mean = [0, 1].map(|c| channel(c).iter().sum::<f64>() / 24.0);
    let squares = [0, 1].map(|c| channel(c).iter().map(|v| (v - batch_mean[c]).powi(2)).sum::<f64>());
    assert!(difference(&run(&net, &x, Mode::Train), &normalised(&batch_mean, &squares.map(|s| s / 24.0))) < 1e-6);
    let expected_mean = [0, 1].map(|c| 0.9 * mean[c] + 0.1 * batch_mean[c]);
    let expected_var = [0, 1].map(|c| 0.9 * var[c] + 0.1 * squares[c] / 23.0);
    assert!(difference(&read("running_mean"), &expected_mean) < 1e-6);
    assert!(difference(&read("running_var"), &expected_var) < 1e-6);
}

#[test]
fn pictures_are_looked_at_with_gaps() {
    let net = formula_net(picture());
    let x = tensor("x", &[2, 2, 3, 4, 5]);
    let (input, weight) = (values(&x), values(net.param("op.weight").unwrap()));
    let bias = values(net.param("op.bias").unwrap());
    let expected: Vec<f64> = positions([2, 3, 3, 3])
        .into_iter()
        .map(|[n, out, h, w]| {
            positions([6, 2, 3]).into_iter().fold(bias[out as usize], |sum, [c, i, j]| {
                // Channels are those of the clip, with the frames of each one after the other.
                let position = [n, c / 3, c % 3, h + 3 * i - 1, 2 * w + 2 * j - 2];
                let value = at(&input, [2, 2, 3, 4, 5], position).unwrap_or(0.0);
                sum + value * weight[(((out * 6 + c) * 2 + i) * 3 + j) as usize]
            })
        })
        .collect();
    assert!(difference(&run(&net, &x, Mode::Eval), &expected) < 1e-6);
}

#[test]
fn windows_that_end_outside_count_when_rounded_up() {
    let net = Net::init(one(&[1, 1, 5, 7], |g, x| g.max_pool_ceil("op", x, [1, 2, 3])), 0);
    let x = tensor("x", &[2, 1, 1, 5, 7]);
    let input = values(&x);
    let expected: Vec<f64> = positions([2, 1, 1, 3, 3])
        .into_iter()
        .map(|[n, c, t, h, w]| {
            let inside = positions([2, 3]).into_iter();
            inside
                .filter_map(|[i, j]| at(&input, [2, 1, 1, 5, 7], [n, c, t, 2 * h + i, 3 * w + j]))
                .fold(-2.0, f64::max)
        })
        .collect();
    assert_eq!(run(&net, &x, Mode::Eval), expected);
}

#[test]
fn every_position_gets_the_length_of_its_scale() {
    let net = formula_net(one(&[3, 1, 2, 2], |g, x| g.l2_norm("op", x, 20.0)));
    let weight = values(net.param("op.weight").unwrap());
    let x = tensor("x", &[2, 3, 1, 2, 2]);
    // Where nothing is, nothing comes out, and not what is not a number.
    let _ = x.get(1).narrow(3, 0, 1).fill_(0.0);
    let input = values(&x);
    let expected: Vec<f64> = positions([2, 3, 1, 2, 2])
        .into_iter()
        .map(|[n, c, t, h, w]| {
            let value = |c: i64| at(&input, [2, 3, 1, 2, 2], [n, c, t, h, w]).unwrap();
            let length = (0..3).map(|c| value(c) * value(c)).sum::<f64>().sqrt();
            value(c) / (length + 1e-10) * weight[c as usize]
        })
        .collect();
    assert!(difference(&run(&net, &x, Mode::Eval), &expected) < 1e-6);
}

#[test]
fn rows_hold_the_channels_of_a_position() {
    let net = Net::init(rows(), 0);
    let x = tensor("x", &[2, 4, 2, 1, 3]);
    let input = values(&x);
    let expected: Vec<f64> = positions([2, 2, 2, 1, 3, 4])
        .into_iter()
        .map(|[n, _, t, h, w, c]| at(&input, [2, 4, 2, 1, 3], [n, c, t, h, w]).unwrap())
        .collect();
    assert_eq!(run(&net, &x, Mode::Eval), expected);
}

/// Compares `backward` with (f(p + h) - f(p - h)) / 2h for the input and each trainable parameter.
#[test]
fn gradients_are_those_of_finite_differences() {
    let shape = [2, 3, 4, 5];
    for (name, graph) in [
        ("conv", conv(true)),
        ("max_pool", max_pool()),
        ("batch_norm", one(&shape, |g, x| g.batch_norm("op", x))),
        ("subsample", one(&shape, |g, x| g.subsample("op", x, [2, 2, 3]))),
        ("pad_channels", one(&shape, |g, x| g.pad_channels("op", x, 3))),
        ("global_avg_pool", one(&shape, |g, x| g.global_avg_pool("op", x))),
        ("add", one(&shape, |g, x| g.add("op", x, x))),
        ("picture", picture()),
        ("max_pool_ceil", one(&shape, |g, x| g.max_pool_ceil("op", x, [2, 3, 3]))),
        ("l2_norm", one(&shape, |g, x| g.l2_norm("op", x, 20.0))),
        ("rows", rows()),
        ("linear", {
            let mut g = GraphBuilder::new();
            let x = g.input("x", &shape).unwrap();
            let y = g.global_avg_pool("pool", x).unwrap();
            let y = g.linear("op", y, 3).unwrap();
            g.finish(&[("y", y)])
        }),
    ] {
        let net = formula_net(graph);
        let input = &net.graph().node(net.graph().inputs[0]).shape;
        let sides: Vec<i64> = [2].into_iter().chain(input.iter().map(|&side| side as i64)).collect();
        let x = tensor("x", &sides).set_requires_grad(true);
        let loss = || {
            let y = &net.forward(&x, Mode::Train).unwrap()[0];
            // Weighted, so that each output matters differently.
            (y * tensor("loss", &y.size())).sum(Kind::Double)
        };
        loss().backward();
        let trainable = net.params().map(|(_, tensor)| tensor).filter(|tensor| tensor.requires_grad());
        for parameter in trainable.chain([&x]) {
            let found = values(&parameter.grad());
            let (flat, step) = (parameter.detach().view(-1), 1e-3);
            let expected: Vec<f64> = (0..flat.size()[0])
                .map(|index| {
                    let at = |offset: f64| {
                        let mut entry = flat.narrow(0, index, 1);
                        let before = entry.copy();
                        let _ = entry.f_add_scalar_(offset).unwrap();
                        let value = tch::no_grad(loss).double_value(&[]);
                        entry.copy_(&before);
                        value
                    };
                    (at(step) - at(-step)) / (2.0 * step)
                })
                .collect();
            let worst = difference(&found, &expected);
            assert!(worst < 5e-3, "{name}: {worst}");
        }
    }
}

#[test]
fn initial_values_have_the_stated_spread() {
    let net = Net::init(
        one(&[8, 4, 4, 4], |g, x| {
            let options = ConvOptions {
                out_channels: 32,
                kernel: [3; 3],
                stride: [1; 3],
                padding: [1; 3],
                dilation: [1; 3],
                bias: true,
                init: ParamInit::KaimingFanOut,
            };
            let y = g.conv("conv", x, options)?;
            let y = g.batch_norm("bn", y)?;
            let y = g.global_avg_pool("pool", y)?;
            g.linear("fc", y, 100)
        }),
        1,
    );
    let spread = |name: &str| net.param(name).unwrap().std(false).double_value(&[]);
    let fan_out = 32.0 * 27.0;
    assert!((spread("conv.weight") / (2.0f64 / fan_out).sqrt() - 1.0).abs() < 0.05);
    let bound = 1.0 / 32f64.sqrt();
    assert!((spread("fc.weight") / (bound / 3f64.sqrt()) - 1.0).abs() < 0.05);
    assert!(net.param("fc.weight").unwrap().abs().max().double_value(&[]) <= bound);
    assert_eq!(values(net.param("conv.bias").unwrap()), [0.0; 32]);
    assert_eq!(values(net.param("bn.running_var").unwrap()), [1.0; 32]);
    for (spec, tensor) in net.params() {
        assert_eq!(tensor.requires_grad(), !spec.name.contains("running"), "{}", spec.name);
    }
}

#[test]
fn inputs_that_do_not_fit_are_errors_with_both_shapes() {
    let net = Net::init(one(&[2, 1, 1, 1], |g, x| g.batch_norm("op", x)), 0);
    let error = net.forward(&tensor("x", &[1, 3, 1, 1, 1]), Mode::Eval).unwrap_err().to_string();
    assert_eq!(error, "input 'x': found shape 1 x 3 x 1 x 1 x 1, expected N x 2 x 1 x 1 x 1");
    assert!(net.forward(&tensor("x", &[0, 2, 1, 1, 1]), Mode::Eval).is_err());
    let half = tensor("x", &[1, 2, 1, 1, 1]).to_kind(Kind::Half);
    assert_eq!(net.forward(&half, Mode::Eval).unwrap()[0].kind(), Kind::Float);
    let error = net.forward(&tensor("x", &[1, 2, 1, 1, 1]), Mode::Train).unwrap_err();
    assert!(matches!(error, TrainError::Node { node, .. } if node == "op"));
}
