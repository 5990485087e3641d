//! How a network that takes pictures of one size sees a frame of any size, and where its boxes are in the frame.

use serde::{Deserialize, Serialize};

use crate::normalize::{ClipDims, Normalization, ShapeError};

/// How a frame is brought to the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fit {
    /// Stretched to it.
    Stretch,
    /// Scaled so that its short side has a size, then cut to the middle.
    ShortSide(u32),
    /// Stretched to a size, then cut to the middle.
    Resize {
        /// Width before cutting, in pixels.
        width: u32,
        /// Height before cutting, in pixels.
        height: u32,
    },
    /// Scaled as a whole until it fits, with the rest filled.
    Letterbox {
        /// The grey that fills, from 0 to 255.
        pad: u8,
        /// Whether the frame is in the middle; otherwise at the top left.
        center: bool,
    },
}

/// The order of a network's colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first, as OpenCV has it.
    Bgr,
}

/// Which part of a frame, in pixels, goes to which part of a network's picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Left, top, width and height in the frame.
    pub from: [u32; 4],
    /// Left, top, width and height in the picture.
    pub to: [u32; 4],
    /// What fills the rest of the picture, from 0 to 255.
    pub pad: u8,
}

impl Placement {
    /// How a frame is seen by a network that takes pictures of `picture`, both width and height.
    pub fn new(fit: Fit, frame: (u32, u32), picture: (u32, u32)) -> Self {
        let (width, height) = (frame.0.max(1), frame.1.max(1));
        let whole = [0, 0, picture.0, picture.1];
        // The middle of the frame that is `wide` and `high` times as large as the picture.
        let middle = |wide: f64, high: f64| {
            let side =
                |picture: u32, times: f64, frame: u32| ((f64::from(picture) * times).round() as u32).clamp(1, frame);
            let (w, h) = (side(picture.0, wide, width), side(picture.1, high, height));
            Placement { from: [(width - w) / 2, (height - h) / 2, w, h], to: whole, pad: 0 }
        };
        match fit {
            Fit::Stretch => Placement { from: [0, 0, width, height], to: whole, pad: 0 },
            Fit::ShortSide(short_side) => {
                let scale = f64::from(width.min(height)) / f64::from(short_side.max(1));
                middle(scale, scale)
            }
            Fit::Resize { width: wide, height: high } => {
                middle(f64::from(width) / f64::from(wide.max(1)), f64::from(height) / f64::from(high.max(1)))
            }
            Fit::Letterbox { pad, center } => {
                let scale = (f64::from(picture.0) / f64::from(width)).min(f64::from(picture.1) / f64::from(height));
                let side = |frame: u32, picture: u32| ((f64::from(frame) * scale).round() as u32).clamp(1, picture);
                let (w, h) = (side(width, picture.0), side(height, picture.1));
                let (x, y) = if center { ((picture.0 - w) / 2, (picture.1 - h) / 2) } else { (0, 0) };
                Placement { from: [0, 0, width, height], to: [x, y, w, h], pad }
            }
        }
    }

    /// Where a box of the picture is in the frame, cut to the part of the frame that the network saw.
    pub fn to_frame(&self, corners: [f32; 4]) -> [f32; 4] {
        let axis = |value: f32, side: usize| {
            let [from, from_size] = [self.from[side] as f32, self.from[side + 2] as f32];
            let [to, to_size] = [self.to[side] as f32, self.to[side + 2] as f32];
            ((value - to) * from_size / to_size + from).clamp(from, from + from_size)
        };
        [axis(corners[0], 0), axis(corners[1], 1), axis(corners[2], 0), axis(corners[3], 1)]
    }

