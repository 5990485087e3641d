//! R-C3D against PyTorch, which computed the same step on a tiny model: outputs, examples, losses, gradients.

mod common;

use std::collections::HashMap;
use std::path::Path;

use common::{formula_net, tensor};
use serde::Deserialize;
use tch::{Kind, Tensor};
use unscene_models::rc3d::{Rc3dConfig, names};
use unscene_train::localize::{anchor_losses, pool_segments, region_losses};
use unscene_train::{Gradients, Mode, Net};
use unscene_vision::{
    AnchorRule, AnchorTarget, ProposalRule, RegionRule, RegionTarget, Segment, anchors, match_anchors, propose,
    sample_anchors, sample_regions,
};

const FRAMES: usize = 64;
const STEP: usize = 8;

#[derive(Deserialize)]
struct Record {
    anchor_scores: Vec<f32>,
    anchor_offsets: Vec<f32>,
    /// Start, end, class.
    truths: Vec<(f64, f64, usize)>,
    /// -1 ignored, 0 background, n the n-th truth counted from 1.
    anchor_labels: Vec<i64>,
    /// Start, end, score.
    proposals: Vec<(f64, f64, f32)>,
    /// Start, end, truth or -1.
    regions: Vec<(f64, f64, i64)>,
    pooled: Vec<f32>,
    class_scores: Vec<f32>,
    class_offsets: Vec<f32>,
    losses: [f64; 4],
    gradients: HashMap<String, Vec<f32>>,
}

impl Record {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rc3d/one_step.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn truths(&self) -> Vec<Segment> {
        self.truths.iter().map(|one| Segment::new(one.0, one.1)).collect()
    }

    fn labels(&self) -> Vec<usize> {
        self.truths.iter().map(|one| one.2).collect()
    }

    fn regions(&self) -> Vec<RegionTarget> {
        let target = |&(start, end, truth): &(f64, f64, i64)| RegionTarget {
            segment: Segment::new(start, end),
            truth: usize::try_from(truth).ok(),
        };
        self.regions.iter().map(target).collect()
    }
}

fn model() -> Net {
    let config = Rc3dConfig {
        width: 0.05,
        frames: FRAMES,
        size: 48,
        anchors: vec![1.0, 2.0, 4.0],
        ..Rc3dConfig::new("r3d10-hara".parse().unwrap(), 3)
    };
    assert_eq!(config.step_frames().unwrap(), STEP);
    formula_net(config.graph().unwrap()).trained_from("layer1").unwrap().with_fixed_batch_norm().unwrap()
}

fn all_anchors() -> Vec<Segment> {
    anchors(FRAMES / STEP, STEP, &[1.0, 2.0, 4.0])
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap()
}

/// Within 1e-4 of the largest value.
fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let difference = found.iter().zip(expected).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(difference <= 1e-4 * largest + 1e-7, "{name}: {difference} of {largest}");
}

/// Anchor scores, offsets and features of the buffer.
fn propose_with(model: &Net) -> [Tensor; 3] {
    let clip = tensor("clip", &[1, 3, FRAMES as i64, 48, 48]);
    let outputs = [names::ANCHOR_SCORES, names::ANCHOR_OFFSETS, names::FEATURES];
    model.compute(&[(names::CLIP, &clip)], &outputs, Mode::Train).unwrap().try_into().unwrap()
}

#[test]
fn one_step_equals_pytorch() {
    let (record, model) = (Record::read(), model());
    let [scores, offsets, features] = propose_with(&model);
    assert_close("anchor_scores", &numbers(&scores), &record.anchor_scores);
    assert_close("anchor_offsets", &numbers(&offsets), &record.anchor_offsets);

    let targets: Vec<AnchorTarget> = record
        .anchor_labels
        .iter()
        .map(|&label| match label {
            -1 => AnchorTarget::Ignore,
            0 => AnchorTarget::Background,
            truth => AnchorTarget::Action(truth as usize - 1),
        })
        .collect();
    let truths = record.truths();
    let [anchor, moved] = anchor_losses(&scores.get(0), &offsets.get(0), &targets, &all_anchors(), &truths).unwrap();

    let regions = record.regions();
    let segments: Vec<Segment> = regions.iter().map(|one| one.segment).collect();
    let pooled = pool_segments(&features.get(0), &segments, STEP).unwrap();
    assert_close("pooled", &numbers(&pooled), &record.pooled);
    let outputs = [names::CLASS_SCORES, names::CLASS_OFFSETS];
    let [class_scores, class_offsets]: [Tensor; 2] =
        model.compute(&[(names::REGIONS, &pooled)], &outputs, Mode::Train).unwrap().try_into().unwrap();
    assert_close("class_scores", &numbers(&class_scores), &record.class_scores);
    assert_close("class_offsets", &numbers(&class_offsets), &record.class_offsets);
    let [class, corrected] = region_losses(&class_scores, &class_offsets, &regions, &truths, &record.labels()).unwrap();

    let losses = [anchor, moved, class, corrected];
    for (found, expected) in losses.iter().zip(record.losses) {
        let found = found.double_value(&[]);
        assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{found} {expected}");
    }
    let total = losses.iter().fold(Tensor::from(0.0), |sum, loss| sum + loss);
    let gradients = Gradients::of(&total, &[&model]).unwrap();
    let mut compared = 0;
    for (spec, parameter) in model.params() {
        let expected = record.gradients.get(&spec.name);
        assert_eq!(parameter.requires_grad(), expected.is_some(), "{}", spec.name);
        if let Some(expected) = expected {
            assert_close(&spec.name, &numbers(gradients.get(0, &model, &spec.name).unwrap()), expected);
            compared += 1;
        }
    }
    assert_eq!(compared, record.gradients.len());
}

