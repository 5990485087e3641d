//! What scenes give away, and where models look.

mod common;

use std::path::Path;

use common::{done, run};
use serde_json::Value;
use unscene_draw::tiny_skia::Pixmap;
use unscene_media::{DecodeOptions, Decoder, Source};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&done(args.iter().copied().chain(["--json"]))).unwrap()
}

/// A tiny set with the truth about it, a run with random weights and its bundle with maps.
fn prepare(folder: &Path) {
    let path = |name: &str| folder.join(name);
    let (stage, scenes, people) = (path("stage"), path("scenes.sqlite"), path("people.sqlite"));
    done(["stage", "--preset", "tiny", "--bias", "1", "--train", "50", "--test", "10", "--out", text(&stage)]);
    done(["annotate", "truth", "--stage", text(&stage), "--scenes", text(&scenes), "--people", text(&people)]);
    for (name, seed) in [("a", "1"), ("b", "2")] {
        let form = ["--width", "0.05", "--frames", "8", "--size", "48", "--classes", "3", "--seed", seed];
        done(["init", "--arch", "r3d10-hara", "--out", text(&path(name))].into_iter().chain(form));
    }
    done(["export", "--onnx", "--maps", "--run", text(&path("a")), "--out", text(&path("maps"))]);
    done(["export", "--onnx", "--run", text(&path("a")), "--out", text(&path("plain"))]);
}

#[test]
fn scenes_give_actions_away_as_far_as_they_go_with_them() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let (stage, scenes) = (folder.path().join("stage"), folder.path().join("scenes.sqlite"));
    let data = ["bias", "--annotations", text(&stage), "--cache", text(&scenes), "--test-part"];
    // Every action is in its own scene, or never.
    let found = json(&[&data[..], &["iid"]].concat());
    assert_eq!((&found["accuracy"], &found["chance"], &found["labels"]), (&1.0.into(), &0.1.into(), &10.into()));
    assert!((found["bias"].as_f64().unwrap() - 10f64.ln()).abs() < 1e-9, "{found}");
    assert_eq!(found["accuracies"].as_array().unwrap().len(), 5);
    let said = done([&data[..], &["iid", "--seeds", "2"]].concat());
    assert!(said.starts_with("B_scene = ln(100.0 / 10.0) = 2.30 +- 0.00"), "{said}");

    let table = folder.path().join("targets.csv");
    let plot = folder.path().join("figure.svg");
    std::fs::write(
        &table,
        "dataset,bias,baseline,debiased\nd48,1.26,18.0,20.5\nhmdb,3.2,53.6,56.7\nucf,4.09,83.5,84.5\n",
    )
    .unwrap();
    let found = json(&["bias", "compare", text(&table), "--plot", text(&plot)]);
    assert!((found["pearson"]["rho"].as_f64().unwrap() + 0.998634).abs() < 1e-6, "{found}");
    assert!((found["datasets"][0]["improvement"].as_f64().unwrap() - 2.5 / 18.0).abs() < 1e-9);
    assert!(std::fs::read_to_string(&plot).unwrap().contains("hmdb"));

    std::fs::write(&table, "dataset,bias,baseline,debiased\na,1,0,1\nb,2,1,1\nc,3,1,1\n").unwrap();
    for (args, part) in [
        (vec!["bias"], "--annotations"),
        ([&data[..], &["swapped"]].concat(), "no action of the 10 test videos is named by its scene"),
        ([&data[..], &["nowhere"]].concat(), "the dataset has train"),
        (vec!["bias", "--annotations", text(&stage), "--test-part", "iid", "--cache", "/no/cache"], "/no/cache"),
        (vec!["bias", "compare", "/no/table"], "/no/table"),
        (vec!["bias", "compare", text(&table)], "a baseline above 0"),
    ] {
        let ended = run(&args);
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
    }
}

#[test]
fn a_run_and_its_bundle_look_at_the_same_places() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let path = |name: &str| folder.path().join(name);
    let (a, b, maps, plain, stage) = (path("a"), path("b"), path("maps"), path("plain"), path("stage"));
    let (people, out) = (path("people.sqlite"), path("looks"));
    let data = ["--annotations", text(&stage), "--part", "swapped", "--people", text(&people)];

    let by_run = json(&[&["explain", "--run", text(&a), "--run", text(&b)], &data[..]].concat());
    for (engine, tolerance) in [("ort", 1e-4), ("tract", 1e-4)] {
        let by_bundle = json(&[&["explain", "--bundle", text(&maps), "--engine", engine], &data[..]].concat());
        for name in ["energy", "covered"] {
            let [one, other] = [&by_run, &by_bundle].map(|found| found["models"][0][name].as_f64().unwrap());
            assert!((one - other).abs() < tolerance && one > 0.0 && one < 1.0, "{engine}, {name}: {one} {other}");
        }
        assert_eq!(by_bundle["models"][0]["videos"], 10);
    }
    assert_ne!(by_run["models"][0]["energy"], by_run["models"][1]["energy"]);

    let draw = ["--out", text(&out), "--pictures", "2"];
    let said = done([&["explain", "--run", text(&a), "--run", text(&b)], &data[..], &draw].concat());
    assert!(said.contains("energy on people") && said.contains("2 videos"), "{said}");
    let drawn: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(drawn.len(), 2);
    // 48 pixels four times as large; a frame and two maps beside each other, below a line of text.
    let picture = Pixmap::load_png(drawn[0].join("clip-000.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (3 * 192, 192 + 20));
    let video = drawn[0].join("clips.mp4");
    let mut decoder = Decoder::open(&Source::from(video.as_path()), &DecodeOptions::default()).unwrap();
    let (mut frames, mut rgb) = (0, vec![0; decoder.frame_bytes()]);
    while decoder.next_frame(&mut rgb).unwrap().is_some() {
        frames += 1;
    }
    // 18 frames are two whole clips of 8 and one that is filled up.
    assert_eq!(frames, 24);

    // A single video, and a class by name.
    let (single, file) = (path("single"), common::video("h264.mp4"));
    let args = ["explain", "--bundle", text(&maps), text(&file), "--class", "class_2", "--out", text(&single)];
    assert!(done(args).starts_with("h264: class_2 ("), "the class that was asked for");
    let names: Vec<String> =
        std::fs::read_dir(&single).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(single.join("clip-004.png").is_file() && !names.iter().any(|name| name.ends_with(".partial")), "{names:?}");

    let other = path("other");
    done([
        "init",
        "--arch",
        "r3d10-hara",
        "--width",
        "0.05",
        "--frames",
        "4",
        "--size",
        "48",
        "--classes",
        "3",
        "--out",
        text(&other),
    ]);
    for (args, part) in [
        (vec!["--bundle", text(&plain), text(&file), "--out", "o"], "export it with --maps"),
        (vec!["--run", text(&a), text(&file)], "--out"),
        (vec!["--run", text(&a), text(&file), "--out", text(&single), "--class", "dive"], "it has no class \"dive\""),
        (vec!["--run", text(&a), "--run", text(&other), text(&file), "--out", "o"], "must see the same"),
        (vec!["--run", text(&a), "/no/video.mp4", "--out", "o"], "/no/video.mp4"),
        (vec!["--run", text(&a)], "VIDEO"),
    ] {
        let ended = run(["explain"].iter().chain(&args));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
    }
}
