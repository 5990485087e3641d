//! What the tests share: the formula for weights of `tests/fixtures/torchvision/make.py`, and comparisons.
#![allow(dead_code, missing_docs)] // Each test file uses its part.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use tch::Tensor;
use unscene_graph::Graph;
use unscene_train::{Net, read_weights};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/torchvision").join(name)
}

/// Values in -1 .. 1: SplitMix64 of FNV-1a(name) + index.
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    let hashed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let value = |index: u64| {
        let mut z = hashed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count as u64).map(value).collect()
}

/// The value of a parameter, with magnitudes as in a trained network.
pub fn parameter(name: &str, shape: &[usize]) -> Vec<f32> {
    let values = uniform(name, shape.iter().product());
    let fan_in = shape.iter().skip(1).product::<usize>() as f64;
    let scaled = |u: f64| match shape.len() {
        1 if name.ends_with("running_var") || name.ends_with("weight") => 1.0 + 0.5 * u,
        1 => 0.2 * u,
        _ => u * (3.0 / fan_in).sqrt(),
    };
    values.into_iter().map(|u| scaled(u) as f32).collect()
}

/// A tensor of the formula.
pub fn tensor(name: &str, shape: &[i64]) -> Tensor {
    let values: Vec<f32> = uniform(name, shape.iter().product::<i64>() as usize).iter().map(|&v| v as f32).collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// Writes float32 tensors to a safetensors file.
pub fn write_tensors(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, v)| v.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// A net whose weights follow the formula.
pub fn formula_net(graph: Graph) -> Net {
    if graph.params.is_empty() {
        return Net::init(graph, 0);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let tensors: Vec<_> = graph
        .params
        .iter()
        .map(|spec| (spec.name.clone(), spec.shape.clone(), parameter(&spec.name, &spec.shape)))
        .collect();
    write_tensors(&path, &tensors);
    Net::from_weights(graph, &read_weights(&path).unwrap()).unwrap()
}

pub fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(tch::Kind::Double).contiguous().view(-1)).unwrap()
}

/// The largest difference relative to the largest magnitude expected.
pub fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |largest, v| largest.max(v.abs()));
    found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f - e).abs())
        .fold(0.0, |worst: f64, d| if d > worst || d.is_nan() { d } else { worst })
        / largest
}
