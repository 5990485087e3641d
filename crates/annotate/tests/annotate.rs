//! Videos through models into caches, on videos of plain colours whose truth is known.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unscene_annotate::{AnnotateError, AnnotateOptions, FrameModel, ImportOptions, Progress, Report, annotate, import};
use unscene_data::{Annotation, Cache, CacheKind, DataError, Found, Item, Looks, Media, PeopleFrame, Span};
use unscene_engine::{EngineChoice, EngineOptions};
use unscene_media::{EncodeOptions, Encoder};

const SIZE: u32 = 64;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A video of ten frames at 10 per second; `color` gives the pixel at frame, column and row.
fn video(folder: &Path, name: &str, color: impl Fn(u32, u32, u32) -> [u8; 3]) -> Item {
    let path = folder.join(format!("{name}.mp4"));
    let options = EncodeOptions { width: SIZE, height: SIZE, fps: 10, crf: 10, keyframe_every: 10 };
    let mut encoder = Encoder::create(&path, &options).unwrap();
    for frame in 0..10 {
        let pixels = (0..SIZE * SIZE).flat_map(|at| color(frame, at % SIZE, at / SIZE));
        encoder.write(&pixels.collect::<Vec<u8>>()).unwrap();
    }
    encoder.finish().unwrap();
    Item { id: name.into(), media: Media::Video(path), span: Span::Whole, label: 0 }
}

fn plain(folder: &Path, name: &str, color: [u8; 3]) -> Item {
    video(folder, name, move |_, _, _| color)
}

fn colours(folder: &Path) -> Vec<Item> {
    let [red, green, blue] = [[230, 20, 20], [20, 230, 20], [20, 20, 230]];
    vec![plain(folder, "red", red), plain(folder, "green", green), plain(folder, "blue", blue)]
}

fn scene_model(folder: &Path, engine: EngineChoice) -> FrameModel {
    let config = folder.join("scenes.json");
    let text = r#"{"input": {"width": 8, "height": 8, "fit": {"resize": {"width": 10, "height": 10}}}, "output": {"name": "logits"}, "labels": "labels.txt"}"#;
    std::fs::write(&config, text).unwrap();
    std::fs::write(folder.join("labels.txt"), "red\ngreen\nblue\n").unwrap();
    let options = EngineOptions { engine, ..EngineOptions::default() };
    FrameModel::scenes(&fixture("colours.onnx"), Some(&config), None, &options).unwrap()
}

