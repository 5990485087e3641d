//! Detections against the truth: grouped, ranked and counted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use unscene_data::untrimmed::UntrimmedPart;

use super::report::{ByTiou, ClassAp, LocalizeReport, PrecisionRecall};
use super::segment::{Scored, SegmentDetection, Span, rank, suppress};
use super::{activitynet, thumos14};
use crate::error::{EvalError, Result};

/// The overlap at which curves of precision and recall are drawn.
const CURVE_TIOU: f64 = 0.5;

/// What is right, and what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The official THUMOS14 kit, at a tIoU of 0.1 to 0.7: each action takes the free detection that overlaps it most, by more
    /// than the threshold; at ambiguous moments nothing is wrong; precision is summed as it is.
    Thumos14,
    /// ActivityNet's evaluation, at a tIoU of 0.5 to 0.95: each detection takes the free action that it overlaps most, by the
    /// threshold or more; precision is interpolated. It knows no ambiguous moments.
    ActivityNet,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Protocol; 2] = [Protocol::Thumos14, Protocol::ActivityNet];

    /// As on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Thumos14 => "thumos14",
            Protocol::ActivityNet => "activitynet",
        }
    }

    /// The overlaps (tIoU) at which detections are right.
    pub fn thresholds(self) -> &'static [f64] {
        match self {
            Protocol::Thumos14 => &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
            Protocol::ActivityNet => &[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
        }
    }

    fn average_precision(self, ranked: &[bool], positives: usize) -> f64 {
        match self {
            Protocol::Thumos14 => thumos14::average_precision(ranked, positives),
            Protocol::ActivityNet => activitynet::average_precision(ranked, positives),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let names = || Protocol::ALL.map(Protocol::name).join(" or ");
        let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == text);
        found.ok_or_else(|| format!("found {text:?}, expected {}", names()))
    }
}

/// How detections are scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalizeOptions {
    /// What is right, and what counts.
    pub protocol: Protocol,
    /// Before detections are scored at a threshold, those of a class that overlap a better one by more than the threshold less
    /// this are left out. R-C3D's evaluation takes 0.1; `None` scores all.
    pub nms_offset: Option<f64>,
}

/// What [`evaluate`] finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The numbers.
    pub report: LocalizeReport,
    /// At a tIoU of 0.5, for each class that has actions.
    pub curves: Vec<PrecisionRecall>,
}

/// Scores detections against the truth of a part. Those of videos that the part lacks are wrong, as in the official programs;
/// what a file should not name is found while it is read ([`Known`](super::Known)).
///
/// Classes without an action have no average precision, and no place in the mean; classes without a detection have 0.
/// Where scores are equal, the order is that of the videos' names, then that of the detections.
///
/// # Errors
/// When the part has no action, or a detection has no such label or a number that is not finite.
pub fn evaluate(
    part: &UntrimmedPart,
    labels: &[String],
    detections: &[SegmentDetection],
    options: LocalizeOptions,
) -> Result<Evaluation> {
    let LocalizeOptions { protocol, nms_offset } = options;
    let classes = by_class(part, labels, detections, protocol)?;
    let thresholds = protocol.thresholds();
    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    for (class, label) in classes.iter().zip(labels) {
        let positives: usize = class.values().map(|video| video.truth.len()).sum();
        let ap = (positives > 0).then(|| {
            let at = |&tiou: &f64| {
                let ranked = ranked(class, protocol, tiou, nms_offset);
                if tiou == CURVE_TIOU {
                    curves.push(PrecisionRecall::new(label, &ranked, positives));
                }
                (tiou, protocol.average_precision(&ranked, positives))
            };
            ByTiou(thresholds.iter().map(at).collect())
        });
        let detections = class.values().map(|video| video.found.len()).sum();
        rows.push(ClassAp { label: label.clone(), positives, detections, ap });
    }
    let scored: Vec<&ByTiou> = rows.iter().filter_map(|class| class.ap.as_ref()).collect();
    let map = ByTiou::mean_of(&scored).ok_or_else(|| {
        EvalError::TooFew(format!(
            "the part {:?} has no action in {} videos, so that there is no precision to average",
            part.name,
            part.videos.len()
        ))
    })?;
    let report = LocalizeReport {
        protocol,
        nms_offset,
        part: part.name.clone(),
        videos: part.videos.len(),
        actions: rows.iter().map(|class| class.positives).sum(),
        detections: detections.len(),
        reversed: detections.iter().filter(|one| one.end_s < one.start_s).count(),
        skipped: 0,
        average_map: map.mean(),
        map,
        classes: rows,
        proposals: None,
    };
    Ok(Evaluation { report, curves })
}

