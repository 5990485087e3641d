//! Datasets and annotation with the command alone, on a small Stage set.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::{Ended, command, done, run};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// 24 training videos, 4 of validation and 6 of each test set.
fn stage(folder: &Path) -> PathBuf {
    let out = folder.join("stage");
    done(["stage", "--preset", "tiny", "--train", "24", "--val", "4", "--test", "6", "--out", text(&out)]);
    out
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../annotate/tests/fixtures").join(name);
    text(&path).to_string()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Ends with 2 and one line that has every part.
fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} is not in: {}", ended.err);
    }
}

#[test]
fn a_set_is_checked_in_every_form_it_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path());
    let table = done(["data", "check", "--annotations", text(&stage)]);
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert!(rows[1].starts_with("| train   |    24 |       0 |   24 |          0 |"), "{table}");

    let videos = stage.join("videos");
    let lists = stage.join("ucf101");
    let common = ["data", "check", "--format", "ucf101", "--annotations", text(&lists), "--videos", text(&videos)];
    let report = json(&done(common.into_iter().chain(["--split", "2", "--frames", "8", "--json"])));
    assert_eq!(report["problems"], Value::Array(vec![]));
    let counts: Vec<_> = report["parts"].as_array().unwrap().iter().map(|part| part["found"].as_u64()).collect();
    assert_eq!(counts, [Some(24), Some(6)]);
    assert_eq!(report["labels"].as_array().unwrap().len(), 10);

    let pictures = stage.join("pictures");
    let only = ["data", "check", "--annotations", text(&pictures), "--frames", "1", "--part", "val", "--sample", "20"];
    let report = json(&done(only.into_iter().chain(["--json"])));
    let part = &report["parts"][0];
    assert_eq!((part["name"].as_str(), part["found"].as_u64()), (Some("val"), Some(140)));
    let read = part["read"].as_u64().unwrap();
    assert!((10..=20).contains(&read), "{read} pictures were read");
}

