//! The loop on a tiny network: interrupted anywhere, it computes the same numbers.

mod common;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::Path;

use common::{formula_net, tensor};
use serde_json::{Value, json};
use tch::Tensor;
use unscene_data::Failure;
use unscene_models::classifier::ClassifierConfig;
use unscene_models::heads::AdversaryConfig;
use unscene_train::fit::{Event, FitConfig, Keep, Metrics, Outcome, Task, fit};
use unscene_train::method::{Adversary, Batch, masked_step, ordinary_step};
use unscene_train::{Mode, Net, Schedule, Sgd, SgdConfig, Snapshots, TrainError, load_snapshot};

const STEPS: usize = 3;
const EPOCHS: usize = 3;

/// Two clips per step, different in each; validation on two others.
struct Tiny {
    model: Net,
    adversaries: Vec<Adversary>,
    epoch: usize,
    step: usize,
    /// The step of all that gives no number.
    broken: Option<usize>,
    /// The step of all after which a weight is none.
    exploded: Option<usize>,
    /// The step of all whose videos cannot be read.
    unread: Option<usize>,
    failures: Vec<Failure>,
    /// Validation losses of the epochs, instead of those that are measured.
    losses: Option<[f64; EPOCHS]>,
    /// The parameters at each validation.
    validated: Vec<Vec<Vec<f32>>>,
}

impl Tiny {
    fn new() -> Self {
        let config =
            ClassifierConfig { arch: "r3d10-hara".parse().unwrap(), width: 0.03, frames: 8, size: 32, classes: 4 };
        let adversary = AdversaryConfig { hidden: 6, ..AdversaryConfig::new(15, 5) };
        Tiny {
            model: formula_net(config.graph_with(&["features"]).unwrap()),
            adversaries: vec![Adversary { net: formula_net(adversary.graph().unwrap()), lambda: 0.5, steps: 1 }],
            epoch: 0,
            step: 0,
            broken: None,
            exploded: None,
            unread: None,
            failures: vec![],
            losses: None,
            validated: vec![],
        }
    }

    /// All parameters of both nets.
    fn params(&self) -> Vec<Vec<f32>> {
        let numbers = |tensor: &Tensor| Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap();
        self.nets().into_iter().flat_map(|(_, net)| net.params().map(|(_, t)| numbers(t)).collect::<Vec<_>>()).collect()
    }
}

impl Task for Tiny {
    fn nets(&self) -> Vec<(&str, &Net)> {
        vec![("model", &self.model), ("scene", &self.adversaries[0].net)]
    }

    fn steps(&self) -> usize {
        STEPS
    }

    fn start_epoch(&mut self, epoch: usize, first_step: usize) -> Result<(), TrainError> {
        (self.epoch, self.step) = (epoch, first_step);
        Ok(())
    }

    fn step(&mut self, sgd: &mut Sgd) -> Result<Metrics, TrainError> {
        let number = self.epoch * STEPS + self.step;
        if self.unread == Some(number) {
            self.step += 1;
            // Both streams have it.
            self.failures.extend([failure("bad"), failure("bad")]);
            return Ok(Metrics::new());
        }
        let broken = if self.broken == Some(number) { f64::NAN } else { 1.0 };
        let clips = tensor(&format!("clips{number}"), &[2, 3, 8, 32, 32]) * broken;
        let labels = Tensor::from_slice(&[number as i64 % 4, (number as i64 + 1) % 4]);
        let scenes = tensor(&format!("scenes{number}"), &[2, 5]).softmax(1, tch::Kind::Float);
        let batch = Batch { clips, labels, attributes: vec![scenes] };
        let losses = ordinary_step(&self.model, &self.adversaries, sgd, &[batch])?;
        let masked = tensor(&format!("masked{number}"), &[2, 3, 8, 32, 32]);
        let unsure = masked_step(&self.model, sgd, &[masked], 1.0, Mode::Train)?;
        if self.exploded == Some(number) {
            let weight = self.model.param("fc.bias").unwrap();
            let _ = tch::no_grad(|| weight.shallow_clone().fill_(f64::INFINITY));
        }
        self.step += 1;
        Ok(Metrics::from([("action".into(), losses.action), ("entropy".into(), unsure)]))
    }

    fn take_failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }

    fn validate(&mut self) -> Result<Metrics, TrainError> {
        self.validated.push(self.params());
        if let Some(losses) = self.losses {
            return Ok(Metrics::from([("loss".into(), losses[self.epoch])]));
        }
        if self.unread.is_some() {
            self.failures.extend((0..30).map(|number| failure(&format!("val {number}"))));
        }
        let clips = tensor("val", &[2, 3, 8, 32, 32]);
        let logits = tch::no_grad(|| self.model.forward(&clips, Mode::Eval))?.remove(0);
        let loss = logits.cross_entropy_for_logits(&Tensor::from_slice(&[0i64, 1])).double_value(&[]);
        Ok(Metrics::from([("loss".into(), loss)]))
    }
}

