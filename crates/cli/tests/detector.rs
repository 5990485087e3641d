//! A detector from weights to a bundle, with the command alone.

mod common;

use std::path::Path;

use common::{done, run, video};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_detector_is_made_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, bundle) = (folder.path().join("run"), folder.path().join("bundle"));
    let small = ["--arch", "vgg16-ssd", "--width", "0.05", "--size", "96", "--classes", "3"];
    let init = |more: &[&str]| run([&["init"], &small[..], &["--out", text(&dir)], more].concat());
    let ended = init(&["--task", "detect", "--frames", "8"]);
    assert!(ended.code == Some(2) && ended.err.contains("--frames 8: a detector looks at single frames"), "{ended:?}");
    let ended = init(&["--task", "localize"]);
    assert!(ended.code == Some(2) && ended.err.contains("a localizer needs a 3D-ResNet"), "{ended:?}");
    let ended = run(["init", "--arch", "r3d10-hara", "--classes", "3", "--task", "detect", "--out", text(&dir)]);
    assert!(ended.code == Some(2) && ended.err.contains("a detector needs vgg16-ssd"), "{ended:?}");

    let ended = init(&["--task", "detect"]);
    assert!(ended.code == Some(0) && ended.out.contains("vgg16-ssd to detect, 3 classes"), "{ended:?}");
    let exported = done(["export", "--onnx", "--json", "--run", text(&dir), "--out", text(&bundle)]);
    let exported: Value = serde_json::from_str(&exported).unwrap();
    for engine in ["ort-cpu", "tract"] {
        assert!(exported["parity"][engine].as_f64().unwrap() <= 1e-5, "{exported}");
    }
    let manifest = std::fs::read_to_string(bundle.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(
        (&manifest["task"], &manifest["graphs"][0]["outputs"][0]["name"]),
        (&"detect".into(), &"offsets".into())
    );
    let video = video("h264.mp4");
    let ended = run(["predict", "--bundle", text(&bundle), "--top-k", "2", text(&video)]);
    assert!(ended.code == Some(2) && ended.err.contains("made to detect"), "{ended:?}");
}

#[test]
fn a_backbone_of_single_frames_classifies() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, bundle) = (folder.path().join("run"), folder.path().join("bundle"));
    done(["init", "--arch", "vgg16-ssd", "--width", "0.05", "--size", "64", "--classes", "3", "--out", text(&dir)]);
    done(["export", "--onnx", "--maps", "--run", text(&dir), "--out", text(&bundle)]);
    // 40 frames, of which every sixteenth is looked at.
    let answer = done(["predict", "--json", "--bundle", text(&bundle), text(&video("h264.mp4"))]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["video"]["clips"], answer["predictions"].as_array().unwrap().len()),
        (&3.into(), 3),
        "{answer}"
    );
    let table = done(["graph", "--arch", "vgg16-ssd", "--classes", "21"]);
    assert!(table.contains("Conv 3x3 @6x6") && table.contains("N x 1024 x 19 x 19"), "{table}");
}
