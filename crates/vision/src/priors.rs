//! Priors of SSD (Liu et al. 2016): boxes of fixed sizes around every cell of its maps, which the network moves.

use serde::{Deserialize, Serialize};

use crate::boxes::iou;

/// What an offset of the centre, and one of the logarithm of the size, is divided by, as in ssd.pytorch.
pub const VARIANCES: [f32; 2] = [0.1, 0.2];

/// One map of features, and the priors around each of its cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorMap {
    /// Cells of a side.
    pub cells: usize,
    /// Pixels of the input from one cell to the next.
    pub step_px: f64,
    /// Side of the small square, in pixels.
    pub min_px: f64,
    /// The large square's side is the mean, by multiplication, of this and the small one's.
    pub max_px: f64,
    /// Priors of other shapes: each of these widths by heights, and its inverse.
    pub ratios: Vec<f64>,
}

/// Scales of SSD300's priors, as in ssd.pytorch's configuration for VOC: the share of the input's side that the small squares of
/// each of the six maps have, and the next after the last.
pub const PRIOR_SCALES: [f64; 7] = [0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05];
/// Shapes of the six maps.
const RATIOS: [&[f64]; 6] = [&[2.0], &[2.0, 3.0], &[2.0, 3.0], &[2.0, 3.0], &[2.0], &[2.0]];
/// Maps whose cells are that many times 8 pixels apart; later ones divide the input evenly.
const STRIDED: usize = 4;

/// The maps of an SSD whose input has a side of `size` pixels and whose maps have so many cells, the largest first. For 300
/// pixels, 38, 19, 10, 5, 3 and 1 cells, and [`PRIOR_SCALES`], these are the numbers of ssd.pytorch; for other sizes they follow by the same rules.
///
/// # Panics
/// When there is not a scale for each map, and one more.
pub fn prior_maps(size: usize, cells: &[usize], scales: &[f64]) -> Vec<PriorMap> {
    let side = size as f64;
    let map = |(at, &cells): (usize, &usize)| PriorMap {
        cells,
        step_px: if at < STRIDED { f64::from(8 << at) } else { side / cells as f64 },
        min_px: scales[at] * side,
        max_px: scales[at + 1] * side,
        ratios: RATIOS[at].to_vec(),
    };
    cells.iter().take(RATIOS.len()).enumerate().map(map).collect()
}

impl PriorMap {
    /// Priors around each cell.
    pub fn per_cell(&self) -> usize {
        2 + 2 * self.ratios.len()
    }
}

/// A prior as centre x, centre y, width and height, in shares of the input's sides.
pub type Prior = [f32; 4];

/// All priors in the order of ssd.pytorch (`PriorBox`, clipped): map by map, row by row, cell by cell; of a cell the small square, the
/// large one, then each ratio lying and standing.
pub fn priors(size: usize, maps: &[PriorMap]) -> Vec<Prior> {
    let side = size as f64;
    let mut priors = Vec::with_capacity(maps.iter().map(|map| map.cells * map.cells * map.per_cell()).sum());
    for map in maps {
        let (small, large) = (map.min_px / side, (map.min_px * map.max_px).sqrt() / side);
        let ratios = map.ratios.iter().flat_map(|ratio| [ratio.sqrt(), 1.0 / ratio.sqrt()]);
        let shapes = [[small; 2], [large; 2]].into_iter().chain(ratios.map(|wide| [small * wide, small / wide]));
        let shapes: Vec<[f64; 2]> = shapes.collect();
        let center = |cell: usize| (cell as f64 + 0.5) * map.step_px / side;
        for row in 0..map.cells {
            for column in 0..map.cells {
                let prior = |&[width, height]: &[f64; 2]| {
                    [center(column), center(row), width, height].map(|number| number.clamp(0.0, 1.0) as f32)
                };
                priors.extend(shapes.iter().map(prior));
            }
        }
    }
    priors
}

/// A prior's left, top, right and bottom.
pub fn corners([x, y, width, height]: Prior) -> [f32; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
}

/// The offset that moves a prior onto a box, both in shares of the input; the box must have an area.
pub fn encode_box(prior: Prior, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
    let [x, y, width, height] = prior;
    let center = [((x1 + x2) / 2.0 - x) / width, ((y1 + y2) / 2.0 - y) / height].map(|by| by / VARIANCES[0]);
    let size = [(x2 - x1) / width, (y2 - y1) / height].map(|times| times.ln() / VARIANCES[1]);
    [center[0], center[1], size[0], size[1]]
}

/// The box that an offset moves a prior to; the inverse of [`encode_box`].
pub fn decode_box([x, y, width, height]: Prior, offset: [f32; 4]) -> [f32; 4] {
    let moved = [x + offset[0] * VARIANCES[0] * width, y + offset[1] * VARIANCES[0] * height];
    // A network that is not trained yet may ask for e^100 sizes: beyond a thousand nothing is lost.
    let times = |by: f32| (by * VARIANCES[1]).min(1000f32.ln()).exp();
    corners([moved[0], moved[1], width * times(offset[2]), height * times(offset[3])])
}

