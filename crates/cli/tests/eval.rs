//! Training killed and taken up again, and what was learned measured: of the run, of its bundle, as a page.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{done, run};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A tiny set, and settings over the example that train on it in seconds.
fn settings(folder: &Path) -> Vec<String> {
    let stage = folder.join("stage");
    done([
        "stage",
        "--preset",
        "tiny",
        "--train",
        "20",
        "--val",
        "10",
        "--test",
        "20",
        "--empty",
        "--out",
        text(&stage),
    ]);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pretrain_stage.toml");
    let changes = [
        format!("data.annotations='{}'", stage.display()),
        "model.width=0.05".into(),
        "model.size=32".into(),
        "batch=8".into(),
        "fit.epochs=2".into(),
        "fit.schedule.epochs=[1]".into(),
    ];
    let settings = changes.into_iter().flat_map(|change| ["--set".to_string(), change]);
    ["pretrain".to_string(), "--config".into(), text(&example).into()].into_iter().chain(settings).collect()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&done(args.iter().copied().chain(["--json"]))).unwrap()
}

#[test]
fn a_killed_training_goes_on_to_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    // A snapshot after every step: the kill meets them while they are written.
    let train = |out: &Path| -> Vec<String> {
        let more = ["--set", "fit.snapshot_every_s=0", "--set", "fit.epochs=4", "--out", text(out), "--json"];
        settings.iter().cloned().chain(more.map(String::from)).collect()
    };
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    done(train(&whole).iter().map(String::as_str));

    let checkpoint = killed.join("checkpoint");
    let newest_snapshot = || {
        let entries = std::fs::read_dir(&checkpoint).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name.starts_with("epoch-")).max()
    };
    let mut kills = 0;
    for resume in [false, true, true] {
        let before = newest_snapshot();
        let mut command = Command::new(env!("CARGO_BIN_EXE_unscene"));
        command.args(train(&killed)).args(resume.then_some("--resume")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while newest_snapshot() == before && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(120), "no new snapshot within two minutes");
            std::thread::sleep(Duration::from_millis(2));
        }
        // SIGKILL: nothing can be tidied up.
        if child.kill().is_ok() && !child.wait().unwrap().success() {
            kills += 1;
        }
    }
    assert!(kills > 0, "the training was over before it could be killed");
    let args = train(&killed);
    done(args.iter().map(String::as_str).chain(["--resume"]));
    let weights = |run: &Path| std::fs::read(run.join("weights.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&killed), "killed {kills} times, the weights differ");
}

#[test]
fn a_run_and_its_bundle_give_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut train = settings(folder.path());
    train.extend(["--out".into(), text(&path("run")).into(), "--json".into()]);
    done(train.iter().map(String::as_str));
    let (stage, run_dir, bundle) = (path("stage"), path("run"), path("bundle"));
    done(["annotate", "truth", "--stage", text(&stage), "--scenes", text(&path("s")), "--people", text(&path("p"))]);
    done(["export", "--onnx", "--features", "--run", text(&run_dir), "--out", text(&bundle)]);

    let (empty, scenes, people) = (stage.join("empty"), path("s"), path("p"));
    for (what, more) in [
        ("action", vec!["--part", "iid", "--part", "swapped"]),
        ("scene", vec!["--part", "swapped", "--scenes", text(&scenes)]),
        ("masked", vec!["--part", "iid", "--people", text(&people), "--fill", "blur", "--fill", text(&empty)]),
    ] {
        let of = |model: &[&str]| {
            let data = ["--annotations", text(&stage)];
            json(&[&["eval", what], model, &data, &more].concat())
        };
        let by_run = of(&["--run", text(&run_dir), "--device", "cpu"]);
        for engine in ["ort", "tract"] {
            let by_bundle = of(&["--bundle", text(&bundle), "--engine", engine]);
            assert_same(&by_run["parts"], &by_bundle["parts"], &format!("{what} by {engine}"));
        }
        std::fs::write(run_dir.join(format!("{what}.json")), by_run.to_string()).unwrap();
        match what {
            "action" => {
                assert_eq!(by_run["parts"]["swapped"]["videos"], 20);
                // Shuffled frames are other clips; one clip at a time is the same.
                let args = ["eval", "action", "--run", text(&run_dir), "--annotations", text(&stage), "--part", "iid"];
                let shuffled = json(&args.into_iter().chain(["--shuffle-frames"]).collect::<Vec<_>>());
                assert_ne!(shuffled["parts"]["iid"]["entropy"], by_run["parts"]["iid"]["entropy"]);
                let one = json(&args.into_iter().chain(["--batch", "1", "--workers", "3"]).collect::<Vec<_>>());
                assert_same(&one["parts"]["iid"], &by_run["parts"]["iid"], "one clip at a time");
            }
            "scene" => assert_eq!(by_run["parts"]["swapped"]["folds"], 5),
            _ => {
                let fills = by_run["parts"]["iid"]["fills"].as_object().unwrap();
                assert_eq!(fills.len(), 3);
                assert_ne!(fills["none"]["entropy"], fills["blur"]["entropy"]);
            }
        }
    }

    let page = path("report.html");
    let sheet = stage.join("contact_sheet.png");
    done(["report", "--run", text(&run_dir), "--picture", text(&sheet), "--out", text(&page)]);
    let page = std::fs::read_to_string(page).unwrap();
    for part in ["swapped, top-1", "iid without people (empty), entropy", "scene probe on swapped", "<svg", "base64"] {
        assert!(page.contains(part), "{part}");
    }
}

