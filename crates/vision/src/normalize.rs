//! From decoded frames to the tensor a network takes.

use serde::{Deserialize, Serialize};

/// A buffer whose length does not go with the clip's sides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{buffer}: found {found} values, a clip of {frames} x {height} x {width} x 3 needs {expected}")]
pub struct ShapeError {
    /// Which buffer: `"rgb"` or `"out"`.
    pub buffer: &'static str,
    /// Its length.
    pub found: usize,
    /// The length it should have.
    pub expected: usize,
    /// Frames of the clip.
    pub frames: usize,
    /// Height of a frame in pixels.
    pub height: usize,
    /// Width of a frame in pixels.
    pub width: usize,
}

/// Sides of an RGB clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipDims {
    /// Frames.
    pub frames: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl ClipDims {
    /// Number of values in the clip, `3 * frames * height * width`.
    pub fn len(&self) -> usize {
        3 * self.frames * self.height * self.width
    }

    /// Whether the clip holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a byte becomes a network input: `(v * range / 255 - mean[c]) / std[c]`.
///
/// The default is that of 3D-ResNets-PyTorch and of the paper's release: 0..255, the mean of ActivityNet's frames
/// subtracted, not divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean per channel (R, G, B), in units of `range`.
    pub mean: [f32; 3],
    /// Standard deviation per channel, in units of `range`, above zero.
    pub std: [f32; 3],
    /// Value of full white before the mean is subtracted: 255 or 1.
    pub range: f32,
}

impl Default for Normalization {
    fn default() -> Self {
        Self { mean: [114.7748, 107.7354, 99.4750], std: [1.0; 3], range: 255.0 }
    }
}

/// Turns the frames of a clip into a network input.
///
/// # Shapes
/// `rgb` is `frames x height x width x 3` bytes, `out` is `3 x frames x height x width`.
///
/// # Errors
/// When a buffer's length does not agree with `dims`; `out` is untouched then.
pub fn normalize_clip(
    rgb: &[u8],
    dims: ClipDims,
    normalization: &Normalization,
    out: &mut [f32],
) -> Result<(), ShapeError> {
    for (buffer, found) in [("rgb", rgb.len()), ("out", out.len())] {
        if found != dims.len() {
            let ClipDims { frames, height, width } = dims;
            return Err(ShapeError { buffer, found, expected: dims.len(), frames, height, width });
        }
    }
    if dims.is_empty() {
        return Ok(());
    }
    // One multiply and one add per value; the constants are formed in f64, so that they are rounded once.
    let affine = |c: usize| {
        let std = f64::from(normalization.std[c]);
        let scale = f64::from(normalization.range) / 255.0 / std;
        (scale as f32, (-f64::from(normalization.mean[c]) / std) as f32)
    };
    let [(sr, br), (sg, bg), (sb, bb)] = [affine(0), affine(1), affine(2)];
    // Pixels of all frames lie in the same order in both layouts: only the channel moves, from last to first.
    let pixels = dims.len() / 3;
    let (red, rest) = out.split_at_mut(pixels);
    let (green, blue) = rest.split_at_mut(pixels);
    for (((pixel, r), g), b) in rgb.chunks_exact(3).zip(red).zip(green).zip(blue) {
        *r = f32::from(pixel[0]) * sr + br;
        *g = f32::from(pixel[1]) * sg + bg;
        *b = f32::from(pixel[2]) * sb + bb;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, index by index, in f64.
    fn reference(rgb: &[u8], dims: ClipDims, n: &Normalization) -> Vec<f64> {
        let ClipDims { frames, height, width } = dims;
        let mut out = vec![0.0; dims.len()];
        for t in 0..frames {
            for y in 0..height {
                for x in 0..width {
                    for c in 0..3 {
                        let v = f64::from(rgb[((t * height + y) * width + x) * 3 + c]);
                        let value = (v * f64::from(n.range) / 255.0 - f64::from(n.mean[c])) / f64::from(n.std[c]);
                        out[((c * frames + t) * height + y) * width + x] = value;
                    }
                }
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_definition() {
        let imagenet = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], range: 1.0 };
        for (frames, height, width) in [(1, 1, 1), (2, 3, 5), (16, 7, 9), (3, 17, 4)] {
            let dims = ClipDims { frames, height, width };
            let rgb: Vec<u8> = (0..dims.len()).map(|i| (i * 89 + i / 7) as u8).collect();
            for n in [Normalization::default(), imagenet] {
                let mut out = vec![f32::NAN; dims.len()];
                normalize_clip(&rgb, dims, &n, &mut out).unwrap();
                for (i, (found, expected)) in out.iter().zip(reference(&rgb, dims, &n)).enumerate() {
                    let difference = (f64::from(*found) - expected).abs();
                    assert!(difference <= 2e-5 * (1.0 + expected.abs()), "{dims:?} [{i}]: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn the_default_subtracts_the_release_mean() {
        let dims = ClipDims { frames: 1, height: 1, width: 1 };
        let mut out = [0.0; 3];
        normalize_clip(&[255, 0, 100], dims, &Normalization::default(), &mut out).unwrap();
        assert_eq!(out, [255.0 - 114.7748, -107.7354, 100.0 - 99.475]);
    }

    #[test]
    fn a_wrong_length_is_an_error_that_names_the_buffer() {
        let dims = ClipDims { frames: 1, height: 2, width: 2 };
        let n = Normalization::default();
        let error = normalize_clip(&[0; 11], dims, &n, &mut [0.0; 12]).unwrap_err();
        assert_eq!(error.to_string(), "rgb: found 11 values, a clip of 1 x 2 x 2 x 3 needs 12");
        assert_eq!(normalize_clip(&[0; 12], dims, &n, &mut [0.0; 13]).unwrap_err().buffer, "out");
    }
}
