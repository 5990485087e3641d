//! Writing a cache, one video after another.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::Value;

use super::{Annotation, CacheOrigin, Found, PersonBox, database_error, is_same, json_differences, meta, source_bytes};
use crate::dataset::Item;
use crate::error::{DataError, Result};

/// A cache in the making. Every video is written when it is done: after an interruption the next call goes on.
pub struct CacheWriter {
    path: PathBuf,
    database: Connection,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS videos (
        video INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, bytes INTEGER, width INTEGER, height INTEGER, frames INTEGER,
        error TEXT);
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
        let count = database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0));
        if count.map_err(failed)? > 0 && !matches!(meta(&database, path, "kind"), Ok(Some(_))) {
            let problem = "a database, but no cache of scenes or people; choose another --out".into();
            return Err(DataError::Cache { path: path.to_path_buf(), problem });
        }
        // Whole or not there: tables without their origin would be no cache.
        database.execute_batch("BEGIN IMMEDIATE").and_then(|()| database.execute_batch(TABLES)).map_err(failed)?;
        let writer = CacheWriter { path: path.to_path_buf(), database };
        let wanted = [
            ("kind", Value::from(origin.kind.name())),
            ("model", Value::from(origin.model.clone())),
            ("model_sha256", Value::from(origin.model_sha256.clone())),
            ("settings", origin.settings.clone()),
            ("labels", Value::from(origin.labels.clone())),
        ];
        for (key, wanted) in &wanted {
            let text = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_string);
            match meta(&writer.database, path, key)? {
                // The name of a model's file may change.
                Some(found) if found != text && *key != "model" => {
                    let found = serde_json::from_str(&found).unwrap_or(Value::from(found));
                    let differences = json_differences(key, &found, wanted).join("; ");
                    let problem = format!("made otherwise ({differences}); choose another --out, or remove the file");
                    return Err(DataError::Cache { path: path.to_path_buf(), problem });
                }
                Some(_) => {}
                None => writer.set_meta(key, &text)?,
            }
        }
        writer.set_meta("version", env!("CARGO_PKG_VERSION"))?;
        writer.database.execute_batch("COMMIT").map_err(failed)?;
        Ok(writer)
    }

    /// Ids of those items that were looked at. Videos that failed or have changed since are not among them: they are to be
    /// looked at again.
    ///
    /// # Errors
    /// [`DataError::Cache`] when the cache is of other videos altogether.
    pub fn done(&self, items: &[Item]) -> Result<HashSet<String>> {
        let failed = |error| database_error(&self.path, error);
        let mut rows = self.database.prepare("SELECT id, bytes FROM videos WHERE error IS NULL").map_err(failed)?;
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let known: HashMap<String, Option<i64>> = rows.and_then(Iterator::collect).map_err(failed)?;
        let of_these = items.iter().filter_map(|item| known.get(&item.id).map(|bytes| (item, *bytes)));
        let of_these: Vec<(&Item, Option<i64>)> = of_these.collect();
        if of_these.is_empty() && !known.is_empty() && !items.is_empty() {
            let problem = format!("made for {} other videos; choose another --out, or remove the file", known.len());
            return Err(DataError::Cache { path: self.path.clone(), problem });
        }
        let same = of_these.into_iter().filter(|(item, bytes)| is_same(item, *bytes));
        Ok(same.map(|(item, _)| item.id.clone()).collect())
    }

    /// Writes what was found in a video, or why nothing was, as one transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&mut self, item: &Item, result: std::result::Result<&Annotation, &str>) -> Result<()> {
        let path = &self.path;
        put(&mut self.database, item, result).map_err(|error| database_error(path, error))
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

fn put(database: &mut Connection, item: &Item, result: std::result::Result<&Annotation, &str>) -> rusqlite::Result<()> {
    let id = &item.id;
    let change = database.transaction()?;
    change.execute("DELETE FROM meta WHERE key = 'finished'", [])?;
    change.execute("INSERT OR IGNORE INTO videos (id) VALUES (?1)", [id])?;
    change.execute("UPDATE videos SET bytes = ?2 WHERE id = ?1", params![id, source_bytes(&item.media)])?;
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

#[cfg(test)]
mod tests {
    use super::super::CacheKind;
    use super::*;

    fn origin() -> CacheOrigin {
        let (kind, model, settings) = (CacheKind::Scenes, "m".to_string(), Value::Null);
        CacheOrigin { kind, model_sha256: model.clone(), model, settings, labels: vec!["a".into()] }
    }

    #[test]
    fn a_database_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (name, tables) in [
            ("contacts", "CREATE TABLE contacts (name TEXT); INSERT INTO contacts VALUES ('Ada')"),
            // Tables of the same name.
            ("meta", "CREATE TABLE meta (key TEXT, value TEXT); CREATE TABLE videos (id TEXT)"),
            ("view", "CREATE VIEW meta AS SELECT 1 AS number"),
        ] {
            let path = folder.path().join(name);
            Connection::open(&path).unwrap().execute_batch(tables).unwrap();
            let before = std::fs::read(&path).unwrap();
            let error = CacheWriter::open(&path, &origin()).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains("no cache of scenes or people"), "{error}");
            assert!(std::fs::read(&path).unwrap() == before, "{name} was changed");
        }
    }

    #[test]
    fn a_cache_of_ours_is_gone_on_with_and_a_refused_one_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        CacheWriter::open(&path, &origin()).unwrap();
        CacheWriter::open(&path, &origin()).unwrap();
        let before = std::fs::read(&path).unwrap();
        let other = CacheOrigin { labels: vec!["b".into()], model: "n".into(), ..origin() };
        let error = CacheWriter::open(&path, &other).err().unwrap().to_string();
        assert!(error.contains("made otherwise"), "{error}");
        assert!(std::fs::read(&path).unwrap() == before);
    }
}
