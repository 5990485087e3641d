//! What the commands that train have in common: their options, the progress bar, the run folder.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use unscene_data::Failure;
use unscene_train::fit::{Event, FitConfig, Keep, Outcome, Task, Training, fit};
use unscene_train::{CHECKPOINT, Device, Sgd, Snapshots, TrainError, finish_run, load_snapshot, open_device};

use crate::config::Preset;
use crate::failure::Interrupted;
use crate::interrupt;
use crate::report::other_losses;

/// Options of every command that trains.
#[derive(Args)]
pub struct TrainingArgs {
    /// What to train on, and how
    #[arg(long, value_name = "FILE.toml", required_unless_present_any = ["preset", "settings"])]
    pub config: Option<PathBuf>,
    /// Settings to begin with
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Change a setting of the config, such as fit.sgd.lr=0.01; repeat for several
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
    /// Run folder to make
    #[arg(long, value_name = "RUN", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Print the whole config and end
    #[arg(long)]
    print_config: bool,
    /// cpu, or cuda:0 and so on
    #[arg(long, default_value = "cpu", value_name = "DEVICE", value_parser = device)]
    device: Device,
    /// Go on from the newest snapshot in --out
    #[arg(long)]
    resume: bool,
    /// Threads that read videos; 0 is one per core
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Print a line of JSON per epoch instead of a progress bar
    #[arg(long)]
    json: bool,
}

/// Trains by a config, and writes the run folder. `command` is what was called, and `make` gets the task ready for a number of
/// reading threads and a device.
pub fn train_run<T: Training>(
    config: &impl Serialize,
    fit: &FitConfig,
    args: &TrainingArgs,
    command: &str,
    make: impl FnOnce(usize, Device) -> Result<T, TrainError>,
) -> Result<()> {
    let out = match &args.out {
        Some(out) if !args.print_config => out,
        _ => {
            write!(std::io::stdout(), "{}", toml::to_string(config)?)?;
            return Ok(());
        }
    };
    // A training that ended before its first snapshot leaves an empty folder for them: it begins again, with or without --resume.
    let checkpoint = out.join(CHECKPOINT);
    let is_begun = checkpoint.is_dir();
    let has_snapshots = is_begun && !Snapshots::open(&checkpoint)?.list()?.is_empty();
    let holds_something = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    match (args.resume, is_begun) {
        (false, true) if has_snapshots => {
            bail!("{} holds a run already; go on with --resume, or name another folder", out.display())
        }
        (false, false) if holds_something => bail!("{} is not empty; name another folder", out.display()),
        (true, false) => bail!("{} holds no snapshot to resume; leave out --resume", out.display()),
        _ => {}
    }
    open_device(args.device)?;
    let mut task = make(args.workers, args.device)?;
    for doubt in task.doubts() {
        eprintln!("warning: {doubt}");
    }
    if let Some(started) = task.started().filter(|_| !args.json) {
        writeln!(std::io::stdout(), "{}", started.describe(&task.nets()))?;
    }
    interrupt::listen()?;
    let outcome = train(&mut task, &json!(config), fit, args, out)?;
    let (best_loss, best_epoch) = match outcome {
        Outcome::Finished { best_loss, best_epoch } => (best_loss, best_epoch),
        Outcome::Interrupted { epoch, .. } => {
            return Err(Interrupted { done: epoch, of: fit.epochs, what: "epochs" }.into());
        }
    };
    let best = Snapshots::open(&checkpoint)?.best();
    load_snapshot(&best, &task.nets(), &mut Sgd::new(fit.sgd))?;
    finish_run(out, &task.run_config(command), task.model())?;
    if !args.json {
        let out = out.display();
        let mut stdout = std::io::stdout().lock();
        let which = match fit.keep {
            Keep::Best => "lowest",
            Keep::Last => "last",
        };
        writeln!(stdout, "wrote {out}: the {which} validation loss is {best_loss:.4}, of epoch {}", best_epoch + 1)?;
        writeln!(stdout, "next: unscene export --onnx --run {out} --out BUNDLE")?;
    }
    Ok(())
}

