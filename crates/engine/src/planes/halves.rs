//! Filters over several frames of few channels, two frames at a time: three half filters where there were four.
//!
//! Of the taps, those with even numbers make one half filter, `a`, those with odd ones the other, `b`; likewise of the frames, `e` and
//! `o`. What comes of even frames is `ae + bo`, of odd ones `ao + be'`, with `'` for the next. With `s = (a + b)o` they are
//! `s + a(e - o)` and `s + b(e' - o)`: Winograd's minimal filtering F(2, 2) with half filters as its numbers (as in fast FIR filters:
//! Mou and Duhamel, *Short-Length FIR Filters and Their Use in Fast Nonrecursive Filtering*, 1991). Fewer channels than a block ONNX
//! Runtime's kernels take as they are, so that each half filter is made of a few taps at a time.

use tract_onnx::pb;

use super::filter::{BLOCK, Filter};
use super::window::Window;
use super::{Rewriter, Shape};

/// Whether a convolution is of that kind. One of 7 x 7 x 7 over three channels took 1.3 times less time. With fewer taps little is left of
/// that, and of more channels each tap would be a convolution of its own.
pub(super) fn is_worth(window: &Window, input: Shape, output: Shape) -> bool {
    let taps = window.kernel[0];
    window.stride[0] == 1
        && taps >= 5
        && taps == 2 * window.padding[0] + 1
        && 2 * input.channels < BLOCK
        && input.frames > taps
        && input.frames == output.frames
        && input.frames.is_multiple_of(2)
}

impl Rewriter {
    /// The even and the odd frames that a filter over several makes.
    pub(super) fn conv_halves(
        &mut self,
        node: &pb::NodeProto,
        [shape, output]: [Shape; 2],
        filter: &Filter<'_>,
        bias: Option<&[f32]>,
        window: &Window,
    ) -> Option<[String; 2]> {
        let ([taps, rows, columns], half, padding) = (window.kernel, shape.frames / 2, window.padding[0]);
        let filters = output.channels;
        // Frames of each kind that there are, with the padding.
        let count = half + taps / 2;
        let all = self.frames(&node.input[0])?;
        let padded = self.pad_frames(all, padding, padding, None);
        let [even, odd] = [0, 1].map(|first| self.every(&padded, first, count, 2));
        let [next, this] = [(&even, 1), (&odd, 0)].map(|(kind, first)| self.every(kind, first, count - 1, 1));
        let before = self.emit("Sub", vec![even, odd.clone()], vec![]);
        let behind = self.emit("Sub", vec![next, this], vec![]);
        // What is added up to a tap of a half filter.
        let both: Vec<Vec<usize>> = (0..taps).step_by(2).map(|tap| (tap..taps.min(tap + 2)).collect()).collect();
        let [evens, odds] = [0, 1].map(|first| (first..taps).step_by(2).map(|tap| vec![tap]).collect());

        let most = (BLOCK - 1) / filter.inputs;
        let mut made: Vec<String> = vec![];
        for (frames, sums) in [(odd, both), (before, evens), (behind, odds)] {
            let mut sum = made.first().cloned();
            for (number, sums) in sums.chunks(most).enumerate() {
                let seen = (0..sums.len()).map(|tap| self.every(&frames, number * most + tap, half, 1)).collect();
                let seen = self.as_channels(seen, shape);
                let sides = [filters, sums.len() * filter.inputs, rows, columns];
                let name = self.name();
                let mut inputs = vec![seen, self.parameter(name, &sides, &filter.sums(filters, sums))];
                // Once: the sum with both halves is part of the others.
                let bias = bias.filter(|_| sum.is_none());
                if let Some(bias) = bias {
                    let name = self.name();
                    inputs.push(self.parameter(name, &[filters], bias));
                }
                let product = self.emit("Conv", inputs, window.attributes());
                sum = Some(match sum {
                    Some(sum) => self.emit("Add", vec![product, sum], vec![]),
                    None => product,
                });
            }
            made.extend(sum);
        }
        let [_, even, odd] = made.try_into().ok()?;
        Some([even, odd])
    }
}
