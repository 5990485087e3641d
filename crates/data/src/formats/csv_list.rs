//! Tables with the columns `path,label[,start_s,end_s]`: the format for one's own videos.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::Files;
use super::part::{PartBuilder, format_error, lines, read};
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
                let problem =
                    format!("label {:?} is not in classes.txt beside it, which has {} labels", row.label, labels.len());
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

fn is_list(path: &Path) -> Result<bool> {
    let text = read(path)?;
    let columns: Vec<&str> = text.lines().next().unwrap_or_default().split(',').map(str::trim).collect();
    Ok(columns.contains(&"path") && columns.contains(&"label"))
}

fn read_table(path: &Path) -> Result<Vec<(u64, Row)>> {
    let text = read(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(false).from_reader(text.as_bytes());
    let failed = |error: csv::Error| {
        let line = error.position().map(csv::Position::line);
        format_error(
            path,
            line,
            format!("{error}; expected the columns path,label and, for parts of videos, start_s,end_s"),
        )
    };
    let headers = reader.headers().map_err(failed)?.clone();
    for column in ["path", "label"] {
        if !headers.iter().any(|header| header == column) {
            let found = headers.iter().collect::<Vec<_>>().join(",");
            let problem =
                format!("the header is {found:?}, expected path,label and, for parts of videos, start_s,end_s");
            return Err(format_error(path, Some(1), problem));
        }
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        let line = record.position().map_or(0, csv::Position::line);
        rows.push((line, record.deserialize(Some(&headers)).map_err(failed)?));
    }
    Ok(rows)
}

/// `classes.txt` beside the lists when it is there, or else what the lists name, sorted.
fn labels<'a>(folder: &Path, named: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let classes = folder.join("classes.txt");
    if classes.exists() {
        return Ok(lines(&read(&classes)?).map(|(_, label)| label.to_string()).collect());
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
            ("v/a.mp4", ""),
            ("v/b.mkv", ""),
        ]);
        let dataset = load_from(folder.path(), "").unwrap();
        assert_eq!(dataset.labels, ["sit", "wave"]);
        let [train, val] = &dataset.parts[..] else { panic!("{:?}", dataset.parts) };
        assert_eq!((train.name.as_str(), val.name.as_str()), ("train", "val"));
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
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("file,label\na,b\n", "line 1: the header is \"file,label\", expected path,label"),
            ("path,label\na.mp4\n", "line 2"),
            ("path,label,start_s,end_s\na.mp4,b,1,0.5\n", "line 2: found start_s 1 and end_s 0.5"),
            ("path,label,start_s,end_s\na.mp4,b,1,\n", "end_s nothing"),
            ("path,label,start_s,end_s\na.mp4,b,x,2\n", "line 2"),
            ("path,label,start_s,end_s\na.mp4,b,NaN,2\n", "found start_s NaN"),
            ("path,label\na.mp4,b\na.avi,b\n", "line 3: \"a\" is listed a second time"),
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
