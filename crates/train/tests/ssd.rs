//! SSD against PyTorch, which computed the same outputs and gradients of a tiny model, and the same losses.

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{difference, formula_net, tensor, uniform, values};
use serde::Deserialize;
use tch::{Kind, Tensor};
use unscene_models::vgg_ssd::SsdConfig;
use unscene_train::Mode;
use unscene_train::detect::{PriorTargets, multibox_losses};

#[derive(Deserialize)]
struct Models {
    parameters: usize,
    records: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    size: usize,
    cells: Vec<usize>,
    priors: i64,
    /// Every so manyth row of the outputs is recorded.
    every: i64,
    offsets: Vec<f64>,
    class_scores: Vec<f64>,
    /// The largest and the sum of magnitudes.
    gradients: HashMap<String, [f64; 2]>,
}

#[derive(Deserialize)]
struct Loss {
    labels: Vec<Vec<i64>>,
    losses: [f64; 2],
    negatives: Vec<Vec<usize>>,
    offset_gradients: Vec<f64>,
    score_gradients: Vec<f64>,
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ssd").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn ssd_is_that_of_pytorch() {
    let models: Models = read("model.json");
    assert_eq!(SsdConfig::new(20).graph().unwrap().trainable_params(), models.parameters);
    for record in models.records {
        let config = SsdConfig { width: 0.05, size: record.size, ..SsdConfig::new(3) };
        let cells: Vec<usize> = config.maps().unwrap().iter().map(|map| map.cells).collect();
        assert_eq!(cells, record.cells);
        let net = formula_net(config.graph().unwrap());
        let side = record.size as i64;
        let outputs = net.forward(&tensor("clip", &[2, 3, 1, side, side]), Mode::Train).unwrap();
        assert!(outputs.iter().all(|output| output.size() == [2, record.priors, 4]));
        for (output, expected) in outputs.iter().zip([&record.offsets, &record.class_scores]) {
            let rows = output.slice(1, 0, None, record.every);
            let worst = difference(&values(&rows), expected);
            assert!(worst <= 1e-5, "{} px: outputs differ by {worst:e}", record.size);
        }
        let weighted = |output: &Tensor, name: &str| (output * tensor(name, &output.size())).sum(Kind::Float);
        (weighted(&outputs[0], "offset_weights") + weighted(&outputs[1], "score_weights")).backward();
        assert_eq!(net.params().count(), record.gradients.len());
        for (spec, parameter) in net.params() {
            let gradient = parameter.grad().abs();
            let found = [gradient.max().double_value(&[]), gradient.sum(Kind::Double).double_value(&[])];
            for (found, expected) in found.into_iter().zip(record.gradients[&spec.name]) {
                // Sums over many signs of rounding: looser than the outputs.
                let close = (found - expected).abs() <= 1e-3 * expected.abs();
                assert!(close, "{} px, {}: {found} {expected}", record.size, spec.name);
            }
        }
    }
}

fn scaled(name: &str, sides: &[i64], scale: f64) -> Tensor {
    let count = sides.iter().product::<i64>() as usize;
    let values: Vec<f32> = uniform(name, count).iter().map(|value| (scale * value) as f32).collect();
    Tensor::from_slice(&values).reshape(sides)
}

#[test]
fn the_losses_are_those_of_pytorch() {
    let record: Loss = read("loss.json");
    let (frames, priors) = (record.labels.len() as i64, record.labels[0].len() as i64);
    let offsets = scaled("offsets", &[frames, priors, 4], 2.0).set_requires_grad(true);
    let scores = scaled("scores", &[frames, priors, 4], 3.0).set_requires_grad(true);
    let targets = PriorTargets {
        classes: Tensor::from_slice(&record.labels.concat()).reshape([frames, priors]),
        offsets: scaled("wanted", &[frames, priors, 4], 2.0),
    };
    let losses = multibox_losses(&offsets, &scores, &targets).unwrap();
    for (found, expected) in losses.iter().zip(record.losses) {
        let found = found.double_value(&[]);
        assert!((found - expected).abs() <= 1e-5 * expected, "{found} {expected}");
    }
    (&losses[0] + &losses[1]).backward();
    assert!(difference(&values(&offsets.grad()), &record.offset_gradients) <= 1e-5);
    assert!(difference(&values(&scores.grad()), &record.score_gradients) <= 1e-5);
    // Exactly the chosen priors that show nothing are moved, beside those that show something.
    let moved = scores.grad().abs().sum_dim_intlist(2, false, Kind::Double);
    for (frame, negatives) in record.negatives.iter().enumerate() {
        for (prior, label) in record.labels[frame].iter().enumerate() {
            let is_moved = moved.double_value(&[frame as i64, prior as i64]) > 0.0;
            assert_eq!(is_moved, *label > 0 || negatives.contains(&prior), "frame {frame}, prior {prior}");
        }
    }
}

#[test]
fn frames_without_anybody_cost_nothing() {
    let [offsets, scores] = ["offsets", "scores"].map(|name| scaled(name, &[2, 5, 4], 1.0).set_requires_grad(true));
    let nothing = PriorTargets {
        classes: Tensor::zeros([2, 5], (Kind::Int64, tch::Device::Cpu)),
        offsets: scaled("wanted", &[2, 5, 4], 1.0),
    };
    let losses = multibox_losses(&offsets, &scores, &nothing).unwrap();
    assert_eq!(losses.each_ref().map(|loss| loss.double_value(&[])), [0.0, 0.0]);
    (&losses[0] + &losses[1]).backward();
    assert!([offsets, scores].iter().all(|one| values(&one.grad()).iter().all(|value| *value == 0.0)));
}

#[test]
fn targets_that_do_not_fit_are_named() {
    let (offsets, scores) = (scaled("offsets", &[2, 5, 4], 1.0), scaled("scores", &[2, 5, 3], 1.0));
    let error = |classes: Tensor, wanted: &[i64]| {
        let targets = PriorTargets { classes, offsets: scaled("wanted", wanted, 1.0) };
        multibox_losses(&offsets, &scores, &targets).unwrap_err().to_string()
    };
    let classes = |class: i64| Tensor::from_slice(&[class; 10]).reshape([2, 5]);
    assert_eq!(error(classes(3), &[2, 5, 4]), "classes of priors: found 3, expected 0 for nothing, to 2");
    assert_eq!(error(classes(-1), &[2, 5, 4]), "classes of priors: found -1, expected 0 for nothing, to 2");
    assert_eq!(error(classes(1), &[2, 6, 4]), "wanted offsets of priors: found 2 x 6 x 4, expected 2 x 5 x 4");
    assert_eq!(error(classes(1).reshape([5, 2]), &[2, 5, 4]), "classes of priors: found 5 x 2, expected 2 x 5");
    let targets = PriorTargets { classes: classes(1), offsets: scaled("wanted", &[2, 5, 4], 1.0) };
    let error = multibox_losses(&offsets.narrow(1, 0, 4), &scores, &targets).unwrap_err().to_string();
    assert_eq!(error, "offsets: found 2 x 4 x 4, expected 2 x 5 x 4");
}
