//! Lists of labelled videos, one file per format. `docs/datasets.md` says where each comes from and how to lay it out.

mod csv_list;
mod diving48;
mod files;
mod hmdb51;
mod json;
mod kinetics;
mod part;
mod ucf101;

use std::fmt;
use std::path::PathBuf;
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
    /// The folder that the lists' paths start at; by default that of the list.
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
    /// When a list cannot be read or is not in its format. A dataset without videos is none.
    pub fn load(&self) -> Result<Dataset> {
        let beside = if self.annotations.is_dir() {
            self.annotations.clone()
        } else {
            self.annotations.parent().unwrap_or(&self.annotations).to_path_buf()
        };
        let mut files = Files::new(self.videos.clone().unwrap_or(beside))?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
