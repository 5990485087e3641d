//! The whole of training a detector on a tiny crowded set.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::json;
use tch::{Device, Tensor};
use unscene_models::classifier::ClassifierConfig;
use unscene_models::manifest::Task as ModelTask;
use unscene_models::run::RunFolder;
use unscene_models::vgg_ssd::names;
use unscene_stage::{Preset, crowded};
use unscene_train::detect::{DetectConfig, Detecting};
use unscene_train::fit::{Event, Outcome, Task, Training, fit};
use unscene_train::{TrainError, finish_run, init_run};

struct Set {
    folder: tempfile::TempDir,
    stage: PathBuf,
}

fn set() -> Set {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().join("crowded");
    let plan = crowded::Plan::new(Preset::Tiny.crowded()).unwrap();
    crowded::write(&plan, &stage, &|_| ControlFlow::Continue(())).unwrap();
    Set { folder, stage }
}

/// A config as people write it, with another line or two.
fn config(set: &Set, more: &str) -> DetectConfig {
    let text = format!(
        "seed = 1\nframes_per_video = 2\nval_frames_per_video = 1\nbatch = 2\n{more}\n\
         [model]\nwidth = 0.05\nsize = 64\nclasses = 10\n\
         [data]\nformat = 'actors'\nannotations = {:?}\nvideos = {:?}\n\
         [fit]\nepochs = 2\nsgd = {{ lr = 0.001, weight_decay = 5e-4 }}\n",
        set.stage.join("actors.json"),
        set.stage
    );
    toml::from_str(&text).unwrap()
}

/// Reads the dataset, and gets ready to train.
fn task(config: DetectConfig, workers: usize) -> Result<Detecting, TrainError> {
    let dataset = config.data.load()?;
    Detecting::new(config, dataset, workers, Device::Cpu)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap()
}

/// Trains until so many steps are done in all, and gives the weights.
fn train(config: &DetectConfig, dir: &Path, stop_at: usize, workers: usize) -> (Outcome, Detecting, Vec<Vec<f32>>) {
    let mut task = self::task(config.clone(), workers).unwrap();
    let done = Cell::new(0);
    let outcome = fit(&mut task, &config.fit, &json!(config), dir, &|event| {
        if let Event::Step { metrics, .. } = event {
            done.set(done.get() + 1);
            for name in ["offset_loss", "class_loss"] {
                assert!(metrics[name].is_finite(), "{name}");
            }
        }
        if done.get() == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let weights = task.model().params().map(|(_, tensor)| numbers(tensor)).collect();
    (outcome.unwrap(), task, weights)
}

#[test]
fn training_goes_on_to_the_same_bits_and_leaves_a_detectors_run() {
    let set = set();
    let config = config(&set, "");
    let untrained = task(config.clone(), 1).unwrap();
    let before: Vec<(String, Vec<f32>)> =
        untrained.model().params().map(|(spec, tensor)| (spec.name.clone(), numbers(tensor))).collect();
    let whole = set.folder.path().join("whole");
    let (outcome, task, expected) = train(&config, &whole, usize::MAX, 2);
    assert!(matches!(outcome, Outcome::Finished { best_loss, .. } if best_loss.is_finite()), "{outcome:?}");
    assert!(task.steps() > 3, "{}", task.steps());
    for ((name, before), after) in before.iter().zip(&expected) {
        assert!(before != after, "{name} did not move");
    }

    let parts = set.folder.path().join("parts");
    let (outcome, ..) = train(&config, &parts, 2, 1);
    assert_eq!(outcome, Outcome::Interrupted { epoch: 0, step: 2 });
    let (_, _, found) = train(&config, &parts, usize::MAX, 3);
    assert_eq!(found, expected, "interrupted and not");

    finish_run(&whole, &task.run_config("finetune detect"), task.model()).unwrap();
    let run = RunFolder::new(&whole);
    let config = run.read_config().unwrap();
    assert_eq!((config.model.task(), config.fps, config.stride_frames), (ModelTask::Detect, None, 1));
    assert_eq!((config.input.frames, config.input.height, config.input.short_side), (1, 64, 64));
    let tensors = Tensor::read_safetensors(run.reference_path()).unwrap();
    let sides = |name: &str| tensors.iter().find(|(found, _)| found == name).map(|(_, tensor)| tensor.size());
    let priors = sides(names::OFFSETS).unwrap()[1];
    assert_eq!(sides(names::CLASS_SCORES), Some(vec![2, priors, 11]));
}

#[test]
fn a_vgg_is_taken_over_and_new_layers_begin_anew() {
    let set = set();
    let run = set.folder.path().join("pretrained");
    let model =
        ClassifierConfig { width: 0.05, frames: 1, size: 64, ..ClassifierConfig::new("vgg16-ssd".parse().unwrap(), 4) };
    init_run(model, ["a", "b", "c", "d"].map(String::from).into(), 5, &run).unwrap();
    let start =
        format!("start = {{ run = {run:?}, new_layers = ['L2Norm', 'extras', 'loc', 'conf'], old_lr_factor = 0.0 }}");
    let (_, task, _) = train(&config(&set, &start), &set.folder.path().join("detector"), 3, 2);
    let started = task.started().unwrap();
    assert_eq!(started.left, ["net.model.fc.bias", "net.model.fc.weight"]);
    assert!(started.new.iter().all(|(_, name)| !name.starts_with("vgg.")), "{:?}", started.new);
    // What is taken over at a rate of 0 stays, biases too.
    for (name, before) in Tensor::read_safetensors(RunFolder::new(&run).weights_path()).unwrap() {
        if let Some(after) = task.model().param(&name) {
            assert!(numbers(&before) == numbers(after), "{name}");
        }
    }
}

#[test]
fn what_cannot_be_trained_is_named_before_training_starts() {
    let set = set();
    let problem = |config: DetectConfig| match task(config, 1) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("expected an error"),
    };
    for (line, part) in [
        ("train_part = 'training'", "there is no part \"training\"; the annotations have train, val, test, swapped"),
        ("match_iou = 7.0", "match_iou is 7"),
        ("bias_lr_factor = -1.0", "bias_lr_factor is -1"),
        ("augmentation = { expand = 0.5 }", "augmentation.expand: found 0.5"),
        ("start = { run = 'nowhere' }", "nowhere: no run"),
    ] {
        let message = problem(config(&set, line));
        assert!(message.contains(part), "{line}: {message}");
    }
    for (change, part) in [
        (
            &(|config: &mut DetectConfig| config.model.classes = 3) as &dyn Fn(&mut DetectConfig),
            "3 classes, the dataset 10 labels",
        ),
        (&|config: &mut DetectConfig| config.batch = 0, "batch is 0"),
    ] {
        let mut other = config(&set, "");
        change(&mut other);
        let message = problem(other);
        assert!(message.contains(part), "{message}");
    }
}
