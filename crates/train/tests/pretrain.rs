//! The alternating step against PyTorch, which ran the same two iterations.

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{formula_net, tensor};
use serde::Deserialize;
use tch::{Kind, Tensor};
use unscene_models::classifier::ClassifierConfig;
use unscene_models::heads::AdversaryConfig;
use unscene_train::method::{
    Adversary, Batch, entropy, masked_gradients, masked_step, ordinary_gradients, ordinary_step, reverse_gradient,
    soft_cross_entropy,
};
use unscene_train::{Gradients, Mode, Net, Precision, Rate, Sgd, SgdConfig, TrainError};

#[derive(Deserialize)]
struct Record {
    /// Action, adversary and entropy of each iteration.
    steps: Vec<[f64; 3]>,
    /// Of the ordinary and the masked step of each iteration in turn, by net and parameter.
    gradients: Vec<HashMap<String, Vec<f32>>>,
    after: HashMap<String, Vec<f32>>,
}

fn record() -> Record {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pretrain/two_iterations.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn nets() -> (Net, Vec<Adversary>) {
    let arch = "r3d10-hara".parse().unwrap();
    let config = ClassifierConfig { arch, width: 0.03, frames: 8, size: 32, classes: 4 };
    let adversary = AdversaryConfig { hidden: 8, ..AdversaryConfig::new(15, 5) };
    let adversary = Adversary { net: formula_net(adversary.graph().unwrap()), lambda: 0.5, steps: 1 };
    (formula_net(config.graph_with(&["features"]).unwrap()), vec![adversary])
}

fn batch() -> Batch {
    let clips = tensor("clips0", &[4, 3, 8, 32, 32]);
    let scenes = tensor("scenes0", &[4, 5]).softmax(1, Kind::Float);
    Batch { clips, labels: Tensor::from_slice(&[0i64, 1, 2, 3]), attributes: vec![scenes] }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap()
}

/// The largest difference is at most 1e-4 of the largest value, and 1e-6. The latter is for the biases that a batch norm
/// follows: their gradient is zero but for rounding, which differs between processors; every other tensor here has a largest
/// value above 0.015.
fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let difference = found.iter().zip(expected).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(difference <= 1e-4 * largest + 1e-6, "{name}: {difference} of {largest}");
}

fn assert_gradients(expected: &HashMap<String, Vec<f32>>, nets: &[&Net], found: &Gradients) {
    let mut compared = 0;
    for (number, net) in nets.iter().enumerate() {
        for (spec, _) in net.params() {
            let Some(expected) = expected.get(&format!("{number}.{}", spec.name)) else { continue };
            assert_close(&spec.name, &numbers(found.get(number, net, &spec.name).unwrap()), expected);
            compared += 1;
        }
    }
    assert_eq!(compared, expected.len());
}

