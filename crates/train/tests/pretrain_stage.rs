//! The whole of pretraining on a tiny Stage set, with caches made of its exact truth.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;
use tch::{Device, Tensor};
use unscene_data::formats::{DatasetSpec, Format};
use unscene_data::{
    Annotation, CacheKind, CacheOrigin, CacheWriter, Fill, Found, Item, Media, PeopleFrame, PersonBox, Span,
};
use unscene_models::classifier::ClassifierConfig;
use unscene_stage::{Plan, Preset};
use unscene_train::fit::{Event, FitConfig, Outcome, Task, Training, fit};
use unscene_train::pretrain::{AdversarySpec, ConfusionSpec, PretrainConfig, Pretraining, Statistics};
use unscene_train::{SgdConfig, StartSpec, TrainError};

struct Set {
    folder: tempfile::TempDir,
    stage: PathBuf,
    scenes: PathBuf,
    people: PathBuf,
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
}

fn item(stage: &Path, path: &str) -> Item {
    let id = path.strip_suffix(".mp4").unwrap().to_string();
    Item { id, media: Media::Video(stage.join(path)), span: Span::Whole, label: 0 }
}

fn set() -> Set {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().join("stage");
    let mut settings = Preset::Tiny.settings();
    settings.videos = [20, 10, 0, 0, 0];
    let size = (settings.format.width, settings.format.height);
    let fps = f64::from(settings.format.fps);
    unscene_stage::write(&Plan::new(settings).unwrap(), &stage, &|_| ControlFlow::Continue(())).unwrap();

    let origin = |kind, labels: Vec<String>| CacheOrigin {
        kind,
        model: "truth".into(),
        model_sha256: "0".repeat(64),
        settings: json!({}),
        labels,
    };
    let truth = rows(&stage.join("scenes.csv"));
    let names: Vec<String> = truth.iter().map(|row| row[1].clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let scenes = folder.path().join("scenes.sqlite");
    let mut cache = CacheWriter::open(&scenes, &origin(CacheKind::Scenes, names.clone())).unwrap();
    for row in &truth {
        let scores = names.iter().map(|name| f32::from(u8::from(*name == row[1]))).collect();
        cache.put(&item(&stage, &row[0]), Ok(&Annotation { size, frames: 1, found: Found::Scenes(scores) })).unwrap();
    }
    cache.finish().unwrap();

    let mut frames: BTreeMap<String, Vec<PeopleFrame>> = BTreeMap::new();
    for row in rows(&stage.join("boxes.csv")) {
        let side = |at: usize| row[at].parse::<f32>().unwrap();
        let person = PersonBox { corners: [side(2), side(3), side(4), side(5)], score: 1.0 };
        let time_s = row[1].parse::<f64>().unwrap() / fps;
        frames.entry(row[0].clone()).or_default().push(PeopleFrame { time_s, boxes: vec![person] });
    }
    let people = folder.path().join("people.sqlite");
    let mut cache = CacheWriter::open(&people, &origin(CacheKind::People, vec![])).unwrap();
    for (path, frames) in frames {
        let annotation = Annotation { size, frames: frames.len(), found: Found::People(frames) };
        cache.put(&item(&stage, &path), Ok(&annotation)).unwrap();
    }
    cache.finish().unwrap();
    Set { folder, stage, scenes, people }
}

/// With the defaults that a config file has.
fn from_toml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).unwrap()
}

fn config(set: &Set) -> PretrainConfig {
    let model = ClassifierConfig { arch: "r3d10-hara".parse().unwrap(), width: 0.03, frames: 8, size: 32, classes: 10 };
    let (cache, people) = (set.scenes.clone(), set.people.clone());
    PretrainConfig {
        max_failed: 0.05,
        model,
        data: DatasetSpec { format: Format::Csv, annotations: set.stage.clone(), videos: None, split: 1 },
        train_part: "train".into(),
        val_part: "val".into(),
        fps: Some(12.5),
        augmentation: Default::default(),
        batch: 8,
        seed: 1,
        adversaries: vec![from_toml(&format!("name = 'scene'\ncache = {cache:?}"))],
        confusion: Some(from_toml(&format!("people = {people:?}"))),
        start: None,
        fit: FitConfig { epochs: 2, sgd: SgdConfig { lr: 0.01, ..SgdConfig::default() }, ..FitConfig::default() },
    }
}

