//! What models said about the videos of a dataset: scenes and people, computed once and kept in a file.
//!
//! The file is a SQLite database, which any SQLite tool and Python's own `sqlite3` open. Tables:
//!
//! - `meta (key, value)`: `kind` (`scenes` or `people`), `model` and `model_sha256`, `settings` (JSON), `labels` (JSON),
//!   `finished` (`yes` once every video was looked at), `version`
//! - `videos (video, id, width, height, frames, error)`: a row per item; `frames` were looked at; `error` says why none
//! - `scenes (video, top, score, probabilities)`: the likeliest label, its probability, and all of them, averaged over
//!   the frames, as little-endian 32-bit floats in the order of the labels
//! - `frames (video, time_ms, people)` and `boxes (video, time_ms, x1, y1, x2, y2, score_permille)`: pixels of the
//!   displayed frame

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{DataError, Result};

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

/// A cache in the making. Every video is written when it is done: after an interruption the next call goes on.
pub struct CacheWriter {
    path: PathBuf,
    database: Connection,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS videos (
        video INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, width INTEGER, height INTEGER, frames INTEGER, error TEXT);
    CREATE TABLE IF NOT EXISTS scenes (
        video INTEGER PRIMARY KEY, top TEXT NOT NULL, score REAL NOT NULL, probabilities BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS frames (
        video INTEGER NOT NULL, time_ms INTEGER NOT NULL, people INTEGER NOT NULL, PRIMARY KEY (video, time_ms)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS boxes (
        video INTEGER NOT NULL, time_ms INTEGER NOT NULL, x1 INTEGER NOT NULL, y1 INTEGER NOT NULL, x2 INTEGER NOT NULL,
        y2 INTEGER NOT NULL, score_permille INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS boxes_of_video ON boxes (video);";

impl CacheWriter {
    /// Starts a cache, or goes on with one of the same origin.
    ///
    /// # Errors
    /// [`DataError::Cache`] when the file is something else, or of another origin: what differs is named.
    pub fn open(path: &Path, origin: &CacheOrigin) -> Result<Self> {
        let failed = |error| database_error(path, error);
        let database = Connection::open(path).map_err(failed)?;
        database.execute_batch(TABLES).map_err(failed)?;
        let writer = CacheWriter { path: path.to_path_buf(), database };
        let wanted = [
            ("kind", origin.kind.name().to_string()),
            ("model", origin.model.clone()),
            ("model_sha256", origin.model_sha256.clone()),
            ("settings", origin.settings.to_string()),
            ("labels", Value::from(origin.labels.clone()).to_string()),
        ];
        for (key, wanted) in &wanted {
            match meta(&writer.database, path, key)? {
                // The name of a model's file may change.
                Some(found) if found != *wanted && *key != "model" => {
                    let problem = format!(
                        "its {key} is {found}, now it would be {wanted}; choose another --out, or remove the file"
                    );
                    return Err(DataError::Cache { path: path.to_path_buf(), problem });
                }
                Some(_) => {}
                None => writer.set_meta(key, wanted)?,
            }
        }
        writer.set_meta("version", env!("CARGO_PKG_VERSION"))?;
        Ok(writer)
    }

    /// Ids of the videos that were looked at. Those that failed are not among them: they are tried again.
    pub fn done(&self) -> Result<HashSet<String>> {
        let failed = |error| database_error(&self.path, error);
        let mut rows = self.database.prepare("SELECT id FROM videos WHERE error IS NULL").map_err(failed)?;
        rows.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)
    }

    /// Writes what was found in a video, or why nothing was, as one transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&mut self, id: &str, result: std::result::Result<&Annotation, &str>) -> Result<()> {
        let path = &self.path;
        put(&mut self.database, id, result).map_err(|error| database_error(path, error))
    }

    /// Says that every video was looked at.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.set_meta("finished", "yes")
    }

    fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        let done = self.database.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![key, value]);
        done.map(|_| ()).map_err(|error| database_error(&self.path, error))
    }
}

