//! From what detectors give to boxes of people. Each form is that of a family of exported detectors.

use serde::{Deserialize, Serialize};

use crate::boxes::Detection;

/// The form of a detector's outputs. `person` is the number of the class that people are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum DetectorForm {
    /// torchvision's detectors: n boxes as corners in pixels of the input, n labels, n scores.
    Torchvision {
        /// Name of the boxes, n x 4.
        boxes: String,
        /// Name of the labels, n.
        labels: String,
        /// Name of the scores, n.
        scores: String,
        /// 1 in COCO as torchvision numbers it.
        person: usize,
    },
    /// One tensor, as the YOLO family gives it.
    Yolo {
        /// The tensor's name.
        output: String,
        /// How it is laid out.
        layout: YoloLayout,
        /// 0 in COCO.
        person: usize,
    },
    /// A map of scores and a map of distances for each stride, as PicoDet and NanoDet give them: cells in rows, scores
    /// 1 x cells x classes between 0 and 1, and 1 x cells x (4 x bins) of which the softmax over each side's bins gives
    /// the expected distance to left, top, right and bottom, in strides.
    DistanceMaps {
        /// Names of the score maps.
        scores: Vec<String>,
        /// Names of the distance maps.
        boxes: Vec<String>,
        /// Pixels from one cell to the next, for each pair of maps.
        strides: Vec<u32>,
        /// What is added to the middle of a cell, in pixels; -0.5 in PicoDet.
        #[serde(default)]
        center_shift: f32,
        /// 0 in COCO.
        person: usize,
    },
}

/// Layouts of the YOLO family. Boxes are centre, width and height in pixels of the input, but for `V10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum YoloLayout {
    /// YOLOv5 to v7: 1 x n x (4 + objectness + classes); the score is objectness times class.
    V5,
    /// YOLOv8, v9, v11: 1 x (4 + classes) x n.
    V8,
    /// YOLOv10: 1 x n x (corners, score, class).
    V10,
}

/// One output of a detector.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its sides.
    pub shape: &'a [usize],
    /// Its values, row by row.
    pub values: &'a [f32],
}

/// Outputs that do not fit the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; the model gives {outputs}; change the config's \"output\" to fit")]
pub struct DetectorError {
    /// What was expected.
    pub problem: String,
    /// Names and sides of all outputs.
    pub outputs: String,
}

type Result<T> = std::result::Result<T, DetectorError>;

