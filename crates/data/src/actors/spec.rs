//! What names a dataset of actors, on the command line and in configs.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Actors, gttubes, jhmdb, json, pyannot};
use crate::error::{DataError, Result};
use crate::formats::files::Files;

/// How a dataset of actors is annotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorFormat {
    /// This project's own JSON.
    Actors,
    /// UCF101-24's `pyannot.pkl`, with UCF101's lists beside it.
    Ucf24,
    /// `JHMDB-GT.pkl`, `UCF101v2-GT.pkl` and others in the form of the ACT detector.
    Gttubes,
    /// JHMDB's `puppet_mask` and `splits`.
    Jhmdb,
}

impl ActorFormat {
    /// All formats.
    pub const ALL: [ActorFormat; 4] =
        [ActorFormat::Actors, ActorFormat::Ucf24, ActorFormat::Gttubes, ActorFormat::Jhmdb];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ActorFormat::Actors => "actors",
            ActorFormat::Ucf24 => "ucf24",
            ActorFormat::Gttubes => "gttubes",
            ActorFormat::Jhmdb => "jhmdb",
        }
    }
}

impl fmt::Display for ActorFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ActorFormat {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self> {
        let names = ActorFormat::ALL.map(ActorFormat::name).join(", ");
        let problem = || DataError::Options { problem: format!("format: found {text:?}, expected one of {names}") };
        ActorFormat::ALL.into_iter().find(|format| format.name() == text).ok_or_else(problem)
    }
}

/// Names a dataset of actors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorSpec {
    /// How it is annotated.
    pub format: ActorFormat,
    /// The file; for UCF101-24 the folder of `pyannot.pkl` will do, for JHMDB's masks it is the folder of `puppet_mask` and
    /// `splits`.
    pub annotations: PathBuf,
    /// The folder of the videos, or of their folders of frames. Without it only the annotations are read, which is enough to
    /// score detections.
    #[serde(default)]
    pub videos: Option<PathBuf>,
    /// Which of the splits, from 1.
    #[serde(default = "first")]
    pub split: u32,
    /// Whether boxes that cannot be right are left out, and listed in [`Actors::skipped`]. Otherwise the first of them is an
    /// error.
    #[serde(default)]
    pub skip_bad: bool,
}

fn first() -> u32 {
    1
}

impl ActorSpec {
    /// Reads the annotations, and finds the videos on disk. What is not there is in
    /// [`ActorPart::missing`](super::ActorPart::missing).
    ///
    /// # Errors
    /// When the annotations cannot be read, are not in their format or cannot be right, or a folder is not there.
    pub fn load(&self) -> Result<Actors> {
        fs::metadata(&self.annotations).map_err(|source| DataError::Io { path: self.annotations.clone(), source })?;
        let mut files = self.videos.clone().map(Files::new).transpose()?;
        let collected = match self.format {
            ActorFormat::Actors => json::read(&self.annotations)?,
            ActorFormat::Ucf24 => pyannot::read(&self.annotations, self.split)?,
            ActorFormat::Gttubes => gttubes::read(&self.annotations, self.split)?,
            ActorFormat::Jhmdb => jhmdb::read(&self.annotations, self.split)?,
        };
        collected.finish(files.as_mut(), self.skip_bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_named_in_configs() {
        let spec: ActorSpec = serde_json::from_str(r#"{"format": "ucf24", "annotations": "a"}"#).unwrap();
        assert_eq!((spec.format, spec.split, spec.videos, spec.skip_bad), (ActorFormat::Ucf24, 1, None, false));
        for format in ActorFormat::ALL {
            assert_eq!(format.to_string().parse::<ActorFormat>().unwrap(), format);
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
        }
        let error = "hmdb".parse::<ActorFormat>().unwrap_err().to_string();
        assert_eq!(error, "format: found \"hmdb\", expected one of actors, ucf24, gttubes, jhmdb");
    }
}
