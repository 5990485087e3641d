//! Tables with the columns `path,label[,start_s,end_s]`: the format for one's own videos.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::Files;
use super::part::{PartBuilder, check_labels, format_error, lines, read};
use super::table::Table;
use crate::dataset::{Dataset, Span};
use crate::error::{DataError, Result};

#[derive(Deserialize)]
struct Row {
    path: String,
    label: String,
    start_s: Option<f64>,
    end_s: Option<f64>,
}

/// One table is one part. In a folder, every table with a path and a label is a part, and others are not lists.
pub fn load(annotations: &Path, files: &mut Files) -> Result<Dataset> {
    let tables = if annotations.is_dir() { tables(annotations)? } else { vec![annotations.to_path_buf()] };
    let mut rows = Vec::with_capacity(tables.len());
    for table in &tables {
        rows.push(read_table(table)?);
    }
    let folder = tables[0].parent().unwrap_or(annotations);
    let labels = labels(folder, rows.iter().flatten().map(|(_, row)| row.label.as_str()))?;

    let mut parts = Vec::with_capacity(tables.len());
    for (table, rows) in tables.iter().zip(rows) {
        let name = table.file_stem().unwrap_or_default().to_string_lossy();
        let mut part = PartBuilder::new(&name, table);
        for (line, row) in rows {
            let label = labels.iter().position(|label| *label == row.label).ok_or_else(|| {
                let problem = format!(
                    "label {:?} is not in classes.txt beside it, which has {} labels; add it there or mend it here",
                    row.label,
                    labels.len()
                );
                format_error(table, Some(line), problem)
            })?;
            part.add(files, &row.path, span(table, line, &row)?, label, Some(line))?;
        }
        parts.push(part.finish()?);
    }
    Ok(Dataset { labels, parts })
}

/// The lists of a folder: train, val, test, then others by name.
fn tables(folder: &Path) -> Result<Vec<PathBuf>> {
    let io_error = |source| DataError::Io { path: folder.to_path_buf(), source };
    let mut tables = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) && is_list(&path)? {
            tables.push(path);
        }
    }
    let order = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let known = ["train", "val", "test"].iter().position(|name| *name == stem);
        (known.unwrap_or(3), stem)
    };
    tables.sort_by_key(order);
    match tables.is_empty() {
        true => Err(format_error(folder, None, "no .csv in this folder has a header with path and label")),
        false => Ok(tables),
    }
}

/// By its header alone: other tables may be large, and in any encoding.
fn is_list(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(|source| DataError::Io { path: path.to_path_buf(), source })?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let Ok(header) = reader.byte_headers() else { return Ok(false) };
    let has = |column: &[u8]| header.iter().any(|found| found.strip_prefix(b"\xef\xbb\xbf").unwrap_or(found) == column);
    Ok(has(b"path") && has(b"label"))
}

fn read_table(path: &Path) -> Result<Vec<(u64, Row)>> {
    let table = Table::open(path, "the columns path,label and, for parts of videos, start_s,end_s")?;
    table.need(&["path", "label"])?;
    let rows: Vec<(u64, Row)> = table.rows()?;
    match rows.iter().find(|(_, row)| row.path.is_empty() || row.label.is_empty()) {
        Some((line, Row { path: video, label, .. })) => {
            let problem = format!("found path {video:?} and label {label:?}, expected both to be there");
            Err(format_error(path, Some(*line), problem))
        }
        None => Ok(rows),
    }
}

/// `classes.txt` beside the lists when it is there, or else what the lists name, sorted.
fn labels<'a>(folder: &Path, named: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let classes = folder.join("classes.txt");
    if classes.exists() {
        let labels: Vec<String> = lines(&read(&classes)?).map(|(_, label)| label.to_string()).collect();
        check_labels(&classes, &labels)?;
        return Ok(labels);
    }
    Ok(named.collect::<BTreeSet<_>>().into_iter().map(str::to_string).collect())
}

