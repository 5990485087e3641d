//! The alternating step against PyTorch, which ran the same two iterations.

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{formula_net, tensor};
use serde::Deserialize;
use tch::{Kind, Tensor};
use unscene_models::heads::AdversaryConfig;
use unscene_models::r3d::R3dConfig;
use unscene_train::method::{
    Adversary, Batch, entropy, masked_step, ordinary_step, reverse_gradient, soft_cross_entropy,
};
use unscene_train::{Net, Sgd, SgdConfig, TrainError};

#[derive(Deserialize)]
struct Record {
    /// Action, adversary and entropy of each iteration.
    steps: Vec<[f64; 3]>,
    /// After the first ordinary and the first masked step, by net and parameter.
    gradients: Vec<HashMap<String, Vec<f32>>>,
    after: HashMap<String, Vec<f32>>,
}

fn record() -> Record {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pretrain/two_iterations.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn nets() -> (Net, Vec<Adversary>) {
    let arch = "r3d10-hara".parse().unwrap();
    let config = R3dConfig { arch, width: 0.03, frames: 8, size: 32, classes: 4 };
    let adversary = AdversaryConfig { hidden: 8, ..AdversaryConfig::new(15, 5) };
    let adversary = Adversary { net: formula_net(adversary.graph().unwrap()), lambda: 0.5 };
    (formula_net(config.graph_with_features().unwrap()), vec![adversary])
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap()
}

/// The largest difference is at most 1e-4 of the largest value.
fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let difference = found.iter().zip(expected).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(difference <= 1e-4 * largest + 1e-7, "{name}: {difference} of {largest}");
}

fn assert_gradients(expected: &HashMap<String, Vec<f32>>, nets: &[&Net]) {
    let mut compared = 0;
    for (number, net) in nets.iter().enumerate() {
        for (spec, tensor) in net.params() {
            let Some(expected) = expected.get(&format!("{number}.{}", spec.name)) else { continue };
            assert_close(&spec.name, &numbers(&tensor.grad()), expected);
            compared += 1;
        }
    }
    assert_eq!(compared, expected.len());
}

#[test]
fn two_alternating_iterations_equal_pytorch() {
    let record = record();
    let (model, adversaries) = nets();
    let config = SgdConfig { lr: 0.05, momentum: 0.9, dampening: 0.1, weight_decay: 1e-3 };
    let mut sgd = Sgd::new(config);
    for (iteration, expected) in record.steps.iter().enumerate() {
        let clips = tensor(&format!("clips{iteration}"), &[4, 3, 8, 32, 32]);
        let labels: Vec<i64> = (0..4).map(|n| (n + iteration as i64) % 4).collect();
        let scenes = (tensor(&format!("scenes{iteration}"), &[4, 5]) * 3.0).softmax(1, Kind::Float);
        let batch = Batch { clips: &clips, labels: &Tensor::from_slice(&labels), attributes: &[scenes] };
        let losses = ordinary_step(&model, &adversaries, &mut sgd, &batch).unwrap();
        if iteration == 0 {
            assert_gradients(&record.gradients[0], &[&model, &adversaries[0].net]);
        }
        let masked = tensor(&format!("masked{iteration}"), &[4, 3, 8, 32, 32]);
        let unsure = masked_step(&model, &mut sgd, &masked, 0.75).unwrap();
        if iteration == 0 {
            assert_gradients(&record.gradients[1], &[&model]);
        }
        for (found, expected) in [losses.action, losses.adversaries[0], unsure].into_iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-4 * expected.abs(), "{iteration}: {found} {expected}");
        }
    }
    let mut compared = 0;
    for (number, net) in [&model, &adversaries[0].net].into_iter().enumerate() {
        for (spec, tensor) in net.params() {
            let name = format!("{number}.{}", spec.name);
            assert_close(&name, &numbers(tensor), &record.after[&name]);
            compared += 1;
        }
    }
    assert_eq!(compared, record.after.len());
}

#[test]
fn reversal_changes_gradients_alone() {
    let x = (tensor("x", &[3, 7]) * 1e6).set_requires_grad(true);
    let reversed = reverse_gradient(&x, 0.5).unwrap();
    assert_eq!(numbers(&reversed), numbers(&x));
    (reversed * tensor("w", &[3, 7])).sum(Kind::Float).backward();
    assert_eq!(numbers(&x.grad()), numbers(&(tensor("w", &[3, 7]) * -0.5)));
}