impl DetectorForm {
    /// The boxes of people with at least `min_score`, in pixels of the `width x height` input, before suppression.
    ///
    /// # Errors
    /// When an output is not there or has other sides.
    pub fn people(
        &self,
        outputs: &[Output<'_>],
        (width, height): (u32, u32),
        min_score: f32,
    ) -> Result<Vec<Detection>> {
        let outputs = Outputs(outputs);
        let mut people = match self {
            DetectorForm::Torchvision { boxes, labels, scores, person } => {
                torchvision(&outputs, [boxes, labels, scores], *person, min_score)?
            }
            DetectorForm::Yolo { output, layout, person } => yolo(&outputs, output, *layout, *person, min_score)?,
            DetectorForm::DistanceMaps { scores, boxes, strides, center_shift, person } => {
                if scores.len() != strides.len() || boxes.len() != strides.len() {
                    let (scores, boxes, strides) = (scores.len(), boxes.len(), strides.len());
                    let problem = format!(
                        "{scores} score maps, {boxes} distance maps and {strides} strides are named, expected as many of each"
                    );
                    return Err(outputs.error(problem));
                }
                let mut people = vec![];
                for ((scores, boxes), &stride) in scores.iter().zip(boxes).zip(strides) {
                    let maps = DistanceMap {
                        stride,
                        columns: width.div_ceil(stride.max(1)) as usize,
                        rows: height.div_ceil(stride.max(1)) as usize,
                    };
                    maps.people(&outputs, [scores, boxes], *center_shift, *person, min_score, &mut people)?;
                }
                people
            }
        };
        people.retain(|found| found.corners.iter().all(|side| side.is_finite()));
        Ok(people)
    }
}

struct Outputs<'a>(&'a [Output<'a>]);

impl<'a> Outputs<'a> {
    fn error(&self, problem: String) -> DetectorError {
        let shown = self.0.iter().map(|output| format!("{:?} {}", output.name, sides(output.shape)));
        DetectorError { problem, outputs: shown.collect::<Vec<_>>().join(", ") }
    }

    /// The output of a name, with sides that `fits` accepts and as many values as they say.
    fn get(&self, name: &str, expected: &str, fits: impl Fn(&[usize]) -> bool) -> Result<Output<'a>> {
        let found = self.0.iter().find(|output| output.name == name);
        let found = found.ok_or_else(|| self.error(format!("there is no output {name:?}")))?;
        if !fits(found.shape) || found.values.len() != found.shape.iter().product::<usize>() {
            return Err(self.error(format!("output {name:?} is {}, expected {expected}", sides(found.shape))));
        }
        Ok(*found)
    }
}

fn sides(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")
}

fn torchvision(
    outputs: &Outputs<'_>,
    [boxes, labels, scores]: [&str; 3],
    person: usize,
    min_score: f32,
) -> Result<Vec<Detection>> {
    let scores = outputs.get(scores, "n", |shape| shape.len() == 1)?.values;
    let n = scores.len();
    let labels = outputs.get(labels, &n.to_string(), |shape| shape == [n])?.values;
    let boxes = outputs.get(boxes, &format!("{n} x 4"), |shape| shape == [n, 4])?.values;
    let found = boxes.chunks_exact(4).zip(scores).zip(labels);
    let people = found.filter(|((_, score), label)| **score >= min_score && **label == person as f32);
    Ok(people.map(|((b, score), _)| Detection { corners: [b[0], b[1], b[2], b[3]], score: *score }).collect())
}

fn yolo(
    outputs: &Outputs<'_>,
    name: &str,
    layout: YoloLayout,
    person: usize,
    min_score: f32,
) -> Result<Vec<Detection>> {
    let around = |[x, y, w, h]: [f32; 4]| [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
    let mut people = vec![];
    let mut add = |corners, score: f32| {
        if score >= min_score {
            people.push(Detection { corners, score });
        }
    };
    match layout {
        YoloLayout::V5 => {
            let at_least = 5 + person + 1;
            let expected = format!("1 x n x (5 + classes), and a class {person}");
            let found = outputs.get(name, &expected, |s| s.len() == 3 && s[0] == 1 && s[2] >= at_least)?;
            for row in found.values.chunks_exact(found.shape[2]) {
                add(around([row[0], row[1], row[2], row[3]]), row[4] * row[5 + person]);
            }
        }
        YoloLayout::V8 => {
            let at_least = 4 + person + 1;
            let expected = format!("1 x (4 + classes) x n, and a class {person}");
            let found = outputs.get(name, &expected, |s| s.len() == 3 && s[0] == 1 && s[1] >= at_least)?;
            let n = found.shape[2];
            for column in 0..n {
                let value = |row: usize| found.values[row * n + column];
                add(around([value(0), value(1), value(2), value(3)]), value(4 + person));
            }
        }
        YoloLayout::V10 => {
            let found = outputs.get(name, "1 x n x 6", |s| s.len() == 3 && s[0] == 1 && s[2] == 6)?;
            for row in found.values.chunks_exact(6).filter(|row| row[5] == person as f32) {
                add([row[0], row[1], row[2], row[3]], row[4]);
            }
        }
    }
    Ok(people)
}

struct DistanceMap {
    stride: u32,
    columns: usize,
    rows: usize,
}

impl DistanceMap {
    fn people(
        &self,
        outputs: &Outputs<'_>,
        [scores, boxes]: [&str; 2],
        center_shift: f32,
        person: usize,
        min_score: f32,
        people: &mut Vec<Detection>,
    ) -> Result<()> {
        let cells = self.columns * self.rows;
        let (stride, of) =
            (self.stride as f32, format!("{} x {} cells of stride {}", self.rows, self.columns, self.stride));
        let expected = format!("1 x {cells} x classes for {of}, and a class {person}");
        let scores = outputs.get(scores, &expected, |s| s.len() == 3 && s[..2] == [1, cells] && s[2] > person)?;
        let expected = format!("1 x {cells} x (4 x bins) for {of}");
        let boxes = outputs
            .get(boxes, &expected, |s| s.len() == 3 && s[..2] == [1, cells] && s[2] > 0 && s[2].is_multiple_of(4))?;
        let (classes, values) = (scores.shape[2], boxes.shape[2]);
        for cell in 0..cells {
            let score = scores.values[cell * classes + person];
            if score < min_score || score.is_nan() {
                continue;
            }
            let center = |index: usize| (index as f32 + 0.5) * stride + center_shift;
            let (x, y) = (center(cell % self.columns), center(cell / self.columns));
            let row = &boxes.values[cell * values..][..values];
            let mut distances = row.chunks_exact(values / 4).map(|bins| expected_bin(bins) * stride);
            let mut next = || distances.next().unwrap_or(0.0);
            let [left, top, right, bottom] = [next(), next(), next(), next()];
            people.push(Detection { corners: [x - left, y - top, x + right, y + bottom], score });
        }
        Ok(())
    }
}

/// The mean of the bins' numbers, weighted by the softmax of their values.
fn expected_bin(bins: &[f32]) -> f32 {
    let largest = bins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for (number, value) in bins.iter().enumerate() {
        let weight = (value - largest).exp();
        sum += weight;
        weighted += weight * number as f32;
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output<'a>(name: &'a str, shape: &'a [usize], values: &'a [f32]) -> Output<'a> {
        Output { name, shape, values }
    }

    #[test]
    fn torchvision_boxes_are_corners() {
        let form = DetectorForm::Torchvision { boxes: "b".into(), labels: "l".into(), scores: "s".into(), person: 1 };
        let boxes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0, f32::NAN, 0.0, 0.0, 1.0, 1.0];
        let outputs = [
            output("b", &[4, 4], &boxes),
            output("l", &[4], &[1.0, 2.0, 1.0, 1.0]),
            output("s", &[4], &[0.9, 0.8, 0.7, 0.2]),
        ];
        let found = form.people(&outputs, (10, 10), 0.3).unwrap();
        assert_eq!(found, [Detection { corners: [1.0, 2.0, 3.0, 4.0], score: 0.9 }]);
        let short = [outputs[0], output("l", &[3], &[1.0; 3]), outputs[2]];
        let error = form.people(&short, (10, 10), 0.3).unwrap_err().to_string();
        assert_eq!(
            error,
            "output \"l\" is 3, expected 4; the model gives \"b\" 4 x 4, \"l\" 3, \"s\" 4; change the config's \"output\" to fit"
        );
    }

