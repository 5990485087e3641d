//! The whole line of localization: a run is trained on untrimmed videos, measured, exported, measured again, and used.

mod common;

use std::path::Path;

use common::{done, run};
use serde_json::Value;
use unscene_draw::Canvas;
use unscene_media::{DecodeOptions, Decoder, Source};

/// Unpacks a video.
fn as_pictures(video: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut decoder = Decoder::open(&Source::Path(video.into()), &DecodeOptions::default()).unwrap();
    let (width, height) = decoder.frame_size();
    let mut rgb = vec![0; decoder.frame_bytes()];
    let mut number = 0;
    while decoder.next_frame(&mut rgb).unwrap().is_some() {
        number += 1;
        let mut picture = Canvas::new(width, height);
        picture.paste(0, 0, &rgb, width, 1);
        std::fs::write(folder.join(format!("{number:05}.png")), picture.png().unwrap()).unwrap();
    }
}

#[test]
fn a_localizer_is_trained_measured_exported_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (stage, pretrained, out, bundle) = (path("untrimmed"), path("pretrained"), path("out"), path("bundle"));
    done(["stage", "--untrimmed", "--preset", "tiny", "--train", "2", "--val", "1", "--test", "2", "--out", &stage]);
    let form = ["--width", "0.05", "--frames", "8", "--size", "32", "--classes", "3"];
    done(["init", "--arch", "r3d10-hara", "--out", &pretrained].into_iter().chain(form));

    let data = [format!("data.annotations={stage}/annotations_thumos"), format!("data.videos={stage}")];
    let settings = [
        "data.format=thumos14",
        &data[0],
        &data[1],
        "train_part=train",
        "val_part=val",
        "model.frames=64",
        "model.size=32",
        "model.anchors=[1.0, 2.0, 3.0]",
        // So untrained, it is sure of nothing.
        "model.rule.min_score=0.0",
        "targets.regions=16",
        "fps=12.0",
        "step_frames=64",
        "batch_norm=trained",
        "short_side=32",
        "fit.epochs=1",
    ];
    let finetune = |more: &[&str], out: &str| -> Vec<String> {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let command = ["finetune", "localize", "--preset", "thumos14"].into_iter().chain(settings);
        command.chain(more.iter().copied()).chain(["--out", out]).map(String::from).collect()
    };
    let ended = run(finetune(&["--from", &pretrained], &out));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in ["took over", "begin anew (RCNN_rpn.RPN_Conv1.weight", "left 2 (net.model.fc", "unscene export"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert!(ended.err.contains("class_offset loss"), "{ended:?}");
    for (args, part) in [
        (
            vec!["--from", pretrained.as_str(), "--set", "model.width=0.25"],
            "model.width is 0.25, and the run's is 0.05",
        ),
        (vec!["--from", pretrained.as_str(), "--set", "model.classes=3"], "the dataset has 10 labels"),
        (vec!["--from", out.as_str()], "trained to localize"),
        (vec!["--set", "batch_norm=fixed", "--set", "model.arch=r3d10-hara"], "no run whose statistics could stay"),
        (vec!["--from", pretrained.as_str(), "--set", "data.videos=/no/videos"], "/no/videos"),
    ] {
        let ended = run(finetune(&args, &path("none")));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
    }

    done(["export", "--onnx", "--run", &out, "--out", &bundle]);
    let eval = |model: [&str; 2], more: &[&str]| -> Value {
        let command = ["eval", "localize"].into_iter().chain(model).chain(more.iter().copied()).chain(["--json"]);
        serde_json::from_str(&done(command)).unwrap()
    };
    let saved = path("found.json");
    let by_run = eval(["--run", &out], &["--part", "test", "--save", &saved]);
    let by_bundle = eval(["--bundle", &bundle], &["--part", "test"]);
    assert!(by_run["detections"].as_u64().unwrap() > 100, "{by_run}");
    assert_eq!(by_run["videos"], 2);
    assert!(by_run["proposals"]["auc"].as_f64().is_some(), "{by_run}");
    assert!(by_run["looked"]["frames"].as_u64().unwrap() > 100, "{by_run}");
    let average = |report: &Value| report["average_mAP"].as_f64().unwrap();
    assert!((average(&by_run) - average(&by_bundle)).abs() < 1e-3, "{by_run} {by_bundle}");
    // A folder of pictures is looked at as training would look at it.
    let pictures = folder.path().join("pictures");
    let name = "video_test_0000001";
    as_pictures(&Path::new(&stage).join(format!("videos/test/{name}.mp4")), &pictures.join("test").join(name));
    let videos = pictures.to_str().unwrap();
    let looked = eval(["--run", &out], &["--part", "test", "--videos", videos, "--max-failed", "0.5"]);
    assert_eq!(looked["looked"]["missing"].as_array().map(Vec::len), Some(1), "{looked}");
    assert!(looked["looked"]["frames"].as_u64().unwrap() > 20, "{looked}");
    // What was saved scores the same.
    let annotations = format!("{stage}/annotations_thumos");
    let again = eval(["--detections", &saved], &["--annotations", &annotations, "--nms"]);
    assert!((average(&again) - average(&by_run)).abs() < 1e-9, "{again}");

    for (args, part) in [
        (
            vec!["finetune", "classify", "--from", out.as_str(), "--preset", "paper", "--out", "none"],
            "trained to localize",
        ),
        (vec!["eval", "localize", "--run", pretrained.as_str()], "trained to classify"),
        (vec!["eval", "localize", "--run", out.as_str(), "--part", "night"], "there is no part \"night\""),
        (vec!["eval", "localize", "--run", out.as_str(), "--videos", "/no/videos"], "/no/videos"),
        (vec!["eval", "localize", "--part", "test"], "--run"),
    ] {
        let ended = run(args.clone());
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
    }
    let video = format!("{stage}/videos/test/video_test_0000001.mp4");
    let timeline = path("timeline.svg");
    let told: Value =
        serde_json::from_str(&done(["predict", "--bundle", &bundle, &video, "--json", "--timeline", &timeline]))
            .unwrap();
    assert!(told["segments"].as_array().is_some_and(|segments| !segments.is_empty()), "{told}");
    assert!(std::fs::read_to_string(timeline).unwrap().contains("<svg"));
}
