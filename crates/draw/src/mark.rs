//! Boxes with labels on frames of a video: drawn straight into their bytes, since a large frame is not copied for a few lines.

use crate::{Canvas, text_width};

/// Marks places in frames of one size.
///
/// Lines and letters are larger in larger frames, and letters never too small to read.
pub struct Marker {
    width: usize,
    height: usize,
    /// Thickness of a line in pixels.
    line: usize,
    /// Height of a line of text in pixels.
    text: usize,
}

impl Marker {
    /// For frames of that size in pixels.
    pub fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let short = width.min(height);
        Marker { width, height, line: (short / 240).max(2), text: (short / 32).clamp(12, 64) }
    }

    /// Draws the outline of a box: its lines lie within it, and what is outside of the frame is left out.
    ///
    /// # Shapes
    /// `rgb` is height x width x 3; `corners` are left, top, right, bottom in pixels.
    pub fn outline(&self, rgb: &mut [u8], corners: [f32; 4], color: [u8; 3]) {
        // The cast cuts at 0.
        let [left, top, right, bottom] = corners.map(|side| side.round() as usize);
        let (left, top) = (left.min(self.width), top.min(self.height));
        let (right, bottom) = (right.min(self.width), bottom.min(self.height));
        let inner = |from: usize, to: usize| [(from + self.line).min(to), to.saturating_sub(self.line).max(from)];
        let ([left_end, right_start], [top_end, bottom_start]) = (inner(left, right), inner(top, bottom));
        self.fill(rgb, [left, top, right, top_end], color);
        self.fill(rgb, [left, bottom_start, right, bottom], color);
        self.fill(rgb, [left, top, left_end, bottom], color);
        self.fill(rgb, [right_start, top, right, bottom], color);
    }

    /// Writes a line of text on a ground of that colour: above a box, or into it where there is no room above.
    ///
    /// # Shapes
    /// As [`Marker::outline`].
    pub fn label(&self, rgb: &mut [u8], corners: [f32; 4], color: [u8; 3], text: &str) {
        let margin = 0.3;
        let columns = ((text_width(1.0, text) + 2.0 * margin) * self.text as f32).ceil() as usize;
        let (columns, rows) = (columns.min(self.width), self.text.min(self.height));
        let [left, top] = [corners[0], corners[1]].map(|side| side.round() as usize);
        let (left, top) = (left.min(self.width - columns), top.min(self.height));
        let top = top.checked_sub(rows).unwrap_or(top.min(self.height - rows));

        let mut ground = Canvas::new(columns as u32, self.text as u32);
        let [red, green, blue] = color.map(f32::from);
        // As bright as it looks (BT.601).
        let is_bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140.0;
        ground.rect(0.0, 0.0, ground.width(), 1.0, [red, green, blue].map(|channel| channel / 255.0));
        ground.text(margin, 0.8, 1.0, if is_bright { [0.0; 3] } else { [1.0; 3] }, text);
        for (row, pixels) in ground.pixmap.data().chunks_exact(columns * 4).take(rows).enumerate() {
            let to = &mut rgb[((top + row) * self.width + left) * 3..][..columns * 3];
            for (to, from) in to.chunks_exact_mut(3).zip(pixels.chunks_exact(4)) {
                to.copy_from_slice(&from[..3]);
            }
        }
    }

    /// Fills a part of the frame; nothing when it is empty.
    fn fill(&self, rgb: &mut [u8], [left, top, right, bottom]: [usize; 4], color: [u8; 3]) {
        if left >= right {
            return;
        }
        for row in top..bottom {
            let pixels = &mut rgb[(row * self.width + left) * 3..][..(right - left) * 3];
            pixels.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&color));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [200, 0, 0];

    /// Pixels that differ from a frame of one grey.
    fn drawn(width: usize, rgb: &[u8]) -> Vec<(usize, usize)> {
        let pixels = rgb.chunks_exact(3).enumerate();
        pixels.filter(|(_, pixel)| **pixel != [90; 3]).map(|(at, _)| (at % width, at / width)).collect()
    }

    #[test]
    fn an_outline_has_its_colour_and_leaves_all_else_as_it_was() {
        let (width, height) = (61, 40);
        let marker = Marker::new(width as u32, height as u32);
        for (corners, [left, top, right, bottom]) in [
            ([10.2, 5.0, 30.6, 25.4], [10, 5, 31, 25]),
            // Partly and wholly outside, without a size, and no box at all.
            ([-7.0, -3.0, 20.0, 99.0], [0, 0, 20, 40]),
            ([70.0, 3.0, 90.0, 9.0], [61, 3, 61, 9]),
            ([10.0, 10.0, 11.0, 13.0], [10, 10, 11, 13]),
            ([10.0, 10.0, 10.0, 10.0], [10, 10, 10, 10]),
            ([20.0, 20.0, 10.0, 10.0], [0, 0, 0, 0]),
            ([f32::NAN, 0.0, f32::INFINITY, 7.0], [0, 0, 61, 7]),
            ([f32::INFINITY, f32::INFINITY, f32::INFINITY, f32::NAN], [61, 40, 61, 0]),
        ] {
            let mut rgb = vec![90; width * height * 3];
            marker.outline(&mut rgb, corners, RED);
            let within = |x, y| (left..right).contains(&x) && (top..bottom).contains(&y);
            let inside = |x, y| (left + 2..right.max(2) - 2).contains(&x) && (top + 2..bottom.max(2) - 2).contains(&y);
            for y in 0..height {
                for x in 0..width {
                    let expected = if within(x, y) && !inside(x, y) { RED } else { [90; 3] };
                    assert_eq!(rgb[(y * width + x) * 3..][..3], expected, "{corners:?} at {x}, {y}");
                }
            }
        }
    }

    #[test]
    fn a_label_stands_above_its_box_within_the_frame() {
        let (width, height) = (320, 240);
        let marker = Marker::new(width as u32, height as u32);
        let of = |corners: [f32; 4], text: &str| {
            let mut rgb = vec![90; width * height * 3];
            marker.label(&mut rgb, corners, RED, text);
            let all = drawn(width, &rgb);
            let side = |of: &dyn Fn(&(usize, usize)) -> usize| {
                [all.iter().map(of).min().unwrap(), 1 + all.iter().map(of).max().unwrap()]
            };
            (side(&|pixel| pixel.0), side(&|pixel| pixel.1), rgb)
        };
        let ([left, right], rows, rgb) = of([100.0, 50.0, 150.0, 90.0], "run 87 %");
        assert_eq!((left, rows), (100, [38, 50]));
        // Eight letters of a font whose letters are half as wide as a line is high.
        assert!((40..70).contains(&(right - left)), "{right}");
        assert_eq!(rgb[(38 * width + 100) * 3..][..3], RED);
        assert!(rgb.iter().any(|value| *value > 240), "white letters");
        let (columns, rows, _) = of([290.0, 5.0, 320.0, 90.0], "run 87 %");
        assert_eq!((columns, rows), ([320 - (right - left), 320], [5, 17]), "no room above, nor to the right");
        assert_eq!(of([10.0, 239.0, 20.0, 900.0], "x").1, [227, 239]);
        assert_eq!(of([-50.0, -9.0, 20.0, 30.0], "x").1, [0, 12]);
        assert_eq!(of([9.0, 20.0, 20.0, 30.0], &"long ".repeat(50)).0, [0, 320]);
        assert_eq!(of([9.0, 20.0, 20.0, 30.0], "").1, [8, 20]);

        let mut rgb = vec![90; width * height * 3];
        marker.label(&mut rgb, [9.0; 4], [230, 159, 0], "run");
        assert!(rgb.chunks_exact(3).any(|pixel| pixel.iter().all(|value| *value < 40)), "black letters on orange");
        // Whatever the size of the frame.
        for (width, height) in [(1, 1), (5, 3), (8, 500), (500, 8), (3840, 2160)] {
            let mut rgb = vec![90; width * height * 3];
            let marker = Marker::new(width as u32, height as u32);
            marker.outline(&mut rgb, [0.0, 0.0, 2.0, 2.0], RED);
            marker.label(&mut rgb, [0.0, 0.0, 2.0, 2.0], RED, "run");
            assert!(!drawn(width, &rgb).is_empty());
        }
    }
}