/// Numbers may differ by what another engine rounds.
fn assert_same(a: &Value, b: &Value, place: &str) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{place}");
            a.iter().for_each(|(name, value)| assert_same(value, &b[name], &format!("{place}, {name}")));
        }
        (Value::Number(a), Value::Number(b)) => {
            let difference = (a.as_f64().unwrap() - b.as_f64().unwrap()).abs();
            assert!(difference < 1e-4, "{place}: {a} and {b}");
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}

#[test]
fn what_cannot_be_measured_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let stage = path("stage");
    done(["stage", "--preset", "tiny", "--train", "10", "--val", "0", "--test", "10", "--out", text(&stage)]);
    done([
        "init",
        "--arch",
        "r3d10-hara",
        "--width",
        "0.05",
        "--frames",
        "8",
        "--size",
        "32",
        "--classes",
        "10",
        "--out",
        text(&path("other")),
    ]);
    done(["export", "--onnx", "--run", text(&path("other")), "--out", text(&path("bundle"))]);
    done(["annotate", "truth", "--stage", text(&stage), "--scenes", text(&path("s"))]);
    let (other, bundle, scenes) = (path("other"), path("bundle"), path("s"));
    let data = ["--annotations", text(&stage)];
    for (args, part) in [
        (vec!["eval", "action", "--run", text(&other)], "does not know 10 of the 10 labels"),
        (vec!["eval", "action", "--run", text(&bundle)], "exported already"),
        (vec!["eval", "action", "--bundle", text(&other)], "unscene export"),
        (vec!["eval", "action", "--bundle", "/no/bundle"], "/no/bundle"),
        (vec!["eval", "scene", "--bundle", text(&bundle), "--scenes", text(&scenes)], "export it with --features"),
        (vec!["eval", "scene", "--run", text(&other), "--scenes", "/no/cache"], "/no/cache"),
        (vec!["eval", "action", "--run", text(&other), "--part", "nope"], "no part \"nope\""),
        (vec!["eval", "action", "--run", text(&other), "--batch", "0"], "--batch"),
    ] {
        let ended = run(args.iter().chain(&data));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
    }
    for (args, part) in [
        (vec!["--run", text(&other), "--device", "tensorrt:0"], "libtorch has no TensorRT"),
        (vec!["--run", text(&other), "--engine", "ort"], "--engine"),
        (vec!["--run", text(&other), "--bundle", text(&bundle)], "--bundle"),
    ] {
        let ended = run(["eval", "action"].into_iter().chain(args.iter().copied()).chain(data));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
    }
    let ended = run(["eval", "action", "--annotations", text(&stage)]);
    assert!(ended.code == Some(2) && ended.err.contains("--run"), "{ended:?}");
    let ended = run(["report", "--run", text(&other), "--out", text(&path("r.html"))]);
    assert!(ended.code == Some(2) && ended.err.contains("unscene pretrain"), "{ended:?}");
}