/// The truth that each prior is to find, if any, as `match` of ssd.pytorch: the one that it overlaps most, if by `min_iou` or more;
/// and each truth has the prior that overlaps it most, whatever the overlap, the later of two truths with the same.
pub fn match_priors(priors: &[Prior], truths: &[[f32; 4]], min_iou: f32) -> Vec<Option<usize>> {
    let mut matched: Vec<(Option<usize>, f32)> = vec![(None, 0.0); priors.len()];
    let mut best = vec![(0, -1.0); truths.len()];
    for (at, prior) in priors.iter().enumerate() {
        let prior = corners(*prior);
        for (number, truth) in truths.iter().enumerate() {
            let overlap = iou(&prior, truth);
            if overlap > matched[at].1 {
                matched[at] = (Some(number), overlap);
            }
            if overlap > best[number].1 {
                best[number] = (at, overlap);
            }
        }
    }
    let mut matched: Vec<Option<usize>> =
        matched.into_iter().map(|(truth, overlap)| truth.filter(|_| overlap >= min_iou)).collect();
    if !priors.is_empty() {
        best.iter().enumerate().for_each(|(number, (at, _))| matched[*at] = Some(number));
    }
    matched
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    const CELLS: [usize; 6] = [38, 19, 10, 5, 3, 1];

    /// `tests/fixtures/ssd/priors.json` is what ssd.pytorch's formula gives in Python.
    #[test]
    fn priors_are_those_of_ssd_pytorch() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/ssd/priors.json");
        let fixture: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let maps = prior_maps(300, &CELLS, &PRIOR_SCALES);
        for (map, expected) in maps.iter().zip(fixture["maps"].as_array().unwrap()) {
            let numbers = [map.step_px, map.min_px, map.max_px];
            let expected = ["step", "min", "max"].map(|key| expected[key].as_f64().unwrap());
            assert!(numbers.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{numbers:?} {expected:?}");
        }
        let found = priors(300, &maps);
        assert_eq!(found.len(), 8732);
        for (at, expected) in fixture["priors"].as_object().unwrap() {
            let expected: [f32; 4] = serde_json::from_value(expected.clone()).unwrap();
            let prior = found[at.parse::<usize>().unwrap()];
            assert!(prior.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{at}: {prior:?} {expected:?}");
        }
        let sums: [f64; 4] = serde_json::from_value(fixture["sums"].clone()).unwrap();
        for (side, sum) in sums.iter().enumerate() {
            let found: f64 = found.iter().map(|prior| f64::from(prior[side])).sum();
            assert!((found - sum).abs() < 1e-2, "{side}: {found} {sum}");
        }
    }

    #[test]
    fn smaller_inputs_follow_the_same_rules() {
        let maps = prior_maps(96, &[12, 6, 3, 2], &PRIOR_SCALES);
        assert_eq!(maps.iter().map(|map| map.step_px).collect::<Vec<_>>(), [8.0, 16.0, 32.0, 64.0]);
        assert!((maps[1].min_px - 19.2).abs() < 1e-12);
        assert_eq!(priors(96, &maps).len(), 144 * 4 + 36 * 6 + 9 * 6 + 4 * 6);
    }

    #[test]
    fn offsets_lead_to_their_box_and_never_to_infinity() {
        let (prior, truth) = ([0.5, 0.5, 0.2, 0.4], [0.3, 0.35, 0.6, 0.7]);
        let offset = encode_box(prior, truth);
        // The centre moves by -0.05 of 0.2 and 0.025 of 0.4; 1.5 times as wide, 0.875 times as high.
        let expected = [-2.5, 0.625, 1.5f32.ln() / 0.2, 0.875f32.ln() / 0.2];
        assert!(offset.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{offset:?}");
        let found = decode_box(prior, offset);
        assert!(found.iter().zip(truth).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert!(decode_box(prior, [0.0, 0.0, 1e30, f32::INFINITY]).iter().all(|side| side.abs() < 300.0));
    }

    /// `match` of ssd.pytorch, by a table of all overlaps.
    fn slowly(priors: &[Prior], truths: &[[f32; 4]], min_iou: f32) -> Vec<Option<usize>> {
        let first_max =
            |values: Vec<f32>| (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        let overlap = |prior: usize, truth: usize| iou(&corners(priors[prior]), &truths[truth]);
        let mut matched: Vec<Option<usize>> = (0..priors.len())
            .map(|prior| {
                let truth = first_max((0..truths.len()).map(|truth| overlap(prior, truth)).collect());
                (overlap(prior, truth) >= min_iou).then_some(truth)
            })
            .collect();
        for truth in 0..truths.len() {
            matched[first_max((0..priors.len()).map(|prior| overlap(prior, truth)).collect())] = Some(truth);
        }
        matched
    }

    #[test]
    fn every_truth_is_matched_and_good_priors_with_their_best() {
        let mut rng = Pcg64::seed_from_u64(3);
        let priors = priors(96, &prior_maps(96, &[12, 6, 3, 2], &PRIOR_SCALES));
        for _ in 0..100 {
            let truths: Vec<[f32; 4]> = (0..rng.random_range(1..6))
                .map(|_| {
                    let (x, y) = (rng.random_range(0..8) as f32 / 10.0, rng.random_range(0..8) as f32 / 10.0);
                    [x, y, x + rng.random_range(1..9) as f32 / 20.0, y + rng.random_range(1..9) as f32 / 20.0]
                })
                .collect();
            assert_eq!(match_priors(&priors, &truths, 0.5), slowly(&priors, &truths, 0.5));
        }
        assert!(match_priors(&priors, &[], 0.5).iter().all(Option::is_none));
        // Two truths in one place: the later has the prior.
        let square = [0.4, 0.4, 0.6, 0.6];
        let matched = match_priors(&priors[..1], &[square, square], 0.5);
        assert_eq!(matched, [Some(1)]);
    }
}