/// What there is of a class in a video.
#[derive(Default)]
struct Video<'a> {
    truth: Vec<Span>,
    ambiguous: &'a [Span],
    /// In the order of the scores.
    found: Vec<Scored>,
}

/// For each label the videos by name, where it has actions or detections.
fn by_class<'a>(
    part: &'a UntrimmedPart,
    labels: &[String],
    detections: &'a [SegmentDetection],
    protocol: Protocol,
) -> Result<Vec<BTreeMap<&'a str, Video<'a>>>> {
    let span = |start_s: f64, end_s: f64| match protocol {
        Protocol::Thumos14 => thumos14::in_order((start_s, end_s)),
        Protocol::ActivityNet => (start_s, end_s),
    };
    let no_label = |label: usize, video: &str| {
        EvalError::Outputs(format!("{video}: found the label {label}, expected one below {}", labels.len()))
    };
    let mut classes: Vec<BTreeMap<&str, Video>> = labels.iter().map(|_| BTreeMap::new()).collect();
    let ambiguous: BTreeMap<&str, &[Span]> =
        part.videos.iter().map(|video| (video.id.as_str(), video.ambiguous.as_slice())).collect();
    let empty = |id: &str| Video { ambiguous: ambiguous.get(id).copied().unwrap_or_default(), ..Video::default() };
    for video in &part.videos {
        for action in &video.segments {
            let class = classes.get_mut(action.label).ok_or_else(|| no_label(action.label, &video.id))?;
            let video = class.entry(&video.id).or_insert_with_key(|id| empty(id));
            video.truth.push(span(action.start_s, action.end_s));
        }
    }
    for SegmentDetection { video, start_s, end_s, label, score } in detections {
        if let Some(found) = [start_s, end_s, score].into_iter().find(|number| !number.is_finite()) {
            let problem = format!("{video}: a detection with the number {found}, expected finite times and scores");
            return Err(EvalError::Outputs(problem));
        }
        let class = classes.get_mut(*label).ok_or_else(|| no_label(*label, video))?;
        let video = class.entry(video).or_insert_with_key(|id| empty(id));
        video.found.push(Scored { span: span(*start_s, *end_s), score: *score });
    }
    classes.iter_mut().flat_map(BTreeMap::values_mut).for_each(|video| rank(&mut video.found));
    Ok(classes)
}

