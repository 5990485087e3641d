//! The file of an experiment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use unscene_data::formats::DatasetSpec;

/// An experiment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Heading of the page.
    pub title: String,
    /// A paragraph below it.
    #[serde(default)]
    pub about: String,
    /// Each variant is trained once with each.
    pub seeds: Vec<u64>,
    /// What is needed before, such as caches.
    #[serde(default)]
    pub prepare: Vec<Prepare>,
    /// What all pretrainings have in common.
    pub pretrain: Training,
    /// What all transfers have in common.
    pub finetune: Training,
    /// Ways to pretrain.
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
    /// Datasets to transfer to.
    #[serde(rename = "target")]
    pub targets: Vec<Target>,
    /// Tables of the page.
    #[serde(rename = "table", default)]
    pub tables: Vec<TableSpec>,
    /// Improvement over bias.
    #[serde(default)]
    pub figure: Option<Pair>,
    /// Where the pretrained models look.
    #[serde(default)]
    pub energy: Option<Energy>,
}

/// A command that makes files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// Arguments of `unscene`; `{here}` is the folder of the experiment's file.
    pub run: Vec<String>,
    /// What is there afterwards, in the work folder.
    pub makes: PathBuf,
}

/// Settings of `unscene pretrain` or `unscene finetune classify`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// A preset.
    #[serde(default)]
    pub preset: Option<String>,
    /// A config, beside the experiment's file.
    #[serde(default)]
    pub config: Option<PathBuf>,
    /// Settings over both.
    #[serde(default)]
    pub set: Vec<String>,
    /// First layer that is trained; transfers only.
    #[serde(default)]
    pub from_layer: Option<String>,
}

/// A way to pretrain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in paths.
    pub name: String,
    /// Its name in tables.
    #[serde(default)]
    pub title: Option<String>,
    /// Settings over those in common.
    #[serde(default)]
    pub set: Vec<String>,
}

/// A dataset to transfer to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Targets of one group are splits of one dataset: tables show their average.
    #[serde(default)]
    pub group: Option<String>,
    /// The lists.
    pub data: DatasetSpec,
    /// The part that is trained on.
    #[serde(default = "train")]
    pub train_part: String,
    /// The part that chooses the best epoch.
    #[serde(default = "test")]
    pub val_part: String,
    /// The part that is tested on.
    #[serde(default = "test")]
    pub test_part: String,
    /// Cache of its scenes, for its bias.
    #[serde(default)]
    pub scenes: Option<PathBuf>,
    /// Settings over those in common.
    #[serde(default)]
    pub set: Vec<String>,
}

fn train() -> String {
    "train".into()
}

fn test() -> String {
    "test".into()
}

/// A table of the page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// Its heading.
    pub title: String,
    /// A paragraph below it.
    #[serde(default)]
    pub about: String,
    /// Its rows.
    pub variants: Vec<String>,
    /// Its columns: targets, or groups of them.
    pub columns: Vec<String>,
}

/// Two variants to compare.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Trained as usual.
    pub baseline: String,
    /// Debiased.
    pub debiased: String,
}

/// The share of class activation that lies on people.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Energy {
    /// Pretrained models to look at.
    pub variants: Vec<String>,
    /// Videos.
    pub data: DatasetSpec,
    /// The part of them.
    pub part: String,
    /// Cache of the people in them.
    pub people: PathBuf,
}

impl Target {
    /// The column that it is part of.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }
}

impl Variant {
    /// What tables call it.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

impl Spec {
    /// Reads and checks a file; also gives its text.
    pub fn read(path: &Path) -> Result<(Self, String)> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
        let spec: Spec = toml::from_str(&text).with_context(|| name.clone())?;
        spec.check().context(name)?;
        Ok((spec, text))
    }

    /// The variant of a name.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The targets of a column.
    pub fn column(&self, name: &str) -> Vec<&Target> {
        let of = |is: &dyn Fn(&Target) -> bool| self.targets.iter().filter(|target| is(target)).collect::<Vec<_>>();
        let split = of(&|target| target.name == name);
        if split.is_empty() { of(&|target| target.group() == name) } else { split }
    }

    fn check(&self) -> Result<()> {
        if self.seeds.is_empty() || self.variants.is_empty() || self.targets.is_empty() {
            bail!("an experiment needs seeds, a [[variant]] and a [[target]]");
        }
        if self.seeds.iter().collect::<BTreeSet<_>>().len() != self.seeds.len() {
            bail!("seeds: one of them stands there twice");
        }
        let names = [
            self.variants.iter().map(|variant| variant.name.as_str()).collect::<Vec<_>>(),
            self.targets.iter().map(|target| target.name.as_str()).collect(),
        ];
        for (what, names) in ["variant", "target"].into_iter().zip(names) {
            let mut seen = BTreeSet::new();
            for name in names {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
                    bail!("{what} {name:?}: its name becomes a folder: letters, digits, '-', '_' and '.' only");
                }
                if !seen.insert(name) {
                    bail!("{what} {name:?} stands there twice");
                }
            }
        }
        if self.prepare.iter().any(|prepare| prepare.run.is_empty()) {
            bail!("prepare: run is empty, expected the arguments of a command");
        }
        if self.pretrain.from_layer.is_some() {
            bail!("pretrain.from_layer: layers are kept as they are by transfers only, in [finetune]");
        }
        let pair = self.figure.iter().flat_map(|pair| [&pair.baseline, &pair.debiased]);
        let named = self.tables.iter().flat_map(|table| &table.variants).chain(pair);
        let known: Vec<&str> = self.variants.iter().map(|variant| variant.name.as_str()).collect();
        for name in named.chain(self.energy.iter().flat_map(|energy| &energy.variants)) {
            if self.variant(name).is_none() {
                bail!("there is no variant {name:?}; there are {}", known.join(", "));
            }
        }
        for name in self.tables.iter().flat_map(|table| &table.columns) {
            if self.column(name).is_empty() {
                bail!("there is no target or group {name:?}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_made_experiments_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        for (name, targets) in [("paper.toml", 7), ("stage.toml", 5)] {
            let path = folder.join(name);
            let (spec, _) = Spec::read(&path).unwrap();
            assert_eq!((spec.targets.len(), spec.variants.len(), spec.seeds.len()), (targets, 5, 3), "{name}");
            assert!(super::super::plan::chains(&spec, &path).is_ok(), "{name}");
        }
    }
}
