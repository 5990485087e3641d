//! What models said about the videos of a dataset: scenes and people, computed once and kept in a file.
//!
//! The file is a SQLite database, which any SQLite tool and Python's own `sqlite3` open. Tables:
//!
//! - `meta (key, value)`: `kind` (`scenes` or `people`), `model` and `model_sha256`, `settings` (JSON), `labels` (JSON),
//!   `finished` (`yes` once every video was looked at), `version`
//! - `videos (video, id, bytes, width, height, frames, error)`: a row per item; `bytes` is the size of the video file, by
//!   which another video of the same name is noticed; `frames` were looked at; `error` says why none
//! - `scenes (video, top, score, probabilities)`: the likeliest label, its probability, and all of them, averaged over
//!   the frames, as little-endian 32-bit floats in the order of the labels
//! - `frames (video, time_ms, people)` and `boxes (video, time_ms, x1, y1, x2, y2, score_permille)`: pixels of the
//!   displayed frame

mod read;
mod write;

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::{Item, Media};
use crate::error::{DataError, Result};
pub use read::Cache;
pub use write::CacheWriter;

/// What a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheKind {
    /// Probabilities of scenes.
    Scenes,
    /// Boxes of people.
    People,
}

impl CacheKind {
    /// As in the file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            CacheKind::Scenes => "scenes",
            CacheKind::People => "people",
        }
    }
}

/// Where a cache comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheOrigin {
    /// What it holds.
    pub kind: CacheKind,
    /// The model's name.
    pub model: String,
    /// SHA-256 of its file, in hexadecimal.
    pub model_sha256: String,
    /// How frames were chosen and seen: whatever would make other results.
    pub settings: Value,
    /// Names of the scenes; none for people.
    pub labels: Vec<String>,
}

/// What was found out about one video.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Width and height of its displayed frames.
    pub size: (u32, u32),
    /// Frames that were looked at.
    pub frames: usize,
    /// The result.
    pub found: Found,
}

/// A result for one video.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A probability for each label.
    Scenes(Vec<f32>),
    /// The people in each frame that was looked at, in the order of time.
    People(Vec<PeopleFrame>),
}

/// The people in a frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeopleFrame {
    /// When the frame is shown.
    pub time_s: f64,
    /// Left, top, right, bottom in pixels of the displayed frame.
    pub boxes: Vec<PersonBox>,
}

/// A person in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PersonBox {
    /// Left, top, right, bottom in pixels of the displayed frame.
    pub corners: [f32; 4],
    /// How sure the detector is, from 0 to 1.
    pub score: f32,
}

/// The size of a video file; folders of pictures have none.
fn source_bytes(media: &Media) -> Option<i64> {
    match media {
        Media::Video(path) => {
            std::fs::metadata(path).ok().map(|metadata| i64::try_from(metadata.len()).unwrap_or(i64::MAX))
        }
        Media::Frames(_) => None,
    }
}

/// Whether an item's file is as large as the one that was looked at.
fn is_same(item: &Item, bytes: Option<i64>) -> bool {
    match (bytes, source_bytes(&item.media)) {
        (Some(then), Some(now)) => then == now,
        _ => true,
    }
}

/// What differs between two JSON values, as `settings.looks.every: 4, now 2`.
pub fn json_differences(at: &str, old: &Value, new: &Value) -> Vec<String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let each = keys.into_iter().flat_map(|key| {
                let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                json_differences(&name, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null))
            });
            each.collect()
        }
        (old, new) if old == new => vec![],
        (old, new) => vec![format!("{at}: {old}, now {new}")],
    }
}

fn meta(database: &Connection, path: &Path, key: &str) -> Result<Option<String>> {
    let query = database.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0));
    query.optional().map_err(|error| database_error(path, error))
}

fn database_error(path: &Path, error: rusqlite::Error) -> DataError {
    let problem = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => "this is no cache: expected a SQLite database".into(),
        Some(rusqlite::ErrorCode::CannotOpen) if !path.is_dir() => {
            "the file cannot be made; does its folder exist?".into()
        }
        // What a killed program left half-written is put right by whoever writes next.
        Some(rusqlite::ErrorCode::ReadOnly) => {
            "it was being written when something stopped it; give the command that made it again, and it goes on".into()
        }
        Some(rusqlite::ErrorCode::DatabaseBusy) => "another program is writing it".into(),
        Some(rusqlite::ErrorCode::DiskFull) => {
            let source = std::io::Error::new(std::io::ErrorKind::StorageFull, "the disk is full");
            return DataError::Io { path: path.to_path_buf(), source };
        }
        _ if path.is_dir() => "this is a folder; name a file in it".into(),
        _ => error.to_string(),
    };
    DataError::Cache { path: path.to_path_buf(), problem }
}