fn failure(id: &str) -> Failure {
    Failure { id: id.into(), reason: format!("{id}.mp4: no video") }
}

fn config() -> FitConfig {
    let sgd = SgdConfig { lr: 0.02, ..SgdConfig::default() };
    FitConfig { epochs: EPOCHS, sgd, schedule: Schedule::Cosine, ..FitConfig::default() }
}

/// Trains until `stop_at` steps of this call are done; gives the outcome.
fn train(task: &mut Tiny, dir: &Path, stop_at: Option<usize>) -> Result<Outcome, TrainError> {
    let done = Cell::new(0);
    fit(task, &config(), &json!({"seed": 1}), dir, &|event| {
        if let Event::Step { .. } = event {
            done.set(done.get() + 1);
        }
        if stop_at == Some(done.get()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// All parameters, and the log without times.
fn result(task: &Tiny, dir: &Path) -> (Vec<Vec<f32>>, Vec<Value>) {
    let log = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("seconds");
        line
    });
    (task.params(), lines.collect())
}

#[test]
fn interrupted_anywhere_training_computes_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut task = Tiny::new();
    let outcome = train(&mut task, &whole, None).unwrap();
    assert!(matches!(outcome, Outcome::Finished { best_epoch: 0..EPOCHS, .. }), "{outcome:?}");
    let expected = result(&task, &whole);
    assert_eq!(expected.1.len(), EPOCHS);
    assert!(expected.1[1]["lr"].as_f64().unwrap() < 0.02);

    for stop_at in 1..STEPS * EPOCHS {
        let dir = folder.path().join(stop_at.to_string());
        let outcome = train(&mut Tiny::new(), &dir, Some(stop_at)).unwrap();
        let (epoch, step) = ((stop_at - 1) / STEPS, (stop_at - 1) % STEPS + 1);
        assert_eq!(outcome, Outcome::Interrupted { epoch, step });
        // Another process: nothing is left but the files.
        let mut task = Tiny::new();
        train(&mut task, &dir, None).unwrap();
        assert_eq!(result(&task, &dir), expected, "stopped after {stop_at} steps");
    }
    // Once more, there is nothing to do.
    let mut again = Tiny::new();
    assert_eq!(train(&mut again, &whole, Some(0)).unwrap(), outcome);
}

#[test]
fn two_snapshots_and_the_best_are_kept_and_a_damaged_one_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    train(&mut Tiny::new(), folder.path(), None).unwrap();
    let snapshots = Snapshots::open(&folder.path().join("checkpoint")).unwrap();
    let list = snapshots.list().unwrap();
    let names: Vec<String> = list.iter().map(|path| path.file_name().unwrap().to_string_lossy().into()).collect();
    assert_eq!(names, ["epoch-00002-step-0000000.safetensors", "epoch-00003-step-0000000.safetensors"]);
    assert!(snapshots.best().is_file());

    // Cut short, as by a failing disk: the one before is taken.
    let bytes = std::fs::read(&list[1]).unwrap();
    std::fs::write(&list[1], &bytes[..bytes.len() / 2]).unwrap();
    let expected = {
        let dir = folder.path().join("other");
        let mut task = Tiny::new();
        train(&mut task, &dir, None).unwrap();
        result(&task, &dir).0
    };
    let mut task = Tiny::new();
    train(&mut task, folder.path(), None).unwrap();
    assert_eq!(result(&task, folder.path()).0, expected);
}

