//! The actions: a pose for every moment.
//!
//! Angles are radians in the plane of the picture. A limb's angle is 0 when it hangs down and grows towards the side the
//! figure faces; the trunk's is 0 when it stands upright and grows forwards.

use std::f32::consts::{PI, TAU};

use crate::scenes::Scene;

/// What a figure can do. Actions are learned from motion: the first two pairs are the same poses in the other order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Both arms go up at the sides.
    RaiseArms,
    /// The reverse of [`Action::RaiseArms`].
    LowerArms,
    /// From standing to sitting.
    SitDown,
    /// The reverse of [`Action::SitDown`].
    StandUp,
    /// One raised hand goes to and fro.
    Wave,
    /// Arms and legs open and close together.
    JumpingJack,
    /// One leg swings forwards and back.
    Kick,
    /// The fists go forwards in turn.
    Punch,
    /// On the spot, knees high.
    March,
    /// The trunk bends forwards and comes back.
    Bow,
}

impl Action {
    /// All of them, in the order of class indices.
    pub const ALL: [Action; 10] = [
        Action::RaiseArms,
        Action::LowerArms,
        Action::SitDown,
        Action::StandUp,
        Action::Wave,
        Action::JumpingJack,
        Action::Kick,
        Action::Punch,
        Action::March,
        Action::Bow,
    ];

    /// The class name.
    pub fn name(self) -> &'static str {
        match self {
            Action::RaiseArms => "raise_arms",
            Action::LowerArms => "lower_arms",
            Action::SitDown => "sit_down",
            Action::StandUp => "stand_up",
            Action::Wave => "wave",
            Action::JumpingJack => "jumping_jack",
            Action::Kick => "kick",
            Action::Punch => "punch",
            Action::March => "march",
            Action::Bow => "bow",
        }
    }

    /// Where it mostly happens in biased training.
    pub fn own_scene(self) -> Scene {
        Scene::OWN[self as usize]
    }

    /// Seconds that one transition or one cycle takes at speed 1.
    pub(crate) fn period_s(self) -> f32 {
        match self {
            Action::RaiseArms | Action::LowerArms | Action::SitDown | Action::StandUp => 1.0,
            Action::Wave | Action::Punch => 0.8,
            Action::JumpingJack | Action::March => 1.0,
            Action::Kick => 1.2,
            Action::Bow => 1.6,
        }
    }

    /// True for those that happen once and leave the figure in another pose.
    pub(crate) fn is_transition(self) -> bool {
        matches!(self, Action::RaiseArms | Action::LowerArms | Action::SitDown | Action::StandUp)
    }

    /// The action that is this one backwards: one follows the other.
    pub fn reverse(self) -> Option<Action> {
        match self {
            Action::RaiseArms => Some(Action::LowerArms),
            Action::LowerArms => Some(Action::RaiseArms),
            Action::SitDown => Some(Action::StandUp),
            Action::StandUp => Some(Action::SitDown),
            _ => None,
        }
    }

    /// How the figure rests before it.
    pub(crate) fn begins(self) -> Rest {
        match self {
            Action::RaiseArms | Action::Wave | Action::JumpingJack => Rest::Front,
            Action::SitDown | Action::Kick | Action::Punch | Action::March | Action::Bow => Rest::Side,
            Action::LowerArms => Rest::ArmsUp,
            Action::StandUp => Rest::Seated,
        }
    }

    /// How the figure rests after it.
    pub(crate) fn ends(self) -> Rest {
        self.reverse().map_or(self.begins(), Action::begins)
    }

    /// The pose at a phase: 0 is the start, 1 the end of the transition or of one cycle. Transitions hold their first
    /// pose before 0 and their last after 1; cycles go on.
    pub(crate) fn pose(self, phase: f32, style: &Style) -> Pose {
        match self {
            Action::RaiseArms => raised_arms(ease(phase), style),
            Action::LowerArms => raised_arms(1.0 - ease(phase), style),
            Action::SitDown => seated(ease(phase), style),
            Action::StandUp => seated(1.0 - ease(phase), style),
            Action::Wave => wave(phase, style),
            Action::JumpingJack => jumping_jack(phase, style),
            Action::Kick => kick(phase, style),
            Action::Punch => punch(phase, style),
            Action::March => march(phase, style),
            Action::Bow => bow(phase, style),
        }
    }
}

/// How a figure carries itself: the same action never looks quite the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Factor on how far movements go, around 1.
    pub reach: f32,
    /// Resting angle of the arms.
    pub arms: f32,
    /// Resting bend of the elbows.
    pub elbows: f32,
    /// Resting angle between the legs.
    pub legs: f32,
    /// Resting lean of the trunk.
    pub lean: f32,
}

