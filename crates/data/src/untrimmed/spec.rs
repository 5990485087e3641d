//! What names an untrimmed dataset, on the command line and in configs.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Untrimmed, activitynet, thumos14};
use crate::error::{DataError, Result};
use crate::formats::files::Files;

/// How an untrimmed dataset is annotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UntrimmedFormat {
    /// THUMOS14's `CLASS_val.txt`, `CLASS_test.txt`, `Ambiguous_test.txt` and `detclasslist.txt`.
    Thumos14,
    /// ActivityNet's JSON.
    Activitynet,
}

impl UntrimmedFormat {
    /// All formats.
    pub const ALL: [UntrimmedFormat; 2] = [UntrimmedFormat::Thumos14, UntrimmedFormat::Activitynet];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            UntrimmedFormat::Thumos14 => "thumos14",
            UntrimmedFormat::Activitynet => "activitynet",
        }
    }
}

impl fmt::Display for UntrimmedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for UntrimmedFormat {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self> {
        let names = UntrimmedFormat::ALL.map(UntrimmedFormat::name).join(" or ");
        let problem = || DataError::Options { problem: format!("format: found {text:?}, expected {names}") };
        UntrimmedFormat::ALL.into_iter().find(|format| format.name() == text).ok_or_else(problem)
    }
}

/// Names an untrimmed dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UntrimmedSpec {
    /// How it is annotated.
    pub format: UntrimmedFormat,
    /// THUMOS14's folder of text files, or ActivityNet's JSON file.
    pub annotations: PathBuf,
    /// The folder of the videos. Without it only the annotations are read, which is enough to score detections.
    #[serde(default)]
    pub videos: Option<PathBuf>,
    /// Whether annotations that cannot be right are left out, and listed in [`Untrimmed::skipped`]. Otherwise the first
    /// of them is an error.
    #[serde(default)]
    pub skip_bad: bool,
}

impl UntrimmedSpec {
    /// Reads the annotations, and finds the videos on disk. What is not there is in
    /// [`UntrimmedPart::missing`](super::UntrimmedPart::missing).
    ///
    /// # Errors
    /// When the annotations cannot be read, are not in their format or cannot be right, or a folder is not there.
    pub fn load(&self) -> Result<Untrimmed> {
        fs::metadata(&self.annotations).map_err(|source| DataError::Io { path: self.annotations.clone(), source })?;
        let mut files = self.videos.clone().map(Files::new).transpose()?;
        let collected = match self.format {
            UntrimmedFormat::Thumos14 => thumos14::read(&self.annotations)?,
            UntrimmedFormat::Activitynet => activitynet::read(&self.annotations)?,
        };
        collected.finish(&self.annotations, files.as_mut(), self.skip_bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_named_in_configs() {
        let spec: UntrimmedSpec =
            serde_json::from_str(r#"{"format": "activitynet", "annotations": "a.json"}"#).unwrap();
        let expected = UntrimmedSpec {
            format: UntrimmedFormat::Activitynet,
            annotations: "a.json".into(),
            videos: None,
            skip_bad: false,
        };
        assert_eq!(spec, expected);
        let error = serde_json::from_str::<UntrimmedSpec>(r#"{"format": "thumos14", "annotations": "a", "split": 1}"#);
        assert!(error.unwrap_err().to_string().contains("`split`"));
        for format in UntrimmedFormat::ALL {
            assert_eq!(format.to_string().parse::<UntrimmedFormat>().unwrap(), format);
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
        }
        let error = "thumos".parse::<UntrimmedFormat>().unwrap_err().to_string();
        assert_eq!(error, "format: found \"thumos\", expected thumos14 or activitynet");
    }

    #[test]
    fn folders_that_are_not_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let load = |annotations: &str, videos: &str| {
            let inside = |path: &str| folder.path().join(path);
            let (format, videos) = (UntrimmedFormat::Thumos14, Some(inside(videos)));
            UntrimmedSpec { format, annotations: inside(annotations), videos, skip_bad: false }.load().unwrap_err()
        };
        assert!(load("none", "").to_string().contains("none: No such file"));
        assert!(load("", "videos").to_string().contains("videos: there is no such folder of videos"));
    }
}