fn span(table: &Path, line: u64, row: &Row) -> Result<Span> {
    match (row.start_s, row.end_s) {
        (None, None) => Ok(Span::Whole),
        (Some(start_s), Some(end_s)) if start_s >= 0.0 && start_s < end_s && end_s.is_finite() => {
            Ok(Span::Between { start_s, end_s })
        }
        (start, end) => {
            let shown = |time: Option<f64>| time.map_or("nothing".into(), |time| time.to_string());
            let problem = format!(
                "found start_s {} and end_s {}, expected seconds from 0 on with the start before the end, or neither",
                shown(start),
                shown(end)
            );
            Err(format_error(table, Some(line), problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn load_from(folder: &Path, list: &str) -> Result<Dataset> {
        load(&folder.join(list), &mut Files::new(folder.to_path_buf())?)
    }

    #[test]
    fn a_folder_of_tables_is_a_dataset() {
        let folder = folder(&[
            ("val.csv", "\u{feff}label,path\r\nwave,v/b.mp4\r\n"),
            (
                "train.csv",
                "path,label,start_s,end_s,note\nv/a.mp4,sit,0.5,2,x\nv/a.mp4, wave ,2,3.25,\nv/c.avi,sit,,,\n",
            ),
            ("boxes.csv", "path,frame,x1\nv/a.mp4,0,1\n"),
            ("odd.csv", "\"path\",\"label\"\nv/b.mp4,sit\n"),
            ("v/a.mp4", ""),
            ("v/b.mkv", ""),
        ]);
        let dataset = load_from(folder.path(), "").unwrap();
        assert_eq!(dataset.labels, ["sit", "wave"]);
        let [train, val, odd] = &dataset.parts[..] else { panic!("{:?}", dataset.parts) };
        assert_eq!([train, val, odd].map(|part| part.name.as_str()), ["train", "val", "odd"]);
        let ids: Vec<_> = train.items.iter().map(|item| (item.id.as_str(), item.label, item.span)).collect();
        let between = |start_s, end_s| Span::Between { start_s, end_s };
        assert_eq!(ids, [("v/a#0.5-2", 0, between(0.5, 2.0)), ("v/a#2-3.25", 1, between(2.0, 3.25))]);
        assert_eq!(train.missing, [PathBuf::from("v/c.avi")]);
        assert_eq!((val.items[0].id.as_str(), val.items[0].label), ("v/b", 1));
        // One table alone knows its own labels.
        assert_eq!(load_from(folder.path(), "val.csv").unwrap().labels, ["wave"]);
    }

    #[test]
    fn classes_fix_the_order_of_labels() {
        let folder = folder(&[("train.csv", "path,label\na.mp4,b\n"), ("classes.txt", "z\nb\n\n"), ("a.mp4", "")]);
        let dataset = load_from(folder.path(), "").unwrap();
        assert_eq!((dataset.labels, dataset.parts[0].items[0].label), (vec!["z".into(), "b".into()], 1));
        fs::write(folder.path().join("classes.txt"), "z\n").unwrap();
        let error = load_from(folder.path(), "").unwrap_err().to_string();
        assert!(
            error.contains("train.csv line 2") && error.contains("\"b\"") && error.contains("classes.txt"),
            "{error}"
        );
        fs::write(folder.path().join("classes.txt"), "b\nb\n").unwrap();
        let error = load_from(folder.path(), "").unwrap_err().to_string();
        assert!(error.contains("classes.txt: label \"b\" is there twice"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            (
                "file,label\na,b\n",
                "line 1: found the header \"file,label\" without path, expected the columns path,label",
            ),
            ("path,label\na.mp4\n", "line 2: found 1 fields under a header of 2"),
            ("path,label,start_s,end_s\na.mp4,b,1,0.5\n", "line 2: found start_s 1 and end_s 0.5"),
            ("path,label,start_s,end_s\na.mp4,b,1,\n", "end_s nothing"),
            ("path,label,start_s,end_s\na.mp4,b,x,2\n", "line 2: start_s: invalid float literal"),
            ("path,label,start_s,end_s\na.mp4,b,NaN,2\n", "found start_s NaN"),
            (
                "path,label\na.mp4,b\na.avi,b\n",
                "line 3: \"a.avi\" is \"a\", which train has already as \"a.mp4\" in line 2",
            ),
            ("path,label\n,b\n", "line 2: found path \"\" and label \"b\""),
            ("path,label\n", "names no video"),
        ] {
            let folder = folder(&[("train.csv", text)]);
            let error = load_from(folder.path(), "train.csv").unwrap_err().to_string();
            assert!(error.contains("train.csv") && error.contains(expected), "{text:?}: {error}");
        }
        let folder = folder(&[("boxes.csv", "x,y\n")]);
        let error = load_from(folder.path(), "").unwrap_err().to_string();
        assert!(error.contains("no .csv in this folder"), "{error}");
        fs::write(folder.path().join("train.csv"), b"path,label\n\xff,x\n").unwrap();
        assert!(load_from(folder.path(), "train.csv").unwrap_err().to_string().contains("not UTF-8"));
    }
}
