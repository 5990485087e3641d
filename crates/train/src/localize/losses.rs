//! The losses of R-C3D (section 3.4), of anchors and of regions: a cross-entropy and a smooth L1 each.

use tch::{Kind, Reduction, Tensor};
use unscene_models::rc3d::OFFSET_DEVIATIONS;
use unscene_vision::{AnchorTarget, RegionTarget, Segment};

use super::pool::{longs, pairs};
use crate::TrainError;

/// Where the smooth L1 of anchors turns from a square to a line: 1 / sigma^2 with the sigma of 3 of the release.
const ANCHOR_BETA: f64 = 1.0 / 9.0;
/// That of regions, whose offsets are divided by their deviations.
const REGION_BETA: f64 = 1.0;

/// The losses of the anchors of one buffer: cross-entropy, and smooth L1 of the offsets of those that show an action, each
/// divided by the number of anchors that are trained on. `truths` are what [`AnchorTarget::Action`] points at.
///
/// # Shapes
/// `scores` and `offsets` are 2A x steps x 1 x 1, as [`unscene_vision::propose`] takes them, and `targets` and `anchors` steps x A.
///
/// # Errors
/// When libtorch fails.
pub fn anchor_losses(
    scores: &Tensor,
    offsets: &Tensor,
    targets: &[AnchorTarget],
    anchors: &[Segment],
    truths: &[Segment],
) -> Result<[Tensor; 2], TrainError> {
    let steps = scores.size()[1];
    let per_step = anchors.len() as i64 / steps;
    let device = scores.device();
    let (mut kept, mut labels, mut moved, mut wanted) = (vec![], vec![], vec![], vec![]);
    for (at, target) in targets.iter().enumerate() {
        match target {
            AnchorTarget::Ignore => continue,
            AnchorTarget::Background => labels.push(0),
            AnchorTarget::Action(truth) => {
                labels.push(1);
                moved.push(at as i64);
                wanted.push(anchors[at].offset_to(&truths[*truth]));
            }
        }
        kept.push(at as i64);
    }
    if kept.is_empty() {
        // A buffer in which every anchor is undecided teaches nothing.
        let nothing = scores.f_sum(Kind::Float)?.f_mul_scalar(0.0)?;
        return Ok([nothing.shallow_clone(), nothing]);
    }
    // Anchors in their order, with a logit for nothing and one for an action.
    let rows = scores.f_reshape([2, per_step, steps])?.f_permute([2, 1, 0])?.f_reshape([-1, 2])?;
    let rows = rows.f_index_select(0, &longs(&kept, device)?)?;
    let labels = longs(&labels, device)?;
    let class = rows.f_cross_entropy_loss::<&Tensor>(&labels, None, Reduction::Mean, -100, 0.0)?;
    if moved.is_empty() {
        let nothing = offsets.f_sum(Kind::Float)?.f_mul_scalar(0.0)?;
        return Ok([class, nothing]);
    }
    let rows = offsets.f_reshape([per_step, 2, steps])?.f_permute([2, 0, 1])?.f_reshape([-1, 2])?;
    let rows = rows.f_index_select(0, &longs(&moved, device)?)?;
    let offset = rows.f_smooth_l1_loss(&pairs(&wanted, device)?, Reduction::Sum, ANCHOR_BETA)?;
    Ok([class, offset.f_div_scalar(kept.len() as f64)?])
}

/// The losses of regions: cross-entropy of their classes, and smooth L1 of the offsets that the right class gives, divided by
/// the number of regions. `labels` says of each region which class it shows, 0 for the background, and `truths` which segment
/// it should become.
///
/// # Shapes
/// `scores` is R x (1 + classes), `offsets` R x 2 (1 + classes).
///
/// # Errors
/// When libtorch fails.
pub fn region_losses(
    scores: &Tensor,
    offsets: &Tensor,
    regions: &[RegionTarget],
    truths: &[Segment],
    labels: &[usize],
) -> Result<[Tensor; 2], TrainError> {
    let device = scores.device();
    let classes = scores.size()[1];
    let label = |region: &RegionTarget| region.truth.map_or(0, |truth| 1 + labels[truth] as i64);
    let targets: Vec<i64> = regions.iter().map(label).collect();
    let class = scores.f_cross_entropy_loss::<&Tensor>(&longs(&targets, device)?, None, Reduction::Mean, -100, 0.0)?;
    let (mut rows, mut wanted) = (vec![], vec![]);
    for (at, region) in regions.iter().enumerate() {
        if let Some(truth) = region.truth {
            rows.push(at as i64 * classes + targets[at]);
            let [center, length] = region.segment.offset_to(&truths[truth]);
            wanted.push([center / OFFSET_DEVIATIONS[0], length / OFFSET_DEVIATIONS[1]]);
        }
    }
    if rows.is_empty() {
        return Ok([class, offsets.f_sum(Kind::Float)?.f_mul_scalar(0.0)?]);
    }
    let found = offsets.f_reshape([-1, 2])?.f_index_select(0, &longs(&rows, device)?)?;
    let offset = found.f_smooth_l1_loss(&pairs(&wanted, device)?, Reduction::Sum, REGION_BETA)?;
    Ok([class, offset.f_div_scalar(regions.len() as f64)?])
}
