//! The losses of SSD (Liu et al. 2016, section 2.2, as ssd.pytorch computes them): smooth L1 of offsets, cross-entropy of classes.

use tch::{Kind, Reduction, Tensor};

use crate::TrainError;
use crate::error::by;

/// Priors that show nothing, for each that shows something, on which the classes are trained: those that look most like something.
const NEGATIVES: i64 = 3;

/// Where the smooth L1 of offsets turns from a square to a line.
const BETA: f64 = 1.0;

/// What the priors of some frames should say.
#[derive(Debug)]
pub struct PriorTargets {
    /// N x priors, whole numbers: 0 for nothing, else 1 + the class.
    pub classes: Tensor,
    /// N x priors x 4: the offsets to the truth, encoded as the model's; of priors that show nothing they do not matter.
    pub offsets: Tensor,
}

/// Smooth L1 of the offsets of priors that show something; and cross-entropy of the classes of these and of the hardest priors of
/// each frame that show nothing, three for each that shows something. Both are sums, divided by the number of priors of the whole
/// batch that show something; a batch in which none does costs nothing.
///
/// # Shapes
/// `offsets` is N x priors x 4 and `scores` N x priors x (1 + classes), as
/// [`SsdConfig::graph`](unscene_models::vgg_ssd::SsdConfig::graph) gives them.
///
/// # Errors
/// Targets of other shapes, or of a class that has no score; and when libtorch fails.
pub fn multibox_losses(offsets: &Tensor, scores: &Tensor, targets: &PriorTargets) -> Result<[Tensor; 2], TrainError> {
    let device = scores.device();
    check(offsets, scores, targets)?;
    let outputs = scores.size()[2];
    let classes = targets.classes.f_to_device(device)?.f_to_kind(Kind::Int64)?;
    let wanted = targets.offsets.f_to_device(device)?;
    let matched = classes.f_gt(0)?;
    let count = matched.f_sum(Kind::Int64)?.f_int64_value(&[])?.max(1) as f64;

    // Rows of priors that show something; there may be none, and then the sum is 0 and so are all gradients.
    let rows = |values: &Tensor| values.f_index(&[Some(&matched)]);
    let offset = rows(offsets)?.f_smooth_l1_loss(&rows(&wanted)?, Reduction::Sum, BETA)?;

    let flat = scores.f_reshape([-1, outputs])?;
    let costs = flat.f_cross_entropy_loss::<&Tensor>(&classes.f_reshape(-1)?, None, Reduction::None, -100, 0.0)?;
    let costs = costs.f_reshape(classes.size())?;
    let negatives = hardest(&costs.f_detach()?, &matched)?;
    let chosen = matched.f_logical_or(&negatives)?.f_to_kind(Kind::Float)?;
    let class = costs.f_mul(&chosen)?.f_sum(Kind::Float)?;
    Ok([offset.f_div_scalar(count)?, class.f_div_scalar(count)?])
}

/// For each frame, which of the priors that show nothing have the largest costs.
fn hardest(costs: &Tensor, matched: &Tensor) -> Result<Tensor, TrainError> {
    // Costs are never negative: matched priors come last.
    let costs = costs.f_masked_fill(matched, -1.0)?;
    let rank = costs.f_argsort(1, true)?.f_argsort(1, false)?;
    let most = matched.f_sum_dim_intlist(1, true, Kind::Int64)?.f_mul_scalar(NEGATIVES)?;
    Ok(rank.f_lt_tensor(&most)?.f_logical_and(&matched.f_logical_not()?)?)
}

fn check(offsets: &Tensor, scores: &Tensor, targets: &PriorTargets) -> Result<(), TrainError> {
    let wrong = |what: &str, found: String, expected: String| {
        Err(TrainError::Data(format!("{what}: found {found}, expected {expected}")))
    };
    let &[frames, priors, outputs] = scores.size().as_slice() else {
        return wrong("class scores", by(&scores.size()), "N x priors x (1 + classes)".into());
    };
    for (what, found, expected) in [
        ("offsets", offsets.size(), vec![frames, priors, 4]),
        ("classes of priors", targets.classes.size(), vec![frames, priors]),
        ("wanted offsets of priors", targets.offsets.size(), vec![frames, priors, 4]),
    ] {
        if found != expected {
            return wrong(what, by(&found), by(&expected));
        }
    }
    let ends = [targets.classes.f_min()?, targets.classes.f_max()?];
    for end in ends {
        let class = end.f_int64_value(&[])?;
        if !(0..outputs).contains(&class) {
            return wrong("classes of priors", class.to_string(), format!("0 for nothing, to {}", outputs - 1));
        }
    }
    Ok(())
}
