//! Kinetics, and the 200 classes of it that Mini-Kinetics keeps.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::Files;
use super::part::{PartBuilder, format_error, lines, read};
use crate::dataset::{Dataset, Media, Part, Span};
use crate::error::Result;

/// Further columns, such as `split` and `is_cc`, are not needed.
#[derive(Deserialize)]
struct Row {
    label: String,
    youtube_id: String,
    time_start: f64,
    time_end: f64,
}

impl Row {
    /// As the files of a trimmed video are named.
    fn id(&self) -> String {
        format!("{}_{:06}_{:06}", self.youtube_id, self.time_start, self.time_end)
    }
}

/// The parts, with the names that their tables and folders go by.
const PARTS: [(&str, &[&str]); 3] =
    [("train", &["train"]), ("val", &["val", "validate", "validation"]), ("test", &["test"])];

/// Reads `train.csv`, `val.csv` and `test.csv`; with `mini`, only the videos of `PART_ytid_list.txt`.
pub fn load(annotations: &Path, files: &mut Files, mini: bool) -> Result<Dataset> {
    let mut tables = Vec::new();
    for (name, aliases) in PARTS {
        let Some(path) = table(annotations, aliases)? else { continue };
        // The test table of the challenge has no labels.
        let Some(rows) = rows(&path)? else { continue };
        let list = annotations.join(format!("{name}_ytid_list.txt"));
        if mini && !list.exists() {
            continue;
        }
        tables.push((name, aliases, path, rows, mini.then_some(list)));
    }
    if tables.is_empty() {
        let lists = if mini { " with train_ytid_list.txt and val_ytid_list.txt" } else { "" };
        return Err(format_error(annotations, None, format!("there is no train.csv or val.csv{lists} in it")));
    }

    // Mini-Kinetics takes its labels from those of the videos it lists.
    let mut absent: HashMap<&str, Vec<String>> = HashMap::new();
    for (name, _, _, rows, list) in &mut tables {
        let Some(list) = list else { continue };
        let text = read(list)?;
        let mut wanted: HashSet<&str> = lines(&text).map(|(_, id)| id).collect();
        rows.retain(|(_, row)| wanted.contains(row.youtube_id.as_str()));
        for (_, row) in rows.iter() {
            wanted.remove(row.youtube_id.as_str());
        }
        let mut rest: Vec<String> = wanted.into_iter().map(str::to_string).collect();
        rest.sort();
        absent.insert(name, rest);
    }
    let labels: BTreeSet<&str> = tables.iter().flat_map(|table| &table.3).map(|(_, row)| row.label.as_str()).collect();
    let labels: Vec<String> = labels.into_iter().map(str::to_string).collect();
    let numbers: HashMap<&str, usize> =
        labels.iter().enumerate().map(|(number, label)| (label.as_str(), number)).collect();

    let mut parts: Vec<Part> = Vec::new();
    for (name, aliases, path, rows, _) in &tables {
        let mut part = PartBuilder::new(name, path);
        for (line, row) in rows {
            let (media, span) = match find(files, row, aliases) {
                Some((media, is_cut)) if is_cut => (Some(media), Span::Whole),
                Some((media, _)) => {
                    let (start_s, end_s) = (row.time_start, row.time_end);
                    (Some(media), Span::BetweenUnlessCut { start_s, end_s })
                }
                None => (None, Span::Whole),
            };
            let listed = PathBuf::from(&row.label).join(row.id());
            part.add_found(row.id(), media, &listed, span, numbers[row.label.as_str()], Some(*line))?;
        }
        for id in absent.get(name).into_iter().flatten() {
            part.add_missing(id);
        }
        parts.push(part.finish()?);
    }
    Ok(Dataset { labels, parts })
}

/// `train.csv`, or a name that ends so, as in `kinetics-400_train.csv`.
fn table(folder: &Path, aliases: &[&str]) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|source| crate::DataError::Io { path: folder.to_path_buf(), source })?;
    let names: BTreeSet<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let fits = |name: &&String| {
        let stem = name.strip_suffix(".csv").unwrap_or_default();
        aliases
            .iter()
            .any(|alias| stem == *alias || stem.strip_suffix(alias).is_some_and(|rest| rest.ends_with(['_', '-'])))
    };
    // The plain name first: it is the shortest.
    Ok(names.iter().filter(fits).min_by_key(|name| name.len()).map(|name| folder.join(name)))
}