/// Joint angles. Index 0 is the limb that is drawn behind the trunk, 1 the one in front of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pose {
    /// Seen from the front (limbs to both sides) rather than from the side.
    pub frontal: bool,
    /// Height of the feet above the ground, in body heights.
    pub jump: f32,
    /// The trunk's lean.
    pub trunk: f32,
    /// Upper arms.
    pub shoulders: [f32; 2],
    /// Forearms, relative to the upper arms.
    pub elbows: [f32; 2],
    /// Thighs.
    pub hips: [f32; 2],
    /// Shins, relative to the thighs.
    pub knees: [f32; 2],
}

impl Pose {
    /// On the way to another pose: at 0 this one, at 1 the other, and seen from where the other is.
    pub(crate) fn towards(self, other: Pose, share: f32) -> Pose {
        let mix = |from: f32, to: f32| from + (to - from) * share;
        let both = |from: [f32; 2], to: [f32; 2]| [mix(from[0], to[0]), mix(from[1], to[1])];
        Pose {
            frontal: other.frontal,
            jump: mix(self.jump, other.jump),
            trunk: mix(self.trunk, other.trunk),
            shoulders: both(self.shoulders, other.shoulders),
            elbows: both(self.elbows, other.elbows),
            hips: both(self.hips, other.hips),
            knees: both(self.knees, other.knees),
        }
    }
}

/// What a figure does while it does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Stands and faces us.
    Front,
    /// Stands, seen from the side.
    Side,
    /// Faces us with both arms up.
    ArmsUp,
    /// Sits, seen from the side.
    Seated,
}

impl Rest {
    /// The pose.
    pub(crate) fn pose(self, style: &Style) -> Pose {
        match self {
            Rest::Front => front(style),
            // With straight knees, as whoever is about to sit down.
            Rest::Side => seated(0.0, style),
            Rest::ArmsUp => raised_arms(1.0, style),
            Rest::Seated => seated(1.0, style),
        }
    }

    /// True for a figure on its feet with free hands, which can begin most actions.
    pub(crate) fn is_free(self) -> bool {
        matches!(self, Rest::Front | Rest::Side)
    }
}