#[test]
fn anchors_are_matched_and_proposals_made_as_by_the_reference() {
    let record = Record::read();
    let truths = record.truths();
    let rule = AnchorRule { action: 0.7, background: 0.3 };
    let mut found = match_anchors(&all_anchors(), &truths, FRAMES as f64, &rule);
    let labels = |targets: &[AnchorTarget]| -> Vec<i64> {
        let label = |target: &AnchorTarget| match target {
            AnchorTarget::Ignore => -1,
            AnchorTarget::Background => 0,
            AnchorTarget::Action(truth) => 1 + *truth as i64,
        };
        targets.iter().map(label).collect()
    };
    assert_eq!(labels(&found), record.anchor_labels);
    // Room for all leaves all.
    sample_anchors(&mut found, 1000, 0.5, &mut |n| n - 1);
    assert_eq!(labels(&found), record.anchor_labels);

    let rule = ProposalRule { before_nms: 12_000, max_tiou: 0.8, most: 2_000 };
    let (scores, offsets) = (&record.anchor_scores, &record.anchor_offsets);
    let found = propose(scores, offsets, &all_anchors(), FRAMES / STEP, FRAMES as f64, &rule);
    assert_eq!(found.len(), record.proposals.len());
    for (found, expected) in found.iter().zip(&record.proposals) {
        let differences = [found.segment.start - expected.0, found.segment.end - expected.1];
        assert!(differences.iter().all(|difference| difference.abs() < 1e-3), "{found:?} {expected:?}");
        assert!((found.score - expected.2).abs() < 1e-5, "{found:?} {expected:?}");
    }

    let proposals: Vec<Segment> = record.proposals.iter().map(|one| Segment::new(one.0, one.1)).collect();
    let expected = record.regions();
    let actions = expected.iter().filter(|one| one.truth.is_some()).count();
    // Room for all actions, and then as much background as the reference has.
    let rule = RegionRule {
        regions: expected.len(),
        action_share: (actions as f64 + 0.25) / expected.len() as f64,
        action: 0.5,
        background: 0.1,
    };
    // The first draws are of actions; the others take the background in its order.
    let mut draws = 0;
    let mut below = |n: usize| {
        draws += 1;
        if draws > actions { (draws - 1 - actions) % n } else { 0 }
    };
    assert_eq!(sample_regions(&proposals, &truths, &rule, &mut below), expected);
}

#[test]
fn pooling_for_training_equals_that_for_inference() {
    let record = Record::read();
    let model = model();
    let [_, _, features] = propose_with(&model);
    let segments: Vec<Segment> = record.regions().iter().map(|one| one.segment).collect();
    let sides = features.size();
    let sides = [sides[1] as usize, sides[2] as usize, (sides[3] * sides[4]) as usize];
    let found = unscene_vision::pool_segments::<4>(&numbers(&features), sides, &segments, STEP);
    assert_close("pooled", &found, &record.pooled);
    assert_eq!(found, numbers(&pool_segments(&features.get(0), &segments, STEP).unwrap()));
    assert!(pool_segments(&features.get(0), &[], STEP).is_err());
}

#[test]
fn gradients_of_pooling_go_to_the_largest_values() {
    let features =
        Tensor::arange(2 * 6 * 4, (Kind::Float, tch::Device::Cpu)).view([2, 6, 2, 2]).set_requires_grad(true);
    let segments = [Segment::new(0.0, 48.0), Segment::new(0.0, 8.0)];
    pool_segments(&features, &segments, 8).unwrap().sum(Kind::Float).backward();
    // In rising features the last step of each part is the largest: steps 1, 2, 4, 5 of the whole, and 0 four times.
    let by_step: Vec<f32> =
        Vec::try_from(features.grad().sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Float)).unwrap();
    assert_eq!(by_step, [32.0, 8.0, 8.0, 0.0, 8.0, 8.0]);
}

#[test]
fn examples_that_are_missing_cost_nothing() {
    let model = model();
    let [scores, offsets, _] = propose_with(&model);
    let targets = vec![AnchorTarget::Ignore; all_anchors().len()];
    let losses = anchor_losses(&scores.get(0), &offsets.get(0), &targets, &all_anchors(), &[]).unwrap();
    assert!(losses.iter().all(|loss| loss.double_value(&[]) == 0.0));
    let background = [RegionTarget { segment: Segment::new(0.0, 8.0), truth: None }];
    let (scores, offsets) = (tensor("scores", &[1, 4]), tensor("offsets", &[1, 8]));
    let [class, offset] = region_losses(&scores, &offsets, &background, &[], &[]).unwrap();
    assert!(class.double_value(&[]) > 0.0 && offset.double_value(&[]) == 0.0);
}
