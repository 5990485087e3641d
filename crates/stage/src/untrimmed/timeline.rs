//! When each action of a video begins and ends, and the pose at every frame.

use rand::RngExt;
use rand_pcg::Pcg64;

use crate::actions::{Action, Pose, Rest, Style, ease, pulse};
use crate::take::Format;

/// Idle time before, between and after actions, in seconds.
pub(crate) const GAP_S: (f32, f32) = (0.5, 4.0);
/// Cycles go on for as long as this, in seconds, where that is more than one.
pub(crate) const LONGEST_S: f32 = 3.2;
/// From rest into a cycle, and out of it, in seconds.
const RAMP_S: f32 = 0.3;

/// One movement of a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    /// What is done.
    pub action: Action,
    /// The frame at which it begins: the last one at rest.
    pub start: usize,
    /// The frame at which it ends: the first one at rest again.
    pub end: usize,
    /// Begun and given up halfway: nobody can say whether that is the action.
    pub is_broken_off: bool,
    /// How often it is done from `start` to `end`.
    cycles: f32,
    /// The frame of the gap before at which the figure turns, where it has to.
    turn: usize,
}

/// What happens in a video, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// In the order of time.
    pub beats: Vec<Beat>,
    /// Frames of the video.
    pub frames: usize,
    /// Frames per second.
    pub fps: u32,
    /// How the figure rests where nothing happens at all.
    rest: Rest,
}

impl Timeline {
    /// Nothing happens: the figure stands and faces us, or the side.
    pub(crate) fn idle(frames: usize, fps: u32, rng: &mut Pcg64) -> Self {
        Timeline { beats: vec![], frames, fps, rest: if rng.random_bool(0.5) { Rest::Front } else { Rest::Side } }
    }

    /// Draws durations and gaps for actions in an order that poses allow.
    pub(crate) fn new(actions: &[Action], is_broken_off: bool, format: &Format, rng: &mut Pcg64) -> Self {
        let fps = format.fps as f32;
        let mut beats: Vec<Beat> = actions.iter().map(|&action| Beat::new(action, fps, rng)).collect();
        if is_broken_off {
            let places: Vec<usize> = (0..=beats.len())
                .filter(|&place| match place {
                    0 => beats.first().is_none_or(|next| next.action.begins().is_free()),
                    _ => beats[place - 1].action.ends().is_free(),
                })
                .collect();
            // Who begins seated stands up; who is never on their feet breaks nothing off.
            if !places.is_empty() {
                let place = places[rng.random_range(0..places.len())];
                beats.insert(place, Beat::broken_off(fps, rng));
            }
        }
        let acting: usize = beats.iter().map(|beat| beat.end).sum();
        let gaps = gaps(beats.len() + 1, acting, format, rng);
        let mut now = 0;
        for (beat, gap) in beats.iter_mut().zip(&gaps) {
            beat.turn = now + (*gap as f32 * rng.random_range(0.35..0.65)) as usize;
            beat.start = now + gap;
            beat.end += beat.start;
            now = beat.end;
        }
        Timeline { beats, frames: now + gaps.last().copied().unwrap_or(0), fps: format.fps, rest: Rest::Front }
    }

    /// The length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.frames as f64 / f64::from(self.fps)
    }

    /// From when to when, in seconds.
    pub fn seconds(&self, beat: &Beat) -> (f64, f64) {
        let seconds = |frame: usize| frame as f64 / f64::from(self.fps);
        (seconds(beat.start), seconds(beat.end))
    }

    /// Movements that are whole.
    pub fn actions(&self) -> impl Iterator<Item = &Beat> {
        self.beats.iter().filter(|beat| !beat.is_broken_off)
    }

    /// The pose at a frame, before sway.
    pub(crate) fn pose(&self, frame: usize, style: &Style) -> Pose {
        let next = self.beats.partition_point(|beat| beat.end <= frame);
        let rested = next.checked_sub(1).map(|before| self.beats[before].rests_in(style));
        match (self.beats.get(next), rested) {
            (Some(beat), _) if frame >= beat.start => beat.pose(frame, self.fps as f32, style),
            (Some(beat), rested) if frame >= beat.turn || rested.is_none() => beat.action.begins().pose(style),
            (_, Some(rested)) => rested,
            (_, None) => self.rest.pose(style),
        }
    }
}

impl Beat {
    /// A movement of the length it will have, from 0 on.
    fn new(action: Action, fps: f32, rng: &mut Pcg64) -> Self {
        let (seconds, cycles) = if action.is_transition() {
            (action.period_s() / rng.random_range(0.7..1.1), 1.0)
        } else {
            let period_s = action.period_s() / rng.random_range(0.75..1.3f32);
            let most = (LONGEST_S / period_s).floor().max(1.0);
            let cycles = (rng.random_range(2..=4) as f32).min(most);
            (cycles * period_s, cycles)
        };
        Beat { action, start: 0, end: (seconds * fps).round() as usize, is_broken_off: false, cycles, turn: 0 }
    }

    /// A movement that is given up before it can be told what it was to be.
    fn broken_off(fps: f32, rng: &mut Pcg64) -> Self {
        let able: Vec<Action> = Action::ALL.into_iter().filter(|action| action.begins().is_free()).collect();
        let action = able[rng.random_range(0..able.len())];
        let seconds = rng.random_range(0.6..1.1f32);
        Beat { action, start: 0, end: (seconds * fps).round() as usize, is_broken_off: true, cycles: 0.5, turn: 0 }
    }

