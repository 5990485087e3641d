//! From a rendered set to a trained bundle, with the command alone.

mod common;

use std::path::Path;

use common::{done, run};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn config(folder: &Path, change: &[(&str, &str)]) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pretrain_stage.toml");
    let mut config = std::fs::read_to_string(example).unwrap();
    let stage = format!("annotations = {:?}", folder.join("stage"));
    let small = [
        ("annotations = \"stage\"", stage.as_str()),
        ("width = 0.25", "width = 0.05"),
        ("size = 56", "size = 32"),
        ("epochs = 24", "epochs = 2"),
        ("batch = 16", "batch = 8"),
    ];
    for (from, to) in small.iter().chain(change) {
        assert!(config.contains(from), "{from}");
        config = config.replace(from, to);
    }
    let path = folder.join("config.toml");
    std::fs::write(&path, config).unwrap();
    text(&path).to_string()
}

#[test]
fn a_model_is_trained_exported_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().join("stage");
    done(["stage", "--preset", "tiny", "--train", "20", "--val", "10", "--test", "0", "--out", text(&stage)]);
    let (out, bundle) = (folder.path().join("run"), folder.path().join("bundle"));
    let example = config(folder.path(), &[]);
    let lines = done(["pretrain", "--config", &example, "--out", text(&out), "--json"]);
    let epochs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(epochs.len(), 2);
    assert!(epochs[1]["val"]["loss"].as_f64().unwrap().is_finite());
    assert_eq!(lines, std::fs::read_to_string(out.join("metrics.jsonl")).unwrap());

    done(["export", "--onnx", "--run", text(&out), "--out", text(&bundle)]);
    let video = stage.join("videos/wave");
    let video = std::fs::read_dir(video).unwrap().next().unwrap().unwrap().path();
    let answer: Value =
        serde_json::from_str(&done(["predict", "--json", "--bundle", text(&bundle), text(&video)])).unwrap();
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 5);
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(bundle.join("manifest.json")).unwrap()).unwrap();
    assert_eq!((manifest["fps"].as_f64(), manifest["input"]["frames"].as_u64()), (Some(6.0), Some(8)));

    // A finished run is not trained over, and has nothing left to do.
    for (args, part) in [
        (vec!["--out", text(&out)], "go on with --resume"),
        (vec!["--out", text(&stage)], "is not empty"),
        (vec!["--out", text(folder.path()), "--resume"], "no snapshot to resume"),
    ] {
        let ended = run(["pretrain", "--config", &example].iter().chain(&args));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{ended:?}");
    }
    assert_eq!(done(["pretrain", "--config", &example, "--out", text(&out), "--resume", "--json"]), "");
    let other = config(folder.path(), &[("seed = 0", "seed = 1")]);
    let ended = run(["pretrain", "--config", &other, "--out", text(&out), "--resume"]);
    assert!(ended.code == Some(2) && ended.err.contains("seed: 0, now 1"), "{ended:?}");
}

#[test]
fn a_config_that_makes_no_sense_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (from, to, part) in [
        ("batch = 8", "bach = 8", "bach"),
        ("arch = \"r3d10-hara\"", "arch = \"r3d11-hara\"", "r3d11-hara"),
        ("format = \"csv\"", "format = \"avi\"", "avi"),
        ("seed = 0", "seed = 0", "stage"),
    ] {
        let config = config(folder.path(), &[(from, to)]);
        let ended = run(["pretrain", "--config", &config, "--out", text(&out)]);
        assert!(ended.code == Some(2) && ended.err.contains(part), "{ended:?}");
        assert!(!out.exists());
    }
}