#[test]
fn two_alternating_iterations_equal_pytorch() {
    // As many as PyTorch had: with others, sums have another order, and the second iteration follows another path.
    tch::set_num_threads(2);
    let record = record();
    let (model, adversaries) = nets();
    let config = SgdConfig { lr: 0.05, momentum: 0.9, dampening: 0.1, weight_decay: 1e-3, clip_norm: None };
    let mut sgd = Sgd::new(config);
    for (iteration, expected) in record.steps.iter().enumerate() {
        let clips = tensor(&format!("clips{iteration}"), &[4, 3, 8, 32, 32]);
        let labels: Vec<i64> = (0..4).map(|n| (n + iteration as i64) % 4).collect();
        let scenes = (tensor(&format!("scenes{iteration}"), &[4, 5]) * 3.0).softmax(1, Kind::Float);
        let batch = Batch { clips, labels: Tensor::from_slice(&labels), attributes: vec![scenes] };
        let nets = [&model, &adversaries[0].net];
        let (losses, gradients, _) = ordinary_gradients(&model, &adversaries, &[batch]).unwrap();
        assert_gradients(&record.gradients[2 * iteration], &nets, &gradients);
        sgd.step(0, &nets, gradients).unwrap();
        let masked = tensor(&format!("masked{iteration}"), &[4, 3, 8, 32, 32]);
        let (unsure, gradients) = masked_gradients(&model, &[masked], 0.75, Mode::Train).unwrap();
        assert_gradients(&record.gradients[2 * iteration + 1], &nets[..1], &gradients);
        sgd.step(0, &nets[..1], gradients).unwrap();
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
    let batch = Batch { clips: clips.shallow_clone(), labels, attributes: vec![scenes] };
    let error = ordinary_step(&model, &adversaries, &mut sgd, &[batch]).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { what: "action", .. }), "{error}");
    let error = masked_step(&model, &mut sgd, &[clips], 1.0, Mode::Train).unwrap_err();
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
    let frozen = |net, prefix: &str| Rate { net, prefix: prefix.into(), factor: 0.0, decays: true };
    sgd.rates = vec![frozen(0, "conv1"), frozen(1, "")];
    let scene = numbers(adversaries[0].net.param("fc4.weight").unwrap());
    ordinary_step(&model, &adversaries, &mut sgd, &[batch()]).unwrap();
    assert_eq!(kept("conv1.weight"), conv1);
    assert_ne!(kept("fc.weight"), fc);
    assert_eq!(numbers(adversaries[0].net.param("fc4.weight").unwrap()), scene);
    // State goes through text and back.
    let state: Vec<(String, Tensor)> = sgd.state().map(|(name, tensor)| (name, tensor.copy())).collect();
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"0.fc.bias") && !names.contains(&"0.conv1.weight") && !names.contains(&"1.fc4.bias"));
    let mut other = Sgd::new(sgd.config);
    other.set_state(state);
    assert_eq!(other.state().count(), sgd.state().count());
    // Without rates of their own, they move.
    sgd.rates.clear();
    ordinary_step(&model, &adversaries, &mut sgd, &[batch()]).unwrap();
    assert_ne!(kept("conv1.weight"), conv1);
}

#[test]
fn what_does_not_decay_moves_by_its_gradient_alone() {
    let config = SgdConfig { lr: 0.1, momentum: 0.0, weight_decay: 0.5, ..SgdConfig::default() };
    let after = |rates: Vec<Rate>, weight_decay: f64| {
        let (model, adversaries) = nets();
        let mut sgd = Sgd::new(SgdConfig { weight_decay, ..config });
        sgd.rates = rates;
        ordinary_step(&model, &adversaries, &mut sgd, &[batch()]).unwrap();
        ["fc.weight", "fc.bias"].map(|name| numbers(model.param(name).unwrap()))
    };
    let bias = Rate { net: 0, prefix: "fc.bias".into(), factor: 1.0, decays: false };
    let [free, decayed, biases_free] = [after(vec![], 0.0), after(vec![], 0.5), after(vec![bias], 0.5)];
    assert_ne!(free[1], decayed[1]);
    assert_eq!([&biases_free[0], &biases_free[1]], [&decayed[0], &free[1]]);
}

#[test]
fn batches_taken_together_are_one_step_of_their_mean() {
    let half = |from: i64| {
        let Batch { clips, labels, attributes } = batch();
        let cut = |tensor: &Tensor| tensor.narrow(0, from, 2);
        Batch { clips: cut(&clips), labels: cut(&labels), attributes: attributes.iter().map(cut).collect() }
    };
    // Gradients of the halves by themselves, and of both together; BatchNorm sees halves in each case.
    let gradient = |batches: &[Batch]| {
        let (model, adversaries) = nets();
        let (losses, gradients, _) = ordinary_gradients(&model, &adversaries, batches).unwrap();
        let conv1 = numbers(gradients.get(0, &model, "conv1.weight").unwrap());
        (conv1, losses.action, losses.adversaries[0])
    };
    let (first, second, both) = (gradient(&[half(0)]), gradient(&[half(2)]), gradient(&[half(0), half(2)]));
    let mean: Vec<f32> = first.0.iter().zip(&second.0).map(|(a, b)| (a + b) / 2.0).collect();
    assert_close("conv1.weight", &both.0, &mean);
    assert!((both.1 - (first.1 + second.1) / 2.0).abs() < 1e-6);
    assert!((both.2 - (first.2 + second.2) / 2.0).abs() < 1e-6);
}

#[test]
fn an_adversary_that_practises_leaves_the_model_alone() {
    let after = |steps| {
        let (model, mut adversaries) = nets();
        adversaries[0].steps = steps;
        ordinary_step(&model, &adversaries, &mut Sgd::new(SgdConfig::default()), &[batch()]).unwrap();
        let of = |net: &Net, name: &str| numbers(net.param(name).unwrap());
        (of(&model, "conv1.weight"), of(&adversaries[0].net, "fc4.weight"))
    };
    let (once, often) = (after(1), after(3));
    assert_eq!(once.0, often.0);
    assert_ne!(once.1, often.1);
}

