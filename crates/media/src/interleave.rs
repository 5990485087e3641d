//! From planes to pixels, with the quarter turns that a file's display matrix asks for.

use ffmpeg_next::frame;

/// Writes a planar picture as interleaved RGB, turned clockwise by a multiple of 90 degrees, then mirrored if asked to.
///
/// # Shapes
/// `planar` is in FFmpeg's GBRP format: planes of green, blue and red. `rgb` is `height x width x 3`, for 90 and 270
/// degrees `width x height x 3`.
pub(crate) fn interleave(planar: &frame::Video, degrees: i32, mirror: bool, rgb: &mut [u8]) {
    let (width, height) = (planar.width() as usize, planar.height() as usize);
    let rows = |plane| planar.data(plane).chunks(planar.stride(plane));
    for (y, ((green, blue), red)) in rows(0).zip(rows(1)).zip(rows(2)).enumerate() {
        let pixels = red[..width].iter().zip(&green[..width]).zip(&blue[..width]);
        // The pixel at (x, y) goes to `first + x * step`, in pixels.
        let (first, step) = match (degrees, mirror) {
            (90, false) => (height - 1 - y, height as isize),
            (90, true) => (y, height as isize),
            (180, false) => ((height - y) * width - 1, -1),
            (180, true) => ((height - 1 - y) * width, 1),
            (270, false) => ((width - 1) * height + y, -(height as isize)),
            (270, true) => (width * height - 1 - y, -(height as isize)),
            (_, true) => ((y + 1) * width - 1, -1),
            (_, false) => {
                let to = &mut rgb[y * width * 3..(y + 1) * width * 3];
                for (to, ((r, g), b)) in to.chunks_exact_mut(3).zip(pixels) {
                    to.copy_from_slice(&[*r, *g, *b]);
                }
                continue;
            }
        };
        for (x, ((r, g), b)) in pixels.enumerate() {
            let at = first.wrapping_add_signed(x as isize * step) * 3;
            rgb[at..at + 3].copy_from_slice(&[*r, *g, *b]);
        }
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::{format::Pixel, frame};

    use super::interleave;

    /// A picture of 2 rows of 3 pixels, numbered 1 to 6; green is 10 more, blue 20 more.
    fn turned(degrees: i32, mirror: bool) -> Vec<u8> {
        let mut planar = frame::Video::new(Pixel::GBRP, 3, 2);
        for (plane, more) in [(0, 10), (1, 20), (2, 0)] {
            let stride = planar.stride(plane);
            for n in 0..6 {
                planar.data_mut(plane)[n / 3 * stride + n % 3] = n as u8 + 1 + more;
            }
        }
        let mut rgb = vec![0; 18];
        interleave(&planar, degrees, mirror, &mut rgb);
        for pixel in rgb.chunks_exact(3) {
            assert_eq!((pixel[1], pixel[2]), (pixel[0] + 10, pixel[0] + 20));
        }
        rgb.chunks_exact(3).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn without_a_turn_pixels_keep_their_places() {
        assert_eq!(turned(0, false), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_quarter_turn_clockwise_puts_the_left_column_on_top_reversed() {
        assert_eq!(turned(90, false), [4, 1, 5, 2, 6, 3]);
    }

    #[test]
    fn half_and_three_quarter_turns() {
        assert_eq!(turned(180, false), [6, 5, 4, 3, 2, 1]);
        assert_eq!(turned(270, false), [3, 6, 2, 5, 1, 4]);
    }
    #[test]
    fn a_mirror_swaps_the_columns_of_the_turned_picture() {
        for (degrees, width) in [(0, 3), (90, 2), (180, 3), (270, 2)] {
            let rows: Vec<u8> =
                turned(degrees, false).chunks(width).flat_map(|row| row.iter().rev().copied()).collect();
            assert_eq!(turned(degrees, true), rows, "{degrees}");
        }
    }
}
