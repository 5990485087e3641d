//! From a decoded clip to the parts of it that the model sees.

use unscene_media::{Frames, View};
use unscene_models::manifest::ClipInput;
use unscene_vision::{ClipDims, Normalization, ShapeError, cut_clip, normalize_clip, scaled_to, three_crops};

use crate::error::{EngineError, Result};
use crate::result::Crops;

/// Where the crops lie in the frames.
#[derive(Debug)]
pub(crate) struct CropPlan {
    frame: (usize, usize),
    crop: ClipDims,
    /// Left and top of each crop in pixels.
    offsets: Vec<(usize, usize)>,
    normalization: Normalization,
}

/// The centre of the picture; the decoder cuts it while it converts.
pub(crate) fn center(input: &ClipInput) -> View {
    let (width, height, short_side) = (input.width as u32, input.height as u32, input.short_side as u32);
    View::CenterCrop { short_side, width, height }
}

/// How bytes become the network's input.
pub(crate) fn normalization(input: &ClipInput) -> Normalization {
    Normalization { mean: input.mean, std: input.std, range: input.range }
}

/// Sets the view to what the crops are cut from.
pub(crate) fn plan(frames: &mut impl Frames, crops: Crops, input: &ClipInput) -> Result<CropPlan> {
    frames.set_view(match crops {
        Crops::Center => center(input),
        Crops::Three => {
            let (width, height) = frames.picture_size();
            let (width, height) = scaled_to(input.short_side as u32, width, height);
            View::Resize { width, height }
        }
    })?;
    let (width, height) = frames.frame_size();
    let crop = ClipDims { frames: input.frames, height: input.height, width: input.width };
    CropPlan::new((width as usize, height as usize), crop, crops, normalization(input))
}

impl CropPlan {
    /// Crops per clip.
    pub fn count(crops: Crops) -> usize {
        match crops {
            Crops::Center => 1,
            Crops::Three => 3,
        }
    }

    fn new(frame: (usize, usize), crop: ClipDims, crops: Crops, normalization: Normalization) -> Result<Self> {
        let three = three_crops(frame, crop).ok_or_else(|| EngineError::Argument {
            what: "crops",
            found: format!("a picture of {} x {} after scaling", frame.0, frame.1),
            expected: format!("at least the model's {} x {}", crop.width, crop.height),
        })?;
        let offsets = match crops {
            Crops::Center => vec![three[1]],
            Crops::Three => three.to_vec(),
        };
        Ok(Self { frame, crop, offsets, normalization })
    }

    pub fn crops(&self) -> usize {
        self.offsets.len()
    }

    /// Normalises one crop of a clip into the model's input.
    pub fn normalize(&self, rgb: &[u8], crop: usize, out: &mut [f32]) -> Result<()> {
        let cut;
        let rgb = if self.frame == (self.crop.width, self.crop.height) {
            rgb
        } else {
            cut = cut_clip(rgb, self.frame, self.offsets[crop], self.crop);
            &cut
        };
        normalize_clip(rgb, self.crop, &self.normalization, out).map_err(|error: ShapeError| EngineError::Argument {
            what: "clip",
            found: error.to_string(),
            expected: "frames of the size that the decoder announced".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames whose pixel (x, y) holds `[x, y, frame]`.
    fn coordinates(frames: usize, width: usize, height: usize) -> Vec<u8> {
        let pixel = |i: usize| [i % width, i / width % height, i / (width * height)].map(|v| v as u8);
        (0..frames * width * height).flat_map(pixel).collect()
    }

    #[test]
    fn three_crops_lie_along_the_longer_side() {
        let crop = ClipDims { frames: 2, height: 4, width: 4 };
        let identity = Normalization { mean: [0.0; 3], std: [1.0; 3], range: 255.0 };
        for ((width, height), corners) in [((9, 4), [(0, 0), (2, 0), (5, 0)]), ((5, 8), [(0, 0), (0, 2), (0, 4)])] {
            let plan = CropPlan::new((width, height), crop, Crops::Three, identity).unwrap();
            let rgb = coordinates(2, width, height);
            for (i, (x, y)) in corners.into_iter().enumerate() {
                let mut out = vec![0.0; crop.len()];
                plan.normalize(&rgb, i, &mut out).unwrap();
                // The first and last pixel of the crop, per channel: column, row, frame.
                let [columns, rows, frames] = [0, 1, 2].map(|c| &out[c * 32..(c + 1) * 32]);
                assert_eq!((columns[0], rows[0], frames[0]), (x as f32, y as f32, 0.0));
                assert_eq!((columns[31], rows[31], frames[31]), (x as f32 + 3.0, y as f32 + 3.0, 1.0));
            }
        }
    }

    #[test]
    fn a_crop_larger_than_the_picture_is_an_error() {
        let crop = ClipDims { frames: 1, height: 4, width: 9 };
        let error = CropPlan::new((8, 4), crop, Crops::Center, Normalization::default()).unwrap_err();
        assert!(error.to_string().contains("8 x 4 after scaling"), "{error}");
    }
}