    /// The pose it leaves behind.
    fn rests_in(&self, style: &Style) -> Pose {
        let rest = if self.is_broken_off { self.action.begins() } else { self.action.ends() };
        rest.pose(style)
    }

    fn pose(&self, frame: usize, fps: f32, style: &Style) -> Pose {
        let length = (self.end - self.start) as f32;
        let at = (frame - self.start) as f32;
        let share = at / length;
        if self.is_broken_off && self.action.is_transition() {
            return self.action.pose(0.45 * pulse(share), style);
        }
        let pose = self.action.pose(share * self.cycles, style);
        if self.action.is_transition() {
            return pose;
        }
        let ramp = (RAMP_S * fps).min(length / 3.0);
        let most = if self.is_broken_off { 0.5 } else { 1.0 };
        self.action.begins().pose(style).towards(pose, most * ease(at.min(length - at) / ramp))
    }
}

/// Frames of idle time before, between and after movements that take `acting` frames, such that the video is as long as it
/// should be where gaps can make it so.
fn gaps(count: usize, acting: usize, format: &Format, rng: &mut Pcg64) -> Vec<usize> {
    let fps = format.fps as f32;
    let mut gaps: Vec<f32> = (0..count).map(|_| rng.random_range(GAP_S.0..GAP_S.1)).collect();
    let (idle, bounds) = (gaps.iter().sum::<f32>(), (GAP_S.0 * count as f32, GAP_S.1 * count as f32));
    let limit = |frames: usize| (frames as f32 - acting as f32) / fps;
    let target = idle.clamp(limit(format.frames.0), limit(format.frames.1)).clamp(bounds.0, bounds.1);
    for gap in &mut gaps {
        if target > idle {
            *gap += (GAP_S.1 - *gap) * (target - idle) / (bounds.1 - idle);
        } else if target < idle {
            *gap -= (*gap - GAP_S.0) * (idle - target) / (idle - bounds.0);
        }
    }
    gaps.into_iter().map(|gap| (gap * fps).round() as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Preset;
    use crate::untrimmed::Plan;

    const STYLE: Style = Style { reach: 1.0, arms: 0.2, elbows: 0.2, legs: 0.1, lean: 0.0 };

    /// The largest difference between angles of two poses.
    fn change(a: &Pose, b: &Pose) -> f32 {
        let angles = |pose: &Pose| {
            let limbs = [pose.shoulders, pose.elbows, pose.hips, pose.knees].concat();
            limbs.into_iter().chain([pose.trunk, pose.jump]).collect::<Vec<_>>()
        };
        angles(a).iter().zip(angles(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn segments_hold_every_change_of_pose_and_nothing_else() {
        for preset in [Preset::Demo, Preset::Full] {
            for video in &Plan::new(preset.untrimmed()).unwrap().videos {
                let timeline = &video.timeline;
                let mut turns = 0;
                for frame in 1..timeline.frames {
                    let (before, now) = (timeline.pose(frame - 1, &STYLE), timeline.pose(frame, &STYLE));
                    let moves = timeline.beats.iter().any(|beat| (beat.start + 1..=beat.end).contains(&frame));
                    if before.frontal != now.frontal {
                        turns += 1;
                        assert!(!moves, "{} turns at frame {frame} within an action", video.id());
                    } else if !moves {
                        assert!(change(&before, &now) < 1e-5, "{} moves at frame {frame}", video.id());
                    } else {
                        // No more than a fast arm does: nothing jumps.
                        let most = 15.0 / timeline.fps as f32;
                        assert!(change(&before, &now) < most, "{} jumps at frame {frame}", video.id());
                    }
                }
                assert!(turns <= timeline.beats.len());
                for beat in &timeline.beats {
                    let first = change(&timeline.pose(beat.start, &STYLE), &timeline.pose(beat.start + 1, &STYLE));
                    let last = change(&timeline.pose(beat.end - 1, &STYLE), &timeline.pose(beat.end, &STYLE));
                    assert!(first > 1e-4 && last > 1e-4, "{}: {beat:?} has still ends", video.id());
                }
            }
        }
    }

    #[test]
    fn actions_and_gaps_last_as_long_as_they_should() {
        let plan = Plan::new(Preset::Demo.untrimmed()).unwrap();
        for video in &plan.videos {
            let timeline = &video.timeline;
            assert!((14.8..40.2).contains(&timeline.duration_s()), "{}: {}", video.id(), timeline.duration_s());
            let mut before = 0.0;
            for beat in &timeline.beats {
                let (start, end) = timeline.seconds(beat);
                let expected = if beat.is_broken_off { 0.5..1.2 } else { 0.85..3.3 };
                assert!(expected.contains(&(end - start)), "{}: {beat:?}", video.id());
                assert!((0.45..4.05).contains(&(start - before)), "{}: {beat:?} after {before}", video.id());
                before = end;
            }
            assert!((0.45..4.05).contains(&(timeline.duration_s() - before)));
            assert!((3..=8).contains(&timeline.actions().count()));
        }
        let broken_off = plan.videos.iter().filter(|video| video.timeline.beats.iter().any(|beat| beat.is_broken_off));
        assert_eq!(broken_off.count(), 60);
    }
}
