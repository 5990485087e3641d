//! The whole of training a localizer on a tiny set of untrimmed videos.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;
use tch::{Device, Tensor};
use unscene_models::classifier::ClassifierConfig;
use unscene_models::manifest::Task as ModelTask;
use unscene_models::rc3d::names;
use unscene_models::run::RunFolder;
use unscene_stage::{Preset, untrimmed};
use unscene_train::fit::{Event, Outcome, Task, Training, fit};
use unscene_train::localize::{LocalizeConfig, Localizing};
use unscene_train::{TrainError, finish_run, init_run};

struct Set {
    folder: tempfile::TempDir,
    stage: PathBuf,
}

fn set() -> Set {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().join("untrimmed");
    let plan = untrimmed::Plan::new(Preset::Tiny.untrimmed()).unwrap();
    untrimmed::write(&plan, &stage, &|_| ControlFlow::Continue(())).unwrap();
    Set { folder, stage }
}

/// A config as people write it, with another line or two.
fn config(set: &Set, more: &str) -> LocalizeConfig {
    let text = format!(
        "seed = 1\nfps = 12.0\nstep_frames = 64\n{more}\n\
         [model]\narch = 'r3d10-hara'\nwidth = 0.03\nframes = 64\nsize = 32\nclasses = 10\nanchors = [1.0, 2.0, 3.0]\n\
         [data]\nformat = 'thumos14'\nannotations = {:?}\nvideos = {:?}\n\
         [targets]\nregions = 16\n\
         [fit]\nepochs = 2\nsgd = {{ lr = 0.001, weight_decay = 5e-4 }}\n",
        set.stage.join("annotations_thumos"),
        set.stage
    );
    toml::from_str(&text).unwrap()
}

/// Reads the dataset, and gets ready to train.
fn task(config: LocalizeConfig, workers: usize) -> Result<Localizing, TrainError> {
    let dataset = config.data.load()?;
    Localizing::new(config, dataset, workers, Device::Cpu)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap()
}

