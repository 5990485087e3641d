//! A small crowded set on disk, and that its boxes are what its pixels show.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use unscene_media::{DecodeOptions, Decoder, Source};
use unscene_stage::crowded::{Plan, Settings, Shot, Video, write};
use unscene_stage::{Preset, StageError};

fn plan(seed: u64) -> Plan {
    Plan::new(Settings { seed, ..Preset::Tiny.crowded() }).unwrap()
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn annotations_are_of_videos_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let plan = plan(3);
    let report = write(&plan, &out, &go_on).unwrap();
    let json: Value = serde_json::from_slice(&std::fs::read(out.join("actors.json")).unwrap()).unwrap();
    assert_eq!(json["labels"].as_array().unwrap().len(), 10);
    let videos = json["videos"].as_object().unwrap();
    assert_eq!((videos.len(), plan.videos.len()), (15, 15));
    let (mut boxes, mut frames) = (0, 0);
    for (video, entry) in plan.videos.iter().map(|video| (video, &videos[&video.id()])) {
        assert_eq!((entry["part"].as_str(), entry["width"].as_u64()), (Some(video.part.name()), Some(96)));
        let path = out.join(entry["file"].as_str().unwrap());
        let mut decoder = Decoder::open(&Source::Path(path), &DecodeOptions::default()).unwrap();
        assert_eq!(decoder.frame_size(), (96, 72));
        let mut rgb = vec![0; decoder.frame_bytes()];
        let mut decoded = 0;
        while decoder.next_frame(&mut rgb).unwrap().is_some() {
            decoded += 1;
        }
        assert_eq!(entry["frames"].as_u64(), Some(decoded));
        frames += decoded as usize;
        for tube in entry["tubes"].as_array().unwrap() {
            let (start, length) = (tube["start_frame"].as_u64().unwrap(), tube["boxes"].as_array().unwrap().len());
            assert!(start + length as u64 <= decoded && length > 5, "{start} {length}");
            for corners in tube["boxes"].as_array().unwrap() {
                let corners: [f64; 4] = serde_json::from_value(corners.clone()).unwrap();
                let [x1, y1, x2, y2] = corners;
                assert!(0.0 <= x1 && x1 < x2 && x2 <= 96.0 && 0.0 <= y1 && y1 < y2 && y2 <= 72.0, "{corners:?}");
            }
            boxes += length;
        }
    }
    assert_eq!(report.parts.iter().map(|part| part.boxes).sum::<usize>(), boxes);
    assert_eq!((report.frames, report.kept), (frames, 0));
    let people: usize = plan.videos.iter().map(|video| video.frames * video.actors.len()).sum();
    let lines = std::fs::read_to_string(out.join("boxes.csv")).unwrap().lines().count();
    assert_eq!(lines, 1 + people);
    for file in ["scenes.csv", "contact_sheet.png", "stage.json"] {
        assert!(out.join(file).exists(), "{file}");
    }
}

/// Pixels of a frame in which people are, and not only their shadows: what differs from the same frame of the empty scene.
fn drawn(with: &[u8], without: &[u8], boxes: &[[f32; 4]]) -> Vec<bool> {
    let is_person = |(at, (with, without)): (usize, (&[u8], &[u8]))| {
        let y = (at / 96) as f32;
        if !boxes.iter().any(|[.., y2]| (y2 - 4.0..y2 + 6.0).contains(&y)) {
            return with != without;
        }
        // At feet there are shadows. They take up to three tenths of the light, of every colour as much.
        let sum = |rgb: &[u8]| rgb.iter().map(|&value| f32::from(value)).sum::<f32>();
        let light = (sum(with) / sum(without).max(1.0)).clamp(0.68, 1.0);
        with.iter().zip(without).any(|(&with, &without)| (f32::from(with) - light * f32::from(without)).abs() > 4.0)
    };
    with.chunks_exact(3).zip(without.chunks_exact(3)).enumerate().map(is_person).collect()
}

/// Some frames of a video: pixels in which people are, and their boxes.
fn looks(video: &Video, settings: &Settings) -> Vec<(Vec<bool>, Vec<[f32; 4]>)> {
    let empty = Video { actors: vec![], ..video.clone() };
    let (mut shot, mut scene) = (Shot::new(video, settings), Shot::new(&empty, settings));
    let look = |frame| {
        let (rgb, boxes) = shot.frame(frame);
        (drawn(rgb, scene.frame(frame).0, &boxes), boxes)
    };
    (0..video.frames).step_by(5).map(look).collect()
}

