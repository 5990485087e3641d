//! Detections against the truth: grouped, ranked and counted.

use std::collections::HashMap;

use unscene_data::actors::ActorPart;
use unscene_vision::{Tube, iou};

use super::errors::{Ranked, breakdown};
use super::matching::{Match, Rule, matches, ranked};
use super::report::{ClassDetect, DetectReport};
use super::{FrameDetection, TubeDetection};
use crate::error::{EvalError, Result};
use crate::localize::{ByTiou, interpolated_precision};

/// The overlap at which a box is right.
pub const FRAME_IOU: f64 = 0.5;
/// The overlaps at which tubes are right: 0.2 alone, and 0.5 to 0.95.
const TUBE_IOUS: [f64; 11] = [0.2, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// Boxes of a class by video and frame.
pub type Boxes = HashMap<(usize, usize), Vec<[f32; 4]>>;

/// Scores boxes, and tubes where there are any, against the truth of a part.
///
/// Boxes count as in VOC's devkit (`VOCevaldet`, from 2010 on): over all frames of all videos, also those without an actor, the best
/// first, each detection looks at the truth of its class that it overlaps most; by 0.5 or more it is right, once for each truth.
/// Sides are edges, so that no pixel is added to widths and heights.
///
/// Tubes count as in ROAD's release (`get_PR_curve`, Singh et al. 2017): within a video each takes the free truth of its class that
/// it overlaps most ([`Tube::iou`]), if by more than the threshold. There tubes that share a single frame do not overlap, here
/// they do: otherwise an actor of one frame could not be found.
///
/// Precision is interpolated at every point. Classes without a truth have no average precision, and no place in the mean; classes
/// without a detection have 0. A video is named by its best tube, the first of equals, as in ROAD's release; videos of several
/// classes, which that does not have, may be named by any of them.
///
/// # Errors
/// When the part has no box, or a detection has no such video or label or a number that is not finite.
pub fn evaluate(
    part: &ActorPart,
    labels: &[String],
    frames: &[FrameDetection],
    tubes: Option<&[TubeDetection]>,
) -> Result<DetectReport> {
    check(part, labels, frames, tubes.unwrap_or_default())?;
    let mut found: Vec<Vec<FrameDetection>> = vec![vec![]; labels.len()];
    frames.iter().for_each(|one| found[one.label].push(*one));
    let truth: Vec<Boxes> = (0..labels.len()).map(|label| boxes_of(part, label)).collect();
    let ranked: Vec<Ranked> = found.into_iter().zip(&truth).map(|(found, truth)| rank(found, truth)).collect();

    let mut classes = Vec::with_capacity(labels.len());
    for (label, name) in labels.iter().enumerate() {
        let Ranked { found, matches } = &ranked[label];
        let boxes: usize = truth[label].values().map(Vec::len).sum();
        let (class_tubes, detected_tubes, video_ap) = of_tubes(part, label, tubes);
        classes.push(ClassDetect {
            label: name.clone(),
            boxes,
            detections: found.len(),
            frame_ap: (boxes > 0).then(|| average_precision(matches, boxes)),
            tubes: class_tubes,
            detected_tubes,
            video_ap,
        });
    }
    let scored: Vec<f64> = classes.iter().filter_map(|class| class.frame_ap).collect();
    if scored.is_empty() {
        let (part, videos) = (&part.name, part.videos.len());
        let problem =
            format!("the part {part:?} has no box in {videos} videos, so that there is no precision to average");
        return Err(EvalError::TooFew(problem));
    }
    let by_class: Vec<&ByTiou> = classes.iter().filter_map(|class| class.video_ap.as_ref()).collect();
    let video_map = ByTiou::mean_of(&by_class);
    let named = tubes.map(|tubes| named(part, tubes));
    let mut is_silent = vec![true; part.videos.len()];
    frames.iter().for_each(|one| is_silent[one.video] = false);
    Ok(DetectReport {
        frame_protocol: "voc",
        video_protocol: tubes.map(|_| "road"),
        part: part.name.clone(),
        videos: part.videos.len(),
        boxes: classes.iter().map(|class| class.boxes).sum(),
        tubes: classes.iter().map(|class| class.tubes).sum(),
        detections: frames.len(),
        detected_tubes: tubes.map_or(0, <[TubeDetection]>::len),
        skipped: 0,
        frame_map: scored.iter().sum::<f64>() / scored.len() as f64,
        video_map_50_95: video_map.as_ref().map(|map| ByTiou(map.0[1..].to_vec()).mean()),
        video_map,
        videos_without_box: is_silent.into_iter().filter(|silent| *silent).count(),
        accuracy: named.map(|(right, _, of)| right as f64 / of as f64),
        videos_without_tube: named.map(|(_, without, _)| without),
        errors: breakdown(&ranked, &truth),
        classes,
    })
}

fn check(part: &ActorPart, labels: &[String], frames: &[FrameDetection], tubes: &[TubeDetection]) -> Result<()> {
    let checked = |video: usize, label: usize, score: f32, corners: &[f32; 4]| {
        let id = part.videos.get(video).map(|video| video.id.as_str());
        let problem = match id {
            None => format!("a detection in the video {video}, expected one below {}", part.videos.len()),
            Some(id) if label >= labels.len() => {
                format!("{id}: found the label {label}, expected one below {}", labels.len())
            }
            Some(id) => match corners.iter().chain([&score]).find(|number| !number.is_finite()) {
                Some(found) => format!("{id}: a detection with the number {found}, expected finite sides and scores"),
                None => return Ok(()),
            },
        };
        Err(EvalError::Outputs(problem))
    };
    frames.iter().try_for_each(|one| checked(one.video, one.label, one.score, &one.corners))?;
    tubes.iter().try_for_each(|TubeDetection { video, score, tube }| {
        // A tube without a box has a label too.
        checked(*video, tube.label, *score, &[0.0; 4])?;
        tube.boxes.iter().try_for_each(|corners| checked(*video, tube.label, *score, corners))
    })
}

fn tubes_of(part: &ActorPart, label: usize) -> impl Iterator<Item = (usize, &Tube)> {
    let videos = part.videos.iter().enumerate();
    videos
        .flat_map(|(at, video)| video.tubes.iter().map(move |tube| (at, tube)))
        .filter(move |(_, tube)| tube.label == label)
}

fn boxes_of(part: &ActorPart, label: usize) -> Boxes {
    let mut boxes = Boxes::new();
    for (video, tube) in tubes_of(part, label) {
        for (at, corners) in tube.boxes.iter().enumerate() {
            boxes.entry((video, tube.start_frame + at)).or_default().push(*corners);
        }
    }
    boxes
}

fn rank(found: Vec<FrameDetection>, truth: &Boxes) -> Ranked {
    let found: Vec<FrameDetection> = ranked(&found, |one| one.score).into_iter().map(|at| found[at]).collect();
    let overlap = |one: &FrameDetection, truth: &[f32; 4]| f64::from(iou(&one.corners, truth));
    let matches = matches(Rule::Voc, truth, &found, |one| (one.video, one.frame), overlap, FRAME_IOU);
    Ranked { found, matches }
}

/// The number of tubes of a class, that of those found, and their average precision.
fn of_tubes(part: &ActorPart, label: usize, tubes: Option<&[TubeDetection]>) -> (usize, usize, Option<ByTiou>) {
    let mut truth: HashMap<usize, Vec<&Tube>> = HashMap::new();
    let mut positives = 0;
    for (video, tube) in tubes_of(part, label) {
        truth.entry(video).or_default().push(tube);
        positives += 1;
    }
    let Some(tubes) = tubes else { return (positives, 0, None) };
    let found: Vec<&TubeDetection> = tubes.iter().filter(|one| one.tube.label == label).collect();
    let found: Vec<&TubeDetection> = ranked(&found, |one| one.score).into_iter().map(|at| found[at]).collect();
    let at = |&threshold: &f64| {
        let overlap = |one: &&TubeDetection, truth: &&Tube| one.tube.iou(truth);
        let matches = matches(Rule::Road, &truth, &found, |one| one.video, overlap, threshold);
        (threshold, average_precision(&matches, positives))
    };
    let ap = (positives > 0).then(|| ByTiou(TUBE_IOUS.iter().map(at).collect()));
    (positives, found.len(), ap)
}

fn average_precision(matches: &[Match], positives: usize) -> f64 {
    let right: Vec<bool> = matches.iter().map(|one| *one == Match::Right).collect();
    interpolated_precision(&right, positives)
}

/// Of the videos with actors: those whose best tube is of one of their classes, those in which no tube was found, and all.
fn named(part: &ActorPart, tubes: &[TubeDetection]) -> (usize, usize, usize) {
    let mut best: Vec<Option<&TubeDetection>> = vec![None; part.videos.len()];
    for one in tubes {
        let known = &mut best[one.video];
        if known.is_none_or(|known| one.score > known.score) {
            *known = Some(one);
        }
    }
    let acted = part.videos.iter().zip(&best).filter(|(video, _)| !video.tubes.is_empty());
    acted.fold((0, 0, 0), |(right, without, of), (video, best)| {
        let is_right = best.is_some_and(|best| video.tubes.iter().any(|tube| tube.label == best.tube.label));
        (right + usize::from(is_right), without + usize::from(best.is_none()), of + 1)
    })
}

#[cfg(test)]
mod tests;
