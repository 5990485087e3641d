//! The weights of filters of volumes, as those of filters of pictures.

use super::window::Window;

/// Channels that ONNX Runtime's kernels take at once.
pub(super) const BLOCK: usize = 8;

/// Frames that a filter of so many taps is made to see: some more, whose weights are zero, where that fills the kernels' blocks of
/// channels and costs little.
pub(super) fn seen(taps: usize, channels: usize) -> usize {
    let filled = (taps..taps + BLOCK).find(|seen| (seen * channels).is_multiple_of(BLOCK)).unwrap_or(taps);
    if (filled - taps) * 5 <= taps { filled } else { taps }
}

/// The weights of 3-D filters: filters x inputs x taps x area.
pub(super) struct Filter<'a> {
    pub(super) weights: &'a [f32],
    pub(super) inputs: usize,
    pub(super) taps: usize,
    pub(super) area: usize,
}

impl Filter<'_> {
    /// One picture's worth: of a filter, a channel, and a tap.
    fn part(&self, filter: usize, input: usize, tap: usize) -> &[f32] {
        let at = ((filter * self.inputs + input) * self.taps + tap) * self.area;
        &self.weights[at..at + self.area]
    }

    /// Filters x (sums inputs) x area: for each of these, as channels one after the other, the sum of some taps, which is
    /// zero of none.
    pub(super) fn sums(&self, filters: usize, sums: &[Vec<usize>]) -> Vec<f32> {
        let mut made = Vec::with_capacity(filters * sums.len() * self.inputs * self.area);
        for filter in 0..filters {
            for taps in sums {
                for input in 0..self.inputs {
                    let value = |at: usize| taps.iter().map(|&tap| self.part(filter, input, tap)[at]).sum::<f32>();
                    made.extend((0..self.area).map(value));
                }
            }
        }
        made
    }

    /// (Made filters) x (frames inputs) x area, of all frames that there are and that are made.
    pub(super) fn over_all(&self, filters: usize, frames: usize, made: usize, window: &Window) -> Vec<f32> {
        let mut all = vec![0.0; made * filters * frames * self.inputs * self.area];
        let mut parts = all.chunks_exact_mut(self.area);
        for at in 0..made {
            for filter in 0..filters {
                for frame in 0..frames {
                    let tap =
                        (frame + window.padding[0]).checked_sub(at * window.stride[0]).filter(|&tap| tap < self.taps);
                    for (input, part) in (0..self.inputs).zip(&mut parts) {
                        if let Some(tap) = tap {
                            part.copy_from_slice(self.part(filter, input, tap));
                        }
                    }
                }
            }
        }
        all
    }

    /// Filters x inputs x area: the taps of each filter, three of them, added up with these factors.
    pub(super) fn mixed(&self, factors: [f32; 3]) -> Vec<f32> {
        let filters = self.weights.chunks_exact(3 * self.area);
        let sum = |taps: &[f32], at: usize| (0..3).map(|tap| factors[tap] * taps[tap * self.area + at]).sum();
        filters.flat_map(|taps| (0..self.area).map(move |at| sum(taps, at))).collect()
    }
}