/// The rows of a table, or nothing when it has no labels.
fn rows(path: &Path) -> Result<Option<Vec<(u64, Row)>>> {
    let text = read(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let failed = |error: csv::Error| {
        let line = error.position().map(csv::Position::line);
        format_error(path, line, format!("{error}; expected the columns label,youtube_id,time_start,time_end,split"))
    };
    let headers = reader.headers().map_err(failed)?.clone();
    let has = |column| headers.iter().any(|header| header == column);
    if !has("label") && has("youtube_id") {
        return Ok(None);
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row = record.deserialize(Some(&headers)).map_err(failed)?;
        if !(row.time_start >= 0.0 && row.time_start < row.time_end && row.time_end.is_finite()) {
            let problem =
                format!("found the times {} to {}, expected a start before the end", row.time_start, row.time_end);
            return Err(format_error(path, Some(line), problem));
        }
        rows.push((line, row));
    }
    Ok(Some(rows))
}

/// The video of a row, and whether it is cut to the row's times. Download scripts differ in folders and names.
fn find(files: &mut Files, row: &Row, aliases: &[&str]) -> Option<(Media, bool)> {
    let labels = [row.label.clone(), row.label.replace(' ', "_")];
    let mut folders: Vec<PathBuf> = labels.iter().map(PathBuf::from).collect();
    for alias in aliases {
        folders.extend(labels.iter().map(|label| Path::new(alias).join(label)));
        folders.push(alias.into());
    }
    folders.push(PathBuf::new());
    let mut find = |name: &str| folders.iter().find_map(|folder| files.find(&folder.join(name)));
    let cut = find(&row.id()).map(|media| (media, true));
    cut.or_else(|| find(&row.youtube_id).map(|media| (media, false)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TRAIN: &str = "label,youtube_id,time_start,time_end,split\n\
        play piano,-abc_DEF123,5,15,train\n\"clap, twice\",b2,0,10,train\njuggle,c3,1,11,train\nplay piano,e5,7,17,train\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn read(folder: &Path, mini: bool) -> Result<Dataset> {
        load(folder, &mut Files::new(folder.join("videos"))?, mini)
    }

    #[test]
    fn videos_are_found_in_every_usual_place() {
        let folder = folder(&[
            ("kinetics-400_train.csv", TRAIN),
            ("validate.csv", "label,youtube_id,time_start,time_end,split,is_cc\njuggle,d4,0,10,validate,0\n"),
            ("test.csv", "youtube_id,time_start,time_end,split\nz,0,10,test\n"),
            ("videos/play_piano/-abc_DEF123_000005_000015.mp4", ""),
            ("videos/train/clap, twice/b2_000000_000010.webm", ""),
            ("videos/val/d4.mkv", ""),
            ("videos/e5/image_00001.jpg", ""),
        ]);
        let dataset = read(folder.path(), false).unwrap();
        assert_eq!(dataset.labels, ["clap, twice", "juggle", "play piano"]);
        let [train, val] = &dataset.parts[..] else { panic!("{:?}", dataset.parts) };
        let ids: Vec<_> = train.items.iter().map(|item| (item.id.as_str(), item.label, item.span)).collect();
        let uncut = |start_s, end_s| Span::BetweenUnlessCut { start_s, end_s };
        assert_eq!(
            ids,
            [
                ("-abc_DEF123_000005_000015", 2, Span::Whole),
                ("b2_000000_000010", 0, Span::Whole),
                ("e5_000007_000017", 2, uncut(7.0, 17.0))
            ]
        );
        assert_eq!(train.missing, [Path::new("juggle/c3_000001_000011")]);
        assert_eq!((val.name.as_str(), val.items[0].span), ("val", uncut(0.0, 10.0)));
    }

    #[test]
    fn mini_kinetics_keeps_what_it_lists() {
        let folder = folder(&[
            ("train.csv", TRAIN),
            ("train_ytid_list.txt", "b2\nc3\nnot-there\n"),
            ("videos/b2_000000_000010.mp4", ""),
        ]);
        let dataset = read(folder.path(), true).unwrap();
        assert_eq!(dataset.labels, ["clap, twice", "juggle"]);
        let part = &dataset.parts[0];
        assert_eq!((part.items.len(), part.missing.len()), (1, 2));
        assert_eq!(part.missing[1], Path::new("not-there"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (train, mini, expected) in [
            ("label,youtube_id,time_start,time_end,split\na,b,c,4,train\n", false, "train.csv line 2"),
            ("label,youtube_id,time_start,time_end,split\na,b,9,4,train\n", false, "found the times 9 to 4"),
            ("label,youtube_id\na,b\n", false, "time_start"),
            (TRAIN, true, "train_ytid_list.txt"),
        ] {
            let folder = folder(&[("train.csv", train), ("videos/x.mp4", "")]);
            let error = read(folder.path(), mini).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
