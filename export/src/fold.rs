//! Batch normalisation in eval mode is `y = (x - mean) / sqrt(var + eps) * weight + bias` per channel, an affine map. After a
//! convolution it is part of it: filter `o` is scaled by `s[o] = weight[o] / sqrt(var[o] + eps)` and the bias becomes
//! `(conv_bias[o] - mean[o]) * s[o] + bias[o]`.

use unscene_graph::{Graph, Op, ParamInit, ParamRole, ParamSpec};

use crate::Weights;

/// Folds every BatchNorm that directly follows a convolution into it. The convolution must have no other user and be no
/// output. The arithmetic is in f64.
///
/// The folded convolution takes the BatchNorm's place in the graph with the convolution's name; the node it was before
/// remains without a user. New parameters are `<conv>.weight` (replaced) and `<conv>.bias`.
pub fn fold_batch_norm(mut graph: Graph, weights: &mut Weights) -> Graph {
    for index in 0..graph.nodes.len() {
        let Op::BatchNorm { eps, .. } = graph.nodes[index].op else { continue };
        let source = graph.nodes[index].inputs[0];
        let mut conv = graph.node(source).clone();
        let users = graph.nodes.iter().flat_map(|node| &node.inputs).filter(|&&input| input == source).count()
            + graph.outputs.iter().filter(|(_, output)| *output == source).count();
        let Op::Conv { out_channels, bias, .. } = &mut conv.op else { continue };
        if users != 1 {
            continue;
        }
        let (out_channels, bias) = (*out_channels, std::mem::replace(bias, true));
        let name = |param: usize| graph.params[param].name.clone();
        let [gamma, beta, mean, var] =
            [0, 1, 2, 3].map(|at| weights.get(&name(graph.nodes[index].params[at])).to_vec());
        let scale: Vec<f64> =
            (0..out_channels).map(|o| f64::from(gamma[o]) / (f64::from(var[o]) + eps).sqrt()).collect();

        let filters = weights.get_mut(&name(conv.params[0]));
        let per_filter = filters.len() / out_channels;
        for (filter, scale) in filters.chunks_exact_mut(per_filter).zip(&scale) {
            filter.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        }
        let old_bias = if bias { weights.get(&name(conv.params[1])).to_vec() } else { vec![0.0; out_channels] };
        let new_bias = (0..out_channels)
            .map(|o| ((f64::from(old_bias[o]) - f64::from(mean[o])) * scale[o] + f64::from(beta[o])) as f32)
            .collect();
        let spec = ParamSpec {
            name: format!("{}.bias", conv.name),
            shape: vec![out_channels],
            init: ParamInit::Constant(0.0),
            role: ParamRole::Trainable,
        };
        weights.insert(spec.name.clone(), new_bias);
        let bias_param = match bias {
            true => conv.params[1],
            false => {
                graph.params.push(spec);
                graph.params.len() - 1
            }
        };
        let node = &mut graph.nodes[index];
        node.name = conv.name;
        node.op = conv.op;
        node.inputs = conv.inputs;
        node.params = vec![conv.params[0], bias_param];
    }
    graph
}
