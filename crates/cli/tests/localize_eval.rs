//! Detections in files, scored by the command.

mod common;

use std::path::{Path, PathBuf};

use common::{done, run};
use serde_json::Value;

/// A file of the small set that `tests/fixtures/localization/make.py` makes.
fn small(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/localization").join(name)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().into()
}

/// The command on the small set: detections, annotations and more.
fn args(detections: &str, annotations: &str, more: &[&str]) -> Vec<String> {
    let files = ["--detections".into(), text(&small(detections)), "--annotations".into(), text(&small(annotations))];
    ["eval".to_string(), "localize".into()]
        .into_iter()
        .chain(files)
        .chain(more.iter().map(|arg| arg.to_string()))
        .collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_numbers_are_those_of_the_official_programs() {
    let expected = json(&std::fs::read_to_string(small("expected.json")).unwrap());
    for (name, detections, annotations, more) in [
        ("thumos14", "detections.txt", "annotation_test", &["--protocol", "thumos14"][..]),
        ("thumos14_nms", "detections.txt", "annotation_test", &["--nms"]),
        ("thumos14_nms", "detections.txt", "annotation_test", &["--nms", "0.1"]),
        ("activitynet", "detections.json", "annotations.json", &["--protocol", "activitynet"]),
    ] {
        let ended = run(args(detections, annotations, &[more, &["--json"]].concat()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.contains("1 detections end before they begin") && ended.err.contains("video_test_0000003"));
        let report = json(&ended.out);
        assert_eq!((&report["part"], &report["reversed"], &report["skipped"]), (&"test".into(), &1.into(), &0.into()));
        for class in report["classes"].as_array().unwrap() {
            let official = expected[name][class["label"].as_str().unwrap()].as_object().unwrap();
            assert_eq!(class["AP"].as_object().unwrap().len(), official.len());
            for (tiou, official) in official {
                let difference = class["AP"][tiou].as_f64().unwrap() - official.as_f64().unwrap();
                assert!(difference.abs() < 1e-9, "{name}, {tiou}: {class}");
            }
        }
        let map = report["mAP"].as_object().unwrap();
        let mean = map.values().map(|at| at.as_f64().unwrap()).sum::<f64>() / map.len() as f64;
        assert!((report["average_mAP"].as_f64().unwrap() - mean).abs() < 1e-12, "{name}");
    }
}

#[test]
fn people_see_tables_and_curves() {
    let folder = tempfile::tempdir().unwrap();
    let (plot, proposals) = (folder.path().join("curves.svg"), text(&small("proposals.json")));
    let more = ["--proposals", &proposals, "--proposals-per-video", "10", "--plot", &text(&plot), "--skip-bad"];
    let out = done(args("detections.txt", "annotation_test", &more));
    for part in [
        "thumos14, test: 14 videos, ",
        " 1 skipped",
        "| class | actions | detections | AP@0.1 |",
        "| Turn ",
        "| mean ",
        "| proposals per video ",
        "| 10.00 ",
        "skipped detection: ",
        "expected an end that is not before the start",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let svg = std::fs::read_to_string(plot).unwrap();
    assert!(svg.contains("<svg") && svg.contains("thumos14, tIoU 0.5: mAP") && svg.contains("proposals per video"));

    let report =
        json(&done(args("detections.txt", "annotation_test", &[&more[..4], &["--skip-bad", "--json"]].concat())));
    let expected = json(&std::fs::read_to_string(small("expected.json")).unwrap());
    let difference =
        report["proposals"]["auc"].as_f64().unwrap() - expected["proposals"]["10"]["auc"].as_f64().unwrap();
    assert!(difference.abs() < 1e-9, "{report}");
    assert!(report["left_out"]["detections"][0].as_str().unwrap().contains("detections.txt line "), "{report}");
}

#[test]
fn what_cannot_be_scored_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found.txt");
    let lines = "video_test_0000002 10 20 7 0.5\nvideo_9 1 2 7 0.5\nvideo_test_0000002 1 2 8 0.5\n";
    std::fs::write(&path, lines).unwrap();
    let found = text(&path);
    // The path of the fixture gives way to an absolute one.
    let ended = run(args(&found, "annotation_test", &[]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let said =
        "2 of 3 detections cannot be scored; the first: line 2, video_9: it is not among the 14 annotated videos";
    assert!(
        ended.err.contains(said) && ended.err.contains("--skip-bad") && ended.err.lines().count() == 1,
        "{ended:?}"
    );

    let out = done(args(&found, "annotation_test", &["--skip-bad"]));
    assert!(out.contains("1 detections, 2 skipped") && out.contains("line 2, video_9: it is not among"), "{out}");
    assert!(out.contains("line 3, video_test_0000002: found the class 8, expected one of 7 Bow, 9 Wave"), "{out}");

    for (annotations, more, part) in [
        ("annotation_test", &["--part", "val"][..], "there is no part \"val\""),
        ("annotation_test", &["--protocol", "coco"], "expected thumos14 or activitynet"),
        ("annotation_test", &["--nms", "1.5"], "--nms must be from 0 to below 1"),
        ("annotation_test", &["--proposals-per-video", "0"], "--proposals-per-video must be above 0"),
        ("annotation_test", &["--plot", "curves.png"], "curves.png, expected a name that ends in .svg"),
        ("annotation_test", &["--proposals", "/no/proposals"], "/no/proposals"),
        ("no_annotations", &[], "no_annotations"),
        ("detections.txt", &[], "detections.txt"),
    ] {
        let ended = run(args(&found, annotations, &[more, &["--skip-bad"]].concat()));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{more:?}: {ended:?}");
    }
}