/// A device of libtorch, by name.
fn device(text: &str) -> Result<Device, String> {
    let number = text.strip_prefix("cuda").map(|rest| rest.strip_prefix(':').unwrap_or("0").parse::<usize>());
    match (text, number) {
        ("cpu", _) => Ok(Device::Cpu),
        (_, Some(Ok(number))) => Ok(Device::Cuda(number)),
        _ => Err("expected cpu, or cuda:0 and so on".into()),
    }
}

fn train(
    task: &mut dyn Task,
    config: &Value,
    settings: &FitConfig,
    args: &TrainingArgs,
    out: &Path,
) -> Result<Outcome> {
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new((task.steps() * settings.epochs) as u64) };
    let style = "epoch {prefix} {wide_bar} {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    // Without a terminal there is no bar to write above.
    let say = |line: String| match bar.is_hidden() {
        true if args.json => {}
        true => eprintln!("{line}"),
        false => bar.println(line),
    };
    let failed = Cell::new(None);
    let known = RefCell::new(HashSet::new());
    let outcome = fit(task, settings, config, out, &|event| {
        match event {
            Event::Resumed { epoch, step } => say(format!("going on with epoch {}, step {step}", epoch + 1)),
            Event::Step { epoch, step, steps, lr, metrics } => {
                bar.set_position((epoch * steps + step) as u64);
                bar.set_prefix(format!("{}/{}", epoch + 1, settings.epochs));
                let shown: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
                bar.set_message(format!("lr {lr:.2e}, {}", shown.join(", ")));
            }
            Event::Failed { epoch, failures } => {
                let mut known = known.borrow_mut();
                let new: Vec<&Failure> = failures.iter().filter(|failure| known.insert((*failure).clone())).collect();
                if let Some(Failure { id, reason }) = new.first() {
                    let (epoch, count) = (epoch + 1, new.len());
                    bar.suspend(|| {
                        eprintln!("warning: epoch {epoch}: {count} videos could not be read, {id} for one: {reason}")
                    });
                }
            }
            Event::Epoch(line) if args.json => failed.set(writeln!(std::io::stdout(), "{line}").err()),
            Event::Epoch(line) => say(describe(line)),
        }
        match failed.take() {
            Some(error) => {
                failed.set(Some(error));
                ControlFlow::Break(())
            }
            None => interrupt::control(),
        }
    });
    bar.finish_and_clear();
    if let Some(error) = failed.take() {
        return Err(error.into());
    }
    Ok(outcome?)
}

/// An epoch in one line, with every loss that it names.
fn describe(line: &Value) -> String {
    let number = |of: &str, name: &str| line[of][name].as_f64();
    let mut shown = vec![
        ("train loss".to_string(), number("train", "action_loss")),
        ("accuracy".to_string(), number("train", "accuracy")),
    ];
    shown.extend(other_losses(line).map(|name| (format!("{name} loss"), number("train", &format!("{name}_loss")))));
    shown.push(("entropy".to_string(), number("train", "entropy")));
    shown.push(("val loss".to_string(), number("val", "loss")));
    shown.push(("val accuracy".to_string(), number("val", "accuracy")));
    let mut text = format!("epoch {}", line["epoch"].as_u64().unwrap_or(0) + 1);
    for (what, value) in shown {
        if let Some(value) = value {
            text += &format!(", {what} {value:.3}");
        }
    }
    let seconds = line["seconds"].as_f64().unwrap_or(0.0);
    let waited = line["waited_s"].as_f64().unwrap_or(0.0) / seconds.max(1e-9) * 100.0;
    text + &format!(", {seconds:.0} s, {waited:.1} % of it waiting for data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_names_every_adversary() {
        let line = json!({
            "epoch": 2, "seconds": 8.0, "waited_s": 0.5,
            "train": {"action_loss": 1.5, "accuracy": 0.25, "scene_loss": 2.0, "object_loss": 3.25, "waited_s": 0.1},
            "val": {"loss": 1.75},
        });
        assert_eq!(
            describe(&line),
            "epoch 3, train loss 1.500, accuracy 0.250, object loss 3.250, scene loss 2.000, val loss 1.750, 8 s, 6.2 % of it \
             waiting for data"
        );
    }
}
