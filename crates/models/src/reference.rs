//! The inputs on which every engine must compute what libtorch computed: random, and the same everywhere, so that they need not
//! lie in run folders. A buffer of a localizer has 29 million values.

use unscene_graph::Graph;

use crate::manifest::ClipInput;
use crate::rc3d::names::CLIP;

/// Rows of each input. Two, so that a graph that mixes up rows of a batch is found out.
pub const ROWS: usize = 2;

/// The input of each of a graph's inputs, in order, with its name: [`ROWS`] x the input's shape. A clip is random pixels,
/// prepared as clips are; anything else is between 0 and 1.
pub fn reference_inputs(graph: &Graph, input: &ClipInput) -> Vec<(String, Vec<f32>)> {
    let inputs = graph.inputs.iter().map(|&node| graph.node(node));
    inputs
        .map(|node| {
            let row: usize = node.shape.iter().product();
            let random = (0..(ROWS * row) as u64).map(uniform);
            let values = match node.name == CLIP {
                false => random.collect(),
                true => {
                    let channel = row / 3;
                    let pixel = |(at, value): (usize, f32)| {
                        let c = at / channel % 3;
                        (value * input.range - input.mean[c]) / input.std[c]
                    };
                    random.enumerate().map(pixel).collect()
                }
            };
            (node.name.clone(), values)
        })
        .collect()
}

/// The n-th of a row of random numbers from 0 to below 1: SplitMix64 (Steele, Lea and Flood 2014), of which each number can be
/// told without those before.
fn uniform(n: u64) -> f32 {
    let mut z = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f32 / (1u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::ClassifierConfig;
    use crate::run::RunConfig;

    #[test]
    fn references_are_random_pixels_as_clips_are_prepared() {
        let model = ClassifierConfig {
            width: 0.1,
            frames: 8,
            size: 32,
            ..ClassifierConfig::new("r3d10-hara".parse().unwrap(), 2)
        };
        let graph = model.graph().unwrap();
        let input = RunConfig::new(model, vec!["a".into(), "b".into()], Default::default()).input;
        let inputs = reference_inputs(&graph, &input);
        assert_eq!((inputs.len(), inputs[0].0.as_str(), inputs[0].1.len()), (1, "clip", 2 * 3 * 8 * 32 * 32));
        let red = &inputs[0].1[..8 * 32 * 32];
        let mean = red.iter().sum::<f32>() / red.len() as f32;
        assert!((mean - (127.5 - input.mean[0])).abs() < 3.0, "{mean}");
        assert!(red.iter().all(|value| (-input.mean[0]..255.0 - input.mean[0]).contains(value)));
        // Published values of the generator for seed 0: 0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4.
        assert_eq!([uniform(0), uniform(1)].map(|value| (value * 256.0) as u32), [0xe2, 0x6e]);
    }
}
