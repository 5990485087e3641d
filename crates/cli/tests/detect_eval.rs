//! Detections of actors in files, scored by the command.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{done, run};
use serde_json::{Value, json};
use unscene_data::actors::{ActorFormat, ActorSpec};

/// What `make.py` there made.
fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/actors").join(name).to_str().unwrap().into()
}

/// The actor whom `make.py` calls `walk`, found as it is.
fn walk(label: &str, start: usize, frames: usize, score: f64) -> (Vec<Value>, Value) {
    let corners = |n: usize| json!([10 + n, 20, 40 + n, 80]);
    let boxes = |n: usize| json!([{"label": label, "score": score, "box": corners(n)}]);
    let found =
        (0..frames).map(|n| json!({"frame": start + n, "time_s": 0.04 * (start + n) as f64, "boxes": boxes(n)}));
    let all: Vec<Value> = (0..frames).map(corners).collect();
    (found.collect(), json!({"label": label, "score": score, "start_frame": start, "boxes": all}))
}

fn write(folder: &Path, name: &str, videos: Value) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, json!({"videos": videos}).to_string()).unwrap();
    path
}

fn args<'a>(format: &'a str, annotations: &'a str, files: &'a [&Path], more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["eval", "detect", "--format", format, "--annotations", annotations];
    all.extend(files.iter().flat_map(|file| ["--detections", file.to_str().unwrap()]));
    all.extend(more);
    all
}

