//! A small untrimmed set on disk, and that its annotations are what its pixels show.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;
use unscene_media::{DecodeOptions, Decoder, Source};
use unscene_stage::untrimmed::{Part, Plan, Settings, Shot, write};
use unscene_stage::{Format, Preset, StageError};

fn plan(seed: u64) -> Plan {
    Plan::new(Settings { seed, ..Preset::Tiny.untrimmed() }).unwrap()
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Start, end and class of every segment of every video, in the order of time.
type Segments = BTreeMap<String, Vec<(f64, f64, String)>>;

/// Segments of one kind of file, `Ambiguous` or all classes of the list.
fn thumos(folder: &Path, part: &str, ambiguous: bool) -> Segments {
    let list = std::fs::read_to_string(folder.join("detclasslist.txt")).unwrap();
    let mut classes: Vec<&str> = list.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(classes.len(), 10);
    if ambiguous {
        classes = vec!["Ambiguous"];
    }
    let mut segments = Segments::new();
    for class in classes {
        for line in std::fs::read_to_string(folder.join(format!("{class}_{part}.txt"))).unwrap().lines() {
            let [id, start, end] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
            let segment = (start.parse().unwrap(), end.parse().unwrap(), class.to_string());
            segments.entry(id.to_string()).or_default().push(segment);
        }
    }
    segments.values_mut().for_each(|segments| segments.sort_by(|a, b| a.0.total_cmp(&b.0)));
    segments
}

#[test]
fn both_formats_say_the_same_of_videos_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let report = write(&plan(3), &out, &go_on).unwrap();
    let json: Value = serde_json::from_slice(&std::fs::read(out.join("activitynet.json")).unwrap()).unwrap();
    let database = json["database"].as_object().unwrap();
    assert_eq!(database.len(), 10);
    let mut actions = 0;
    for (part, report) in Part::ALL.into_iter().zip(&report.parts) {
        let lists = out.join("annotations_thumos");
        let segments = thumos(&lists, part.name(), false);
        assert!(thumos(&lists, part.name(), true).values().map(Vec::len).sum::<usize>() == report.ambiguous);
        assert!(report.ambiguous > 0, "no {} video has an ambiguous segment", part.name());
        assert_eq!(segments.len(), report.videos);
        for (id, segments) in segments {
            let entry = &database[&id];
            assert_eq!(entry["subset"], part.name());
            assert_eq!(entry["resolution"], "64x48");
            let listed: Vec<(f64, f64, String)> = entry["annotations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| {
                    let seconds = |index: usize| a["segment"][index].as_f64().unwrap();
                    (seconds(0), seconds(1), a["label"].as_str().unwrap().to_string())
                })
                .collect();
            assert_eq!(segments, listed, "{id}");
            actions += listed.len();

            let path = out.join("videos").join(part.name()).join(format!("{id}.mp4"));
            let mut decoder = Decoder::open(&Source::Path(path), &DecodeOptions::default()).unwrap();
            let mut rgb = vec![0; decoder.frame_bytes()];
            let mut frames = 0;
            while decoder.next_frame(&mut rgb).unwrap().is_some() {
                frames += 1;
            }
            let duration_s = entry["duration"].as_f64().unwrap();
            assert!((f64::from(frames) / 12.0 - duration_s).abs() < 1e-3, "{id}: {frames} frames, {duration_s} s");
            assert!(listed.iter().all(|(start, end, _)| 0.0 < *start && start < end && *end < duration_s), "{id}");
        }
    }
    assert_eq!(actions, report.parts.iter().map(|part| part.actions).sum::<usize>());
    assert!(out.join("stage.json").is_file() && out.join("contact_sheet.png").is_file());
    let error = write(&plan(3), &out, &go_on).unwrap_err().to_string();
    assert!(error.contains("holds a finished set already"), "{error}");
}

#[test]
fn a_set_that_was_stopped_goes_on_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, out] = ["whole", "stopped"].map(|name| folder.path().join(name));
    write(&plan(2), &whole, &go_on).unwrap();
    let stop = |done: usize| if done >= 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let Err(StageError::Interrupted { done, of: 10 }) = write(&plan(2), &out, &stop) else { panic!("not stopped") };
    assert!(!out.join("activitynet.json").exists() && !out.join("stage.json").exists());
    let error = write(&plan(9), &out, &go_on).unwrap_err().to_string();
    assert!(error.contains("unfinished set of other settings"), "{error}");
    let report = write(&plan(2), &out, &go_on).unwrap();
    assert!((done..=10).contains(&report.kept), "{} kept of {done}", report.kept);
    let names = |folder: &Path| -> BTreeSet<_> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    for below in ["", "annotations_thumos", "videos/train", "videos/swapped"] {
        let (a, b) = (whole.join(below), out.join(below));
        assert_eq!(names(&a), names(&b), "in {below:?}");
        for name in names(&a) {
            // x264 now and then spends a few bytes more or less on the same pixels.
            let is_same = a.join(&name).is_dir()
                || below.starts_with("videos")
                || std::fs::read(a.join(&name)).unwrap() == std::fs::read(b.join(&name)).unwrap();
            assert!(is_same, "{below}/{name:?} differs");
        }
    }
}

/// Differences between pixels of one frame and the next, on average.
fn energies(plan: &Plan, index: usize) -> Vec<f64> {
    let video = &plan.videos[index];
    let mut shot = Shot::new(video, &plan.settings);
    let mut before = shot.frame(0).to_vec();
    let next = |frame| {
        let now = shot.frame(frame).to_vec();
        let sum: f64 = before.iter().zip(&now).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        let size = now.len();
        before = now;
        sum / size as f64
    };
    (1..video.timeline.frames).map(next).collect()
}

#[test]
fn pixels_move_where_the_annotations_say() {
    let base = Preset::Demo.untrimmed();
    let still = Settings { format: Format { drift: 0.0, ..base.format }, ..base };
    let plan = Plan::new(still).unwrap();
    let mut ratios = Vec::new();
    for index in (0..plan.videos.len()).step_by(23) {
        let timeline = &plan.videos[index].timeline;
        let energies = energies(&plan, index);
        let id = plan.videos[index].id();
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        // `energies[f]` is what changes from frame f to f + 1.
        let inside = |frame: usize| timeline.beats.iter().any(|beat| (beat.start..beat.end).contains(&frame));
        let idle: Vec<f64> = (0..energies.len()).filter(|&frame| !inside(frame)).map(|frame| energies[frame]).collect();
        // Even idle people move a little.
        assert!(idle.iter().filter(|&&energy| energy > 0.0).count() > idle.len() / 2, "{id} freezes");
        let idle = median(idle);
        for beat in &timeline.beats {
            let acting = median(energies[beat.start..beat.end].to_vec());
            // A hand that waves is a small part of a picture.
            assert!(acting > 1.8 * idle, "{id}: {beat:?} moves {acting:.2}, idle {idle:.2}");
            ratios.push(acting / idle);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    assert!(median > 6.0, "actions move {median:.1} times as much as idle people");
}

#[test]
fn the_same_seed_gives_the_same_pixels_in_any_order() {
    let frames = |seed, order: &[usize]| -> Vec<Vec<u8>> {
        let plan = plan(seed);
        let mut shot = Shot::new(&plan.videos[4], &plan.settings);
        order.iter().map(|&frame| shot.frame(frame).to_vec()).collect()
    };
    let [a, b] = frames(1, &[0, 30]).try_into().unwrap();
    assert!(frames(1, &[30, 0]) == [b.clone(), a.clone()]);
    assert!(a != b && frames(2, &[0, 30]) != [a, b]);
}
