//! Configs of training: a preset, a file over it, and single settings over both.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Settings that people know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// What the paper says: both losses at once, lambda 0.5, lr 0.001
    Paper,
    /// The same on single frames, with the VGG-16 of the detector
    PaperFrames,
    /// The first stage of the paper's release: the adversary alone, from a trained network
    Release,
    /// Its second stage: both losses, from the run of the first
    ReleaseSecond,
    /// Localization as R-C3D's release does it on THUMOS14
    Thumos14,
    /// Localization as R-C3D's release does it on ActivityNet
    Activitynet,
    /// Detection as ROAD's release does it on UCF101-24
    Ucf24,
}

impl Preset {
    /// Its settings, as a config file.
    pub fn text(self) -> &'static str {
        match self {
            Preset::Paper => include_str!("presets/paper.toml"),
            Preset::PaperFrames => include_str!("presets/paper-frames.toml"),
            Preset::Release => include_str!("presets/release.toml"),
            Preset::ReleaseSecond => include_str!("presets/release-second.toml"),
            Preset::Thumos14 => include_str!("presets/thumos14.toml"),
            Preset::Activitynet => include_str!("presets/activitynet.toml"),
            Preset::Ucf24 => include_str!("presets/ucf24.toml"),
        }
    }
}

/// Reads a config. Later sources win: the preset, the file, then `NAME=VALUE` settings such as `fit.sgd.lr=0.01` or
/// `adversary.0.lambda=1`.
pub fn read(preset: Option<Preset>, file: Option<&Path>, settings: &[String]) -> Result<Table> {
    let mut config = Table::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        config = toml::from_str(&text).with_context(|| path.display().to_string())?;
    }
    for setting in settings {
        set(&mut config, setting).with_context(|| format!("--set {setting}"))?;
    }
    if let Some(preset) = preset {
        let defaults: Table = toml::from_str(preset.text()).context("the preset")?;
        fill_in(&mut config, defaults);
    }
    Ok(config)
}

/// A config as what it stands for. `file` is where most of it comes from.
pub fn parse<T: DeserializeOwned>(config: Table, file: Option<&Path>) -> Result<T> {
    Value::Table(config).try_into().with_context(|| file.map_or("the config".into(), |path| path.display().to_string()))
}

/// Parts of a config that are there or not: a preset says how they work, and not whether they do.
const OPTIONAL: [&str; 3] = ["adversary", "confusion", "start"];

/// Takes over what a config does not say.
fn fill_in(config: &mut Table, defaults: Table) {
    for (name, default) in defaults {
        match (config.get_mut(&name), default) {
            (None, _) if OPTIONAL.contains(&name.as_str()) => {}
            (None, default) => {
                config.insert(name, default);
            }
            (Some(Value::Table(found)), Value::Table(default)) => {
                // Settings of one kind of schedule say nothing about another.
                let is_other = found.get("kind").is_some_and(|kind| Some(kind) != default.get("kind"));
                if !is_other {
                    fill_in(found, default);
                }
            }
            (Some(Value::Array(found)), Value::Table(default)) => {
                found.iter_mut().filter_map(Value::as_table_mut).for_each(|found| fill_in(found, default.clone()));
            }
            (Some(_), _) => {}
        }
    }
}