/// Whether each detection of a class is right, in the order of the scores over all videos, without those that do not count.
fn ranked(class: &BTreeMap<&str, Video>, protocol: Protocol, tiou: f64, nms_offset: Option<f64>) -> Vec<bool> {
    let mut all: Vec<(f64, bool)> = Vec::new();
    for Video { truth, ambiguous, found } in class.values() {
        let kept = nms_offset.map(|offset| suppress(found, less(tiou, offset)));
        let found = kept.as_ref().unwrap_or(found);
        let matched = match protocol {
            Protocol::Thumos14 => thumos14::matches(truth, ambiguous, found, tiou),
            Protocol::ActivityNet => activitynet::matches(truth, found, tiou).into_iter().map(Some).collect(),
        };
        all.extend(found.iter().zip(matched).filter_map(|(one, right)| Some((one.score, right?))));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().map(|(_, right)| right).collect()
}

/// 0.3 less 0.1 is 0.2, and not a little less.
fn less(tiou: f64, offset: f64) -> f64 {
    (((tiou - offset) * 1e6).round() / 1e6).max(0.0)
}

#[cfg(test)]
mod tests {
    use unscene_data::untrimmed::{ActionSegment, UntrimmedVideo};

    use super::*;

    fn part(actions: &[(&str, f64, f64, usize)], ambiguous: &[(&str, f64, f64)]) -> UntrimmedPart {
        let ids: std::collections::BTreeSet<&str> =
            actions.iter().map(|one| one.0).chain(ambiguous.iter().map(|one| one.0)).collect();
        let videos = ids.into_iter().map(|id| UntrimmedVideo {
            id: id.into(),
            media: None,
            duration_s: None,
            segments: actions
                .iter()
                .filter(|one| one.0 == id)
                .map(|&(_, start_s, end_s, label)| ActionSegment { label, start_s, end_s })
                .collect(),
            ambiguous: ambiguous.iter().filter(|one| one.0 == id).map(|one| (one.1, one.2)).collect(),
        });
        UntrimmedPart { name: "test".into(), videos: videos.collect(), missing: vec![] }
    }

    fn detection(video: &str, start_s: f64, end_s: f64, label: usize, score: f64) -> SegmentDetection {
        SegmentDetection { video: video.into(), start_s, end_s, label, score }
    }

    fn options(protocol: Protocol) -> LocalizeOptions {
        LocalizeOptions { protocol, nms_offset: None }
    }

    fn labels() -> Vec<String> {
        ["bow", "wave", "jump"].map(String::from).to_vec()
    }

    #[test]
    fn classes_are_counted_and_averaged() {
        let truth = part(&[("a", 0.0, 10.0, 0), ("b", 0.0, 10.0, 0), ("a", 20.0, 30.0, 1)], &[("c", 0.0, 5.0)]);
        let found = [
            detection("a", 0.0, 5.0, 0, 0.9),
            detection("b", 30.0, 31.0, 0, 0.8),
            detection("c", 4.0, 9.0, 0, 0.95),
            detection("z", 0.0, 10.0, 0, 0.99),
            detection("a", 0.0, 1.0, 2, 0.5),
        ];
        let ap = |protocol, tiou| {
            let report = evaluate(&truth, &labels(), &found, options(protocol)).unwrap().report;
            assert_eq!((report.videos, report.actions, report.detections), (3, 3, 5));
            let counts: Vec<_> = report.classes.iter().map(|class| (class.positives, class.detections)).collect();
            assert_eq!(counts, [(2, 4), (1, 0), (0, 1)]);
            assert_eq!((&report.classes[2].ap, report.classes[1].ap.as_ref().unwrap().mean()), (&None, 0.0));
            let own = report.classes[0].ap.as_ref().unwrap().get(tiou).unwrap();
            assert_eq!(report.map.get(tiou), Some(own / 2.0));
            assert!((report.average_map - report.map.mean()).abs() < 1e-15);
            own
        };
        // z is not of the part and wrong; c touches what is ambiguous; a overlaps by exactly a half.
        assert_eq!(ap(Protocol::Thumos14, 0.4), 0.25);
        assert_eq!(ap(Protocol::Thumos14, 0.5), 0.0);
        assert_eq!(ap(Protocol::ActivityNet, 0.5), 1.0 / 6.0);
        assert_eq!(ap(Protocol::ActivityNet, 0.55), 0.0);
    }

    #[test]
    fn reversed_ones_are_turned_round_or_wrong() {
        let truth = part(&[("a", 0.0, 10.0, 0)], &[]);
        let reversed = [detection("a", 10.0, 0.0, 0, 0.9)];
        let of = |protocol| evaluate(&truth, &labels(), &reversed, options(protocol)).unwrap().report;
        assert_eq!((of(Protocol::Thumos14).average_map, of(Protocol::Thumos14).reversed), (1.0, 1));
        assert_eq!((of(Protocol::ActivityNet).average_map, of(Protocol::ActivityNet).reversed), (0.0, 1));
    }

    #[test]
    fn suppression_follows_the_threshold() {
        let truth = part(&[("a", 0.0, 10.0, 0)], &[]);
        // The better of the two overlaps the other by a third, and the truth by 0.2.
        let found = [detection("a", 0.0, 2.0, 0, 0.9), detection("a", 0.0, 6.0, 0, 0.8)];
        let of = |nms_offset| {
            let options = LocalizeOptions { protocol: Protocol::Thumos14, nms_offset };
            evaluate(&truth, &labels(), &found, options).unwrap().report.map.0.iter().map(|at| at.1).collect::<Vec<_>>()
        };
        assert_eq!(of(None), [0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]);
        // Suppressed at 0.0, 0.1, 0.2, 0.3; a third is more than 0.3.
        assert_eq!(of(Some(0.1)), [1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0]);
        assert_eq!((less(0.3, 0.1), less(0.1, 0.1), less(0.1, 0.4)), (0.2, 0.0, 0.0));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let truth = part(&[("a", 0.0, 10.0, 0)], &[]);
        let error = |truth: &UntrimmedPart, found: SegmentDetection| {
            evaluate(truth, &labels(), &[found], options(Protocol::Thumos14)).unwrap_err().to_string()
        };
        let fine = || detection("a", 0.0, 1.0, 0, 0.5);
        assert!(error(&truth, detection("a", 0.0, 1.0, 3, 0.5)).contains("a: found the label 3, expected one below 3"));
        assert!(error(&truth, detection("a", 0.0, 1.0, 0, f64::NAN)).contains("a: a detection with the number NaN"));
        assert!(error(&part(&[], &[("a", 0.0, 1.0)]), fine()).contains("\"test\" has no action in 1 videos"));
        assert!(error(&part(&[("a", 0.0, 1.0, 7)], &[]), fine()).contains("found the label 7"));
    }

    #[test]
    fn protocols_are_named() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.name());
        }
        assert!("thumos".parse::<Protocol>().unwrap_err().contains("expected thumos14 or activitynet"));
    }
}