#[test]
fn the_epoch_that_is_kept_is_the_best_or_the_last() {
    const LOSSES: [f64; EPOCHS] = [0.9, 0.1, 0.5];
    for (keep, epoch) in [(Keep::Best, 1), (Keep::Last, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let mut task = Tiny { losses: Some(LOSSES), ..Tiny::new() };
        let config = FitConfig { keep, ..config() };
        let go_on = |_: Event<'_>| ControlFlow::Continue(());
        let outcome = fit(&mut task, &config, &json!({"seed": 1}), folder.path(), &go_on).unwrap();
        assert_eq!(outcome, Outcome::Finished { best_loss: LOSSES[epoch], best_epoch: epoch });
        let kept = Tiny::new();
        let best = Snapshots::open(&folder.path().join("checkpoint")).unwrap().best();
        load_snapshot(&best, &kept.nets(), &mut Sgd::new(config.sgd)).unwrap();
        let kept = kept.params();
        let same: Vec<usize> = (0..EPOCHS).filter(|epoch| task.validated[*epoch] == kept).collect();
        assert_eq!(same, [epoch], "{keep:?}");
    }
}

#[test]
fn another_config_is_refused_with_the_differences() {
    let folder = tempfile::tempdir().unwrap();
    train(&mut Tiny::new(), folder.path(), Some(2)).unwrap();
    let other = json!({"seed": 2, "data": {"split": 1}});
    let error = fit(&mut Tiny::new(), &config(), &other, folder.path(), &|_| ControlFlow::Continue(()));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("seed: 1, now 2") && error.contains("data: null, now {\"split\":1}"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_leaves_the_last_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut task = Tiny { broken: Some(4), ..Tiny::new() };
    let error = train(&mut task, folder.path(), None).unwrap_err();
    assert!(matches!(error, TrainError::Stopped { epoch: 1, step: 2, .. }), "{error}");
    assert!(error.to_string().starts_with("epoch 2, step 2: the action loss is NaN"), "{error}");
    // Mended, it goes on from the end of the first epoch, as if nothing had been.
    let mut mended = Tiny::new();
    train(&mut mended, folder.path(), None).unwrap();
    let whole = folder.path().join("whole");
    let mut task = Tiny::new();
    train(&mut task, &whole, None).unwrap();
    assert_eq!(result(&mended, folder.path()), result(&task, &whole));
}

#[test]
fn weights_that_are_no_numbers_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut task = Tiny { exploded: Some(3), ..Tiny::new() };
    // Every loss of the step was a number, and somebody asks for a snapshot just then.
    let error = train(&mut task, folder.path(), Some(4)).unwrap_err();
    assert!(error.to_string().starts_with("epoch 2, step 1: net.model.fc.bias holds values"), "{error}");
    let mut mended = Tiny::new();
    train(&mut mended, folder.path(), None).unwrap();
    let whole = folder.path().join("whole");
    let mut task = Tiny::new();
    train(&mut task, &whole, None).unwrap();
    assert_eq!(result(&mended, folder.path()), result(&task, &whole));
}

#[test]
fn what_a_killed_program_was_writing_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    std::fs::create_dir(&checkpoint).unwrap();
    let (partial, other) =
        (checkpoint.join("epoch-00001-step-0000000.safetensors.partial-7"), checkpoint.join("notes"));
    for path in [&partial, &other] {
        std::fs::write(path, "x").unwrap();
    }
    Snapshots::open(&checkpoint).unwrap();
    assert!(!partial.exists() && other.exists());
}

#[test]
fn videos_that_fail_are_counted_and_named_also_after_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    // The second step of the second epoch.
    let unread = Some(STEPS + 1);
    let (seen, losses) = (RefCell::new(vec![]), RefCell::new(vec![]));
    let mut task = Tiny { unread, ..Tiny::new() };
    fit(&mut task, &config(), &json!({"seed": 1}), &whole, &|event| {
        match event {
            Event::Failed { epoch, failures } => {
                seen.borrow_mut().push((epoch, failures.len(), failures[0].clone()));
            }
            Event::Step { epoch: 1, metrics, .. } => losses.borrow_mut().extend(metrics.get("action").copied()),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen.take(), [(0, 30, failure("val 0")), (1, 31, failure("bad")), (2, 30, failure("val 0"))]);
    let expected = result(&task, &whole);
    let line = &expected.1[1];
    assert_eq!((&line["failed"], line["failures"].as_array().unwrap().len()), (&json!(31), 20));
    assert_eq!(line["failures"][0], json!({"id": "bad", "reason": "bad.mp4: no video"}));

    // A step without videos counts in no mean.
    let losses = losses.take();
    assert_eq!(losses.len(), STEPS - 1);
    assert_eq!(line["train"]["action"].as_f64().unwrap(), losses.iter().sum::<f64>() / losses.len() as f64);

    // Interrupted between the failure and the end of its epoch, by another process.
    let dir = folder.path().join("interrupted");
    train(&mut Tiny { unread, ..Tiny::new() }, &dir, Some(STEPS + 2)).unwrap();
    let mut task = Tiny { unread, ..Tiny::new() };
    train(&mut task, &dir, None).unwrap();
    assert_eq!(result(&task, &dir), expected);
}

#[test]
fn the_share_that_may_fail_can_be_raised() {
    let folder = tempfile::tempdir().unwrap();
    let run = |config_of_run: serde_json::Value| {
        let done = Cell::new(0);
        fit(&mut Tiny::new(), &config(), &config_of_run, folder.path(), &|event| {
            done.set(done.get() + usize::from(matches!(event, Event::Step { .. })));
            if done.get() == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    run(json!({"seed": 1, "max_failed": 0.05})).unwrap();
    run(json!({"seed": 1, "max_failed": 0.5})).unwrap();
    assert!(run(json!({"seed": 2, "max_failed": 0.5})).is_err());
}
