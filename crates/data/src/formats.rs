//! Lists of labelled videos, one file per format. `docs/datasets.md` says where each comes from and how to lay it out.

mod csv_list;
mod diving48;
pub(crate) mod files;
pub(crate) mod hmdb51;
mod json;
mod kinetics;
pub(crate) mod part;
mod table;
mod ucf101;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::{DataError, Result};
use files::Files;

/// How a dataset is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Tables with the columns `path,label[,start_s,end_s]`.
    Csv,
    /// UCF101's `classInd.txt`, `trainlist01.txt`, `testlist01.txt`.
    Ucf101,
    /// HMDB51's `CLASS_test_split1.txt`.
    Hmdb51,
    /// Diving48's `Diving48_V2_train.json` (or V1's) and `Diving48_vocab.json`.
    Diving48,
    /// Kinetics' `train.csv` and `val.csv`.
    Kinetics,
    /// Kinetics' tables with the id lists of Mini-Kinetics-200.
    MiniKinetics,
    /// The JSON of 3D-ResNets-PyTorch and of the paper's release.
    Json,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 7] = [
        Format::Csv,
        Format::Ucf101,
        Format::Hmdb51,
        Format::Diving48,
        Format::Kinetics,
        Format::MiniKinetics,
        Format::Json,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ucf101 => "ucf101",
            Format::Hmdb51 => "hmdb51",
            Format::Diving48 => "diving48",
            Format::Kinetics => "kinetics",
            Format::MiniKinetics => "mini-kinetics",
            Format::Json => "json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self> {
        Format::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| DataError::Options {
            problem: format!("format: found {text:?}, expected one of {}", Format::ALL.map(Format::name).join(", ")),
        })
    }
}

/// What names a dataset, on the command line and in configs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// How it is listed.
    pub format: Format,
    /// The list, or the folder of lists.
    pub annotations: PathBuf,
    /// The folder that the lists' paths start at; by default that of the list. UCF101 needs it.
    #[serde(default)]
    pub videos: Option<PathBuf>,
    /// The number of the official split, where there are several.
    #[serde(default = "first_split")]
    pub split: u32,
}

fn first_split() -> u32 {
    1
}

impl DatasetSpec {
    /// Reads the lists, and finds the videos on disk. What is not there is in [`Part::missing`](crate::Part::missing).
    ///
    /// # Errors
    /// When a list cannot be read or is not in its format, or a folder is not there. A dataset whose videos are all
    /// missing is none.
    pub fn load(&self) -> Result<Dataset> {
        // A wrong path is not to be taken for a list without videos.
        fs::metadata(&self.annotations).map_err(|source| DataError::Io { path: self.annotations.clone(), source })?;
        if self.format == Format::Ucf101 && self.videos.is_none() {
            return Err(DataError::Options {
                problem: "ucf101: found no folder of videos, expected the one that holds ApplyEyeMakeup and the other \
                          classes; name it with --videos"
                    .into(),
            });
        }
        let mut files = Files::new(self.videos.clone().unwrap_or_else(|| beside(&self.annotations)))?;
        match self.format {
            Format::Csv => csv_list::load(&self.annotations, &mut files),
            Format::Ucf101 => ucf101::load(&self.annotations, &mut files, self.split),
            Format::Hmdb51 => hmdb51::load(&self.annotations, &mut files, self.split),
            Format::Diving48 => diving48::load(&self.annotations, &mut files),
            Format::Kinetics => kinetics::load(&self.annotations, &mut files, false),
            Format::MiniKinetics => kinetics::load(&self.annotations, &mut files, true),
            Format::Json => json::load(&self.annotations, &mut files),
        }
    }
}

/// The folder of a list.
fn beside(annotations: &Path) -> PathBuf {
    match annotations.parent() {
        _ if annotations.is_dir() => annotations.into(),
        Some(folder) if !folder.as_os_str().is_empty() => folder.into(),
        _ => ".".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_named_in_configs() {
        let spec: DatasetSpec = serde_json::from_str(r#"{"format": "mini-kinetics", "annotations": "k"}"#).unwrap();
        let expected = DatasetSpec { format: Format::MiniKinetics, annotations: "k".into(), videos: None, split: 1 };
        assert_eq!(spec, expected);
        let error = serde_json::from_str::<DatasetSpec>(r#"{"format": "csv", "annotations": "k", "video": "v"}"#);
        assert!(error.unwrap_err().to_string().contains("`video`"));
    }

    #[test]
    fn folders_that_are_not_there_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let load = |format, annotations: &str, videos: Option<&str>| {
            let inside = |path: &str| folder.path().join(path);
            let spec = DatasetSpec { format, annotations: inside(annotations), videos: videos.map(inside), split: 1 };
            spec.load().unwrap_err().to_string()
        };
        assert!(load(Format::Csv, "a/train.csv", None).contains("a/train.csv: No such file"));
        assert!(load(Format::Csv, "", Some("videos")).contains("videos: there is no such folder of videos"));
        assert!(load(Format::Ucf101, "", None).contains("--videos"));
    }

    #[test]
    fn videos_are_beside_the_list_by_default() {
        assert_eq!(beside(Path::new("train.csv")), Path::new("."));
        assert_eq!(beside(Path::new("a/train.csv")), Path::new("a"));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(beside(folder.path()), folder.path());
    }

    #[test]
    fn formats_are_written_as_they_are_read() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
        }
        let error = "ucf-101".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("\"ucf-101\"") && error.contains("ucf101, hmdb51"), "{error}");
    }
}
