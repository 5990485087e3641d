//! From a decoded clip to the parts of it that the model sees.

use unscene_media::{DecodeOptions, Decoder, Source, View, probe};
use unscene_models::manifest::Manifest;
use unscene_vision::{ClipDims, Normalization, ShapeError, normalize_clip};

use crate::error::{EngineError, Result};
use crate::result::{ClassifyOptions, Crops};

/// Where the crops lie in the decoder's frames.
#[derive(Debug)]
pub(crate) struct CropPlan {
    frame: (usize, usize),
    crop: ClipDims,
    /// Left and top of each crop in pixels.
    offsets: Vec<(usize, usize)>,
    normalization: Normalization,
}

/// Opens the video so that its frames come out at the size that the crops are cut from.
pub(crate) fn open(source: &Source, options: &ClassifyOptions, manifest: &Manifest) -> Result<(Decoder, CropPlan)> {
    let input = &manifest.input;
    let (width, height, short_side) = (input.width as u32, input.height as u32, input.short_side as u32);
    let view = match options.crops {
        // The decoder cuts the centre while it converts.
        Crops::Center => View::CenterCrop { short_side, width, height },
        Crops::Three => {
            let info = probe(source, &options.limits)?;
            let (width, height) = scaled(info.width, info.height, short_side);
            View::Resize { width, height }
        }
    };
    let decoder = Decoder::open(source, &DecodeOptions { view, threads: 0, limits: options.limits })?;
    let (width, height) = decoder.frame_size();
    let normalization = Normalization { mean: input.mean, std: input.std, range: input.range };
    let crop = ClipDims { frames: input.frames, height: input.height, width: input.width };
    let plan = CropPlan::new((width as usize, height as usize), crop, options.crops, normalization)?;
    Ok((decoder, plan))
}

/// The size of a picture whose shorter side becomes `short_side`, rounded to the nearest pixel.
fn scaled(width: u32, height: u32, short_side: u32) -> (u32, u32) {
    let short = u64::from(width.min(height)).max(1);
    let scale = |side: u32| (u64::from(side) * u64::from(short_side) + short / 2) / short;
    (scale(width).min(u64::from(u32::MAX)) as u32, scale(height).min(u64::from(u32::MAX)) as u32)
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
        let (Some(right), Some(bottom)) = (frame.0.checked_sub(crop.width), frame.1.checked_sub(crop.height)) else {
            return Err(EngineError::Argument {
                what: "crops",
                found: format!("a picture of {} x {} after scaling", frame.0, frame.1),
                expected: format!("at least the model's {} x {}", crop.width, crop.height),
            });
        };
        let offsets = match crops {
            Crops::Center => vec![(right / 2, bottom / 2)],
            Crops::Three if frame.0 >= frame.1 => [0, right / 2, right].map(|left| (left, bottom / 2)).to_vec(),
            Crops::Three => [0, bottom / 2, bottom].map(|top| (right / 2, top)).to_vec(),
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
            cut = self.cut(rgb, self.offsets[crop]);
            &cut
        };
        normalize_clip(rgb, self.crop, &self.normalization, out).map_err(|error: ShapeError| EngineError::Argument {
            what: "clip",
            found: error.to_string(),
            expected: "frames of the size that the decoder announced".into(),
        })
    }

    /// Copies the rows of a crop out of every frame.
    fn cut(&self, rgb: &[u8], (left, top): (usize, usize)) -> Vec<u8> {
        let (width, height) = self.frame;
        let mut cut = Vec::with_capacity(self.crop.len());
        for frame in rgb.chunks_exact(width * height * 3) {
            for row in frame.chunks_exact(width * 3).skip(top).take(self.crop.height) {
                cut.extend_from_slice(&row[left * 3..(left + self.crop.width) * 3]);
            }
        }
        cut
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
    fn scaling_keeps_the_aspect_ratio() {
        assert_eq!(scaled(640, 360, 112), (199, 112));
        assert_eq!(scaled(360, 640, 112), (112, 199));
    }

    #[test]
    fn a_crop_larger_than_the_picture_is_an_error() {
        let crop = ClipDims { frames: 1, height: 4, width: 9 };
        let error = CropPlan::new((8, 4), crop, Crops::Center, Normalization::default()).unwrap_err();
        assert!(error.to_string().contains("8 x 4 after scaling"), "{error}");
    }
}