/// Smooth from 0 to 1, still at both ends.
pub(crate) fn ease(phase: f32) -> f32 {
    let x = phase.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// From 0 to 1 and back in every cycle.
pub(crate) fn pulse(phase: f32) -> f32 {
    0.5 - 0.5 * (phase * TAU).cos()
}

fn front(style: &Style) -> Pose {
    Pose {
        frontal: true,
        shoulders: [-style.arms, style.arms],
        elbows: [style.elbows * 0.3, -style.elbows * 0.3],
        hips: [-style.legs, style.legs],
        ..Pose::default()
    }
}

fn side(style: &Style) -> Pose {
    Pose {
        trunk: style.lean,
        shoulders: [style.arms * 0.5, -style.arms * 0.5],
        elbows: [style.elbows, style.elbows],
        hips: [style.legs, -style.legs],
        knees: [-0.5 * style.legs, -0.5 * style.legs],
        ..Pose::default()
    }
}

fn raised_arms(up: f32, style: &Style) -> Pose {
    let mut pose = front(style);
    let angle = style.arms + up * (0.9 * PI * style.reach.min(1.05) - style.arms);
    pose.shoulders = [-angle, angle];
    pose
}

fn seated(down: f32, style: &Style) -> Pose {
    let mut pose = side(style);
    let bend = down * 1.45 * style.reach.min(1.05);
    pose.hips = [pose.hips[0] * (1.0 - down) + bend, pose.hips[1] * (1.0 - down) + bend * 0.96];
    pose.knees = [-bend, -bend * 0.96];
    // The weight goes forwards on the way.
    pose.trunk += 0.55 * pulse(down) + 0.08 * down;
    pose.shoulders = [pose.shoulders[0] + 0.7 * down, pose.shoulders[1] + 0.7 * down];
    pose
}

fn wave(phase: f32, style: &Style) -> Pose {
    let mut pose = front(style);
    pose.shoulders[1] = 0.72 * PI;
    pose.elbows[1] = 0.25 * PI + 0.75 * style.reach * (phase * TAU).sin();
    pose
}

fn jumping_jack(phase: f32, style: &Style) -> Pose {
    let mut pose = front(style);
    let open = pulse(phase);
    let arm = style.arms + open * (0.85 * PI - style.arms);
    let leg = style.legs + open * 0.5 * style.reach;
    pose.shoulders = [-arm, arm];
    pose.hips = [-leg, leg];
    pose.jump = 0.06 * pulse(2.0 * phase);
    pose
}

fn kick(phase: f32, style: &Style) -> Pose {
    let mut pose = side(style);
    let swing = (phase * TAU).sin();
    let forward = swing.max(0.0);
    let back = (-swing).max(0.0);
    pose.hips = [-0.05, 1.5 * style.reach * forward - 0.5 * back];
    pose.knees = [-0.05, -0.9 * back];
    pose.trunk -= 0.25 * forward;
    pose.shoulders = [0.8 * forward - 0.2, -0.6 * forward - 0.1];
    pose
}

fn punch(phase: f32, style: &Style) -> Pose {
    let mut pose = side(style);
    let out = [pulse(phase), pulse(phase + 0.5)];
    // From a fist at the chin to a straight arm at the height of the shoulder.
    pose.shoulders = out.map(|out| 0.5 + out * 1.05 * style.reach.min(1.1));
    pose.elbows = out.map(|out| 2.0 * (1.0 - out));
    pose.hips = [0.25 + style.legs * 0.5, -0.3 - style.legs * 0.5];
    pose.knees = [-0.25, -0.15];
    pose.trunk += 0.08 + 0.06 * (phase * TAU * 2.0).cos();
    pose
}

fn march(phase: f32, style: &Style) -> Pose {
    let mut pose = side(style);
    let swing = (phase * TAU).sin();
    let lift = [swing.max(0.0), (-swing).max(0.0)];
    pose.hips = lift.map(|lift| 1.25 * style.reach * lift);
    pose.knees = lift.map(|lift| -1.4 * lift);
    pose.shoulders = [-0.7 * swing, 0.7 * swing];
    pose.elbows = [0.4 + style.elbows; 2];
    pose
}

fn bow(phase: f32, style: &Style) -> Pose {
    let mut pose = side(style);
    let down = pulse(phase);
    pose.trunk += 1.35 * style.reach.min(1.1) * down;
    pose.hips = [-0.08 * down, -0.12 * down];
    pose.knees = [-0.06 * down; 2];
    pose.shoulders = [style.arms * 0.5 + 0.3 * down, style.arms * 0.3 + 0.2 * down];
    pose
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { reach: 1.0, arms: 0.2, elbows: 0.2, legs: 0.1, lean: 0.0 };

    fn angles(pose: Pose) -> Vec<f32> {
        [pose.shoulders, pose.elbows, pose.hips, pose.knees]
            .concat()
            .into_iter()
            .chain([pose.trunk, pose.jump])
            .collect()
    }

    #[test]
    fn reversed_pairs_are_the_same_poses_in_the_other_order() {
        for (forth, back) in [(Action::RaiseArms, Action::LowerArms), (Action::SitDown, Action::StandUp)] {
            for step in -3..14 {
                let phase = step as f32 / 10.0;
                let (a, b) = (angles(forth.pose(phase, &STYLE)), angles(back.pose(1.0 - phase, &STYLE)));
                for (a, b) in a.iter().zip(&b) {
                    assert!((a - b).abs() < 1e-5, "{forth:?} at {phase}: {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn actions_begin_and_end_as_they_rest() {
        for action in Action::ALL.into_iter().filter(|action| action.is_transition()) {
            for (phase, rest) in [(0.0, action.begins()), (1.0, action.ends())] {
                let (a, b) = (action.pose(phase, &STYLE), rest.pose(&STYLE));
                assert_eq!(a.frontal, b.frontal, "{action:?}");
                assert!(angles(a).iter().zip(angles(b)).all(|(a, b)| (a - b).abs() < 1e-5), "{action:?} at {phase}");
            }
        }
        for action in Action::ALL.into_iter().filter(|action| !action.is_transition()) {
            assert!(action.begins().is_free() && action.begins() == action.ends());
            assert_eq!(action.pose(0.4, &STYLE).frontal, action.begins() == Rest::Front, "{action:?}");
        }
    }

    #[test]
    fn cycles_close_and_move() {
        for action in Action::ALL.into_iter().filter(|action| !action.is_transition()) {
            let (a, b) = (angles(action.pose(0.3, &STYLE)), angles(action.pose(1.3, &STYLE)));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{action:?} does not close");
            let c = angles(action.pose(0.8, &STYLE));
            assert!(a.iter().zip(&c).any(|(a, c)| (a - c).abs() > 0.2), "{action:?} does not move");
        }
    }
}
