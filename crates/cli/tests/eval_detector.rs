//! A detector that was trained on crowded videos is measured, exported, and measured again.

mod common;

use std::path::{Path, PathBuf};

use common::{done, run};
use serde_json::Value;

#[test]
fn a_run_and_its_bundle_are_measured_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (stage, out, bundle) = (path("crowded"), path("out"), path("bundle"));
    let (saved, saved_of_bundle) = (path("found.json"), path("found_by_bundle.json"));
    done(["stage", "--crowded", "--preset", "tiny", "--train", "2", "--val", "1", "--test", "2", "--out", &stage]);
    let annotations = format!("{stage}/actors.json");
    let settings = [
        "data.format=actors".into(),
        format!("data.annotations={annotations}"),
        format!("data.videos={stage}"),
        "model.width=0.05".into(),
        "model.size=64".into(),
        "fit.epochs=1".into(),
        "frames_per_video=2".into(),
    ];
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/detect_stage.toml");
    let config = config.to_str().unwrap();
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let ended = run(["finetune", "detect", "--config", config, "--out", &out].into_iter().chain(settings));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    done(["export", "--onnx", "--run", &out, "--out", &bundle]);

    let eval = |model: [&str; 2], more: &[&str]| -> Value {
        let command = ["eval", "detect"].into_iter().chain(model).chain(more.iter().copied()).chain(["--json"]);
        serde_json::from_str(&done(command)).unwrap()
    };
    let by_run = eval(["--run", &out], &["--save", &saved]);
    let by_bundle = eval(["--bundle", &bundle], &["--save", &saved_of_bundle]);
    // Every frame, and a network that knows nothing is sure of nothing and says much.
    assert!(by_run["looked"]["frames"].as_u64().unwrap() >= by_run["boxes"].as_u64().unwrap() / 3, "{by_run}");
    assert!(by_run["detections"].as_u64().unwrap() > 100, "{by_run}");
    assert_eq!(
        (&by_run["videos"], &by_run["split"], &by_run["looked"]["frames_behind"]),
        (&2.into(), &1.into(), &0.into())
    );
    assert_eq!(by_run["looked"]["frames"], by_bundle["looked"]["frames"]);
    let map = |report: &Value| report["frame_mAP"].as_f64().unwrap();
    assert!((map(&by_run) - map(&by_bundle)).abs() < 1e-3, "{by_run} {by_bundle}");
    assert!(by_bundle["video_mAP"]["0.5"].is_number(), "{by_bundle}");
    // Box by box, but for a few whose scores are so near that rounding decides which of them is kept.
    let (boxes, same) = in_common(&saved, &saved_of_bundle);
    assert!(boxes > 100 && same as f64 > 0.98 * boxes as f64, "{same} of {boxes}");
    // What was saved scores the same, without the videos.
    let again = eval(["--detections", &saved], &["--annotations", &annotations]);
    assert_eq!(map(&again), map(&by_run));
    assert_eq!((&again["video_mAP"], &again["detections"]), (&by_run["video_mAP"], &by_run["detections"]));
    assert!(again.get("looked").is_none());
    let told = done(["eval", "detect", "--bundle", &bundle, "--part", "swapped"]);
    assert!(told.contains("frames/s") && told.contains("frames by voc at IoU 0.5, tubes by road; swapped"), "{told}");

    // One video is lost: it counts as missed, if that is allowed.
    std::fs::write(first_video(&Path::new(&stage).join("videos/test")), b"no video").unwrap();
    let lost = eval(["--bundle", &bundle], &["--max-failed", "0.5"]);
    assert_eq!(lost["looked"]["failed"].as_array().map(Vec::len), Some(1), "{lost}");
    assert_eq!(lost["boxes"], by_bundle["boxes"]);

    let saved_txt = path("found.txt");
    for (more, part) in [
        (vec!["--run", out.as_str()], "1 of 2 videos cannot be read, more than --max-failed allows"),
        (vec!["--run", out.as_str(), "--part", "night"], "there is no part \"night\""),
        (vec!["--run", out.as_str(), "--videos", "/no/videos"], "/no/videos"),
        (vec!["--run", out.as_str(), "--split", "1,2"], "found 1 files, runs or bundles and 2 of --split"),
        (vec!["--run", out.as_str(), "--bundle", bundle.as_str()], "cannot be used with"),
        (vec!["--run", out.as_str(), "--save", saved_txt.as_str()], "expected a name that ends in .json"),
        (vec!["--run", bundle.as_str()], "config.json"),
        (vec!["--bundle", out.as_str()], "this is a run folder"),
        (vec!["--part", "test"], "--run"),
    ] {
        let ended = run([vec!["eval", "detect"], more.clone()].concat());
        assert!(ended.code == Some(2) && ended.err.contains(part), "{more:?}: {ended:?}");
    }
    let ended = run(["eval", "localize", "--bundle", &bundle]);
    assert!(ended.code == Some(2) && ended.err.contains("made to detect and cannot localize"), "{ended:?}");
}

/// Number of boxes in a file of detections, and of those that another file has as well, in the same frame and about the same place.
fn in_common(one: &str, other: &str) -> (usize, usize) {
    let [one, other] = [one, other].map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["videos"].take()
    });
    let boxes = |videos: &Value| -> Vec<(String, u64, String, [f64; 5])> {
        let mut all = vec![];
        for (id, video) in videos.as_object().unwrap() {
            for frame in video["frames"].as_array().unwrap() {
                for found in frame["boxes"].as_array().unwrap() {
                    let side = |at: usize| found["box"][at].as_f64().unwrap();
                    let numbers = [side(0), side(1), side(2), side(3), 100.0 * found["score"].as_f64().unwrap()];
                    let label = found["label"].as_str().unwrap().to_owned();
                    all.push((id.clone(), frame["frame"].as_u64().unwrap(), label, numbers));
                }
            }
        }
        all
    };
    let (one, other) = (boxes(&one), boxes(&other));
    let near = |a: &[f64; 5], b: &[f64; 5]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.1);
    let is_there = |(id, frame, label, numbers): &&(String, u64, String, [f64; 5])| {
        other.iter().any(|(i, f, l, n)| (i, f, l) == (id, frame, label) && near(n, numbers))
    };
    (one.len(), one.iter().filter(is_there).count())
}

fn first_video(folder: &Path) -> PathBuf {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.swap_remove(0)
}
