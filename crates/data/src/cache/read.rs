//! Reading a finished cache.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::{Annotation, CacheKind, Found, PeopleFrame, PersonBox, database_error, is_same, meta};
use crate::dataset::Item;
use crate::error::{DataError, Result};

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

    /// The annotations of items, in their order; `None` where the video could not be read.
    ///
    /// # Errors
    /// [`DataError::Cache`] when the cache was made for other videos, or for others of the same name.
    pub fn read<'a>(&self, items: impl IntoIterator<Item = &'a Item>) -> Result<Vec<Option<Annotation>>> {
        let failed = |error| database_error(&self.path, error);
        let (mut annotations, mut unknown, mut first) = (Vec::new(), 0, None);
        for item in items {
            match self.read_one(&item.id).map_err(failed)? {
                Some((bytes, annotation)) if is_same(item, bytes) => annotations.push(annotation),
                _ => {
                    unknown += 1;
                    first.get_or_insert(&item.id);
                }
            }
        }
        match first {
            None => Ok(annotations),
            Some(id) => {
                let of = unknown + annotations.len();
                let problem = format!(
                    "it was made for other videos: {unknown} of {of} are not in it or have changed since, {id:?} for \
                     one; run `unscene annotate {}` on this dataset",
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

    /// `None` when the id is not known; the size of the file, and `None` when its video could not be read.
    fn read_one(&self, id: &str) -> rusqlite::Result<Option<(Option<i64>, Option<Annotation>)>> {
        type Row = (i64, Option<i64>, Option<u32>, Option<u32>, i64, Option<String>);
        let mut query = self
            .database
            .prepare_cached("SELECT video, bytes, width, height, frames, error FROM videos WHERE id = ?1")?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        };
        let found: Option<Row> = query.query_row([id], row).optional()?;
        let Some((video, bytes, width, height, frames, error)) = found else { return Ok(None) };
        let (Some(width), Some(height), None) = (width, height, error) else { return Ok(Some((bytes, None))) };
        let found = match self.kind {
            CacheKind::Scenes => {
                let mut query = self.database.prepare_cached("SELECT probabilities FROM scenes WHERE video = ?1")?;
                let bytes: Vec<u8> = query.query_row([video], |row| row.get(0))?;
                let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                Found::Scenes(bytes.chunks_exact(4).map(value).collect())
            }
            CacheKind::People => Found::People(self.people(video)?),
        };
        Ok(Some((bytes, Some(Annotation { size: (width, height), frames: frames as usize, found }))))
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
