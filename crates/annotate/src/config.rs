//! What has to be said about somebody else's ONNX model before it can look at frames.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use unscene_vision::{Channels, DetectorForm, Fit, Normalization};

use crate::error::{AnnotateError, Result};

/// How a model wants its pictures: N x 3 x height x width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How a frame is brought to that size.
    pub fit: Fit,
    /// The order of the channels.
    #[serde(default)]
    pub channels: Channels,
    /// Mean of each channel in the model's order, in units of `range`.
    #[serde(default = "zeros")]
    pub mean: [f32; 3],
    /// Standard deviation of each channel in the model's order, in units of `range`.
    #[serde(default = "ones")]
    pub std: [f32; 3],
    /// The value of full white before the mean is subtracted: 1 or 255.
    #[serde(default = "one")]
    pub range: f32,
}

fn zeros() -> [f32; 3] {
    [0.0; 3]
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

fn one() -> f32 {
    1.0
}

impl InputConfig {
    /// From bytes to numbers.
    pub fn normalization(&self) -> Normalization {
        Normalization { mean: self.mean, std: self.std, range: self.range }
    }

    fn check(&self, path: &Path) -> Result<()> {
        let numbers = self.mean.iter().chain(&self.std).chain([&self.range]);
        let problem = if !(1..=4096).contains(&self.width) || !(1..=4096).contains(&self.height) {
            format!("input: found {} x {}, expected sides from 1 to 4096", self.width, self.height)
        } else if self.range != 1.0 && self.range != 255.0 {
            format!("input: range is {}, expected 1 or 255", self.range)
        } else if !numbers.clone().all(|number| number.is_finite()) || self.std.iter().any(|std| *std <= 0.0) {
            "input: mean, std and range must be finite, and std above 0".into()
        } else {
            return Ok(());
        };
        Err(AnnotateError::Config { path: path.to_path_buf(), problem })
    }
}

/// A classifier of scenes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenesConfig {
    /// How it wants its pictures.
    pub input: InputConfig,
    /// Its output.
    pub output: ScenesOutput,
    /// A file of the labels, one per line, beside the config; the command line may name another.
    #[serde(default)]
    pub labels: Option<PathBuf>,
}

/// A classifier's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenesOutput {
    /// Its name; N x labels.
    pub name: String,
    /// What makes probabilities of it.
    #[serde(default)]
    pub activation: Activation,
}

/// What makes probabilities of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// They are logits.
    #[default]
    Softmax,
    /// They are probabilities already.
    None,
}

/// A detector of people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleConfig {
    /// How it wants its pictures.
    pub input: InputConfig,
    /// The form of its outputs.
    pub output: DetectorForm,
    /// Boxes below this score are not kept. 0.3 in the paper; masking may ask for more, but not for less.
    #[serde(default = "min_score")]
    pub min_score: f32,
    /// Of boxes that overlap by more than this, the best is kept; 1 keeps all, for models that choose themselves.
    #[serde(default = "max_iou")]
    pub max_iou: f32,
}

fn min_score() -> f32 {
    0.3
}

fn max_iou() -> f32 {
    0.5
}

impl ScenesConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// When the file is not there or says what makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let config: Self = read(path)?;
        config.input.check(path)?;
        Ok(config)
    }
}

impl PeopleConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// When the file is not there or says what makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let config: Self = read(path)?;
        config.input.check(path)?;
        for (name, value) in [("min_score", config.min_score), ("max_iou", config.max_iou)] {
            if !(0.0..=1.0).contains(&value) {
                let problem = format!("{name}: found {value}, expected 0 to 1");
                return Err(AnnotateError::Config { path: path.to_path_buf(), problem });
            }
        }
        Ok(config)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_text(path)?;
    serde_json::from_str(&text)
        .map_err(|error| AnnotateError::Config { path: path.to_path_buf(), problem: error.to_string() })
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| AnnotateError::Io { path: path.to_path_buf(), source })
}

/// Reads labels, one per line. Places365 writes `/a/airfield 0`: the number and the first letter are left out.
///
/// # Errors
/// When the file cannot be read or is empty.
pub fn read_labels(path: &Path) -> Result<Vec<String>> {
    let text = read_text(path)?;
    let mut labels = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let number = labels.len().to_string();
        let label =
            line.strip_suffix(&number).map_or(line, |rest| if rest.ends_with(' ') { rest.trim_end() } else { line });
        let mut letters = label.chars();
        let is_filed = letters.next() == Some('/') && letters.next().is_some() && letters.next() == Some('/');
        labels.push(if is_filed { label[3..].to_string() } else { label.to_string() });
    }
    match labels.is_empty() {
        true => Err(AnnotateError::Config { path: path.to_path_buf(), problem: "it names no label".into() }),
        false => Ok(labels),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_short_config_has_the_usual_defaults() {
        let text = r#"{"input": {"width": 320, "height": 256, "fit": "stretch"}, "output": {"form": "yolo", "output": "o", "layout": "v8", "person": 0}}"#;
        let (_folder, path) = write(text);
        let config = PeopleConfig::read(&path).unwrap();
        assert_eq!((config.min_score, config.max_iou, config.input.channels), (0.3, 0.5, Channels::Rgb));
        assert_eq!(config.input.normalization(), Normalization { mean: [0.0; 3], std: [1.0; 3], range: 1.0 });
    }

    #[test]
    fn what_is_wrong_is_named() {
        let scenes = |input: &str| format!(r#"{{"input": {{{input}}}, "output": {{"name": "o"}}}}"#);
        for (text, expected) in [
            (scenes(r#""width": 0, "height": 2, "fit": "stretch""#), "found 0 x 2"),
            (scenes(r#""width": 2, "height": 2, "fit": "stretch", "std": [1, 0, 1]"#), "std above 0"),
            (scenes(r#""width": 2, "height": 2, "fit": "streched""#), "streched"),
            (scenes(r#""width": 2, "height": 2, "fit": "stretch", "mea": 1"#), "mea"),
        ] {
            let (_folder, path) = write(&text);
            let error = ScenesConfig::read(&path).unwrap_err().to_string();
            assert!(error.contains("c.json") && error.contains(expected), "{error}");
        }
        assert!(ScenesConfig::read(Path::new("/no/c.json")).unwrap_err().to_string().contains("/no/c.json"));
    }

    #[test]
    fn labels_of_places365_lose_what_is_no_name() {
        let (_folder, path) = write("/a/airfield 0\n/b/bar 1\n\nbox 7\nroom2\n");
        assert_eq!(read_labels(&path).unwrap(), ["airfield", "bar", "box 7", "room2"]);
        assert!(read_labels(&write("\n").1).is_err());
    }
}
