//! With a real scene classifier and a real person detector, where they are beside the project.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unscene_annotate::{AnnotateOptions, FrameModel, PreviewItem, annotate, preview};
use unscene_data::formats::{DatasetSpec, Format};
use unscene_data::{Annotation, Cache, CacheKind, Fill, Found, Item, Looks, Media, Span};
use unscene_engine::EngineOptions;

/// A file beside the project; the test is passed over, and says so, without it.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    if !path.exists() {
        eprintln!("not tested: {} is missing", path.display());
    }
    path.exists().then_some(path)
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn options(looks: Looks) -> AnnotateOptions {
    AnnotateOptions { looks, batch: 8, workers: 2, max_failed: 0.0 }
}

#[test]
fn the_scene_of_at_least_half_of_the_photographs_is_named() {
    let (Some(model), Some(labels), Some(images)) =
        (shared("models/squeezenet_places365.onnx"), shared("models/categories_places365.txt"), shared("images"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut list = String::from("path,label\n");
    for entry in std::fs::read_dir(&images).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // airport_0.jpg shows an airport.
        list += &format!("{name},{}\n", name.rsplit_once('_').unwrap().0);
    }
    std::fs::write(folder.path().join("list.csv"), list).unwrap();
    let annotations = folder.path().join("list.csv");
    let dataset = DatasetSpec { format: Format::Csv, annotations, videos: Some(images), split: 1 }.load().unwrap();
    let config = example("scenes_squeezenet_places365.json");
    let mut model = FrameModel::scenes(&model, Some(&config), Some(&labels), &EngineOptions::default()).unwrap();
    let out = folder.path().join("scenes.sqlite");
    let items = &dataset.parts[0].items;
    annotate(&mut model, items, &options(Looks::PerSecond(1.0)), &out, &|_| ControlFlow::Continue(())).unwrap();

    let cache = Cache::open(&out, CacheKind::Scenes).unwrap();
    let found = cache.read(items).unwrap();
    let named = items.iter().zip(found).filter(|(item, found)| {
        let Some(Annotation { found: Found::Scenes(scores), .. }) = found else { panic!("{}", item.id) };
        let top = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        // desert/sand is a desert.
        cache.labels()[top].split('/').next() == Some(dataset.labels[item.label].as_str())
    });
    let (named, of) = (named.count(), items.len());
    println!("the scene of {named} of {of} photographs was named");
    assert!(of == 24 && named >= 12, "{named} of {of}");
}

#[test]
fn people_are_found_in_a_real_video() {
    let (Some(model), Some(video)) = (shared("models/picodet_s_320_coco.onnx"), shared("videos/people.mp4")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("people.sqlite");
    let item = Item { id: "people".into(), media: Media::Video(video), span: Span::Whole, label: 0 };
    let mut model = FrameModel::people(&model, &example("people_picodet.json"), &EngineOptions::default()).unwrap();
    let items = [item];
    annotate(&mut model, &items, &options(Looks::Every(1)), &out, &|_| ControlFlow::Continue(())).unwrap();
    let annotation = Cache::open(&out, CacheKind::People).unwrap().read(&items).unwrap().remove(0).unwrap();
    let Found::People(frames) = &annotation.found else { panic!() };
    let with = frames.iter().filter(|frame| !frame.boxes.is_empty()).count();
    println!("people in {with} of {} frames", frames.len());
    // Two people arm-wrestle at a table; in the last frames the camera turns away.
    assert!(frames.len() == 57 && with >= 52, "{with} of {}", frames.len());
    let mut by_count = [0; 8];
    frames.iter().for_each(|frame| by_count[frame.boxes.len().min(7)] += 1);
    let people: usize = frames.iter().map(|frame| frame.boxes.len()).sum();
    println!("{people} people; frames with 0, 1, 2, ... of them: {by_count:?}");
    // Measured: 103 people, and 2, 26, 17, 6, 5 and 1 frames with 0 to 5 of them. The wrestlers fill the picture, and one box
    // often holds both; small ones are of people behind them.
    assert!((85..=120).contains(&people), "{people}");
    let near = |count: usize, measured: i32| (by_count[count] - measured).abs() <= 8;
    assert!([2, 26, 17, 6, 5, 1].into_iter().enumerate().all(|(count, frames)| near(count, frames)), "{by_count:?}");
    assert_eq!(by_count[6..], [0, 0], "{by_count:?}");
    let sheet = preview(&[PreviewItem { item: &items[0], scenes: vec![], people: Some(annotation) }], 0.3, &Fill::Mean);
    assert_eq!(sheet.pixmap.width(), 6 * 256);
}