    #[test]
    fn yolo_boxes_are_centres_in_every_layout() {
        let form = |layout| DetectorForm::Yolo { output: "o".into(), layout, person: 1 };
        let expected = [Detection { corners: [8.0, 16.0, 12.0, 24.0], score: 0.4 }];
        // Two boxes of two classes, of which the second is no person.
        let v5 = [10.0, 20.0, 4.0, 8.0, 0.8, 0.1, 0.5, 1.0, 1.0, 2.0, 2.0, 0.8, 0.9, 0.1];
        assert_eq!(form(YoloLayout::V5).people(&[output("o", &[1, 2, 7], &v5)], (32, 32), 0.3).unwrap(), expected);
        let v8 = [10.0, 1.0, 20.0, 1.0, 4.0, 2.0, 8.0, 2.0, 0.1, 0.9, 0.4, 0.1];
        assert_eq!(form(YoloLayout::V8).people(&[output("o", &[1, 6, 2], &v8)], (32, 32), 0.3).unwrap(), expected);
        let v10 = [8.0, 16.0, 12.0, 24.0, 0.4, 1.0, 0.0, 0.0, 1.0, 1.0, 0.9, 0.0];
        assert_eq!(form(YoloLayout::V10).people(&[output("o", &[1, 2, 6], &v10)], (32, 32), 0.3).unwrap(), expected);

        for (layout, shape, expected) in [
            (YoloLayout::V5, vec![1, 2, 6], "expected 1 x n x (5 + classes), and a class 1"),
            (YoloLayout::V8, vec![1, 5, 2], "expected 1 x (4 + classes) x n, and a class 1"),
            (YoloLayout::V8, vec![2, 6, 2], "\"o\" 2 x 6 x 2"),
            (YoloLayout::V10, vec![1, 2, 7], "expected 1 x n x 6"),
        ] {
            let values = vec![0.0; shape.iter().product()];
            let error = form(layout).people(&[output("o", &shape, &values)], (32, 32), 0.3).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = form(YoloLayout::V5).people(&[output("x", &[1], &[0.0])], (32, 32), 0.3).unwrap_err().to_string();
        assert!(error.starts_with("there is no output \"o\"; the model gives \"x\" 1;"), "{error}");
    }

    #[test]
    fn distance_maps_measure_from_the_middle_of_a_cell() {
        let form = |shift| DetectorForm::DistanceMaps {
            scores: vec!["s8".into(), "s16".into()],
            boxes: vec!["b8".into(), "b16".into()],
            strides: vec![8, 16],
            center_shift: shift,
            person: 0,
        };
        // A picture of 20 x 12: 3 x 2 cells of 8 pixels, 2 x 1 of 16; two bins per side, two classes.
        let mut scores = [0.0; 12];
        scores[4 * 2] = 0.7;
        scores[5 * 2 + 1] = 0.9;
        let mut boxes = [0.0; 48];
        // Cell 4 is row 1, column 1. Even bins give half a stride, a far larger second bin a whole one.
        boxes[4 * 8 + 1] = 100.0;
        let (scores16, boxes16) = ([0.0; 4], [0.0; 16]);
        let outputs = [
            output("s8", &[1, 6, 2], &scores),
            output("b8", &[1, 6, 8], &boxes),
            output("s16", &[1, 2, 2], &scores16),
            output("b16", &[1, 2, 8], &boxes16),
        ];
        let found = form(-0.5).people(&outputs, (20, 12), 0.3).unwrap();
        assert_eq!(found, [Detection { corners: [3.5, 7.5, 15.5, 15.5], score: 0.7 }]);
        assert_eq!(form(0.0).people(&outputs, (20, 12), 0.3).unwrap()[0].corners, [4.0, 8.0, 16.0, 16.0]);
        let error = form(0.0).people(&outputs, (40, 12), 0.3).unwrap_err().to_string();
        assert!(
            error.contains("\"s8\" is 1 x 6 x 2, expected 1 x 10 x classes for 2 x 5 cells of stride 8"),
            "{error}"
        );
        let DetectorForm::DistanceMaps { scores, boxes, center_shift, person, .. } = form(0.0) else { panic!() };
        let short = DetectorForm::DistanceMaps { scores, boxes, strides: vec![8], center_shift, person };
        let error = short.people(&outputs, (20, 12), 0.3).unwrap_err().to_string();
        assert!(error.starts_with("2 score maps, 2 distance maps and 1 strides"), "{error}");
    }

    #[test]
    fn the_expected_bin_is_the_softmax_mean() {
        assert_eq!(expected_bin(&[0.0; 8]), 3.5);
        assert!((expected_bin(&[1000.0, 0.0, 1000.0]) - 1.0).abs() < 1e-6);
        let naive: f64 = {
            let e = [0.3f64, -1.0, 2.0].map(f64::exp);
            (e[1] + 2.0 * e[2]) / e.iter().sum::<f64>()
        };
        assert!((f64::from(expected_bin(&[0.3, -1.0, 2.0])) - naive).abs() < 1e-6);
    }
}