/// Trains until so many steps are done in all, and gives the weights.
fn train(config: &LocalizeConfig, dir: &Path, stop_at: usize, workers: usize) -> (Outcome, Localizing, Vec<Vec<f32>>) {
    let mut task = self::task(config.clone(), workers).unwrap();
    let done = Cell::new(0);
    let outcome = fit(&mut task, &config.fit, &json!(config), dir, &|event| {
        if let Event::Step { metrics, .. } = event {
            done.set(done.get() + 1);
            for name in ["anchor_loss", "anchor_offset_loss", "class_loss", "class_offset_loss"] {
                assert!(metrics[name].is_finite(), "{name}");
            }
        }
        if done.get() == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let weights = task.model().params().map(|(_, tensor)| numbers(tensor)).collect();
    (outcome.unwrap(), task, weights)
}

#[test]
fn training_goes_on_to_the_same_bits_and_leaves_a_localizers_run() {
    let set = set();
    let config = config(&set, "");
    let whole = set.folder.path().join("whole");
    let (outcome, task, expected) = train(&config, &whole, usize::MAX, 2);
    assert!(matches!(outcome, Outcome::Finished { best_loss, .. } if best_loss.is_finite()), "{outcome:?}");
    let steps = task.steps();
    assert!(steps > 3, "{steps}");

    let parts = set.folder.path().join("parts");
    let (outcome, ..) = train(&config, &parts, 2, 1);
    assert_eq!(outcome, Outcome::Interrupted { epoch: 0, step: 2 });
    let (_, _, found) = train(&config, &parts, usize::MAX, 3);
    assert_eq!(found, expected, "interrupted and not");

    finish_run(&whole, &task.run_config("finetune localize"), task.model()).unwrap();
    let run = RunFolder::new(&whole);
    let config = run.read_config().unwrap();
    assert_eq!((config.model.task(), config.fps, config.stride_frames), (ModelTask::Localize, Some(12.0), 32));
    // 36 of 32 x 8/7: the middle of a larger picture is tested, as 112 of 128.
    assert_eq!((config.input.frames, config.input.height, config.input.short_side), (64, 32, 36));
    assert!(config.model.classifier().unwrap_err().to_string().contains("trained to localize"));
    let tensors = Tensor::read_safetensors(run.reference_path()).unwrap();
    let sides = |name: &str| tensors.iter().find(|(found, _)| found == name).map(|(_, tensor)| tensor.size());
    assert_eq!(sides(names::ANCHOR_SCORES), Some(vec![2, 6, 8, 1, 1]));
    assert_eq!(sides(names::CLASS_OFFSETS), Some(vec![2, 22]));
}

#[test]
fn a_run_is_taken_over_up_to_its_classifier_and_what_was_frozen_stays() {
    let set = set();
    let run = set.folder.path().join("pretrained");
    let model = ClassifierConfig {
        width: 0.03,
        frames: 8,
        size: 32,
        ..ClassifierConfig::new("r3d10-hara".parse().unwrap(), 4)
    };
    init_run(model, ["a", "b", "c", "d"].map(String::from).into(), 5, &run).unwrap();
    let start = format!("start = {{ run = {run:?}, new_layers = ['RCNN_'] }}");
    let dir = set.folder.path().join("localizer");
    let (_, task, _) = train(&config(&set, &start), &dir, 3, 2);
    let started = task.started().unwrap();
    assert_eq!(started.left, ["net.model.fc.bias", "net.model.fc.weight"]);
    assert!(started.new.iter().all(|(_, name)| name.starts_with("RCNN_")), "{:?}", started.new);
    assert!(started.old.iter().any(|(_, name)| name == "layer4.0.conv2.weight"));

    let before = Tensor::read_safetensors(RunFolder::new(&run).weights_path()).unwrap();
    for (name, before) in &before {
        let Some(after) = task.model().param(name) else { continue };
        // The first layers, and BatchNorm everywhere, are those of the run; the others have moved.
        let is_frozen = name.starts_with("conv1") || name.contains("bn");
        assert_eq!(numbers(before) == numbers(after), is_frozen, "{name}");
    }

    let (_, task, _) =
        train(&config(&set, &format!("{start}\nbatch_norm = 'trained'")), &set.folder.path().join("b"), 3, 2);
    let moved = |name: &str| {
        let before = before.iter().find(|(found, _)| found == name).unwrap();
        numbers(&before.1) != numbers(task.model().param(name).unwrap())
    };
    assert!(moved("layer1.0.bn1.weight") && moved("layer3.0.bn2.running_mean") && !moved("bn1.weight"));
}

#[test]
fn what_cannot_be_trained_is_named_before_training_starts() {
    let set = set();
    let problem = |config: LocalizeConfig| match task(config, 1) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("expected an error"),
    };
    for (line, part) in [
        ("train_part = 'training'", "\"training\""),
        ("batch = 0", "batch is 0"),
        ("min_overlap = 7.0", "min_overlap is 7"),
        ("short_side = 16", "short_side is Some(16), expected at least model.size 32"),
        ("start = { run = 'nowhere' }", "nowhere: no run"),
    ] {
        let message = problem(config(&set, line));
        assert!(message.contains(part), "{line}: {message}");
    }
    let mut other = config(&set, "");
    other.model.classes = 3;
    assert!(problem(other).contains("the model has 3 classes, the dataset 10 labels"));
    let mut other = config(&set, "");
    other.model.frames = 60;
    assert!(problem(other).contains("frames is 60"));

    // An annotation that ends before it begins.
    let path = set.stage.join("annotations_thumos/wave_train.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "video_train_0000001 3.0 2.0\n").unwrap();
    let message = problem(config(&set, ""));
    assert!(message.contains("wave_train.txt") && message.contains("video_train_0000001"), "{message}");
    let mut lenient = config(&set, "");
    lenient.data.skip_bad = true;
    assert!(task(lenient, 1).is_ok());

    // Another width than the run's.
    let run = set.folder.path().join("pretrained");
    let model = ClassifierConfig {
        width: 0.06,
        frames: 8,
        size: 32,
        ..ClassifierConfig::new("r3d10-hara".parse().unwrap(), 1)
    };
    init_run(model, vec!["a".into()], 5, &run).unwrap();
    let mut lenient = config(&set, &format!("start = {{ run = {run:?}, new_layers = ['RCNN_'] }}"));
    lenient.data.skip_bad = true;
    let error = task(lenient, 1).err().unwrap();
    assert!(matches!(error, TrainError::Format { .. }) && error.to_string().contains("conv1.weight is 4"), "{error}");
}
