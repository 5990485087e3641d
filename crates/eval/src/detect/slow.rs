//! The same numbers, obviously and slowly, for the tests.

use unscene_data::actors::ActorPart;
use unscene_vision::{Tube, iou};

use super::{ErrorReport, FrameDetection, TubeDetection};

/// Precision over recall, with a threshold at every score in turn: the best precision at each recall or a higher one, summed
/// over the recalls that truths make.
fn area(right: &[bool], positives: usize) -> f64 {
    let points: Vec<(f64, f64)> = (1..=right.len())
        .map(|count| {
            let hits = right[..count].iter().filter(|right| **right).count() as f64;
            (hits / positives as f64, hits / count as f64)
        })
        .collect();
    (1..=positives)
        .map(|truths| {
            let recall = truths as f64 / positives as f64;
            let reached = points.iter().filter(|point| point.0 >= recall - 1e-12);
            reached.map(|point| point.1).fold(0.0, f64::max) / positives as f64
        })
        .sum()
}

/// What became of a detection.
struct Seen {
    /// Its place among those found.
    at: usize,
    is_right: bool,
    /// What it has of the truth that it looked at; below 0 without any.
    overlap: f64,
}

/// Walks over all detections, the best first, looking at every truth each time: as VOC, or at free ones only and with more than the
/// threshold, as ROAD.
fn greedy<D, T>(
    found: &[D],
    truths: &[T],
    score: impl Fn(&D) -> f32,
    overlap: impl Fn(&D, &T) -> f64,
    threshold: f64,
    is_road: bool,
) -> Vec<Seen> {
    let mut left: Vec<usize> = (0..found.len()).collect();
    let mut taken = vec![false; truths.len()];
    let mut seen = vec![];
    while !left.is_empty() {
        let mut next = 0;
        for at in 1..left.len() {
            if score(&found[left[at]]) > score(&found[left[next]]) {
                next = at;
            }
        }
        let at = left.remove(next);
        let one = &found[at];
        let allowed: Vec<usize> = (0..truths.len()).filter(|truth| !is_road || !taken[*truth]).collect();
        let most = allowed.iter().map(|truth| overlap(one, &truths[*truth])).fold(-1.0, f64::max);
        let is_enough = if is_road { most > threshold } else { most >= threshold };
        let free = allowed.into_iter().find(|truth| !taken[*truth] && overlap(one, &truths[*truth]) == most);
        if let (true, Some(free)) = (is_enough, free) {
            taken[free] = true;
        }
        seen.push(Seen { at, is_right: is_enough && free.is_some(), overlap: most });
    }
    seen
}

fn ap(seen: &[Seen], positives: usize) -> Option<f64> {
    let right: Vec<bool> = seen.iter().map(|one| one.is_right).collect();
    (positives > 0).then(|| area(&right, positives))
}

type InFrame = (usize, usize, [f32; 4]);

fn overlap_in_frame(one: &FrameDetection, truth: &InFrame) -> f64 {
    match (one.video, one.frame) == (truth.0, truth.1) {
        true => f64::from(iou(&one.corners, &truth.2)),
        false => -2.0,
    }
}

fn truths_of(part: &ActorPart, label: usize) -> Vec<InFrame> {
    let mut truths = vec![];
    for (video, of) in part.videos.iter().enumerate() {
        for tube in of.tubes.iter().filter(|tube| tube.label == label) {
            for frame in tube.start_frame..tube.start_frame + tube.boxes.len() {
                truths.push((video, frame, tube.boxes[frame - tube.start_frame]));
            }
        }
    }
    truths
}

fn of_frames(found: &[FrameDetection], truths: &[InFrame]) -> Vec<Seen> {
    greedy(found, truths, |one| one.score, overlap_in_frame, 0.5, false)
}

fn of_label(frames: &[FrameDetection], label: usize) -> Vec<FrameDetection> {
    frames.iter().copied().filter(|one| one.label == label).collect()
}

/// Average precision of the boxes of a class at an IoU of 0.5.
pub fn frame_ap(part: &ActorPart, label: usize, frames: &[FrameDetection]) -> Option<f64> {
    let truths = truths_of(part, label);
    ap(&of_frames(&of_label(frames, label), &truths), truths.len())
}

/// Kinds of errors of the best boxes, by their definitions.
pub fn errors(part: &ActorPart, labels: usize, frames: &[FrameDetection]) -> ErrorReport {
    let mut report = ErrorReport::default();
    let all: Vec<Vec<InFrame>> = (0..labels).map(|label| truths_of(part, label)).collect();
    for (label, truths) in all.iter().enumerate() {
        let found = of_label(frames, label);
        let mut missed = truths.len();
        for Seen { at, is_right, overlap } in of_frames(&found, truths).into_iter().take(truths.len()) {
            report.boxes += 1;
            let others = (0..labels).filter(|other| *other != label).flat_map(|other| &all[other]);
            let of_others = others.map(|truth| overlap_in_frame(&found[at], truth)).fold(-2.0, f64::max);
            if is_right {
                report.right += 1;
                missed -= 1;
            } else if overlap >= 0.5 {
                report.again += 1;
            } else if of_others >= 0.5 {
                report.wrong_class += 1;
            } else if overlap as f32 >= 0.1 {
                report.wrong_place += 1;
            } else {
                report.extra += 1;
            }
        }
        report.missed += missed;
    }
    report
}

/// Share of the videos with actors whose best tube is of one of their classes.
pub fn accuracy(part: &ActorPart, tubes: &[TubeDetection]) -> f64 {
    let (mut right, mut of) = (0.0, 0.0);
    for (at, video) in part.videos.iter().enumerate().filter(|(_, video)| !video.tubes.is_empty()) {
        of += 1.0;
        let here: Vec<&TubeDetection> = tubes.iter().filter(|one| one.video == at).collect();
        let Some(best) = here.iter().map(|one| one.score).reduce(f32::max) else { continue };
        let named = here.iter().find(|one| one.score == best).unwrap().tube.label;
        if video.tubes.iter().any(|tube| tube.label == named) {
            right += 1.0;
        }
    }
    right / of
}

/// Average precision of the tubes of a class.
pub fn tube_ap(part: &ActorPart, label: usize, tubes: &[TubeDetection], threshold: f64) -> Option<f64> {
    let mut truths: Vec<(usize, &Tube)> = vec![];
    for (video, of) in part.videos.iter().enumerate() {
        truths.extend(of.tubes.iter().filter(|tube| tube.label == label).map(|tube| (video, tube)));
    }
    let found: Vec<&TubeDetection> = tubes.iter().filter(|one| one.tube.label == label).collect();
    // Frame by frame, from the first of all to the last.
    let overlap = |one: &&TubeDetection, truth: &(usize, &Tube)| {
        if one.video != truth.0 {
            return -2.0;
        }
        let (mut both, mut either, mut sum) = (0.0, 0.0, 0.0);
        for frame in 0..1000 {
            match (one.tube.at(frame), truth.1.at(frame)) {
                (Some(a), Some(b)) => {
                    both += 1.0;
                    either += 1.0;
                    sum += f64::from(iou(a, b));
                }
                (None, None) => {}
                _ => either += 1.0,
            }
        }
        if both > 0.0 { both / either * (sum / both) } else { 0.0 }
    };
    ap(&greedy(&found, &truths, |one| one.score, overlap, threshold, true), truths.len())
}