fn options(looks: Looks) -> AnnotateOptions {
    AnnotateOptions { looks, batch: 4, workers: 2, max_failed: 0.05 }
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// An item of this id whose medium says nothing.
fn named(id: &str) -> Item {
    Item { id: id.into(), media: Media::Frames(PathBuf::new()), span: Span::Whole, label: 0 }
}

fn scenes_of(cache: &Path, id: &str) -> Annotation {
    Cache::open(cache, CacheKind::Scenes).unwrap().read([&named(id)]).unwrap().remove(0).unwrap()
}

#[test]
fn scenes_are_averaged_over_the_frames_in_every_engine() {
    let folder = tempfile::tempdir().unwrap();
    let mut items = colours(folder.path());
    // Red for the first half, then blue.
    items.push(video(folder.path(), "both", |frame, _, _| if frame < 5 { [230, 20, 20] } else { [20, 20, 230] }));
    for (engine, name) in [(EngineChoice::Ort, "ort.sqlite"), (EngineChoice::Tract, "tract.sqlite")] {
        let out = folder.path().join(name);
        let mut model = scene_model(folder.path(), engine);
        let report = annotate(&mut model, &items, &options(Looks::PerSecond(10.0)), &out, &go_on).unwrap();
        assert_eq!(report, Report { videos: 4, frames: 40, ..Report::default() });
        for (at, id) in ["red", "green", "blue"].iter().enumerate() {
            let annotation = scenes_of(&out, id);
            let Found::Scenes(scores) = &annotation.found else { panic!() };
            assert_eq!((annotation.frames, annotation.size), (10, (SIZE, SIZE)));
            // Logits of 10 times 230 and 20 of 255 leave little to the others.
            assert!(scores[at] > 0.99, "{id}: {scores:?}");
            assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let Found::Scenes(both) = scenes_of(&out, "both").found else { panic!() };
        assert!((both[0] - 0.5).abs() < 0.01 && (both[2] - 0.5).abs() < 0.01, "{both:?}");
    }
}

#[test]
fn an_interrupted_cache_is_no_cache_until_it_was_continued() {
    let folder = tempfile::tempdir().unwrap();
    let (items, out) = (colours(folder.path()), folder.path().join("scenes.sqlite"));
    let mut model = scene_model(folder.path(), EngineChoice::Tract);
    let one_by_one = AnnotateOptions { batch: 10, workers: 1, ..options(Looks::PerSecond(10.0)) };
    let stop_at_one = |progress: Progress| match progress.videos {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let stopped = annotate(&mut model, &items, &one_by_one, &out, &stop_at_one).unwrap_err();
    assert!(matches!(stopped, AnnotateError::Interrupted { done: 1.., of: 3 }), "{stopped}");
    let error = Cache::open(&out, CacheKind::Scenes).err().unwrap().to_string();
    assert!(error.contains("not finished"), "{error}");

    let seen = Cell::new(0);
    let control = |progress: Progress| {
        seen.set(progress.videos);
        ControlFlow::Continue(())
    };
    let report = annotate(&mut model, &items, &one_by_one, &out, &control).unwrap();
    assert!(report.kept >= 1 && report.kept + report.videos == 3, "{report:?}");
    assert_eq!(seen.get(), 3);
    // Once more, there is nothing to do.
    let report = annotate(&mut model, &items, &one_by_one, &out, &go_on).unwrap();
    assert_eq!(report, Report { kept: 3, ..Report::default() });
    let Found::Scenes(scores) = scenes_of(&out, "blue").found else { panic!() };
    assert!(scores[2] > 0.99);
}

#[test]
fn a_cache_of_other_settings_other_videos_or_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (items, out) = (colours(folder.path()), folder.path().join("scenes.sqlite"));
    let mut model = scene_model(folder.path(), EngineChoice::Tract);
    annotate(&mut model, &items[..2], &options(Looks::PerSecond(1.0)), &out, &go_on).unwrap();
    let error = annotate(&mut model, &items, &options(Looks::PerSecond(2.0)), &out, &go_on).unwrap_err().to_string();
    assert!(error.contains("scenes.sqlite") && error.contains("settings.looks.per_second: 1.0, now 2.0"), "{error}");

    let mut people = people_model(folder.path(), "0.5");
    let error = annotate(&mut people, &items, &options(Looks::Every(2)), &out, &go_on).unwrap_err().to_string();
    assert!(error.contains("kind: \"scenes\", now \"people\""), "{error}");

    let cache = Cache::open(&out, CacheKind::Scenes).unwrap();
    let error = cache.read(&items).unwrap_err().to_string();
    assert!(error.contains("made for other videos: 1 of 3") && error.contains("\"blue\""), "{error}");
    let error = Cache::open(&out, CacheKind::People).err().unwrap().to_string();
    assert!(error.contains("it holds scenes, expected people"), "{error}");

    // None of these, and another of the same name.
    let error =
        annotate(&mut model, &items[2..], &options(Looks::PerSecond(1.0)), &out, &go_on).unwrap_err().to_string();
    assert!(error.contains("made for 2 other videos"), "{error}");
    plain(folder.path(), "green", [250, 250, 250]);
    let error = cache.read(&items[1..2]).unwrap_err().to_string();
    assert!(error.contains("have changed since") && error.contains("\"green\""), "{error}");
    let report = annotate(&mut model, &items, &options(Looks::PerSecond(1.0)), &out, &go_on).unwrap();
    assert_eq!((report.videos, report.kept), (2, 1));

    let text = folder.path().join("text.sqlite");
    std::fs::write(
        &text,
        "no database, but long enough to be read as one, or so it seems to whoever wrote it. ".repeat(20),
    )
    .unwrap();
    for error in [
        annotate(&mut model, &items, &options(Looks::PerSecond(1.0)), &text, &go_on).unwrap_err().to_string(),
        Cache::open(&text, CacheKind::Scenes).err().unwrap().to_string(),
    ] {
        assert!(error.contains("text.sqlite") && error.contains("no cache"), "{error}");
    }
    let error = Cache::open(&folder.path().join("none"), CacheKind::People).err().unwrap().to_string();
    assert!(error.contains("no such file") && error.contains("annotate people"), "{error}");
}

#[test]
fn videos_that_cannot_be_read_are_named_and_too_many_stop_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let mut items = colours(folder.path());
    std::fs::write(folder.path().join("bad.mp4"), "no video").unwrap();
    items.push(Item { id: "bad".into(), media: Media::Video(folder.path().join("bad.mp4")), ..items[0].clone() });
    let out = folder.path().join("scenes.sqlite");
    let mut model = scene_model(folder.path(), EngineChoice::Tract);
    let error = annotate(&mut model, &items, &options(Looks::PerSecond(1.0)), &out, &go_on).unwrap_err();
    let AnnotateError::Data(DataError::TooManyFailures { failed: 1, of: 4, .. }) = &error else { panic!("{error}") };
    assert!(error.to_string().contains("bad.mp4"), "{error}");

    let lenient = AnnotateOptions { max_failed: 0.3, ..options(Looks::PerSecond(1.0)) };
    let report = annotate(&mut model, &items, &lenient, &out, &go_on).unwrap();
    assert_eq!((report.videos + report.kept, report.failures.len()), (3, 1));
    assert!(report.failures[0].id == "bad" && report.failures[0].reason.contains("not a video"), "{report:?}");
    let cache = Cache::open(&out, CacheKind::Scenes).unwrap();
    assert!(cache.read([&named("bad")]).unwrap()[0].is_none());
    assert_eq!(cache.failures().unwrap()[0].0, "bad");

    // Mended, it is tried again.
    std::fs::copy(folder.path().join("red.mp4"), folder.path().join("bad.mp4")).unwrap();
    let report = annotate(&mut model, &items, &lenient, &out, &go_on).unwrap();
    assert_eq!((report.videos, report.kept, report.failures.len()), (1, 3, 0));
}

fn people_model(folder: &Path, min_score: &str) -> FrameModel {
    let config = folder.join("people.json");
    let text = r#"{"input": {"width": 32, "height": 32, "fit": {"letterbox": {"pad": 0, "center": true}}},
        "output": {"form": "distance_maps", "scores": ["scores"], "boxes": ["distances"], "strides": [8], "person": 0},
        "min_score": MIN, "max_iou": 1.0}"#;
    std::fs::write(&config, text.replace("MIN", min_score)).unwrap();
    FrameModel::people(&fixture("green_cells.onnx"), &config, &EngineOptions::default()).unwrap()
}

