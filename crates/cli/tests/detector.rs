//! A detector from weights to a bundle, with the command alone.

mod common;

use std::path::Path;

use common::{done, run, video};
use serde_json::Value;
use unscene_media::{DecodeOptions, Decoder};

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
    videos_are_looked_at(folder.path(), text(&bundle));
}

/// With random weights it sees something everywhere.
fn videos_are_looked_at(folder: &Path, bundle: &str) {
    let video = video("vfr.mp4");
    let video = text(&video);
    let predict = |more: &[&str]| done([&["predict", "--bundle", bundle, video], more].concat());
    let out = folder.join("out.mp4");
    let found = predict(&["--json", "--every", "3", "--threshold", "0.2", "--overlay", text(&out)]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!((&found["file"], &found["task"]), (&video.into(), &"detect".into()));
    assert_eq!((&found["video"]["frames"], &found["video"]["clips"]), (&40.into(), &14.into()), "{found}");
    let frames = found["frames"].as_array().unwrap();
    let numbers: Vec<u64> = frames.iter().map(|frame| frame["frame"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..40).step_by(3).collect::<Vec<_>>());
    let boxes: Vec<&Value> = frames.iter().flat_map(|frame| frame["boxes"].as_array().unwrap()).collect();
    assert!(!boxes.is_empty() && boxes.iter().all(|found| found["score"].as_f64().unwrap() >= 0.2), "{boxes:?}");
    assert!(found["tubes"].is_array(), "{found}");

    let mut decoder = Decoder::open(&out.as_path().into(), &DecodeOptions::default()).unwrap();
    let mut rgb = vec![0; decoder.frame_bytes()];
    let mut times = vec![];
    while let Some(time) = decoder.next_frame(&mut rgb).unwrap() {
        times.push((time.time_s * 1000.0).round() as i64);
    }
    // As the video was made.
    let expected: Vec<i64> = (0..40).map(|n| n * 40 + (n % 2) * 20 + if n >= 20 { 200 } else { 0 }).collect();
    assert_eq!(times, expected);

    let told = predict(&["--every", "3", "--threshold", "0.2"]);
    assert!(told.contains(", looked at 14 of 40 frames, "), "{told}");
    let rows: Vec<Vec<&str>> = told
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells[0].starts_with("class_"))
        .collect();
    // Of tubes, and then of labels.
    let tubes = found["tubes"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|cells| cells.len() == 5).count(), tubes.len().min(20), "{told}");
    let by_label = rows.iter().filter(|cells| cells.len() == 3);
    let counted: usize = by_label.map(|cells| cells[2].parse::<usize>().unwrap()).sum();
    assert_eq!(counted, boxes.len(), "{told}");
    let nothing = predict(&["--threshold", "1"]);
    assert!(nothing.contains("(0 tubes in") && nothing.lines().count() == 1, "{nothing}");
}