#[test]
fn running_statistics_can_be_left_alone_by_masked_clips() {
    let (model, _) = nets();
    let mean = || numbers(model.param("bn1.running_mean").unwrap());
    let (before, weight) = (mean(), numbers(model.param("conv1.weight").unwrap()));
    let mut sgd = Sgd::new(SgdConfig { lr: 0.1, ..SgdConfig::default() });
    let masked = || tensor("masked0", &[4, 3, 8, 32, 32]);
    let unsure = masked_step(&model, &mut sgd, &[masked()], 1.0, Mode::Eval).unwrap();
    let logits = tch::no_grad(|| nets().0.forward(&masked(), Mode::Eval)).unwrap().remove(0);
    assert!((unsure - entropy(&logits).unwrap().double_value(&[])).abs() < 1e-6);
    assert_eq!(mean(), before);
    assert_ne!(numbers(model.param("conv1.weight").unwrap()), weight);
    masked_step(&model, &mut sgd, &[masked()], 1.0, Mode::Train).unwrap();
    assert_ne!(mean(), before);
}

#[test]
fn long_gradients_are_clipped_as_pytorch_does() {
    let moved = |clip_norm| {
        let (model, adversaries) = nets();
        let before: Vec<Vec<f32>> = model.params().map(|(_, tensor)| numbers(tensor)).collect();
        let config = SgdConfig { lr: 1.0, momentum: 0.0, weight_decay: 0.0, dampening: 0.0, clip_norm };
        let nets = [&model, &adversaries[0].net];
        let (_, gradients, _) = ordinary_gradients(&model, &adversaries, &[batch()]).unwrap();
        let names =
            nets.iter().enumerate().flat_map(|(at, net)| net.params().map(move |(spec, _)| (at, *net, &spec.name)));
        let found = names.filter_map(|(at, net, name)| gradients.get(at, net, name));
        let squares: f64 = found.flat_map(numbers).map(|value| f64::from(value).powi(2)).sum();
        // A model of its own: running statistics have moved.
        let (model, adversaries) = crate::nets();
        ordinary_step(&model, &adversaries, &mut Sgd::new(config), &[batch()]).unwrap();
        let after = model.params().map(|(_, tensor)| numbers(tensor));
        let step: Vec<f32> = before.into_iter().zip(after).flat_map(|(a, b)| sub(&a, &b)).collect();
        (step, squares.sqrt())
    };
    let (whole, length) = moved(None);
    assert_eq!(moved(Some(length * 2.0)).0, whole, "short gradients are left alone");
    let (clipped, _) = moved(Some(length / 4.0));
    // Running statistics move in any case, and their steps are the same in both.
    let clipped_at = |at: usize| (f64::from(clipped[at]) - f64::from(whole[at]) / 4.0).abs() < 1e-6;
    let same_at = |at: usize| clipped[at] == whole[at];
    assert!((0..whole.len()).all(|at| clipped_at(at) || same_at(at)));
    let changed = (0..whole.len()).filter(|&at| !same_at(at)).count();
    assert!(changed > 100, "{changed} of {}", whole.len());
}

fn sub(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[test]
fn bfloat16_computes_nearly_the_same_with_float32_weights() {
    let losses = |precision| {
        let (model, adversaries) = nets();
        let model = model.computing(precision);
        let (losses, gradients, _) = ordinary_gradients(&model, &adversaries, &[batch()]).unwrap();
        assert!(model.params().all(|(_, tensor)| tensor.kind() == Kind::Float));
        (losses.action, numbers(gradients.get(0, &model, "conv1.weight").unwrap()))
    };
    let (exact, rough) = (losses(Precision::Float32), losses(Precision::Bfloat16));
    assert_ne!(exact.1, rough.1);
    assert!((exact.0 - rough.0).abs() < 0.05 * exact.0, "{} {}", exact.0, rough.0);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let cosine = dot(&exact.1, &rough.1) / (dot(&exact.1, &exact.1) * dot(&rough.1, &rough.1)).sqrt();
    assert!(cosine > 0.9, "{cosine}");
}