fn put(database: &mut Connection, id: &str, result: std::result::Result<&Annotation, &str>) -> rusqlite::Result<()> {
    let change = database.transaction()?;
    change.execute("DELETE FROM meta WHERE key = 'finished'", [])?;
    change.execute("INSERT OR IGNORE INTO videos (id) VALUES (?1)", [id])?;
    let video: i64 = change.query_row("SELECT video FROM videos WHERE id = ?1", [id], |row| row.get(0))?;
    for table in ["scenes", "frames", "boxes"] {
        change.execute(&format!("DELETE FROM {table} WHERE video = ?1"), [video])?;
    }
    let update = "UPDATE videos SET width = ?2, height = ?3, frames = ?4, error = ?5 WHERE video = ?1";
    let Annotation { size, frames, found } = match result {
        Ok(annotation) => annotation,
        Err(error) => {
            change.execute(update, params![video, None::<u32>, None::<u32>, 0, error])?;
            return change.commit();
        }
    };
    change.execute(update, params![video, size.0, size.1, *frames as i64, None::<&str>])?;
    match found {
        Found::Scenes(probabilities) => {
            let labels: String =
                change.query_row("SELECT value FROM meta WHERE key = 'labels'", [], |row| row.get(0))?;
            let labels: Vec<String> = serde_json::from_str(&labels).unwrap_or_default();
            let top = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let (top, score) = top.map_or(("", 0.0), |(at, score)| (labels.get(at).map_or("", String::as_str), *score));
            let bytes: Vec<u8> = probabilities.iter().flat_map(|value| value.to_le_bytes()).collect();
            change
                .execute("INSERT INTO scenes VALUES (?1, ?2, ?3, ?4)", params![video, top, f64::from(score), bytes])?;
        }
        Found::People(frames) => {
            let mut frame_row = change.prepare_cached("INSERT OR REPLACE INTO frames VALUES (?1, ?2, ?3)")?;
            let mut box_row = change.prepare_cached("INSERT INTO boxes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
            for frame in frames {
                let time_ms = (frame.time_s * 1000.0).round() as i64;
                frame_row.execute(params![video, time_ms, frame.boxes.len() as i64])?;
                for PersonBox { corners, score } in &frame.boxes {
                    // Outwards, so that a masked person has no rim.
                    let [x1, y1] = [corners[0], corners[1]].map(|side| side.floor() as i64);
                    let [x2, y2] = [corners[2], corners[3]].map(|side| side.ceil() as i64);
                    box_row.execute(params![video, time_ms, x1, y1, x2, y2, (score * 1000.0).round() as i64])?;
                }
            }
        }
    }
    change.commit()
}

/// A finished cache, for reading.
pub struct Cache {
    path: PathBuf,
    database: Connection,
    kind: CacheKind,
    labels: Vec<String>,
    settings: Value,
}

impl Cache {
    /// Opens a finished cache of a kind.
    ///
    /// # Errors
    /// [`DataError::Cache`] when the file is no such cache, or was not finished.
    pub fn open(path: &Path, kind: CacheKind) -> Result<Self> {
        let problem = |problem: String| DataError::Cache { path: path.to_path_buf(), problem };
        if !path.is_file() {
            return Err(problem(format!("there is no such file; `unscene annotate {}` makes it", kind.name())));
        }
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags).map_err(|error| database_error(path, error))?;
        let found = meta(&database, path, "kind")?;
        if found.as_deref() != Some(kind.name()) {
            let found = found.unwrap_or_else(|| "nothing known".into());
            return Err(problem(format!("it holds {found}, expected {}", kind.name())));
        }
        if meta(&database, path, "finished")?.is_none() {
            return Err(problem("it is not finished; give the command that made it again, and it goes on".into()));
        }
        let json = |key| -> Result<Value> {
            Ok(serde_json::from_str(&meta(&database, path, key)?.unwrap_or_default()).unwrap_or_default())
        };
        let labels: Value = json("labels")?;
        let labels = labels.as_array().into_iter().flatten().filter_map(|label| label.as_str().map(str::to_string));
        Ok(Cache { path: path.to_path_buf(), kind, labels: labels.collect(), settings: json("settings")?, database })
    }

    /// Names of the scenes.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How frames were chosen and seen.
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// The annotations of the videos with these ids, in their order; `None` where the video could not be read.
    ///
    /// # Errors
    /// [`DataError::Cache`] when the cache was made for other videos.
    pub fn read<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<Option<Annotation>>> {
        let failed = |error| database_error(&self.path, error);
        let (mut annotations, mut unknown, mut first) = (Vec::new(), 0, None);
        for id in ids {
            match self.read_one(id).map_err(failed)? {
                Some(annotation) => annotations.push(annotation),
                None => {
                    unknown += 1;
                    first.get_or_insert(id);
                }
            }
        }
        match first {
            None => Ok(annotations),
            Some(id) => {
                let of = unknown + annotations.len();
                let problem = format!(
                    "it was made for other videos: {unknown} of {of} are not in it, {id:?} for one; run `unscene annotate \
                     {}` on this dataset",
                    self.kind.name()
                );
                Err(DataError::Cache { path: self.path.clone(), problem })
            }
        }
    }

    /// The ids and errors of the videos that could not be read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn failures(&self) -> Result<Vec<(String, String)>> {
        let failed = |error| database_error(&self.path, error);
        let query = "SELECT id, error FROM videos WHERE error IS NOT NULL ORDER BY id";
        let mut rows = self.database.prepare(query).map_err(failed)?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).map_err(failed)
    }

    /// `None` when the id is not known, `Some(None)` when its video could not be read.
    fn read_one(&self, id: &str) -> rusqlite::Result<Option<Option<Annotation>>> {
        type Row = (i64, Option<u32>, Option<u32>, i64, Option<String>);
        let mut query =
            self.database.prepare_cached("SELECT video, width, height, frames, error FROM videos WHERE id = ?1")?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
        let found: Option<Row> = query.query_row([id], row).optional()?;
        let Some((video, width, height, frames, error)) = found else { return Ok(None) };
        let (Some(width), Some(height), None) = (width, height, error) else { return Ok(Some(None)) };
        let found = match self.kind {
            CacheKind::Scenes => {
                let mut query = self.database.prepare_cached("SELECT probabilities FROM scenes WHERE video = ?1")?;
                let bytes: Vec<u8> = query.query_row([video], |row| row.get(0))?;
                let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                Found::Scenes(bytes.chunks_exact(4).map(value).collect())
            }
            CacheKind::People => Found::People(self.people(video)?),
        };
        Ok(Some(Some(Annotation { size: (width, height), frames: frames as usize, found })))
    }

    fn people(&self, video: i64) -> rusqlite::Result<Vec<PeopleFrame>> {
        let mut query = self.database.prepare_cached("SELECT time_ms FROM frames WHERE video = ?1 ORDER BY time_ms")?;
        let times: Vec<i64> = query.query_map([video], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let at: HashMap<i64, usize> = times.iter().enumerate().map(|(at, time)| (*time, at)).collect();
        let frame = |time: &i64| PeopleFrame { time_s: *time as f64 / 1000.0, boxes: vec![] };
        let mut frames: Vec<PeopleFrame> = times.iter().map(frame).collect();
        let mut query = self.database.prepare_cached(
            "SELECT time_ms, x1, y1, x2, y2, score_permille FROM boxes WHERE video = ?1 ORDER BY rowid",
        )?;
        let mut rows = query.query([video])?;
        while let Some(row) = rows.next()? {
            let side = |column| row.get::<_, i64>(column).map(|side| side as f32);
            let corners = [side(1)?, side(2)?, side(3)?, side(4)?];
            if let Some(&at) = at.get(&row.get(0)?) {
                frames[at].boxes.push(PersonBox { corners, score: side(5)? / 1000.0 });
            }
        }
        Ok(frames)
    }
}

fn meta(database: &Connection, path: &Path, key: &str) -> Result<Option<String>> {
    let query = database.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0));
    query.optional().map_err(|error| database_error(path, error))
}

fn database_error(path: &Path, error: rusqlite::Error) -> DataError {
    let problem = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => "this is no cache: expected a SQLite database".into(),
        Some(rusqlite::ErrorCode::CannotOpen) => format!("{error}; does its folder exist?"),
        Some(rusqlite::ErrorCode::DatabaseBusy) => "another program is writing it".into(),
        _ => error.to_string(),
    };
    DataError::Cache { path: path.to_path_buf(), problem }
}
