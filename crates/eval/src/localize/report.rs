//! What is said of detections, as numbers and curves.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::evaluate::Protocol;
use super::proposals::ProposalReport;

/// Pairs of an overlap (tIoU) and a number, in the order of the overlaps; in JSON `{"0.1": ..., "0.2": ...}`.
#[derive(Debug, Clone, PartialEq)]
pub struct ByTiou(pub Vec<(f64, f64)>);

impl ByTiou {
    /// The number at an overlap.
    pub fn get(&self, tiou: f64) -> Option<f64> {
        self.0.iter().find(|at| at.0 == tiou).map(|at| at.1)
    }

    /// The mean of several at each of their overlaps, which are the same; nothing of nothing.
    pub(crate) fn mean_of(all: &[&ByTiou]) -> Option<ByTiou> {
        let mean = |place: usize| all.iter().map(|one| one.0[place].1).sum::<f64>() / all.len() as f64;
        let first = all.first()?;
        Some(ByTiou(first.0.iter().enumerate().map(|(place, &(tiou, _))| (tiou, mean(place))).collect()))
    }

    /// Over the overlaps.
    pub fn mean(&self) -> f64 {
        self.0.iter().map(|at| at.1).sum::<f64>() / self.0.len() as f64
    }
}

impl Serialize for ByTiou {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (tiou, number) in &self.0 {
            map.serialize_entry(&tiou.to_string(), number)?;
        }
        map.end()
    }
}

/// How well actions are found. Precisions are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LocalizeReport {
    /// What is right, and what counts.
    pub protocol: Protocol,
    /// What the threshold of suppression is below that of the evaluation; `None` where nothing was suppressed.
    pub nms_offset: Option<f64>,
    /// The part's name.
    pub part: String,
    /// Its videos.
    pub videos: usize,
    /// Their actions.
    pub actions: usize,
    /// Detections scored.
    pub detections: usize,
    /// Those of them that end before they begin: THUMOS14's kit turns them round, for ActivityNet's they overlap nothing.
    pub reversed: usize,
    /// Detections left out before scoring; whoever left them out says how many.
    pub skipped: usize,
    /// Mean over the classes that have actions, for each overlap.
    #[serde(rename = "mAP")]
    pub map: ByTiou,
    /// Mean over the overlaps.
    #[serde(rename = "average_mAP")]
    pub average_map: f64,
    /// In the order of the labels.
    pub classes: Vec<ClassAp>,
    /// Of proposals, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposals: Option<ProposalReport>,
}

/// How well the actions of a class are found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassAp {
    /// Its name.
    pub label: String,
    /// Its actions.
    pub positives: usize,
    /// Its detections, before anything is suppressed.
    pub detections: usize,
    /// Average precision for each overlap; `None` where it has no action.
    #[serde(rename = "AP")]
    pub ap: Option<ByTiou>,
}

/// How precise the best detections of a class are, the more of its actions they find.
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionRecall {
    /// The class.
    pub label: String,
    /// Recall and precision after each detection that is right, in the order of the scores.
    pub points: Vec<(f64, f64)>,
}

impl PrecisionRecall {
    /// Of detections in the order of their scores, right or wrong.
    pub(super) fn new(label: &str, ranked: &[bool], positives: usize) -> Self {
        let right = ranked.iter().enumerate().filter(|(_, right)| **right);
        let point = |(count, (place, _)): (usize, (usize, &bool))| {
            let right = (count + 1) as f64;
            (right / positives as f64, right / (place + 1) as f64)
        };
        PrecisionRecall { label: label.into(), points: right.enumerate().map(point).collect() }
    }

    /// The mean precision of several classes at recalls from 0 to 1, in hundredths.
    pub fn mean(curves: &[PrecisionRecall]) -> Vec<(f64, f64)> {
        let at = |recall: f64| {
            let sum: f64 = curves.iter().map(|curve| curve.precision(recall)).sum();
            (recall, sum / curves.len().max(1) as f64)
        };
        (0..=100).map(|step| at(f64::from(step) / 100.0)).collect()
    }

    /// The best precision at a recall of this or more; 0 where it is not reached.
    pub fn precision(&self, recall: f64) -> f64 {
        let reached = self.points.iter().filter(|point| point.0 >= recall);
        reached.map(|point| point.1).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_overlap() {
        let ap = ByTiou(vec![(0.5, 0.4), (0.55, 0.2)]);
        assert_eq!((ap.get(0.55), ap.get(0.6)), (Some(0.2), None));
        assert!((ap.mean() - 0.3).abs() < 1e-15);
        assert_eq!(serde_json::to_string(&ap).unwrap(), r#"{"0.5":0.4,"0.55":0.2}"#);
    }

    #[test]
    fn a_curve_has_a_point_for_each_that_is_right() {
        let curve = PrecisionRecall::new("bow", &[false, true, true, false], 4);
        assert_eq!(curve.points, [(0.25, 0.5), (0.5, 2.0 / 3.0)]);
        assert_eq!([0.0, 0.25, 0.5, 0.6].map(|recall| curve.precision(recall)), [2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 0.0]);
        let mean = PrecisionRecall::mean(&[curve, PrecisionRecall::new("wave", &[], 1)]);
        assert_eq!((mean.len(), mean[50], mean[51]), (101, (0.5, 1.0 / 3.0), (0.51, 0.0)));
    }
}
