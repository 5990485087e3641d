//! Several splits of a dataset, such as the three of JHMDB, as one.

use super::errors::ErrorReport;
use super::report::{ClassDetect, DetectReport};
use crate::bias::mean;
use crate::error::{EvalError, Result};
use crate::localize::ByTiou;

/// The means of what was measured on each split by itself. A class has the mean over the splits that have its actors. Counts are
/// sums: a video that is in two splits counts twice.
///
/// # Errors
/// Without a split, when splits differ in their labels, or when tubes were found in some only.
pub fn mean_over_splits(splits: &[DetectReport]) -> Result<DetectReport> {
    let first = splits.first().ok_or_else(|| EvalError::TooFew("the mean over splits needs one of them".into()))?;
    let labels = |one: &DetectReport| one.classes.iter().map(|class| class.label.clone()).collect::<Vec<_>>();
    for (at, one) in splits.iter().enumerate() {
        let problem = if labels(one) != labels(first) {
            format!("it has the labels {}, the first has {}", labels(one).join(", "), labels(first).join(", "))
        } else if one.video_map.is_some() != first.video_map.is_some() {
            let has = |one: &DetectReport| if one.video_map.is_some() { "tubes" } else { "no tubes" };
            format!("it has {}, the first has {}", has(one), has(first))
        } else {
            continue;
        };
        let number = at + 1;
        return Err(EvalError::Outputs(format!("split {number} of {}: {problem}; expected the same", splits.len())));
    }
    let sum = |count: fn(&DetectReport) -> usize| splits.iter().map(count).sum();
    let sums = |count: fn(&DetectReport) -> Option<usize>| splits.iter().map(count).sum();
    let of = |value: fn(&DetectReport) -> Option<f64>| over(splits.iter().map(value));
    let class = |place: usize| {
        let all = || splits.iter().map(move |split| &split.classes[place]);
        ClassDetect {
            label: first.classes[place].label.clone(),
            boxes: all().map(|class| class.boxes).sum(),
            detections: all().map(|class| class.detections).sum(),
            frame_ap: over(all().map(|class| class.frame_ap)),
            tubes: all().map(|class| class.tubes).sum(),
            detected_tubes: all().map(|class| class.detected_tubes).sum(),
            video_ap: ByTiou::mean_of(&all().filter_map(|class| class.video_ap.as_ref()).collect::<Vec<_>>()),
        }
    };
    Ok(DetectReport {
        frame_protocol: first.frame_protocol,
        video_protocol: first.video_protocol,
        part: first.part.clone(),
        videos: sum(|one| one.videos),
        boxes: sum(|one| one.boxes),
        tubes: sum(|one| one.tubes),
        detections: sum(|one| one.detections),
        detected_tubes: sum(|one| one.detected_tubes),
        skipped: sum(|one| one.skipped),
        frame_map: mean(&splits.iter().map(|one| one.frame_map).collect::<Vec<_>>()),
        video_map: ByTiou::mean_of(&splits.iter().filter_map(|one| one.video_map.as_ref()).collect::<Vec<_>>()),
        video_map_50_95: of(|one| one.video_map_50_95),
        videos_without_box: sum(|one| one.videos_without_box),
        accuracy: of(|one| one.accuracy),
        videos_without_tube: sums(|one| one.videos_without_tube),
        errors: ErrorReport::sum(splits.iter().map(|one| one.errors)),
        classes: (0..first.classes.len()).map(class).collect(),
    })
}