/// Changes one setting; tables on the way are made.
fn set(config: &mut Table, setting: &str) -> Result<()> {
    let Some((name, text)) = setting.split_once('=') else { bail!("expected NAME=VALUE, such as fit.sgd.lr=0.01") };
    let mut path: Vec<&str> = name.trim().split('.').collect();
    let last = path.pop().unwrap_or_default();
    let mut table = config;
    let mut path = path.into_iter().peekable();
    while let Some(name) = path.next() {
        let next = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
        table = match next {
            Value::Table(table) => table,
            Value::Array(list) => {
                let index = path.next().unwrap_or_default();
                let count = list.len();
                let found =
                    index.parse::<usize>().ok().and_then(|index| list.get_mut(index)).and_then(Value::as_table_mut);
                found.with_context(|| format!("{name} has {count} entries; write {name}.0.SETTING for the first"))?
            }
            other => bail!("{name} is {other}, and has no settings of its own"),
        };
    }
    // A value as in a file; what is none is a string without its quotes.
    let value = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    table.insert(last.to_string(), value.unwrap_or_else(|| Value::String(text.to_string())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use unscene_train::detect::DetectConfig;
    use unscene_train::pretrain::PretrainConfig;

    use super::*;

    fn config(text: &str, preset: Preset, settings: &[&str]) -> Result<Table> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text)?;
        let settings: Vec<String> = settings.iter().map(|text| text.to_string()).collect();
        read(Some(preset), Some(&path), &settings)
    }

    #[test]
    fn settings_win_over_the_file_and_the_file_over_the_preset() {
        let text = "batch = 8\n[fit.sgd]\nlr = 0.5\n[[adversary]]\nname = 'scene'\n[[adversary]]\nlambda = 0.1\n";
        let found =
            config(text, Preset::Release, &["fit.sgd.lr=0.25", "data.format=ucf101", "adversary.0.hard=true"]).unwrap();
        let at = |path: &[&str]| {
            let first = Value::Table(found.clone());
            path.iter().fold(first, |value, name| match value {
                Value::Array(list) => list[name.parse::<usize>().unwrap()].clone(),
                value => value[*name].clone(),
            })
        };
        assert_eq!(at(&["batch"]).as_integer(), Some(8));
        assert_eq!(at(&["fit", "sgd", "lr"]).as_float(), Some(0.25));
        assert_eq!(at(&["fit", "sgd", "dampening"]).as_float(), Some(0.9));
        assert_eq!(at(&["data", "format"]).as_str(), Some("ucf101"));
        assert_eq!(at(&["adversary", "0", "lambda"]).as_float(), Some(1.0));
        assert_eq!(at(&["adversary", "0", "hard"]).as_bool(), Some(true));
        assert_eq!(at(&["adversary", "1", "lambda"]).as_float(), Some(0.1));
        // Parts that the config does not have stay away.
        assert!(!found.contains_key("confusion") && !found.contains_key("start"));
        // Another schedule has none of the plateau's settings.
        let found = config("fit.schedule.kind = 'cosine'", Preset::Paper, &[]).unwrap();
        assert_eq!(found["fit"]["schedule"].as_table().unwrap().len(), 1);
    }

    #[test]
    fn examples_and_presets_are_configs() {
        // The model of a transfer is that of the run to begin with.
        let model = ["model={arch='r3d10-hara', frames=8, size=56, classes=10}".to_string()];
        for (name, settings) in [("pretrain_stage", &[][..]), ("scenes_stage", &[]), ("finetune_stage", &model)] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/{name}.toml"));
            let table = read(None, Some(&path), settings).unwrap();
            assert_eq!(parse::<PretrainConfig>(table, Some(&path)).unwrap().problem(), None, "{name}");
        }
        let needed = ["model.classes=5", "data.format=csv", "data.annotations=a", "start.run=r", "confusion.people=p"];
        let needed: Vec<String> = needed.iter().map(ToString::to_string).collect();
        let adversary = ["adversary=[{name='scene', cache='s'}]".to_string()];
        for (preset, new_layers) in
            [(Preset::Paper, 0), (Preset::PaperFrames, 0), (Preset::Release, 1), (Preset::ReleaseSecond, 0)]
        {
            let table = read(Some(preset), None, &[&needed[..], &adversary].concat()).unwrap();
            let config: PretrainConfig = parse(table, None).unwrap();
            assert_eq!(config.problem(), None);
            assert_eq!(config.start.unwrap().new_layers.len(), new_layers);
        }
    }

    #[test]
    fn the_settings_of_detectors_are_whole() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/detect_stage.toml");
        let needed = ["model.classes=24".to_string(), "data.annotations='a'".to_string()];
        for (preset, file) in [(Some(Preset::Ucf24), None), (None, Some(path.as_path()))] {
            let config: DetectConfig = parse(read(preset, file, &needed).unwrap(), file).unwrap();
            assert_eq!(config.problem(), None);
        }
    }

    #[test]
    fn settings_without_a_place_are_named() {
        for (setting, part) in [
            ("lr", "expected NAME=VALUE"),
            ("batch.size=3", "batch is 8"),
            ("adversary.1.lambda=3", "adversary has 1 entries"),
            ("adversary.lambda=3", "adversary has 1 entries"),
        ] {
            let error = config("batch = 8\n[[adversary]]\nname = 'a'", Preset::Paper, &[setting]).unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains(part) && text.contains(setting), "{text}");
        }
    }
}