    /// Writes the network's input.
    ///
    /// # Shapes
    /// `rgb` is the part `from` scaled to the size of `to`: height x width x 3; `out` is 3 x the picture's height x
    /// its width. Channel `c` of the normalisation is the network's own: in [`Channels::Bgr`] the first is blue.
    ///
    /// # Errors
    /// When a buffer has another length; `out` is untouched then.
    pub fn fill(
        &self,
        rgb: &[u8],
        picture: (u32, u32),
        channels: Channels,
        normalization: &Normalization,
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (width, height) = (picture.0 as usize, picture.1 as usize);
        let [left, top, part_width, part_height] = self.to.map(|side| side as usize);
        let part = ClipDims { frames: 1, height: part_height, width: part_width };
        for (buffer, found, dims) in
            [("rgb", rgb.len(), part), ("out", out.len(), ClipDims { frames: 1, height, width })]
        {
            if found != dims.len() {
                let ClipDims { frames, height, width } = dims;
                return Err(ShapeError { buffer, found, expected: dims.len(), frames, height, width });
            }
        }
        for (c, plane) in out.chunks_exact_mut((width * height).max(1)).enumerate() {
            let scale = normalization.range / 255.0 / normalization.std[c];
            let shift = -normalization.mean[c] / normalization.std[c];
            let source = if channels == Channels::Bgr { 2 - c } else { c };
            if part.len() != plane.len() * 3 {
                plane.fill(f32::from(self.pad) * scale + shift);
            }
            for (row, pixels) in rgb.chunks_exact((part_width * 3).max(1)).enumerate() {
                let row = &mut plane[(top + row) * width + left..][..part_width];
                for (value, pixel) in row.iter_mut().zip(pixels.chunks_exact(3)) {
                    *value = f32::from(pixel[source]) * scale + shift;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_placed_as_the_fit_says() {
        let place = |fit, frame| {
            let placed = Placement::new(fit, frame, (320, 320));
            (placed.from, placed.to)
        };
        let whole = [0, 0, 320, 320];
        assert_eq!(place(Fit::Stretch, (340, 256)), ([0, 0, 340, 256], whole));
        assert_eq!(place(Fit::ShortSide(320), (340, 256)), ([42, 0, 256, 256], whole));
        assert_eq!(place(Fit::ShortSide(640), (256, 340)), ([64, 106, 128, 128], whole));
        assert_eq!(place(Fit::Resize { width: 400, height: 640 }, (800, 640)), ([80, 160, 640, 320], whole));
        let letterbox = |center| Fit::Letterbox { pad: 114, center };
        assert_eq!(place(letterbox(false), (640, 360)), ([0, 0, 640, 360], [0, 0, 320, 180]));
        assert_eq!(place(letterbox(true), (640, 360)), ([0, 0, 640, 360], [0, 70, 320, 180]));
        assert_eq!(place(letterbox(true), (100, 200)), ([0, 0, 100, 200], [80, 0, 160, 320]));
        assert_eq!(place(letterbox(true), (1, 10_000)), ([0, 0, 1, 10_000], [159, 0, 1, 320]));
    }

    #[test]
    fn boxes_go_back_to_where_they_were() {
        for fit in [Fit::Stretch, Fit::ShortSide(340), Fit::Letterbox { pad: 0, center: true }] {
            let placed = Placement::new(fit, (640, 360), (320, 320));
            let [x, y, w, h] = placed.from.map(|side| side as f32);
            let [to_x, to_y, to_w, to_h] = placed.to.map(|side| side as f32);
            assert_eq!(placed.to_frame([to_x, to_y, to_x + to_w, to_y + to_h]), [x, y, x + w, y + h]);
            assert_eq!(placed.to_frame([-900.0, -900.0, 900.0, 900.0]), [x, y, x + w, y + h]);
            let middle = placed.to_frame([160.0; 4]);
            assert!((middle[0] - 320.0).abs() < 1.0 && (middle[1] - 180.0).abs() < 1.0, "{fit:?} {middle:?}");
        }
    }

    #[test]
    fn pixels_and_padding_are_normalised_in_the_networks_channels() {
        let normalization = Normalization { mean: [1.0, 2.0, 3.0], std: [2.0, 4.0, 8.0], range: 255.0 };
        let placed = Placement::new(Fit::Letterbox { pad: 9, center: false }, (2, 1), (2, 2));
        let mut out = [f32::NAN; 12];
        placed.fill(&[11, 12, 13, 21, 22, 23], (2, 2), Channels::Bgr, &normalization, &mut out).unwrap();
        let expected = [[6.0, 11.0, 4.0, 4.0], [2.5, 5.0, 1.75, 1.75], [1.0, 2.25, 0.75, 0.75]];
        assert_eq!(out, *expected.as_flattened());
        placed.fill(&[11, 12, 13, 21, 22, 23], (2, 2), Channels::Rgb, &normalization, &mut out).unwrap();
        assert_eq!(out[..2], [5.0, 10.0]);
        let error = placed.fill(&[0; 5], (2, 2), Channels::Rgb, &normalization, &mut out).unwrap_err();
        assert_eq!((error.buffer, error.found, error.expected), ("rgb", 5, 6));
        assert!(placed.fill(&[0; 6], (2, 2), Channels::Rgb, &normalization, &mut out[..11]).is_err());
    }
}
