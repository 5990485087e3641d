//! Windows against the release's rules and against a slow search.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use super::*;
use crate::untrimmed::UntrimmedVideo;

fn segment(label: usize, start_s: f64, end_s: f64) -> ActionSegment {
    ActionSegment { label, start_s, end_s }
}

/// Bit for bit what the release's rules give, which a script wrote down; its copies of the same window count once.
#[test]
fn windows_and_actions_are_those_of_the_release() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rc3d_buffers/buffers.json");
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let whole = |value: &Value| value.as_u64().unwrap() as usize;
    let (mut windows, mut twice) = (0, 0);
    for case in fixture["cases"].as_array().unwrap() {
        let spec = BufferSpec {
            frames: whole(&case["frames"]),
            fps: number(&fixture["fps"]),
            step_frames: Some(whole(&case["step"])),
            min_overlap: number(&case["min_overlap"]),
            min_frames: whole(&case["min_frames"]),
        };
        for video in case["videos"].as_array().unwrap() {
            let actions = video["segments"].as_array().unwrap().iter();
            let actions = actions.map(|a| segment(whole(&a["label"]), number(&a["start_s"]), number(&a["end_s"])));
            let found = of_video(3, whole(&video["length"]) as u64, actions.collect(), &spec);
            let mut expected: Vec<Buffer> = vec![];
            for window in video["buffers"].as_array().unwrap() {
                let start_frame = whole(&window["start"]) as u64;
                let frames_in_video = whole(&window["end"]) - start_frame as usize;
                let segments = window["segments"].as_array().unwrap().iter();
                let segments = segments
                    .map(|s| BufferSegment { label: whole(&s[0]), start: number(&s[1]), end: number(&s[2]) })
                    .collect();
                let buffer = Buffer { video: 3, start_frame, frames_in_video, segments };
                match expected.iter().find(|known| known.start_frame == start_frame) {
                    None => expected.push(buffer),
                    Some(known) => {
                        assert!(buffer.segments.iter().all(|segment| known.segments.contains(segment)));
                        twice += 1;
                    }
                }
            }
            windows += expected.len();
            assert_eq!(found, expected, "{spec:?} {video}");
        }
    }
    assert!(windows > 100 && twice > 20, "{windows}, {twice}");
}

/// Asks of every frame whether a window starts there, and of every action whether it counts in it.
fn slowly(length: u64, segments: &[ActionSegment], spec: &BufferSpec) -> Vec<Buffer> {
    let (window, step) = (spec.frames as u64, spec.step() as u64);
    let at = |start: u64, is_forwards: bool| {
        let end = (start + window).min(length);
        let mut inside = vec![];
        for segment in segments {
            let (first, last) = (segment.start_s * spec.fps, segment.end_s * spec.fps);
            let cut = BufferSegment {
                label: segment.label,
                start: first.max(start as f64) - start as f64,
                end: last.min(end as f64) - start as f64,
            };
            let (frames, share) = (last - first, (last.min(end as f64) - first.max(start as f64)) / (last - first));
            let enough = match is_forwards {
                true => frames >= spec.min_frames as f64 && share >= spec.min_overlap,
                false => frames > spec.min_frames as f64 && share > spec.min_overlap,
            };
            if enough && cut.end > cut.start {
                inside.push((first, cut));
            }
        }
        inside.sort_by(|a, b| a.0.total_cmp(&b.0));
        let segments: Vec<BufferSegment> = inside.into_iter().map(|(_, cut)| cut).collect();
        Buffer { video: 0, start_frame: start, frames_in_video: (end - start) as usize, segments }
    };
    let mut found: Vec<Buffer> = vec![];
    for start in 0..length {
        if start.is_multiple_of(step) && (start == 0 || start + window <= length) {
            found.push(at(start, true));
        }
    }
    for end in (0..=length).rev() {
        if (length - end).is_multiple_of(step) && end >= window {
            found.push(at(end - window, false));
        }
    }
    found.retain(|buffer| !buffer.segments.is_empty());
    let mut unique: Vec<Buffer> = vec![];
    for buffer in found {
        if unique.iter().all(|known| known.start_frame != buffer.start_frame) {
            unique.push(buffer);
        }
    }
    unique
}

#[test]
fn buffers_are_those_that_a_slow_search_finds() {
    let mut random = Pcg64::seed_from_u64(5);
    for _ in 0..2000 {
        let frames = random.random_range(1..60);
        let step_frames = random.random_bool(0.7).then(|| random.random_range(1..40));
        let min_overlap = [0.0, 0.3, 0.7, 1.0][random.random_range(0..4)];
        let fps = [25.0, 8.0, 29.97][random.random_range(0..3)];
        let spec = BufferSpec { frames, step_frames, min_overlap, fps, min_frames: random.random_range(0..6) };
        let length: u64 = random.random_range(0..200);
        let segments = (0..random.random_range(0..6)).map(|label| {
            let start = random.random_range(0..200);
            segment(label, f64::from(start) / 10.0, f64::from(start + random.random_range(1..60)) / 10.0)
        });
        let segments: Vec<ActionSegment> = segments.collect();
        assert_eq!(of_video(0, length, segments.clone(), &spec), slowly(length, &segments, &spec), "{spec:?}");
    }
}