#[test]
fn losses_follow_their_definitions() {
    let logits = [[1.0f32, 2.0, -1.0], [0.5, 0.5, 0.5]];
    let targets = [[0.2f32, 0.3, 0.5], [1.0, 0.0, 0.0]];
    let softmax = |row: &[f32; 3]| {
        let e = row.map(|value| f64::from(value).exp());
        e.map(|value| value / e.iter().sum::<f64>())
    };
    let (mut cross, mut unsure) = (0.0, 0.0);
    for (row, target) in logits.iter().zip(&targets) {
        for (p, t) in softmax(row).iter().zip(target) {
            cross -= f64::from(*t) * p.ln() / 2.0;
            unsure -= p * p.ln() / 2.0;
        }
    }
    let logits = Tensor::from_slice2(&logits);
    let found = soft_cross_entropy(&logits, &Tensor::from_slice2(&targets)).unwrap().double_value(&[]);
    assert!((found - cross).abs() < 1e-6, "{found} {cross}");
    let found = entropy(&logits).unwrap().double_value(&[]);
    assert!((found - unsure).abs() < 1e-6, "{found} {unsure}");
    // Certainty has no entropy, and does not become NaN.
    let certain = Tensor::from_slice2(&[[200.0f32, -200.0, 0.0]]);
    assert!(entropy(&certain).unwrap().double_value(&[]).abs() < 1e-6);
}

#[test]
fn a_loss_that_is_no_number_stops_before_anything_moves() {
    let (model, adversaries) = nets();
    let before: Vec<Vec<f32>> =
        model.params().filter(|(spec, _)| !spec.name.contains("running")).map(|(_, t)| numbers(t)).collect();
    let mut sgd = Sgd::new(SgdConfig::default());
    let clips = tensor("clips0", &[4, 3, 8, 32, 32]) * f64::NAN;
    let scenes = tensor("scenes0", &[4, 5]).softmax(1, Kind::Float);
    let labels = Tensor::from_slice(&[0i64, 1, 2, 3]);
    let batch = Batch { clips: &clips, labels: &labels, attributes: &[scenes] };
    let error = ordinary_step(&model, &adversaries, &mut sgd, &batch).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { what: "action", .. }), "{error}");
    let error = masked_step(&model, &mut sgd, &clips, 1.0).unwrap_err();
    assert!(error.to_string().contains("entropy loss is NaN"), "{error}");
    let after: Vec<Vec<f32>> =
        model.params().filter(|(spec, _)| !spec.name.contains("running")).map(|(_, t)| numbers(t)).collect();
    assert_eq!(before, after);
}

#[test]
fn rates_by_name_freeze_and_hurry() {
    let (model, adversaries) = nets();
    let kept = |name: &str| numbers(model.param(name).unwrap());
    let (conv1, fc) = (kept("conv1.weight"), kept("fc.weight"));
    let mut sgd = Sgd::new(SgdConfig { lr: 0.1, ..SgdConfig::default() });
    sgd.rates = vec![("conv1".into(), 0.0)];
    let clips = tensor("clips0", &[4, 3, 8, 32, 32]);
    let scenes = tensor("scenes0", &[4, 5]).softmax(1, Kind::Float);
    let labels = Tensor::from_slice(&[0i64, 1, 2, 3]);
    let batch = Batch { clips: &clips, labels: &labels, attributes: &[scenes] };
    ordinary_step(&model, &adversaries, &mut sgd, &batch).unwrap();
    assert_eq!(kept("conv1.weight"), conv1);
    assert_ne!(kept("fc.weight"), fc);
    // State goes through text and back.
    let state: Vec<(String, Tensor)> = sgd.state().map(|(name, tensor)| (name, tensor.copy())).collect();
    assert!(
        state.iter().any(|(name, _)| name == "1.fc4.bias")
            && !state.iter().any(|(name, _)| name.contains("conv1.weight") && name.starts_with("0.conv1"))
    );
    let mut other = Sgd::new(sgd.config);
    other.set_state(state);
    assert_eq!(other.state().count(), sgd.state().count());
}
