//! Files that say how something is to be done.

// A command is no library; these two say all they need themselves.
#[path = "../../crates/cli/src/config.rs"]
mod config;
#[path = "../../serve/src/keys.rs"]
#[allow(dead_code)]
mod keys;

use std::fs;

use keys::{Keys, Scope};
use unscene_annotate::{PeopleConfig, ScenesConfig, read_labels};
use unscene_models::manifest::Manifest;
use unscene_models::run::RunFolder;

use crate::scratch;

/// The manifest of a bundle. One that is accepted survives writing and reading.
pub fn manifest(data: &[u8]) {
    let Some(manifest) = std::str::from_utf8(data).ok().and_then(|text| Manifest::from_json(text).ok()) else { return };
    let text = manifest.to_json().expect("a valid manifest can be written");
    assert_eq!(Manifest::from_json(&text).expect("what is written can be read"), manifest);
    assert!(manifest.input.len() <= 1_000_000_000);
}

/// The config of a run, and the model that it describes.
pub fn run_config(data: &[u8]) {
    let path = scratch::file("config.json", data);
    if let Ok(config) = RunFolder::new(path.parent().expect("a file is in a folder")).read_config() {
        let _ = config.model.graph();
    }
}

/// A config of the command: settings, a line each, and after an empty line the file.
pub fn command_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (settings, file) = text.split_once("\n\n").unwrap_or(("", &text));
    let path = scratch::file("config.toml", file.as_bytes());
    let settings: Vec<String> = settings.lines().map(str::to_string).collect();
    for preset in [None, Some(config::Preset::Release)] {
        if let Ok(table) = config::read(preset, Some(&path), &settings) {
            let again = toml::to_string(&table).expect("a table can be written");
            let _ = config::parse::<toml::Table>(again.parse().expect("what is written can be read"), None);
        }
    }
}

/// What is said of other people's models, and their labels.
pub fn annotate_config(data: &[u8]) {
    let path = scratch::file("config.json", data);
    let _ = ScenesConfig::read(&path);
    let _ = PeopleConfig::read(&path);
    let _ = read_labels(&path);
}

/// A file of API keys: after an empty line what it changes to, and what a client then sends.
pub fn api_keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n\n\n");
    let mut next = || parts.next().unwrap_or_default();
    let path = scratch::file("keys.toml", next().as_bytes());
    let Ok(keys) = Keys::read(&path) else { return };
    fs::write(&path, next()).expect("there is room for a file");
    keys.refresh();
    let header = next();
    for scope in [Scope::Predict, Scope::Admin] {
        let _ = keys.check(Some(header), scope);
    }
}