fn train(config: &PretrainConfig, dir: &Path, stop_at: usize, workers: usize) -> (Outcome, Vec<Vec<f32>>) {
    let mut task = Pretraining::new(config.clone(), workers, Device::Cpu).unwrap();
    let done = Cell::new(0);
    let outcome = fit(&mut task, &config.fit, &json!(config), dir, &|event| {
        if let Event::Step { metrics, .. } = event {
            done.set(done.get() + 1);
            let entropy = config.confusion.is_some().then_some("entropy");
            for name in ["action_loss", "scene_loss", "accuracy"].into_iter().chain(entropy) {
                assert!(metrics[name].is_finite(), "{name}");
            }
        }
        if done.get() == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let numbers = |tensor: &Tensor| Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap();
    let nets = task.nets();
    let params = nets.iter().flat_map(|(_, net)| net.params().map(|(_, tensor)| numbers(tensor)));
    (outcome.unwrap(), params.collect())
}

#[test]
fn pretraining_is_the_same_interrupted_and_with_any_number_of_workers() {
    let set = set();
    let config = config(&set);
    let dir = |name: &str| set.folder.path().join(name);
    let (outcome, whole) = train(&config, &dir("whole"), usize::MAX, 1);
    assert!(matches!(outcome, Outcome::Finished { .. }), "{outcome:?}");
    for stop_at in [2, 3, 5] {
        let (outcome, _) = train(&config, &dir(&format!("stopped{stop_at}")), stop_at, 2);
        assert!(matches!(outcome, Outcome::Interrupted { .. }), "{outcome:?}");
        let (_, resumed) = train(&config, &dir(&format!("stopped{stop_at}")), usize::MAX, 3);
        assert_eq!(resumed, whole, "stopped after {stop_at} of 6 steps");
    }
    let (_, other) = train(&PretrainConfig { seed: 2, ..config.clone() }, &dir("other"), usize::MAX, 2);
    assert_ne!(other, whole);
    // Each loss can be left out.
    let baseline = PretrainConfig { adversaries: vec![], confusion: None, ..config };
    let mut task = Pretraining::new(baseline.clone(), 1, Device::Cpu).unwrap();
    assert_eq!(task.nets().len(), 1);
    let names = Cell::new(0);
    fit(&mut task, &baseline.fit, &json!(baseline), &dir("baseline"), &|event| {
        if let Event::Step { metrics, .. } = event {
            assert!(!metrics.contains_key("entropy") && !metrics.contains_key("scene_loss"));
            names.set(names.get() + 1);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(names.get(), 6);
}

/// The backbone of the detector, on single frames, with all three losses.
#[test]
fn frames_are_pretrained_on_as_clips_are() {
    let set = set();
    let arch = "vgg16-ssd".parse().unwrap();
    let model = ClassifierConfig { width: 0.05, size: 64, classes: 10, ..ClassifierConfig::new(arch, 10) };
    let base = config(&set);
    let config = PretrainConfig { model, fit: FitConfig { epochs: 1, ..base.fit.clone() }, ..base };
    let dir = set.folder.path().join("frames");
    let (outcome, params) = train(&config, &dir, usize::MAX, 1);
    assert!(matches!(outcome, Outcome::Finished { .. }), "{outcome:?}");
    let task = Pretraining::new(config, 1, Device::Cpu).unwrap();
    let run = task.run_config("test");
    assert_eq!((run.input.frames, run.input.height, run.stride_frames), (1, 64, 16));
    assert_eq!((run.input.mean, run.input.range), ([0.485, 0.456, 0.406], 1.0));
    // fc7 is what the adversary looks at: 51 values at this width.
    let before: Vec<Vec<f32>> = task
        .nets()
        .iter()
        .flat_map(|(_, net)| {
            net.params()
                .map(|(_, tensor)| Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(task.nets()[1].1.param("fc1.weight").unwrap().size(), [512, 51]);
    assert!(before.iter().zip(&params).all(|(before, after)| before != after), "every layer learns");
}

#[test]
fn videos_that_are_not_on_disk_are_doubtful() {
    let set = set();
    let base = PretrainConfig { adversaries: vec![], confusion: None, ..config(&set) };
    let doubts = || Pretraining::new(base.clone(), 1, Device::Cpu).unwrap().doubts().to_vec();
    assert_eq!(doubts(), Vec::<String>::new());
    for (list, part) in
        [("train.csv", "1 of 20 listed videos of \"train\""), ("val.csv", "1 of 10 listed videos of \"val\"")]
    {
        let video = &rows(&set.stage.join(list))[0][0];
        std::fs::remove_file(set.stage.join(video)).unwrap();
        let doubts = doubts();
        assert!(doubts.iter().any(|doubt| doubt.starts_with(part) && doubt.contains(video)), "{doubts:?}");
    }
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let set = set();
    let refused = |config: PretrainConfig, parts: &[&str]| {
        let error = Pretraining::new(config, 1, Device::Cpu).err().unwrap().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    };
    let base = config(&set);
    refused(PretrainConfig { train_part: "nope".into(), ..base.clone() }, &["\"nope\"", "train, val"]);
    let model = ClassifierConfig { classes: 9, ..base.model.clone() };
    refused(PretrainConfig { model, ..base.clone() }, &["9 classes", "10 labels"]);
    let with = |cache: &Path| vec![AdversarySpec { cache: cache.into(), ..base.adversaries[0].clone() }];
    refused(PretrainConfig { adversaries: with(&set.people), ..base.clone() }, &["it holds people, expected scenes"]);
    refused(
        PretrainConfig { adversaries: with(Path::new("/no/cache")), ..base.clone() },
        &["/no/cache", "annotate scenes"],
    );
    let confusion = ConfusionSpec { min_score: 1.5, ..base.confusion.clone().unwrap() };
    refused(
        PretrainConfig { confusion: Some(confusion), ..base.clone() },
        &["people.sqlite", "none of 20 videos", "min_share"],
    );
    // The truth of pictures is not about these videos.
    let data = DatasetSpec { annotations: set.stage.join("pictures"), ..base.data.clone() };
    let model = ClassifierConfig { classes: 14, ..base.model.clone() };
    refused(PretrainConfig { data, model, ..base.clone() }, &["made for other videos"]);

    for (change, part) in [
        ("lambda = -1", "lambda is -1"),
        ("lr_factor = nan", "lr_factor is NaN"),
        ("steps = 0", "steps is 0"),
        ("name = 'model'", "a name of its own"),
    ] {
        let name = if change.starts_with("name") { "" } else { "name = 'scene'" };
        let spec: AdversarySpec = from_toml(&format!("{name}\n{change}\ncache = {:?}", set.scenes));
        refused(PretrainConfig { adversaries: vec![spec], ..base.clone() }, &[part]);
    }
    let fit = FitConfig { accumulate: 0, ..base.fit.clone() };
    refused(PretrainConfig { fit, ..base.clone() }, &["fit.accumulate is 0"]);

    let error: TrainError = unscene_data::DataError::Options { problem: "x".into() }.into();
    assert_eq!(error.to_string(), "x");
}

#[test]
fn every_option_trains_and_resumes() {
    let set = set();
    let mut config = config(&set);
    let scene = &mut config.adversaries[0];
    (scene.ramp_epochs, scene.steps, scene.lr_factor, scene.hard) = (2, 2, 3.0, true);
    let confusion = config.confusion.as_mut().unwrap();
    (confusion.fill, confusion.statistics) = (Fill::Blur, Statistics::Running);
    (config.fit.accumulate, config.fit.sgd.clip_norm) = (2, Some(1.0));
    let dir = |name: &str| set.folder.path().join(name);
    let (_, whole) = train(&config, &dir("whole"), usize::MAX, 2);
    let (outcome, _) = train(&config, &dir("stopped"), 3, 2);
    assert_eq!(outcome, Outcome::Interrupted { epoch: 1, step: 1 });
    assert_eq!(train(&config, &dir("stopped"), usize::MAX, 1).1, whole);
}

fn numbers(tensor: &tch::Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap()
}

#[test]
fn a_second_stage_begins_with_the_first() {
    let set = set();
    let config = config(&set);
    let first = set.folder.path().join("first");
    train(&PretrainConfig { confusion: None, ..config.clone() }, &first, usize::MAX, 2);
    let spec: StartSpec = from_toml(&format!(
        "run = {first:?}\nnew_layers = ['fc']\nwarm_up_epochs = 1\nwarm_up_lr = 0.0625\nold_lr_factor = 0.1"
    ));
    let second = PretrainConfig { start: Some(spec.clone()), ..config.clone() };
    let task = Pretraining::new(second.clone(), 1, Device::Cpu).unwrap();
    let started = task.started().unwrap();
    assert!(started.new.contains(&(0, "fc.weight".into())) && started.old.contains(&(1, "fc4.bias".into())));
    assert!(started.left.is_empty(), "{:?}", started.left);
    let text = started.describe(&task.nets());
    assert!(text.contains("best.safetensors") && text.contains("2 begin anew (fc.weight, fc.bias, ...)"), "{text}");

    let numbers = |task: &Pretraining, name: &str| numbers(task.model().param(name).unwrap());
    let (conv1, fc) = (numbers(&task, "conv1.weight"), numbers(&task, "fc.weight"));
    // In the first epoch only the new layer moves, in the second all.
    let mut task = Pretraining::new(second.clone(), 1, Device::Cpu).unwrap();
    let mut epochs = 0;
    let after = std::cell::RefCell::new(vec![]);
    for stop_after in [1, 2] {
        let fit_config = FitConfig { epochs: stop_after, ..second.fit.clone() };
        fit(&mut task, &fit_config, &json!(second), &set.folder.path().join("second"), &|_| ControlFlow::Continue(()))
            .unwrap();
        after.borrow_mut().push((numbers(&task, "conv1.weight"), numbers(&task, "fc.weight")));
        epochs += 1;
    }
    let after = after.into_inner();
    assert_eq!((epochs, &after[0].0), (2, &conv1));
    assert_ne!(after[0].1, fc);
    assert_ne!(after[1].0, conv1);
    // The rate that is told is that of what moves.
    let log = std::fs::read_to_string(set.folder.path().join("second/metrics.jsonl")).unwrap();
    let told: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["lr"].as_f64().unwrap())
        .collect();
    assert!((told[0] - 0.0625).abs() < 1e-9 && told[1] <= config.fit.sgd.lr, "{told:?}");

    // What does not fit is named.
    let refused = |spec: StartSpec, model: ClassifierConfig, parts: &[&str]| {
        let config = PretrainConfig { start: Some(spec), model, ..config.clone() };
        let error = Pretraining::new(config, 1, Device::Cpu).err().unwrap().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "{part:?} is not in: {error}"));
    };
    let wider = ClassifierConfig { width: 0.05, ..config.model.clone() };
    refused(spec.clone(), wider, &["conv1.weight is 2 x 3 x 7 x 7 x 7, expected 3 x", "start.new_layers"]);
    refused(StartSpec { run: "/no/run".into(), ..spec }, config.model.clone(), &["/no/run: no run"]);
}

#[test]
fn layers_before_the_first_trained_one_stay() {
    let set = set();
    let config = config(&set);
    let first = set.folder.path().join("first");
    let baseline = PretrainConfig { adversaries: vec![], confusion: None, ..config.clone() };
    train(&PretrainConfig { confusion: None, ..config.clone() }, &first, usize::MAX, 2);
    // The run says what its weights are used to.
    let task = Pretraining::new(baseline.clone(), 1, Device::Cpu).unwrap();
    let mut run = task.run_config("test");
    (run.input.mean, run.input.short_side) = ([100.0, 90.0, 80.0], 40);
    std::fs::write(first.join("config.json"), json!(run).to_string()).unwrap();

    let spec: StartSpec = from_toml(&format!("run = {first:?}\nnew_layers = ['fc']\nfrom_layer = 'layer4'"));
    let transfer = PretrainConfig { start: Some(spec.clone()), ..baseline.clone() };
    let values = |task: &Pretraining| -> Vec<(String, Vec<f32>)> {
        let params = task.model().params();
        params.map(|(spec, tensor)| (spec.name.clone(), numbers(tensor))).collect()
    };
    let mut task = Pretraining::new(transfer.clone(), 1, Device::Cpu).unwrap();
    let input = task.run_config("test").input;
    assert_eq!((input.mean, input.short_side), ([100.0, 90.0, 80.0], 40));
    let before = values(&task);
    let dir = set.folder.path().join("transfer");
    fit(&mut task, &transfer.fit, &json!(transfer), &dir, &|_| ControlFlow::Continue(())).unwrap();
    for ((name, before), (_, after)) in before.iter().zip(values(&task)) {
        let is_trained = name.starts_with("layer4") || name.starts_with("fc");
        // Running statistics of layers that stay do not move either.
        assert_eq!(*before != after, is_trained, "{name}");
    }

    let spec = StartSpec { from_layer: Some("conv9".into()), ..spec };
    let error = Pretraining::new(PretrainConfig { start: Some(spec), ..baseline }, 1, Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("the model has conv1, bn1, layer1, layer2, layer3, layer4, fc"), "{error}");
}
