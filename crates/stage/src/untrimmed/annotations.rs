//! Who does what when, as THUMOS14 and as ActivityNet write it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::plan::{Plan, Video};
use super::timeline::Beat;
use super::{Part, Settings};
use crate::actions::Action;

/// Thousandths of a second, as both formats get them.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// One file in THUMOS14's format: a line for each segment of a part that is asked for.
pub(super) fn thumos(plan: &Plan, part: Part, keep: impl Fn(&Beat) -> bool) -> String {
    let mut text = String::new();
    for video in plan.part(part) {
        for beat in video.timeline.beats.iter().filter(|beat| keep(beat)) {
            let (start, end) = video.timeline.seconds(beat);
            // Two spaces, as the original has them.
            writeln!(text, "{}  {} {}", video.id(), rounded(start), rounded(end)).expect("a string can grow");
        }
    }
    text
}

/// THUMOS14's list of classes: a number from 1 and a name.
pub(super) fn class_list() -> String {
    Action::ALL.iter().enumerate().map(|(index, action)| format!("{} {}\n", index + 1, action.name())).collect()
}

/// ActivityNet's file. What was broken off has no place in it.
#[derive(Serialize)]
pub(super) struct ActivityNet {
    version: String,
    database: BTreeMap<String, Entry>,
}

#[derive(Serialize)]
struct Entry {
    subset: &'static str,
    duration: f64,
    resolution: String,
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
struct Annotation {
    segment: [f64; 2],
    label: &'static str,
}

impl ActivityNet {
    pub(super) fn new(plan: &Plan) -> Self {
        let version = format!("Stage untrimmed, seed {}, bias {}", plan.settings.seed, plan.settings.bias);
        let database = plan.videos.iter().map(|video| (video.id(), Entry::new(video, &plan.settings))).collect();
        ActivityNet { version, database }
    }
}

impl Entry {
    fn new(video: &Video, settings: &Settings) -> Self {
        let annotation = |beat: &Beat| {
            let (start, end) = video.timeline.seconds(beat);
            Annotation { segment: [rounded(start), rounded(end)], label: beat.action.name() }
        };
        Entry {
            subset: video.part.name(),
            duration: rounded(video.timeline.duration_s()),
            resolution: format!("{}x{}", settings.format.width, settings.format.height),
            annotations: video.timeline.actions().map(annotation).collect(),
        }
    }
}
