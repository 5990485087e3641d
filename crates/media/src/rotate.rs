//! Quarter turns of small RGB pictures.

/// Turns an RGB picture clockwise by a multiple of 90 degrees.
///
/// # Shapes
/// `from` is `height x width x 3`; `to` has as many bytes, `width x height x 3` for 90 and 270 degrees.
pub(crate) fn rotate_rgb(from: &[u8], width: usize, height: usize, degrees: i32, to: &mut [u8]) {
    for (y, row) in from.chunks_exact(width * 3).enumerate() {
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            let index = match degrees {
                90 => x * height + (height - 1 - y),
                180 => (height - 1 - y) * width + (width - 1 - x),
                270 => (width - 1 - x) * height + y,
                _ => y * width + x,
            };
            to[index * 3..index * 3 + 3].copy_from_slice(pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rotate_rgb;

    /// A picture of 2 rows of 3 pixels, each pixel three times its number.
    const PICTURE: [u8; 6] = [1, 2, 3, 4, 5, 6];

    fn rotated(degrees: i32) -> Vec<u8> {
        let from: Vec<u8> = PICTURE.iter().flat_map(|&p| [p; 3]).collect();
        let mut to = vec![0; from.len()];
        rotate_rgb(&from, 3, 2, degrees, &mut to);
        to.chunks_exact(3).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn a_quarter_turn_clockwise_puts_the_left_column_on_top_reversed() {
        assert_eq!(rotated(90), [4, 1, 5, 2, 6, 3]);
    }

    #[test]
    fn half_and_three_quarter_turns() {
        assert_eq!(rotated(180), [6, 5, 4, 3, 2, 1]);
        assert_eq!(rotated(270), [3, 6, 2, 5, 1, 4]);
    }
}
