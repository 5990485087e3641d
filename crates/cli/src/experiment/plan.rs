//! From an experiment to commands.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use unscene_data::formats::DatasetSpec;

use super::spec::{Spec, Target, Training, Variant};

/// A call of `unscene`.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Where its results lie in the work folder: a run folder, or a file.
    pub out: PathBuf,
    /// What to do: the same arguments give the same results.
    pub args: Vec<String>,
    /// What else its results follow from: the config, and how the run that it begins with was made.
    pub basis: String,
    /// What kind of command it is.
    pub kind: Kind,
}

/// How a command is called, and what it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It makes `out` itself.
    Prepare,
    /// A training: `out` is its run folder.
    Training,
    /// It prints JSON, which is kept in `out`, and asks a run.
    Measure,
    /// It prints JSON, which is kept in `out`, and asks no model.
    Count,
}

impl Unit {
    /// Whether its results are there.
    pub fn is_done(&self, work: &Path) -> bool {
        let out = work.join(&self.out);
        match self.kind {
            // Written last.
            Kind::Training => out.join("config.json").is_file(),
            // What is half made may be there as well.
            Kind::Prepare => out.exists() && self.beside(work, "done").exists(),
            Kind::Measure | Kind::Count => out.exists(),
        }
    }
}

impl Unit {
    /// Everything that its results follow from, as a shell script whose comments are the basis.
    pub fn recipe(&self) -> String {
        let basis: String = self.basis.lines().map(|line| format!("# {line}\n")).collect();
        format!("unscene {}\n{basis}", shown(&self.args))
    }

    /// A file about this step, which does not lie among its results.
    pub fn beside(&self, work: &Path, kind: &str) -> PathBuf {
        // No name has a tilde, so that no two steps have one file.
        let name = self.out.to_string_lossy().replace('/', "~");
        work.join("steps").join(format!("{name}.{kind}"))
    }
}

/// A run of pretraining, in the work folder.
pub fn pretrained(variant: &Variant, seed: u64) -> PathBuf {
    PathBuf::from("pretrain").join(format!("{}-{seed}", variant.name))
}

/// A run of transfer, in the work folder.
pub fn transferred(variant: &Variant, seed: u64, target: &Target) -> PathBuf {
    PathBuf::from("finetune").join(&target.name).join(format!("{}-{seed}", variant.name))
}

/// What a transfer is right about.
pub fn score(variant: &Variant, seed: u64, target: &Target) -> PathBuf {
    PathBuf::from("eval").join(&target.name).join(format!("{}-{seed}.json", variant.name))
}

/// A target's bias.
pub fn bias(target: &Target) -> PathBuf {
    PathBuf::from("bias").join(format!("{}.json", target.name))
}

/// Where a pretrained model looks.
pub fn energy(variant: &Variant, seed: u64) -> PathBuf {
    PathBuf::from("energy").join(format!("{}-{seed}.json", variant.name))
}

/// The commands: the first chain before all others; in a chain each needs the one before.
pub fn chains(spec: &Spec, file: &Path) -> Result<Vec<Vec<Unit>>> {
    let here = std::path::absolute(file).context("the experiment's folder")?.with_file_name("");
    let here = text(&here)?.trim_end_matches('/');
    let prepare = |prepare: &super::spec::Prepare| Unit {
        out: prepare.makes.clone(),
        args: prepare.run.iter().map(|arg| arg.replace("{here}", here)).collect(),
        basis: String::new(),
        kind: Kind::Prepare,
    };
    let mut chains: Vec<Vec<Unit>> = vec![spec.prepare.iter().map(prepare).collect()];
    for target in &spec.targets {
        if let Some(scenes) = &target.scenes {
            let mut args = strings(["bias"]);
            args.extend(dataset(&target.data));
            args.extend(strings(["--train-part", &target.train_part, "--test-part", &target.test_part]));
            args.extend(strings(["--cache", text(scenes)?, "--json"]));
            chains.push(vec![Unit { out: bias(target), args, basis: String::new(), kind: Kind::Count }]);
        }
    }
    for &seed in &spec.seeds {
        for variant in &spec.variants {
            chains.push(chain(spec, file, variant, seed)?);
        }
    }
    Ok(chains)
}