/// Seen against the empty scene, people are in their boxes, and there is nothing else.
#[test]
fn boxes_hold_everybody() {
    let plan = plan(5);
    let mut seen = 0;
    for video in &plan.videos {
        for (people, boxes) in looks(video, &plan.settings) {
            assert_eq!(boxes.len(), video.actors.len());
            for at in (0..people.len()).filter(|&at| people[at]) {
                let (x, y) = ((at % 96) as f32 + 0.5, (at / 96) as f32 + 0.5);
                let holds = |[x1, y1, x2, y2]: &[f32; 4]| {
                    (x1 - 1.0..x2 + 1.0).contains(&x) && (y1 - 1.0..y2 + 1.0).contains(&y)
                };
                assert!(boxes.iter().any(holds), "{}: {x} {y} is in none of {boxes:?}", video.id());
                seen += 1;
            }
        }
    }
    assert!(seen > 50_000, "{seen}");
}

/// Seen against the empty scene, people who are apart from others and wholly in the picture reach to each side of their boxes.
#[test]
fn boxes_hug_the_people_in_them() {
    let plan = plan(5);
    let mut off: [Vec<f32>; 4] = Default::default();
    for video in &plan.videos {
        for (people, boxes) in looks(video, &plan.settings) {
            for (place, &one) in boxes.iter().enumerate() {
                let is_apart = |other: &[f32; 4]| other[2] + 2.0 < one[0] || one[2] + 2.0 < other[0];
                // Whoever bends out of the picture has a box that is cut there, as high as all of them is.
                let is_inside = one[0] > 0.0 && one[1] > 0.0 && one[2] < 96.0 && one[3] < 72.0;
                let is_alone = boxes.iter().enumerate().all(|(other, corners)| other == place || is_apart(corners));
                if !is_inside || !is_alone {
                    continue;
                }
                let mut hull = [f32::MAX, f32::MAX, 0.0, 0.0f32];
                for at in (0..people.len()).filter(|&at| people[at]) {
                    let (x, y) = ((at % 96) as f32, (at / 96) as f32);
                    if (one[0] - 1.0..one[2] + 1.0).contains(&(x + 0.5)) {
                        hull = [hull[0].min(x), hull[1].min(y), hull[2].max(x + 1.0), hull[3].max(y + 1.0)];
                    }
                }
                (0..4).for_each(|side| off[side].push((hull[side] - one[side]).abs()));
            }
        }
    }
    for (side, off) in off.iter().enumerate() {
        // A pixel that is partly covered counts as one of the person's.
        let most = off.iter().copied().fold(0.0, f32::max);
        assert!(off.len() >= 50 && most < 1.0, "side {side}: off by up to {most} pixels in {} boxes", off.len());
    }
}

/// Whoever stands before others leaves enough of them to be seen.
#[test]
fn nobody_is_hidden_wholly() {
    let plan = Plan::new(Preset::Demo.crowded()).unwrap();
    let area = |[x1, y1, x2, y2]: [f32; 4]| (x2 - x1).max(0.0) * (y2 - y1).max(0.0);
    let common = |a: [f32; 4], b: [f32; 4]| [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let (mut most, mut overlaps) = (0.0f32, 0);
    for video in plan.videos.iter().filter(|video| video.actors.len() > 1).step_by(3) {
        let mut shot = Shot::new(video, &plan.settings);
        for frame in (0..video.frames).step_by(12) {
            let boxes = shot.frame(frame).1;
            for (place, &one) in boxes.iter().enumerate() {
                let others = boxes.iter().enumerate().filter(|(other, _)| *other != place);
                let hidden: f32 = others.map(|(_, &other)| area(common(one, other))).sum::<f32>() / area(one);
                overlaps += usize::from(hidden > 0.1);
                most = most.max(hidden);
            }
        }
    }
    assert!(overlaps > 10 && most < 0.75, "{overlaps} overlaps, up to {most} of a box is hidden");
}

#[test]
fn the_same_seed_gives_the_same_set_and_a_stopped_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, file: &str| std::fs::read(folder.path().join(name).join(file)).unwrap();
    write(&plan(1), &folder.path().join("whole"), &go_on).unwrap();
    let calls = AtomicUsize::new(0);
    let stop = |_: usize| match calls.fetch_add(1, Ordering::Relaxed) {
        0..6 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let out = folder.path().join("stopped");
    assert!(matches!(write(&plan(1), &out, &stop), Err(StageError::Interrupted { .. })));
    assert!(!out.join("stage.json").exists());
    let report = write(&plan(1), &out, &go_on).unwrap();
    assert!(report.kept >= 1, "{report:?}");
    for file in ["actors.json", "boxes.csv", "scenes.csv", "stage.json", "contact_sheet.png"] {
        assert!(read("whole", file) == read("stopped", file), "{file}");
    }
    assert!(matches!(write(&plan(1), &out, &go_on), Err(StageError::Occupied { .. })));
    let frames = |seed: u64| {
        let plan = plan(seed);
        let video: &Video = &plan.videos[0];
        Shot::new(video, &plan.settings).frame(7).0.to_vec()
    };
    assert!(frames(1) == frames(1) && frames(1) != frames(2));
}