#[test]
fn splits_are_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let gttubes = fixture("gttubes.pkl");
    // Split 1 is tested on b, with two actors, of whom the longer is found; split 2 on a, whose actor has two tubes, one too many.
    let (frames, tube) = walk("catch", 2, 5, 0.75);
    let one = write(folder.path(), "one.json", json!({"catch/b": {"frames": frames, "tubes": [tube]}}));
    let (frames, tube) = walk("brush_hair", 0, 5, 0.5);
    let two = write(folder.path(), "two.json", json!({"brush_hair/a": {"frames": frames, "tubes": [tube, tube]}}));
    let files: [&Path; 2] = [&one, &two];

    let told = done(args("gttubes", &gttubes, &files, &["--split", "1,2", "--json"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    let of = |at: usize, key: &str| told["splits"][at][key].clone();
    assert_eq!(
        (of(0, "split"), of(1, "split"), of(0, "boxes"), of(1, "boxes")),
        (json!(1), json!(2), json!(7), json!(5))
    );
    // Five boxes of seven, and one tube of two; everything in the other.
    assert_eq!((of(0, "frame_mAP"), of(1, "frame_mAP")), (json!(5.0 / 7.0), json!(1.0)));
    assert_eq!((of(0, "video_mAP")["0.5"].clone(), of(1, "video_mAP")["0.95"].clone()), (json!(0.5), json!(1.0)));
    let mean = &told["mean"];
    assert_eq!(mean["frame_mAP"], json!((5.0 / 7.0 + 1.0) / 2.0));
    assert_eq!(
        (&mean["video_mAP"]["0.75"], &mean["accuracy"], &mean["boxes"]),
        (&json!(0.75), &json!(1.0), &json!(12))
    );
    assert_eq!((&mean["frame_protocol"], &mean["video_protocol"]), (&json!("voc"), &json!("road")));
    let classes: Vec<_> = [0, 1].map(|class| mean["classes"][class]["frame_AP"].clone()).to_vec();
    assert_eq!(classes, [json!(1.0), json!(5.0 / 7.0)]);
    assert_eq!((&mean["errors"]["right"], &mean["errors"]["missed"]), (&json!(10), &json!(2)));

    let told = done(args("gttubes", &gttubes, &files, &["--split", "1,2"]));
    assert!(
        told.contains("frames by voc at IoU 0.5, tubes by road; test, mean of 2 splits: 2 videos, 12 boxes"),
        "{told}"
    );
    let rows = |first: &str| told.lines().filter(|line| line.starts_with(&format!("| {first} "))).collect::<Vec<_>>();
    let cells = |row: &str| {
        row.split('|').map(|cell| cell.trim().to_string()).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(cells(rows("1")[0]), ["1", "1", "7", "5", "71.4", "50.0", "50.0", "50.0"]);
    assert_eq!(cells(rows("catch")[0]), ["catch", "7", "5", "71.4", "50.0", "50.0", "50.0"]);
    for row in rows("mean") {
        assert!(["12", "85.7", "75.0"].into_iter().all(|cell| cells(row).contains(&cell.into())), "{told}");
    }
    assert_eq!(rows("mean").len(), 2, "{told}");

    // One split alone has the same numbers, and names the class that it lacks.
    let told = done(args("gttubes", &gttubes, &[&one], &[]));
    assert!(told.contains("; test: 1 videos, 7 boxes and 2 tubes"), "{told}");
    assert!(told.contains("without an actor, and not in the mean: brush_hair\n"), "{told}");
    assert!(told.contains("| mean       |     7 |     5 |         71.4 |"), "{told}");

    for (more, expected) in [
        (&["--split", "1"][..], "found 2 files, runs or bundles and 1 of --split, expected one for each split"),
        (&["--split", "2,2"], "--split: found 2 twice"),
        (&["--split", "1,3"], "found 2 splits, expected one of the number 3"),
    ] {
        let ended = run(args("gttubes", &gttubes, &files, more));
        assert!(ended.code != Some(0) && ended.err.contains(expected), "{ended:?}");
    }
}

#[test]
fn what_cannot_be_scored_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (ucf24, gttubes) = (fixture(""), fixture("gttubes.pkl"));
    // One frame too many, in a video of nine.
    let (frames, _) = walk("Biking", 5, 5, 0.75);
    let path = write(folder.path(), "found.json", json!({"Biking/v_Biking_g01_c01": {"frames": frames}}));
    let ended = run(args("ucf24", &ucf24, &[&path], &[]));
    let expected =
        "1 of 5 detections cannot be scored; the first: Biking/v_Biking_g01_c01: frame 9: the video has 9 frames";
    assert!(ended.code != Some(0) && ended.err.contains(expected), "{ended:?}");
    let told = done(args("ucf24", &ucf24, &[&path], &["--skip-bad"]));
    assert!(told.contains("found 4 boxes and 0 tubes, 1 skipped; nothing in 1 videos"), "{told}");
    assert!(told.contains("skipped detection: ") && told.contains("frame 9: the video has 9 frames"), "{told}");
    assert!(!told.contains("video mAP") && !told.contains("tubes by"), "{told}");

    // Tubes in one split only: there is no mean.
    let (frames, tube) = walk("catch", 2, 5, 0.75);
    let one = write(folder.path(), "one.json", json!({"catch/b": {"frames": frames, "tubes": [tube]}}));
    let two = write(folder.path(), "two.json", json!({}));
    let ended = run(args("gttubes", &gttubes, &[&one, &two], &["--split", "1,2"]));
    assert!(
        ended.code != Some(0) && ended.err.contains("split 2 of 2: it has no tubes, the first has tubes"),
        "{ended:?}"
    );
}

#[test]
fn the_truth_of_ucf24_scores_100_percent_against_itself() {
    let annotations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/formats/ucf24");
    if !annotations.exists() {
        eprintln!("not tested: {} is not there", annotations.display());
        return;
    }
    let spec = ActorSpec {
        format: ActorFormat::Ucf24,
        annotations: annotations.clone(),
        videos: None,
        split: 1,
        skip_bad: false,
    };
    let dataset = spec.load().unwrap();
    let found = dataset.part("test").unwrap().videos.iter().map(|video| {
        let label = |label: usize| &dataset.labels[label];
        let boxes =
            video.tubes.iter().flat_map(|tube| (tube.start_frame..).zip(&tube.boxes).map(move |one| (tube.label, one)));
        let frames = boxes.map(|(of, (frame, corners))| {
            json!({"frame": frame, "boxes": [{"label": label(of), "score": 0.5, "box": corners}]})
        });
        let tubes = video.tubes.iter().map(|tube| {
            json!({"label": label(tube.label), "score": 0.5, "start_frame": tube.start_frame, "boxes": tube.boxes})
        });
        (video.id.clone(), json!({"frames": frames.collect::<Vec<_>>(), "tubes": tubes.collect::<Vec<_>>()}))
    });
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "truth.json", Value::Object(found.collect()));
    let told = done(args("ucf24", annotations.to_str().unwrap(), &[&path], &["--json"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["videos"], &told["boxes"], &told["detections"]), (&json!(910), &json!(170_580), &json!(170_580)));
    assert_eq!(
        (&told["frame_mAP"], &told["video_mAP_50_95"], &told["accuracy"]),
        (&json!(1.0), &json!(1.0), &json!(1.0))
    );
    assert!(told["video_mAP"].as_object().unwrap().values().all(|at| *at == json!(1.0)), "{}", told["video_mAP"]);
    assert_eq!((&told["errors"]["right"], &told["skipped"]), (&json!(170_580), &json!(0)));
}