/// A pretraining and all its transfers.
fn chain(spec: &Spec, file: &Path, variant: &Variant, seed: u64) -> Result<Vec<Unit>> {
    let run = pretrained(variant, seed);
    let mut args = strings(["pretrain"]);
    args.extend(training(&spec.pretrain, file, &variant.set, seed)?);
    let pretraining = Unit { out: run.clone(), args, basis: config_text(&spec.pretrain, file)?, kind: Kind::Training };
    let from_run = pretraining.recipe();
    let mut units = vec![pretraining];
    for target in &spec.targets {
        let out = transferred(variant, seed, target);
        let mut args = strings(["finetune", "classify", "--from", text(&run)?]);
        if let Some(layer) = &spec.finetune.from_layer {
            args.extend(strings(["--from-layer", layer]));
        }
        let DatasetSpec { format, annotations, videos, split } = &target.data;
        let mut set = vec![
            format!("data.format='{format}'"),
            format!("data.annotations='{}'", text(annotations)?),
            format!("data.split={split}"),
            format!("train_part='{}'", target.train_part),
            format!("val_part='{}'", target.val_part),
        ];
        if let Some(videos) = videos {
            set.push(format!("data.videos='{}'", text(videos)?));
        }
        set.extend(target.set.iter().cloned());
        args.extend(training(&spec.finetune, file, &set, seed)?);
        let eval = ["eval", "classify", "--run", text(&out)?, "--part", &target.test_part, "--json"];
        let basis = format!("{}{from_run}", config_text(&spec.finetune, file)?);
        let transfer = Unit { args, basis, kind: Kind::Training, out: out.clone() };
        let basis = transfer.recipe();
        units.push(transfer);
        units.push(Unit { out: score(variant, seed, target), args: strings(eval), basis, kind: Kind::Measure });
    }
    if let Some(spec) = spec.energy.as_ref().filter(|energy| energy.variants.contains(&variant.name)) {
        let mut args = strings(["explain", "--run", text(&run)?]);
        args.extend(dataset(&spec.data));
        args.extend(strings(["--part", &spec.part, "--people", text(&spec.people)?, "--json"]));
        units.push(Unit { out: energy(variant, seed), args, basis: from_run, kind: Kind::Measure });
    }
    Ok(units)
}

/// Options that say how to train.
fn training(common: &Training, file: &Path, own: &[String], seed: u64) -> Result<Vec<String>> {
    let mut args = Vec::new();
    if let Some(preset) = &common.preset {
        args.extend(strings(["--preset", preset]));
    }
    if let Some(config) = config_path(common, file)? {
        args.extend(strings(["--config", text(&config)?]));
    }
    let seed = format!("seed={seed}");
    for setting in common.set.iter().chain(own).chain([&seed]) {
        args.extend(strings(["--set", setting]));
    }
    Ok(args)
}

/// A config is named from the experiment's file.
fn config_path(common: &Training, file: &Path) -> Result<Option<PathBuf>> {
    let beside = |config: &PathBuf| {
        let here = std::path::absolute(file).context("the experiment's folder")?.with_file_name("");
        Ok(here.join(config))
    };
    common.config.as_ref().map(beside).transpose()
}

fn config_text(common: &Training, file: &Path) -> Result<String> {
    let Some(path) = config_path(common, file)? else { return Ok(String::new()) };
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Options that name a dataset.
fn dataset(data: &DatasetSpec) -> Vec<String> {
    let DatasetSpec { format, annotations, videos, split } = data;
    let mut args = strings(["--format", format.name(), "--annotations", &annotations.to_string_lossy()]);
    if let Some(videos) = videos {
        args.extend(strings(["--videos", &videos.to_string_lossy()]));
    }
    args.extend(strings(["--split", &split.to_string()]));
    args
}

fn strings<'a>(args: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    args.into_iter().map(String::from).collect()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: not Unicode", path.display()))
}

/// Arguments as a shell takes them.
pub fn shown(args: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    let quoted = |arg: &String| match !arg.is_empty() && arg.chars().all(is_plain) {
        true => arg.clone(),
        false => format!("'{}'", arg.replace('\'', "'\\''")),
    };
    args.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
