//! Crops of a picture that is larger than a network takes.

use crate::normalize::ClipDims;

/// The size of a picture whose shorter side becomes `short_side`, rounded to the nearest pixel.
pub fn scaled_to(short_side: u32, width: u32, height: u32) -> (u32, u32) {
    let short = u64::from(width.min(height)).max(1);
    let scale = |side: u32| (u64::from(side) * u64::from(short_side) + short / 2) / short;
    let fitted = |side: u32| u32::try_from(scale(side)).unwrap_or(u32::MAX);
    (fitted(width), fitted(height))
}

/// Left and top of three crops: both ends and the middle of the longer side. `None` when the crop does not fit.
pub fn three_crops(frame: (usize, usize), crop: ClipDims) -> Option<[(usize, usize); 3]> {
    let (right, bottom) = (frame.0.checked_sub(crop.width)?, frame.1.checked_sub(crop.height)?);
    Some(match frame.0 >= frame.1 {
        true => [0, right / 2, right].map(|left| (left, bottom / 2)),
        false => [0, bottom / 2, bottom].map(|top| (right / 2, top)),
    })
}

/// Copies the rows of a crop out of every frame of a clip.
///
/// # Shapes
/// From n x height x width x 3 bytes, `frame` being width and height, to n x `crop.height` x `crop.width` x 3.
pub fn cut_clip(rgb: &[u8], frame: (usize, usize), (left, top): (usize, usize), crop: ClipDims) -> Vec<u8> {
    let (width, height) = frame;
    let mut cut = Vec::with_capacity(crop.len());
    for frame in rgb.chunks_exact(width * height * 3) {
        for row in frame.chunks_exact(width * 3).skip(top).take(crop.height) {
            cut.extend_from_slice(&row[left * 3..(left + crop.width) * 3]);
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_crops_lie_along_the_longer_side() {
        let crop = ClipDims { frames: 2, height: 4, width: 4 };
        for ((width, height), corners) in [((9, 4), [(0, 0), (2, 0), (5, 0)]), ((5, 8), [(0, 0), (0, 2), (0, 4)])] {
            assert_eq!(three_crops((width, height), crop), Some(corners));
            // Pixel (x, y) of a frame holds `[x, y, frame]`.
            let pixel = |i: usize| [i % width, i / width % height, i / (width * height)].map(|v| v as u8);
            let rgb: Vec<u8> = (0..2 * width * height).flat_map(pixel).collect();
            for (x, y) in corners {
                let cut = cut_clip(&rgb, (width, height), (x, y), crop);
                assert_eq!(cut.len(), crop.len());
                assert_eq!((&cut[..3], &cut[93..]), (&[x as u8, y as u8, 0][..], &[x as u8 + 3, y as u8 + 3, 1][..]));
            }
        }
        assert_eq!(three_crops((8, 4), ClipDims { frames: 1, height: 4, width: 9 }), None);
    }

    #[test]
    fn scaling_keeps_the_aspect_ratio() {
        assert_eq!(scaled_to(112, 640, 360), (199, 112));
        assert_eq!(scaled_to(112, 360, 640), (112, 199));
    }
}
