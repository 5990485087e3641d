//! From a rendered set to a trained bundle, with the command alone.

mod common;

use std::path::Path;

use common::{done, run};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The command that trains the example on `stage` in this folder, small enough for seconds.
fn pretrain(folder: &Path, more: &[&str]) -> Vec<String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pretrain_stage.toml");
    let annotations = format!("data.annotations='{}'", folder.join("stage").display());
    let small =
        [&annotations, "model.width=0.05", "model.size=32", "batch=8", "fit.epochs=2", "fit.schedule.epochs=[1]"];
    let small = small.iter().flat_map(|setting| ["--set", setting]);
    ["pretrain", "--config", text(&example)]
        .into_iter()
        .chain(small)
        .chain(more.iter().copied())
        .map(String::from)
        .collect()
}

#[test]
fn a_model_is_trained_exported_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().join("stage");
    done(["stage", "--preset", "tiny", "--train", "20", "--val", "10", "--test", "0", "--out", text(&stage)]);
    let (out, bundle) = (folder.path().join("run"), folder.path().join("bundle"));
    let pretrain = |more: &[&str]| pretrain(folder.path(), more);
    let lines = done(pretrain(&["--out", text(&out), "--json"]));
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
    assert_eq!((manifest["fps"].as_f64(), manifest["input"]["frames"].as_u64()), (Some(4.0), Some(8)));

    // A finished run is not trained over, and has nothing left to do.
    for (args, part) in [
        (vec!["--out", text(&out)], "go on with --resume"),
        (vec!["--out", text(&stage)], "is not empty"),
        (vec!["--out", text(folder.path()), "--resume"], "no snapshot to resume"),
        (vec!["--out", text(&out), "--resume", "--set", "seed=1"], "seed: 0, now 1"),
    ] {
        let ended = run(pretrain(&args));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{ended:?}");
    }
    assert_eq!(done(pretrain(&["--out", text(&out), "--resume", "--json"])), "");
}

#[test]
fn a_config_that_makes_no_sense_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (setting, part) in [
        ("bach=8", "bach"),
        ("model.arch=r3d11-hara", "r3d11-hara"),
        ("data.format=avi", "avi"),
        ("fit.accumulate=0", "fit.accumulate is 0"),
        ("adversary=[{name='model', cache='s'}]", "give each a name of its own"),
        ("confusion={people='p', weight=-1}", "confusion.weight is -1"),
        // What is right, on a set that is not there.
        ("seed=0", "stage"),
    ] {
        let ended = run(pretrain(folder.path(), &["--set", setting, "--out", text(&out)]));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{setting}: {ended:?}");
        assert!(!out.exists());
    }
}

#[test]
fn a_printed_config_is_a_config() {
    let folder = tempfile::tempdir().unwrap();
    let printed =
        done(pretrain(folder.path(), &["--preset", "paper", "--set", "confusion.people=p", "--print-config"]));
    for line in ["batch = 8", "weight = 1.0", "fill = \"mean\"", "dampening = 0.0"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    let path = folder.path().join("printed.toml");
    std::fs::write(&path, &printed).unwrap();
    assert_eq!(done(["pretrain", "--config", text(&path), "--print-config"]), printed);
}

#[test]
fn videos_that_cannot_be_read_are_named_and_too_many_end_training() {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().join("stage");
    done(["stage", "--preset", "tiny", "--train", "20", "--val", "10", "--test", "0", "--out", text(&stage)]);
    // Two of twenty to train on, and one of ten to validate with.
    let spoil = |list: &str, count| {
        let list = std::fs::read_to_string(stage.join(list)).unwrap();
        let paths = list.lines().skip(1).take(count).map(|line| line.split_once(',').unwrap().0.to_string());
        paths.inspect(|path| std::fs::write(stage.join(path), "no video").unwrap()).collect::<Vec<_>>()
    };
    let mut spoilt = spoil("train.csv", 2);
    spoilt.extend(spoil("val.csv", 1));
    let out = folder.path().join("run");
    let out = ["--out", text(&out), "--json"];
    let ended = run(pretrain(folder.path(), &out));
    assert!(ended.code == Some(2) && ended.err.contains("2 of 20 videos"), "{ended:?}");
    assert!(ended.err.contains("more than the 5.0 % that may fail"), "{ended:?}");
    std::fs::remove_dir_all(folder.path().join("run")).unwrap();

    // With leave, the second epoch has nothing new to say.
    let ended = run(pretrain(folder.path(), &[&out[..], &["--set", "max_failed=0.1"]].concat()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let warnings: Vec<&str> = ended.err.lines().collect();
    let [warning] = warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.starts_with("warning: epoch 1: 3 videos could not be read, "), "{warning}");
    for line in ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        assert_eq!(line["failed"], 3);
        let mut named: Vec<String> = line["failures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|failure| format!("{}.mp4", failure["id"].as_str().unwrap()))
            .collect();
        named.sort();
        spoilt.sort();
        assert_eq!(named, spoilt);
    }
    let other = folder.path().join("other");
    let ended = run(pretrain(folder.path(), &["--out", text(&other), "--set", "max_failed=1.5"]));
    assert!(ended.err.contains("max_failed is 1.5"), "{ended:?}");
}