/// The mean of those that are there.
fn over(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let there: Vec<f64> = values.flatten().collect();
    (!there.is_empty()).then(|| mean(&there))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A split of two classes; the second may have no actor.
    fn split(frame_aps: [Option<f64>; 2], video: Option<[f64; 2]>, accuracy: f64) -> DetectReport {
        let by_tiou = |[low, high]: [f64; 2]| ByTiou(vec![(0.2, low), (0.5, high)]);
        let class = |(label, ap): (&str, Option<f64>)| ClassDetect {
            label: label.into(),
            boxes: 2 * usize::from(ap.is_some()),
            detections: 5,
            frame_ap: ap,
            tubes: usize::from(ap.is_some()),
            detected_tubes: 3,
            video_ap: video.filter(|_| ap.is_some()).map(by_tiou),
        };
        let there: Vec<f64> = frame_aps.into_iter().flatten().collect();
        DetectReport {
            frame_protocol: "voc",
            video_protocol: video.map(|_| "road"),
            part: "test".into(),
            videos: 4,
            boxes: 2 * there.len(),
            tubes: there.len(),
            detections: 10,
            detected_tubes: 6,
            skipped: 1,
            frame_map: mean(&there),
            video_map: video.map(by_tiou),
            video_map_50_95: video.map(|[_, high]| high),
            videos_without_box: 1,
            accuracy: video.map(|_| accuracy),
            videos_without_tube: video.map(|_| 2),
            errors: ErrorReport { boxes: 2, right: 1, extra: 1, missed: 3, ..ErrorReport::default() },
            classes: [("bow", frame_aps[0]), ("wave", frame_aps[1])].map(class).to_vec(),
        }
    }

    #[test]
    fn figures_are_averaged_and_counts_summed() {
        let splits =
            [split([Some(0.5), Some(0.75)], Some([0.5, 0.25]), 1.0), split([Some(1.0), None], Some([1.0, 0.5]), 0.5)];
        let mean = mean_over_splits(&splits).unwrap();
        // The mean of 0.625 and 1.0: not that of the classes' means.
        assert_eq!(mean.frame_map, 0.8125);
        let aps: Vec<_> = mean.classes.iter().map(|class| class.frame_ap).collect();
        assert_eq!(aps, [Some(0.75), Some(0.75)]);
        assert_eq!(mean.video_map, Some(ByTiou(vec![(0.2, 0.75), (0.5, 0.375)])));
        assert_eq!(mean.classes[1].video_ap, Some(ByTiou(vec![(0.2, 0.5), (0.5, 0.25)])));
        assert_eq!((mean.accuracy, mean.video_map_50_95, mean.videos_without_tube), (Some(0.75), Some(0.375), Some(4)));
        assert_eq!((mean.videos, mean.boxes, mean.tubes, mean.detections), (8, 6, 3, 20));
        assert_eq!((mean.detected_tubes, mean.skipped, mean.videos_without_box), (12, 2, 2));
        assert_eq!((mean.classes[0].boxes, mean.classes[1].boxes, mean.classes[1].detections), (4, 2, 10));
        let expected = ErrorReport { boxes: 4, right: 2, extra: 2, missed: 6, ..ErrorReport::default() };
        assert_eq!(mean.errors, expected);
        // One split is its own mean.
        assert_eq!(mean_over_splits(&splits[..1]).unwrap(), splits[0]);
    }

    #[test]
    fn classes_without_actors_and_splits_without_tubes_stay_without() {
        let mean =
            mean_over_splits(&[split([Some(0.5), None], None, 0.0), split([Some(1.0), None], None, 0.0)]).unwrap();
        assert_eq!((mean.classes[1].frame_ap, &mean.classes[0].video_ap), (None, &None));
        assert_eq!((mean.accuracy, mean.videos_without_tube, mean.video_protocol), (None, None, None));
    }

    #[test]
    fn what_has_no_mean_is_named() {
        let one = split([Some(0.5), None], Some([0.5, 0.5]), 1.0);
        let error = mean_over_splits(&[one.clone(), split([Some(0.5), None], None, 1.0)]).unwrap_err().to_string();
        assert_eq!(error, "split 2 of 2: it has no tubes, the first has tubes; expected the same");
        let mut other = one.clone();
        other.classes[1].label = "jump".into();
        let error = mean_over_splits(&[one, other]).unwrap_err().to_string();
        assert_eq!(error, "split 2 of 2: it has the labels bow, jump, the first has bow, wave; expected the same");
        assert!(mean_over_splits(&[]).unwrap_err().to_string().contains("needs one"));
    }
}