#[test]
fn what_a_detector_cannot_do_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let classifier = common::bundle(folder.path());
    let (dir, bundle, copy) = (path("detector"), path("detector_bundle"), path("copy.mp4"));
    let small = ["--arch", "vgg16-ssd", "--width", "0.05", "--size", "96", "--classes", "3", "--task", "detect"];
    done([&["init"], &small[..], &["--out", &dir]].concat());
    done(["export", "--onnx", "--run", &dir, "--out", &bundle]);
    std::fs::copy(video("h264.mp4"), &copy).unwrap();
    std::fs::create_dir(path("folder.mp4")).unwrap();
    let (out, within, inside) = (path("out.mp4"), path("folder.mp4"), path("no/out.mp4"));
    let (bundle, classifier, copy) = (bundle.as_str(), text(&classifier), copy.as_str());
    let listed = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed();
    for (args, part) in [
        (vec![bundle, copy, copy, "--overlay", &out], "--overlay draws over one video, and 2 are given"),
        (vec![classifier, copy, "--overlay", &out], "--overlay is not for"),
        (vec![classifier, copy, "--every", "2"], "made to classify"),
        (vec![bundle, copy, "--overlay", &inside], "there is no folder"),
        (vec![bundle, copy, "--overlay", &within], "is a folder; name a file"),
        (vec![bundle, copy, "--overlay", "out.mkv"], "expected a name that ends in .mp4"),
        (vec![bundle, copy, "--overlay", copy], "is the video itself; name another file"),
        (vec![bundle, &dir, "--overlay", &out], "not a regular file"),
        (vec![bundle, copy, "--top-k", "2"], "--top-k is not for"),
        (vec![bundle, copy, "--stride-frames", "2"], "--stride-frames is not for"),
        (vec![bundle, copy, "--timeline", "out.svg"], "made to detect"),
        (vec![bundle, copy, "--threshold", "7"], "threshold: found 7"),
        (vec![bundle, copy, "--every", "0"], "--every"),
    ] {
        let ended = run([&["predict", "--bundle"], &args[..]].concat());
        assert!(ended.code == Some(2) && ended.err.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(listed(), before);
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

#[test]
fn a_detector_is_trained_exported_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (crowded, pretrained, out, bundle) = (path("crowded"), path("pretrained"), path("out"), path("bundle"));
    let videos = ["--train", "2", "--val", "1", "--test", "1"];
    done(["stage", "--crowded", "--preset", "tiny", "--out", &crowded].into_iter().chain(videos));
    let form = ["--width", "0.05", "--size", "64", "--classes", "3"];
    done(["init", "--arch", "vgg16-ssd", "--out", &pretrained].into_iter().chain(form));
    let clips = path("clips");
    common::init(folder.path().join("clips").as_path());

    let data = [format!("data.annotations={crowded}/actors.json"), format!("data.videos={crowded}")];
    let settings = ["data.format=actors", &data[0], &data[1], "model.size=64", "batch=8", "fit.epochs=1"];
    let finetune = |more: &[&str], out: &str| -> Vec<String> {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let command = ["finetune", "detect"].into_iter().chain(settings).chain(more.iter().copied());
        command.chain(["--out", out]).map(String::from).collect()
    };
    let ended = run(finetune(&["--from", &pretrained], &out));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in ["took over", "begin anew", "left 2 (net.model.fc", "unscene export"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert!(ended.err.contains("class loss"), "{ended:?}");
    for (args, part) in [
        (vec!["--from", pretrained.as_str(), "--set", "train_part=night"], "there is no part \"night\""),
        (vec!["--from", pretrained.as_str(), "--set", "model.classes=3"], "the dataset has 10 labels"),
        (vec!["--from", pretrained.as_str(), "--set", "model.width=0.25"], "and the run's is 0.05"),
        (vec!["--from", clips.as_str()], "found the arch r3d10-hara, expected vgg16-ssd"),
        (vec!["--from", out.as_str()], "trained to detect"),
        (vec!["--set", "data.annotations=/no/actors.json"], "/no/actors.json"),
        (vec!["--set", "fit.epoch=1"], "epoch"),
    ] {
        let ended = run(finetune(&args, &path("none")));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{args:?}: {ended:?}");
    }
    assert!(!folder.path().join("none").exists());

    done(["export", "--onnx", "--run", &out, "--out", &bundle]);
    let (video, overlay) = (format!("{crowded}/videos/test/test_00000.mp4"), path("overlay.mp4"));
    let more = ["--json", "--threshold", "0.01", "--overlay", &overlay];
    let found = done(["predict", "--bundle", &bundle, &video].into_iter().chain(more));
    let found: Value = serde_json::from_str(&found).unwrap();
    let frames = found["frames"].as_array().unwrap();
    assert_eq!(found["video"]["frames"], frames.len());
    let labels: Value = serde_json::from_slice(&std::fs::read(format!("{crowded}/actors.json")).unwrap()).unwrap();
    let boxes: Vec<&Value> = frames.iter().flat_map(|frame| frame["boxes"].as_array().unwrap()).collect();
    assert!(!boxes.is_empty(), "{found}");
    for found in boxes {
        let is_named =
            labels["labels"].as_array().unwrap()[found["index"].as_u64().unwrap() as usize] == found["label"];
        let [x1, y1, x2, y2]: [f64; 4] = serde_json::from_value(found["box"].clone()).unwrap();
        let is_within = 0.0 <= x1 && x1 < x2 && x2 <= 96.0 && 0.0 <= y1 && y1 < y2 && y2 <= 72.0;
        assert!(is_named && is_within, "{found}");
    }
    let info = unscene_media::probe(&Path::new(&overlay).into(), &Default::default()).unwrap();
    assert_eq!(info.reported_frames, Some(frames.len() as u64));
}