#[test]
fn a_set_that_training_would_fail_on_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path());
    let check = |more: &[&str]| run(["data", "check", "--annotations", text(&stage)].iter().chain(more));

    refused(&check(&["--part", "nope"]), &["no part \"nope\"", "train, val, iid, swapped, unseen"]);
    refused(&check(&["--frames", "0"]), &["--frames must be at least 1"]);
    let nowhere = folder.path().join("nowhere");
    refused(&check(&["--videos", text(&nowhere)]), &["nowhere", "--videos"]);
    refused(&run(["data", "check", "--annotations", text(&nowhere)]), &["nowhere"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(&check(&["--videos", text(&empty)]), &["train: none of 24 videos is there", ".mp4 for one"]);

    // A label without videos.
    let classes = "bow\njumping_jack\nlower_arms\nmarch\npunch\nraise_arms\nsit_down\nstand_up\nswim\n";
    let known = fs::read_to_string(stage.join("ucf101/classInd.txt")).unwrap();
    let mut classes: Vec<String> = classes.lines().map(str::to_string).collect();
    classes.extend(known.lines().map(|line| line.split_once(' ').unwrap().1.to_string()));
    classes.sort();
    classes.dedup();
    fs::write(stage.join("classes.txt"), classes.join("\n")).unwrap();
    refused(&check(&[]), &["training would fail", "1 labels have no video: swim"]);
    fs::remove_file(stage.join("classes.txt")).unwrap();

    // Two of 24 are more than 5 %, and named; with leave, they are only named.
    let list = fs::read_to_string(stage.join("train.csv")).unwrap();
    for line in list.lines().skip(1).take(2) {
        fs::write(stage.join(line.split_once(',').unwrap().0), "no video").unwrap();
    }
    let ended = check(&[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("2 of 24 videos (8.3 %) cannot be read"), "{}", ended.err);
    assert_eq!(ended.out.matches("train unreadable: ").count(), 2, "{}", ended.out);
    let ended = check(&["--max-failed", "0.1"]);
    assert_eq!((ended.code, ended.out.matches("train unreadable: ").count()), (Some(0), 2), "{ended:?}");

    let ended = run(["data", "check", "--format", "ucf", "--annotations", "x"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("\"ucf\"") && ended.err.contains("ucf101, hmdb51"), "{}", ended.err);
}

#[test]
fn a_part_of_any_name_can_be_trained_on_and_is_checked_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path());
    let sets = folder.path().join("sets");
    fs::create_dir(&sets).unwrap();
    let list = fs::read_to_string(stage.join("train.csv")).unwrap();
    fs::write(sets.join("mine.csv"), &list).unwrap();
    let check = |more: &[&str]| {
        let args = ["data", "check", "--annotations", text(&sets), "--videos", text(&stage), "--sample", "1"];
        run(args.iter().chain(more))
    };
    let ended = check(&[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.ends_with("train with --set train_part=mine --set val_part=mine\n"), "{}", ended.out);

    // Two parts, and training knows neither by name.
    fs::write(sets.join("other.csv"), &list).unwrap();
    refused(&check(&[]), &["training would fail", "none of the parts mine, other", "--part mine", "train_part=mine"]);
    let ended = check(&["--part", "mine"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.ends_with("train with --set train_part=mine --set val_part=other\n"), "{}", ended.out);
    let report = json(&check(&["--part", "other", "--json"]).out);
    assert_eq!(report["train_part"], "other");

    // A label without videos: training fails, whatever the part is called.
    let labels: std::collections::BTreeSet<&str> =
        list.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).chain(["swim"]).collect();
    fs::write(sets.join("classes.txt"), labels.into_iter().collect::<Vec<_>>().join("\n")).unwrap();
    refused(&check(&["--part", "mine"]), &["mine: 1 labels have no video: swim"]);
    fs::remove_file(sets.join("mine.csv")).unwrap();
    refused(&check(&[]), &["other: 1 labels have no video: swim"]);
    // To test on, it will do.
    fs::write(sets.join("train.csv"), list + &format!("{},swim\n", "bow.mp4")).unwrap();
    assert_eq!(check(&["--part", "other"]).code, Some(0));
}

/// A classifier of three colours, which is enough to fill a cache.
fn scenes_args(folder: &Path, stage: &Path) -> Vec<String> {
    let config = folder.join("scenes.json");
    let text_of = r#"{"input": {"width": 8, "height": 8, "fit": "stretch"}, "output": {"name": "logits"}, "labels": "labels.txt"}"#;
    fs::write(&config, text_of).unwrap();
    fs::write(folder.join("labels.txt"), "red\ngreen\nblue\n").unwrap();
    let (config, out) = (text(&config).to_string(), text(&folder.join("scenes.sqlite")).to_string());
    let model = fixture("colours.onnx");
    ["annotate", "scenes", "--model", &model, "--config", &config, "--annotations", text(stage), "--out", &out]
        .map(str::to_string)
        .to_vec()
}

#[test]
fn a_set_is_annotated_drawn_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path());
    let scenes = scenes_args(folder.path(), &stage);
    let report = json(&done(scenes.iter().map(String::as_str).chain(["--json"])));
    assert_eq!((report["videos"].as_u64(), report["kept"].as_u64()), (Some(46), Some(0)));
    let again = done(&scenes);
    assert!(again.contains("nothing to do, 46 videos were done already"), "{again}");

    let config = folder.path().join("people.json");
    let form = r#"{"input": {"width": 32, "height": 32, "fit": "stretch"}, "max_iou": 1,
        "output": {"form": "distance_maps", "scores": ["scores"], "boxes": ["distances"], "strides": [8], "person": 0}}"#;
    fs::write(&config, form).unwrap();
    let (cache, model) = (folder.path().join("people.sqlite"), fixture("green_cells.onnx"));
    let (config, cache) = (text(&config), text(&cache));
    done(["annotate", "people", "--model", &model, "--config", config, "--annotations", text(&stage), "--out", cache]);

    let compared = json(&done([
        "annotate",
        "compare",
        "--stage",
        text(&stage),
        "--scenes",
        &scenes[9],
        "--people",
        cache,
        "--json",
    ]));
    // Colours say something about the scenes, and nothing by name; bright places say little about people.
    assert_eq!((compared["scenes"]["videos"].as_u64(), compared["scenes"]["accuracy"].as_f64()), (Some(46), Some(0.0)));
    let number = |what: &str, name: &str| compared[what][name].as_f64().unwrap();
    assert!(number("scenes", "purity") >= number("scenes", "chance"));
    assert_eq!(compared["people"]["videos"].as_u64(), Some(46));
    assert!(number("people", "covered") <= 1.0 && number("people", "frames") > 46.0);
    let words = done(["annotate", "compare", "--stage", text(&stage), "--people", cache]);
    assert!(words.contains("people of 46 of 46 videos") && words.contains("part of a person covered"), "{words}");

    let png = folder.path().join("preview.png");
    let both = ["--scenes", &scenes[9], "--people", cache, "--count", "4", "--out", text(&png)];
    let drawn = done(["annotate", "preview", "--annotations", text(&stage)].iter().chain(&both));
    assert!(drawn.contains("drew 4 videos"), "{drawn}");
    assert!(fs::read(&png).unwrap().starts_with(b"\x89PNG"));

    // A cache of other videos, and one of the other kind.
    let pictures = stage.join("pictures");
    let other = ["annotate", "preview", "--annotations", text(&pictures), "--scenes", &scenes[9], "--out", text(&png)];
    refused(&run(other), &["made for other videos", "annotate scenes"]);
    let swapped = ["annotate", "preview", "--annotations", text(&stage), "--scenes", cache, "--out", text(&png)];
    refused(&run(swapped), &["it holds people, expected scenes"]);
    refused(
        &run(scenes.iter().map(String::as_str).chain(["--fps", "2"])),
        &["settings.looks.per_second: 1.0, now 2.0", "--out"],
    );
}

#[test]
fn a_killed_annotation_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(folder.path());
    // Many moments of each video, so that there is work left when the first is done.
    let list = fs::read_to_string(stage.join("train.csv")).unwrap();
    let mut moments = String::from("path,label,start_s,end_s\n");
    for row in list.lines().skip(1) {
        let mut cells = row.split(',');
        let (path, label) = (cells.next().unwrap(), cells.next().unwrap());
        (0..5).for_each(|start| moments += &format!("{path},{label},0.{start},1\n"));
    }
    let moments_path = stage.join("moments.csv");
    fs::write(&moments_path, moments).unwrap();
    let mut args = scenes_args(folder.path(), &moments_path);
    args.extend(["--fps", "1000", "--workers", "1", "--json"].map(str::to_string));
    let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let rows = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = Connection::open_with_flags(folder.path().join("scenes.sqlite"), flags).ok()?;
        database.query_row("SELECT count(*) FROM videos", [], |row| row.get::<_, i64>(0)).ok()
    };
    while rows().unwrap_or(0) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the first video was done");
        std::thread::sleep(Duration::from_millis(1));
    }
    // SIGKILL: nothing can be tidied up.
    child.kill().unwrap();
    child.wait().unwrap();
    let report = json(&done(&args));
    let (videos, kept) = (report["videos"].as_u64().unwrap(), report["kept"].as_u64().unwrap());
    assert!(kept >= 1 && videos >= 1 && videos + kept == 120, "{kept} of 120 were kept, {videos} looked at");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("journal")), "{left:?}");
}