fn people_of(cache: &Path, id: &str) -> Vec<PeopleFrame> {
    let cache = Cache::open(cache, CacheKind::People).unwrap();
    let Found::People(frames) = cache.read([&named(id)]).unwrap().remove(0).unwrap().found else { panic!() };
    frames
}

#[test]
fn boxes_are_where_the_people_are_in_the_frame() {
    let folder = tempfile::tempdir().unwrap();
    // A bright cell of 16 x 16 that moves right by one cell every second frame; from frame 6 on it is gone.
    let item = video(folder.path(), "walk", |frame, x, y| match (x / 16 == frame / 2 && frame < 6, y / 16) {
        (true, 2) => [255; 3],
        _ => [0; 3],
    });
    let out = folder.path().join("people.sqlite");
    let mut model = people_model(folder.path(), "0.8");
    let report = annotate(&mut model, &[item], &options(Looks::Every(2)), &out, &go_on).unwrap();
    assert_eq!((report.frames, report.people, report.frames_with_people), (5, 3, 3));
    let frames = people_of(&out, "walk");
    let times: Vec<f64> = frames.iter().map(|frame| frame.time_s).collect();
    assert_eq!(times, [0.0, 0.2, 0.4, 0.6, 0.8]);
    for (at, frame) in frames.iter().enumerate() {
        // The model sees the frame at half its size: a cell of 8 pixels there is one of 16 here.
        let expected = [at as f32 * 16.0, 32.0, at as f32 * 16.0 + 16.0, 48.0];
        let found: Vec<[f32; 4]> = frame.boxes.iter().map(|person| person.corners).collect();
        let expected = if at < 3 { vec![expected] } else { vec![] };
        assert_eq!(found, expected, "frame {at}");
        assert!(frame.boxes.iter().all(|person| person.score > 0.8));
    }
}

