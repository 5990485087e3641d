//! Temporal RoI max-pooling that gradients flow through; [`unscene_vision::pool_segments`] is the same for inference.

use tch::{Device, Kind, Tensor};
use unscene_models::rc3d::POOLED;
use unscene_vision::{Segment, temporal_bins};

use crate::TrainError;

/// Cuts segments out of the features of one buffer: for each the largest value in each of four parts.
///
/// # Shapes
/// `features` is channels x steps x 2 x 2, the answer segments x channels x 4 x 2 x 2.
///
/// # Errors
/// When there is no segment, or libtorch fails.
pub fn pool_segments(features: &Tensor, segments: &[Segment], step_frames: usize) -> Result<Tensor, TrainError> {
    let &[channels, steps, height, width] = features.size().as_slice() else {
        let problem = format!("features of {} sides, expected channels x steps x 2 x 2", features.dim());
        return Err(TrainError::Node { node: "pool_segments".into(), problem });
    };
    let bins = segments.iter().flat_map(|one| temporal_bins::<{ POOLED[0] }>(one, step_frames, steps as usize));
    let bins: Vec<(usize, usize)> = bins.collect();
    let longest = bins.iter().map(|(start, end)| end - start).max().unwrap_or(0);
    if longest == 0 {
        return Err(TrainError::Node { node: "pool_segments".into(), problem: "no segment to cut out".into() });
    }
    // Every part as many steps: a shorter one repeats its last, which changes neither the largest nor where it is.
    let steps_of = |(start, end): &(usize, usize)| {
        let (start, end) = (*start, *end);
        (0..longest).map(move |at| (start + at).min(end - 1) as i64)
    };
    let index: Vec<i64> = bins.iter().flat_map(steps_of).collect();
    let index = Tensor::from_slice(&index).f_to_device(features.device())?;
    let cells = height * width;
    let parts = features.f_reshape([channels, steps, cells])?.f_index_select(1, &index)?;
    let (largest, _) = parts.f_view([channels, bins.len() as i64, longest as i64, cells])?.f_max_dim(2, false)?;
    let sides = [channels, segments.len() as i64, POOLED[0] as i64, height, width];
    Ok(largest.f_view(sides)?.f_transpose(0, 1)?.f_contiguous()?)
}

/// Numbers as a tensor on a device.
pub(super) fn longs(values: &[i64], device: Device) -> Result<Tensor, TrainError> {
    Ok(Tensor::from_slice(values).f_to_device(device)?)
}

/// Pairs of numbers as a tensor n x 2 on a device.
pub(super) fn pairs(values: &[[f32; 2]], device: Device) -> Result<Tensor, TrainError> {
    Ok(Tensor::from_slice(values.as_flattened()).f_view([-1, 2])?.f_to_device(device)?.f_to_kind(Kind::Float)?)
}