#[test]
fn a_video_has_a_frame_at_every_step_before_its_end() {
    for (duration_s, expected) in [(10.0, 250), (10.01, 251), (9.99, 250), (0.0, 0), (0.01, 1), (1.0 / 3.0, 9)] {
        assert_eq!(frames(duration_s, 25.0), expected, "{duration_s}");
    }
    // Thirds of a second do not end just where they should.
    assert_eq!((frames(10.0 / 3.0, 30.0), frames(7.3, 10.0)), (100, 73));
}

fn untrimmed(videos: Vec<UntrimmedVideo>) -> Untrimmed {
    let part = UntrimmedPart { name: "val".into(), videos, missing: vec![] };
    Untrimmed { labels: vec!["Wave".into()], class_ids: vec![0], parts: vec![part], skipped: vec![] }
}

fn video(id: &str, path: &str, duration_s: Option<f64>, segments: Vec<ActionSegment>) -> UntrimmedVideo {
    let media = Some(Media::Video(path.into()));
    UntrimmedVideo { id: id.into(), media, duration_s, segments, ambiguous: vec![] }
}

#[test]
fn two_hours_are_cut_into_the_buffers_with_an_action() {
    let long = untrimmed(vec![video("a", "/none", Some(7200.0), vec![segment(0, 3600.0, 3605.0)])]);
    let spec = BufferSpec::default();
    let found = cut(&long, 0, &spec, vec![], 0.0, false).unwrap();
    // 70 % of frames 90,000 to 90,125 are in windows from 89,320 to 90,037: three at multiples of 192, four others.
    assert_eq!(found.buffers.len(), 7, "{:?}", found.buffers);
    let items = buffer_items(&long.parts[0], &found.buffers, &spec).unwrap();
    assert_eq!(items[0].id, format!("a#{}+768", found.buffers[0].start_frame));
    let ids: HashSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids.len(), items.len());
    let Span::Between { start_s, end_s } = items[0].span else { panic!("{:?}", items[0]) };
    assert_eq!((start_s * 25.0).round() as u64, found.buffers[0].start_frame);
    assert!((end_s - start_s - 30.72).abs() < 1e-9);
    assert!(buffer_items(&UntrimmedPart::default(), &found.buffers, &spec).is_err());
}

#[test]
fn what_cannot_be_cut_is_named() {
    let fine = || video("a", "/none", Some(20.0), vec![segment(0, 1.0, 5.0)]);
    let late = || video("b", "/b.mp4", Some(20.0), vec![segment(0, 1.0, 5.0), segment(0, 21.0, 25.0)]);
    let broken = || video("c", "/none/c.mp4", Some(20.0), vec![segment(0, 1.0, 5.0)]);
    let spec = BufferSpec::default();
    // Of these files only the broken one was missed.
    let cut = |videos: Vec<UntrimmedVideo>, max_failed, skip_bad| {
        let broken = videos.iter().filter(|video| video.id == "c");
        let failure = |video: &UntrimmedVideo| Failure { id: video.id.clone(), reason: "/none/c.mp4: none".into() };
        let unreadable = broken.map(failure).collect();
        cut(&untrimmed(videos), 0, &spec, unreadable, max_failed, skip_bad).map_err(|error| error.to_string())
    };
    let error = cut(vec![late(), fine()], 0.0, false).unwrap_err();
    let expected = "/b.mp4: b: Wave: the segment 21 to 25 s is past the end of the video at 20.000 s; correct";
    assert!(error.starts_with(expected), "{error}");
    let found = cut(vec![late(), fine()], 0.0, true).unwrap();
    assert_eq!((found.skipped.len(), found.buffers.len()), (1, 2));
    let error = cut(vec![fine(), broken()], 0.4, false).unwrap_err();
    assert!(error.contains("1 of 2 videos") && error.contains("/none/c.mp4"), "{error}");
    let found = cut(vec![broken(), fine()], 0.5, false).unwrap();
    assert_eq!((&*found.unreadable[0].id, found.buffers[0].video), ("c", 1));
    let error = buffers(&mut untrimmed(vec![fine()]), "train", &spec, 0.0, false).unwrap_err().to_string();
    assert!(error.contains("no part \"train\"; the annotations have val"), "{error}");
    let nowhere = UntrimmedVideo { media: None, ..fine() };
    let error = cut(vec![nowhere], 0.0, false).unwrap_err();
    assert!(error.contains("no buffer of 768 frames") && error.contains("0 of its 1 videos"), "{error}");
    for (bad, expected) in [
        (BufferSpec { frames: 0, ..spec.clone() }, "0 frames"),
        (BufferSpec { step_frames: Some(0), ..spec.clone() }, "steps of Some(0)"),
        (BufferSpec { fps: f64::NAN, ..spec.clone() }, "NaN fps"),
        (BufferSpec { min_overlap: 1.5, ..spec.clone() }, "min_overlap 1.5"),
    ] {
        let error = buffers(&mut untrimmed(vec![fine()]), "val", &bad, 0.0, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
