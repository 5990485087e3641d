//! Boxes of frames linked to tubes while the frames arrive (ROAD, Singh et al. 2017, section 3.4, and its release
//! realtime-action-detection).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::boxes::iou;
use crate::detections::LabelledBox;
use crate::trimming::Trimmer;
use crate::tube::Tube;

/// How boxes become tubes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TubeRule {
    /// Boxes of a class and frame, best first, that are looked at.
    pub most_boxes: usize,
    /// Overlap (IoU) with a tube's last box from which on a box may be its next.
    pub min_iou: f32,
    /// A tube that finds no box in so many frames one after the other ends; frames that were not looked at do not
    /// count.
    pub max_missed: usize,
    /// What a change between action and background costs, in frames of which one is sure.
    pub change_cost: f64,
    /// Frames that come after one at most before it is settled what it shows.
    pub delay_frames: usize,
    /// Stretches with fewer frames are left out.
    pub min_frames: usize,
}

impl Default for TubeRule {
    /// The paper's 10 boxes, overlap of 0.1 and 5 frames; the release's cost, and its stretches, whose last frame is
    /// more than 8 after the first. The delay, of which the paper says nothing, is 4 seconds at 25 frames per second.
    fn default() -> Self {
        TubeRule { most_boxes: 10, min_iou: 0.1, max_missed: 5, change_cost: 3.0, delay_frames: 100, min_frames: 10 }
    }
}

/// A stretch in which an actor shows an action.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectedTube {
    /// Its label and boxes. Those of frames without a box of its own lie between the boxes before and after.
    pub tube: Tube,
    /// The mean of the scores of its 40 surest frames, as in the release.
    pub score: f32,
    /// The score of each box.
    pub scores: Vec<f32>,
}

/// Links boxes to tubes, class by class. Tubes choose in the order of their mean score: each takes, of the boxes that
/// are left and overlap its last one enough, the one with the highest score; boxes that are left at the end begin
/// tubes. (The release orders tubes by the mean of their few best scores.) Of a tube, the stretches are told in which
/// it shows its action: those that Viterbi finds between the class, with the score of each frame, and the background,
/// with what it lacks to 1.
///
/// A stretch is told when the frame that settles its end has come, at most `delay_frames` frames of its tube later, or
/// when its tube has ended. At most `most_boxes` x `max_missed` tubes of a class are followed, and of each the boxes are
/// held of the stretch that it shows and of up to `delay_frames` frames more, however long it lasts.
#[derive(Debug)]
pub struct TubeLinker {
    rule: TubeRule,
    /// The first frame that may come next.
    next_frame: usize,
    /// By label.
    live: BTreeMap<usize, Vec<LiveTube>>,
}

/// A tube that may go on.
#[derive(Debug)]
struct LiveTube {
    last: LabelledBox,
    last_frame: usize,
    missed: usize,
    /// Of the boxes that were found.
    score_sum: f64,
    found: usize,
    trimmer: Trimmer,
}

impl TubeLinker {
    /// Without tubes.
    pub fn new(rule: TubeRule) -> Self {
        TubeLinker { rule, next_frame: 0, live: BTreeMap::new() }
    }

    /// Takes the boxes of a frame, those of [`find_boxes`](crate::find_boxes); gives the stretches whose end is settled
    /// by it. Boxes that are not numbers are dropped.
    ///
    /// # Panics
    /// When the frame does not come after those before it.
    pub fn push(&mut self, frame: usize, boxes: &[LabelledBox]) -> Vec<DetectedTube> {
        assert!(frame >= self.next_frame, "frame {frame} after frame {}", self.next_frame - 1);
        self.next_frame = frame + 1;
        // Tubes of classes without a box miss one.
        let mut by_label: BTreeMap<usize, Vec<LabelledBox>> = self.live.keys().map(|&label| (label, vec![])).collect();
        let is_finite =
            |found: &&LabelledBox| found.score.is_finite() && found.corners.iter().all(|side| side.is_finite());
        for found in boxes.iter().filter(is_finite) {
            by_label.entry(found.label).or_default().push(*found);
        }
        let mut ended = vec![];
        for (label, mut boxes) in by_label {
            boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
            boxes.truncate(self.rule.most_boxes);
            let tubes = self.live.entry(label).or_default();
            tubes.sort_by(|a, b| b.mean_score().total_cmp(&a.mean_score()));
            tubes.retain_mut(|tube| {
                let next = |found: &LabelledBox| iou(&tube.last.corners, &found.corners) >= self.rule.min_iou;
                if let Some(at) = boxes.iter().position(next) {
                    tube.grow(frame, boxes.remove(at), &mut ended);
                    return true;
                }
                tube.missed += 1;
                let goes_on = tube.missed < self.rule.max_missed;
                if !goes_on {
                    ended.extend(tube.trimmer.finish());
                }
                goes_on
            });
            tubes.extend(boxes.into_iter().map(|found| LiveTube::new(frame, found, &self.rule, &mut ended)));
        }
        self.live.retain(|_, tubes| !tubes.is_empty());
        ended
    }

    /// After the last frame: the stretches of all tubes that have not ended.
    pub fn finish(mut self) -> Vec<DetectedTube> {
        self.live.values_mut().flatten().filter_map(|tube| tube.trimmer.finish()).collect()
    }
}

impl LiveTube {
    fn new(frame: usize, first: LabelledBox, rule: &TubeRule, ended: &mut Vec<DetectedTube>) -> Self {
        let mut trimmer = Trimmer::new(first.label, frame, rule);
        ended.extend(trimmer.push(first.corners, first.score));
        let score_sum = f64::from(first.score);
        LiveTube { last: first, last_frame: frame, missed: 0, score_sum, found: 1, trimmer }
    }

    fn mean_score(&self) -> f64 {
        self.score_sum / self.found as f64
    }

    /// Adds a box, and those of the frames since the last one, evenly between the two.
    fn grow(&mut self, frame: usize, found: LabelledBox, ended: &mut Vec<DetectedTube>) {
        let frames = frame - self.last_frame;
        for step in 1..=frames {
            let part = step as f32 / frames as f32;
            let between = |from: f32, to: f32| from * (1.0 - part) + to * part;
            let corners = std::array::from_fn(|side| between(self.last.corners[side], found.corners[side]));
            ended.extend(self.trimmer.push(corners, between(self.last.score, found.score)));
        }
        self.last = found;
        self.last_frame = frame;
        self.missed = 0;
        self.score_sum += f64::from(found.score);
        self.found += 1;
    }
}

#[cfg(test)]
mod tests;
