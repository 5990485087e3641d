//! Class activation maps: where in a clip the evidence for a class lies (Zhou et al., CVPR 2016; figure 5 of the paper).

/// The evidence for a class: frames x height x width, in units of logits.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMap {
    /// Row by row, frame by frame.
    pub values: Vec<f32>,
    /// Frames, height and width.
    pub sides: [usize; 3],
}

impl ClassMap {
    /// The last activations of a clip, weighted by what the classifier gives each channel. Its mean over all places is the
    /// class's logit without the bias.
    ///
    /// # Shapes
    /// `maps` is channels x frames x height x width, `weights` has a value for each channel.
    ///
    /// # Panics
    /// When these do not fit together.
    pub fn new(maps: &[f32], weights: &[f32], sides: [usize; 3]) -> Self {
        let places = sides.iter().product::<usize>();
        assert_eq!(maps.len(), weights.len() * places, "activations of {} channels", weights.len());
        let mut values = vec![0.0; places];
        for (channel, weight) in maps.chunks_exact(places.max(1)).zip(weights) {
            values.iter_mut().zip(channel).for_each(|(value, activation)| *value += weight * activation);
        }
        ClassMap { values, sides }
    }

    /// Stretched over the clip that it came from, linearly between the middles of its cells, as
    /// `interpolate(mode="trilinear", align_corners=False)` of PyTorch.
    pub fn resized(&self, sides: [usize; 3]) -> Self {
        let mut map = self.clone();
        for (axis, &to) in sides.iter().enumerate() {
            map = map.along(axis, to);
        }
        map
    }

    fn along(&self, axis: usize, to: usize) -> Self {
        let from = self.sides[axis];
        let inner: usize = self.sides[axis + 1..].iter().product();
        let mut sides = self.sides;
        sides[axis] = to;
        let mut values = Vec::with_capacity(sides.iter().product());
        for block in self.values.chunks_exact(from * inner) {
            for at in 0..to {
                let place = ((at as f32 + 0.5) * from as f32 / to as f32 - 0.5).max(0.0);
                let low = (place as usize).min(from - 1);
                let (high, share) = ((low + 1).min(from - 1), place - low as f32);
                let cells = block[low * inner..][..inner].iter().zip(&block[high * inner..][..inner]);
                values.extend(cells.map(|(low, high)| low + share * (high - low)));
            }
        }
        ClassMap { values, sides }
    }

    /// The map of one frame, height x width.
    pub fn frame(&self, frame: usize) -> &[f32] {
        let places = self.sides[1] * self.sides[2];
        &self.values[frame * places..][..places]
    }

    /// The strongest evidence, at least 0.
    pub fn peak(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }
}

/// What turns a clip's last activations into class activation maps.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassWeights {
    /// Of the layer from pooled activations to logits: classes x channels.
    pub weights: Vec<f32>,
    /// Channels, frames, height and width of the activations.
    pub sides: [usize; 4],
}

impl ClassWeights {
    /// The evidence for a class in a clip.
    ///
    /// # Shapes
    /// `maps` is channels x frames x height x width.
    pub fn map(&self, maps: &[f32], class: usize) -> ClassMap {
        let [channels, frames, height, width] = self.sides;
        ClassMap::new(maps, &self.weights[class * channels..][..channels], [frames, height, width])
    }
}

/// How much evidence for a class lies within a mask, and how much there is: sums of what is above 0.
pub fn energy_within(map: &[f32], mask: &[bool]) -> (f64, f64) {
    let positive = |value: &f32| f64::from(value.max(0.0));
    let within = map.iter().zip(mask).filter(|(_, is_in)| **is_in).map(|(value, _)| positive(value)).sum();
    (within, map.iter().map(positive).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_the_weighted_sum_of_activations() {
        // Two channels of one frame, one row, two columns.
        let map = ClassMap::new(&[1.0, 2.0, 10.0, 20.0], &[1.0, -0.5], [1, 1, 2]);
        assert_eq!(map.values, [-4.0, -8.0]);
        assert_eq!(map.peak(), 0.0);
    }

    #[test]
    fn stretching_is_that_of_pytorch() {
        // torch.nn.functional.interpolate(torch.tensor([[[[[0., 4.], [8., 2.]], [[1., 1.], [3., 5.]]]]]), (3, 2, 4), mode="trilinear")
        let map = ClassMap { values: vec![0.0, 4.0, 8.0, 2.0, 1.0, 1.0, 3.0, 5.0], sides: [2, 2, 2] };
        let expected = [
            0.0, 1.0, 3.0, 4.0, 8.0, 6.5, 3.5, 2.0, //
            0.5, 1.0, 2.0, 2.5, 5.5, 5.0, 4.0, 3.5, //
            1.0, 1.0, 1.0, 1.0, 3.0, 3.5, 4.5, 5.0,
        ];
        let found = map.resized([3, 2, 4]);
        assert_eq!(found.values, expected);
        assert_eq!(found.frame(1), &expected[8..16]);
        assert_eq!(map.resized([2, 2, 2]), map);
    }

    #[test]
    fn energy_is_what_is_above_nothing() {
        assert_eq!(energy_within(&[1.0, -5.0, 3.0], &[false, true, true]), (3.0, 4.0));
    }
}
