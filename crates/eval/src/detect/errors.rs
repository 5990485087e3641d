//! What is wrong with wrong boxes.

use serde::Serialize;
use unscene_vision::iou;

use super::FrameDetection;
use super::evaluate::{Boxes, FRAME_IOU};
use super::matching::Match;

/// Overlap below which a box has nothing to do with an actor, as in Hoiem et al. 2012.
const TOUCHES: f32 = 0.1;

/// The detections of a class, the best first, and what became of each.
pub struct Ranked {
    pub found: Vec<FrameDetection>,
    pub matches: Vec<Match>,
}

/// What the best boxes are, after Hoiem et al., *Diagnosing Error in Object Detectors*, 2012: of each class as many as it has
/// truths, so that a perfect detector has only right ones and no threshold of the scores has to be chosen, which would mean
/// something else for every model. Each box counts once, in the first line that fits; all lines but the last add up to `boxes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ErrorReport {
    /// Boxes looked at; fewer than there are actors where fewer were found.
    pub boxes: usize,
    /// Overlaps the actor of its class that it overlaps most by 0.5 or more, and is the first to do so.
    pub right: usize,
    /// Overlaps that actor by 0.5 or more too, who was found before.
    pub again: usize,
    /// Overlaps an actor of another class by 0.5 or more.
    pub wrong_class: usize,
    /// Overlaps an actor of its class by 0.1 or more.
    pub wrong_place: usize,
    /// None of these: something else, or an actor of another class of whom it has little.
    pub extra: usize,
    /// Actors, one in each of their frames, whom none of these boxes is right about.
    pub missed: usize,
}

impl ErrorReport {
    /// The counts of several together.
    pub(super) fn sum(all: impl Iterator<Item = ErrorReport>) -> ErrorReport {
        all.fold(ErrorReport::default(), |sum, one| ErrorReport {
            boxes: sum.boxes + one.boxes,
            right: sum.right + one.right,
            again: sum.again + one.again,
            wrong_class: sum.wrong_class + one.wrong_class,
            wrong_place: sum.wrong_place + one.wrong_place,
            extra: sum.extra + one.extra,
            missed: sum.missed + one.missed,
        })
    }
}

/// Counts the best detections of every class.
pub fn breakdown(classes: &[Ranked], truth: &[Boxes]) -> ErrorReport {
    let of_class = |(label, Ranked { found, matches }): (usize, &Ranked)| {
        let positives: usize = truth[label].values().map(Vec::len).sum();
        let mut report = ErrorReport::default();
        for (one, matched) in found.iter().zip(matches).take(positives) {
            let most = |label: usize| {
                let there = truth[label].get(&(one.video, one.frame)).into_iter().flatten();
                there.map(|truth| iou(&one.corners, truth)).fold(0.0, f32::max)
            };
            let mut others = (0..truth.len()).filter(|other| *other != label);
            let count = match matched {
                Match::Right => &mut report.right,
                Match::Again => &mut report.again,
                Match::Wrong if others.any(|other| f64::from(most(other)) >= FRAME_IOU) => &mut report.wrong_class,
                Match::Wrong if most(label) >= TOUCHES => &mut report.wrong_place,
                Match::Wrong => &mut report.extra,
            };
            *count += 1;
            report.boxes += 1;
        }
        ErrorReport { missed: positives - report.right, ..report }
    };
    ErrorReport::sum(classes.iter().enumerate().map(of_class))
}