#[test]
fn outputs_that_do_not_fit_the_config_are_shown_before_any_video_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        let config = folder.path().join("c.json");
        std::fs::write(&config, text).unwrap();
        config
    };
    let input = r#""input": {"width": 32, "height": 32, "fit": "stretch"}"#;
    let people = |output: &str, input: &str| {
        let config = write(&format!(r#"{{{input}, "output": {output}}}"#));
        FrameModel::people(&fixture("green_cells.onnx"), &config, &EngineOptions::default()).err().unwrap().to_string()
    };
    let yolo = r#"{"form": "yolo", "output": "output0", "layout": "v8", "person": 0}"#;
    let error = people(yolo, input);
    assert!(error.contains("no output \"output0\"") && error.contains("\"scores\" 1 x 16 x 1"), "{error}");
    let yolo = r#"{"form": "yolo", "output": "scores", "layout": "v10", "person": 0}"#;
    let error = people(yolo, input);
    assert!(error.contains("\"scores\" is 1 x 16 x 1, expected 1 x n x 6"), "{error}");
    let error = people(yolo, r#""input": {"width": 64, "height": 64, "fit": "stretch"}"#);
    assert!(error.contains("green_cells.onnx") && error.contains("64 x 64"), "{error}");

    let scenes = |output: &str, labels: &str| {
        let labels_file = folder.path().join("l.txt");
        std::fs::write(&labels_file, labels).unwrap();
        let input = r#""input": {"width": 8, "height": 8, "fit": "stretch"}"#;
        let config = write(&format!(r#"{{{input}, "output": {{"name": "{output}"}}}}"#));
        let model = fixture("colours.onnx");
        FrameModel::scenes(&model, Some(&config), Some(&labels_file), &EngineOptions::default())
            .err()
            .unwrap()
            .to_string()
    };
    let error = scenes("logits", "a\nb\n");
    assert!(error.contains("\"logits\" [1, 3]") && error.contains("2 labels"), "{error}");
    let error = scenes("probs", "a\nb\nc\n");
    assert!(error.contains("expected an output \"probs\""), "{error}");
    let config = write(r#"{"input": {"width": 8, "height": 8, "fit": "stretch"}, "output": {"name": "logits"}}"#);
    let error = FrameModel::scenes(&fixture("colours.onnx"), Some(&config), None, &EngineOptions::default());
    assert!(error.err().unwrap().to_string().contains("--labels"));
    let error = FrameModel::scenes(&fixture("colours.onnx"), None, None, &EngineOptions::default());
    assert!(error.err().unwrap().to_string().contains("--config"));
    let error =
        FrameModel::people(Path::new("/no/model.onnx"), &folder.path().join("c.json"), &EngineOptions::default());
    assert!(error.is_err());
}

fn import_options(labels: &[&str]) -> ImportOptions {
    let labels = labels.iter().map(ToString::to_string).collect();
    ImportOptions { labels, picture_height: None, max_failed: 0.05 }
}

#[test]
fn the_files_of_the_release_become_caches() {
    let folder = tempfile::tempdir().unwrap();
    let mut items = colours(folder.path());
    items[0].id = "train/paint/red_000000__000001_000011".into();
    let (classes, labels) = (vec!["paint".to_string()], ["a", "b", "c"]);
    for protocol in [2, 3, 4] {
        let out = folder.path().join(format!("scenes{protocol}.sqlite"));
        let npy = [fixture(&format!("places_{protocol}.npy"))];
        let report = import(CacheKind::Scenes, &npy, &items, &classes, &import_options(&labels), &out).unwrap();
        assert_eq!((report.videos, report.frames), (3, 6));
        let scores = |id: &str| {
            let Found::Scenes(scores) = scenes_of(&out, id).found else { panic!() };
            scores
        };
        assert_eq!(scores("train/paint/red_000000__000001_000011"), [0.75, 0.125, 0.125]);
        assert_eq!(scores("green"), [0.125, 0.75, 0.125]);
        assert_eq!(scores("blue"), [0.0, 0.25, 0.75]);

        let out = folder.path().join(format!("people{protocol}.sqlite"));
        let npy = [fixture(&format!("people_{protocol}.npy"))];
        // Boxes are in pictures half as high as the videos.
        let options = ImportOptions { picture_height: Some(32), ..import_options(&[]) };
        let report = import(CacheKind::People, &npy, &items, &classes, &options, &out).unwrap();
        assert_eq!((report.frames, report.people, report.frames_with_people), (5, 3, 2));
        let frames = people_of(&out, "train/paint/red_000000__000001_000011");
        let times: Vec<f64> = frames.iter().map(|frame| frame.time_s).collect();
        assert_eq!(times, [0.0, 0.1, 0.2]);
        assert_eq!(frames[0].boxes[0].corners, [2.0, 4.0, 6.0, 8.0]);
        assert_eq!((frames[0].boxes[1].score, frames[1].boxes.len()), (0.25, 0));
        assert_eq!(frames[2].boxes[0].corners, [16.0, 16.0, 32.0, 32.0]);
    }
}

#[test]
fn files_of_another_form_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let items = colours(folder.path());
    let classes = vec!["paint".to_string()];
    let out = folder.path().join("c.sqlite");
    let run = |kind, file: &str, labels: &[&str]| {
        let options = import_options(labels);
        import(kind, &[fixture(file)], &items[1..], &classes, &options, &out).unwrap_err().to_string()
    };
    for (kind, file, labels, expected) in [
        (CacheKind::Scenes, "places_4.npy", &["a", "b"][..], "green: \"probs\" is 3, expected 2"),
        (CacheKind::Scenes, "people_4.npy", &["a"], "expected \"probs\""),
        (CacheKind::People, "places_4.npy", &[], "the key of a frame is the text \"probs\""),
        (CacheKind::People, "plain.npy", &[], "plain numbers"),
        (CacheKind::People, "list.npy", &[], "it holds 2 objects"),
        (CacheKind::People, "colours.onnx", &[], "not an .npy file"),
    ] {
        let error = run(kind, file, labels);
        assert!(error.contains(file) && error.contains(expected), "{error}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 3, "only the videos are there: {left:?}");
    }
    // A class that the files do not know.
    let _ = std::fs::remove_file(&out);
    let options = import_options(&["a", "b", "c"]);
    let error = import(CacheKind::Scenes, &[fixture("places_4.npy")], &items, &["swim".into()], &options, &out);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("of 3 videos") && error.contains("class \"swim\""), "{error}");
}

/// Cut anywhere, and with any byte changed, a file is read or refused, but nothing panics.
#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let items = colours(folder.path());
    let whole = std::fs::read(fixture("people_3.npy")).unwrap();
    let damaged = folder.path().join("damaged.npy");
    let out = folder.path().join("c.sqlite");
    let run = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        let _ = std::fs::remove_file(&out);
        import(
            CacheKind::People,
            std::slice::from_ref(&damaged),
            &items[1..2],
            &["paint".into()],
            &import_options(&[]),
            &out,
        )
    };
    for end in (0..whole.len()).step_by(7) {
        assert!(run(&whole[..end]).is_err(), "cut at {end}");
    }
    for at in (10..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let _ = run(&bytes);
    }
}
