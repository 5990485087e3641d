//! Kinetics, and the 200 classes of it that Mini-Kinetics keeps.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::Files;
use super::part::{PartBuilder, format_error, lines, read};
use super::table::Table;
use crate::dataset::{Dataset, Media, Part, Span};
use crate::error::{DataError, Result};

/// Further columns, such as `split` and `is_cc`, are not needed.
#[derive(Deserialize)]
struct Row {
    label: String,
    youtube_id: String,
    time_start: f64,
    time_end: f64,
}

impl Row {
    /// As the files of a trimmed video are named, in whole seconds.
    fn id(&self) -> String {
        format!("{}_{:06}_{:06}", self.youtube_id, self.time_start as u64, self.time_end as u64)
    }

    fn check(&self) -> Result<(), String> {
        let Row { label, youtube_id, time_start, time_end } = self;
        if label.is_empty() || youtube_id.is_empty() {
            return Err(format!("found label {label:?} and youtube_id {youtube_id:?}, expected both to be there"));
        }
        if !(*time_start >= 0.0 && time_start < time_end && time_end.is_finite()) {
            return Err(format!("found the times {time_start} to {time_end}, expected a start before the end"));
        }
        Ok(())
    }
}

/// The parts, with the names that their tables and folders go by.
const PARTS: [(&str, &[&str]); 3] =
    [("train", &["train"]), ("val", &["val", "validate", "validation"]), ("test", &["test"])];

/// What a table says about a part.
struct Listed {
    name: &'static str,
    aliases: &'static [&'static str],
    path: PathBuf,
    /// With their lines.
    rows: Vec<(u64, Row)>,
    /// Ids that Mini-Kinetics lists and the table lacks.
    absent: Vec<String>,
}

/// Reads `train.csv`, `val.csv` and `test.csv`; with `mini`, only the videos of `PART_ytid_list.txt`.
pub fn load(annotations: &Path, files: &mut Files, mini: bool) -> Result<Dataset> {
    let mut tables = Vec::new();
    for (name, aliases) in PARTS {
        tables.extend(read_table(annotations, name, aliases, mini)?);
    }
    if tables.is_empty() {
        let lists = if mini { ", with train_ytid_list.txt and val_ytid_list.txt" } else { "" };
        let problem = format!("found no train.csv, val.csv or test.csv with labels, expected one or more{lists}");
        return Err(format_error(annotations, None, problem));
    }
    // Mini-Kinetics takes its labels from those of the videos it lists.
    let labels: BTreeSet<&str> = tables.iter().flat_map(|table| &table.rows).map(|(_, row)| &*row.label).collect();
    let labels: Vec<String> = labels.into_iter().map(str::to_string).collect();
    if labels.is_empty() {
        let problem = format!(
            "found no video{} in the tables, expected at least one",
            if mini { " of the id lists" } else { "" }
        );
        return Err(format_error(annotations, None, problem));
    }
    let numbers: HashMap<&str, usize> =
        labels.iter().enumerate().map(|(number, label)| (label.as_str(), number)).collect();
    let parts = tables.iter().map(|table| part(table, &numbers, files)).collect::<Result<_>>()?;
    Ok(Dataset { labels, parts })
}

/// The table of a part, or nothing when there is none, or one that says nothing about labels.
fn read_table(
    annotations: &Path,
    name: &'static str,
    aliases: &'static [&'static str],
    mini: bool,
) -> Result<Option<Listed>> {
    let list = annotations.join(format!("{name}_ytid_list.txt"));
    let has_list = mini && list.exists();
    let Some(path) = find_table(annotations, aliases)? else {
        if has_list {
            let problem =
                format!("there is no {name}.csv beside it for the labels and times; add it, or remove this list");
            return Err(format_error(&list, None, problem));
        }
        return Ok(None);
    };
    // The test table of the challenge has no labels, and Mini-Kinetics has no test part.
    if mini && !has_list && name == "test" {
        return Ok(None);
    }
    if mini && !has_list {
        let problem = format!("there is no {name}_ytid_list.txt beside it, expected one YouTube id in each line of it");
        return Err(format_error(&path, None, problem));
    }
    let Some(mut rows) = rows(&path, name == "test")? else { return Ok(None) };
    let absent = if mini { keep_listed(&mut rows, &read(&list)?) } else { Vec::new() };
    Ok(Some(Listed { name, aliases, path, rows, absent }))
}

/// Keeps the rows whose ids are listed. Returns the ids without a row, in the order of the list.
fn keep_listed(rows: &mut Vec<(u64, Row)>, list: &str) -> Vec<String> {
    let wanted: HashSet<&str> = lines(list).map(|(_, id)| id).collect();
    rows.retain(|(_, row)| wanted.contains(row.youtube_id.as_str()));
    let mut seen: HashSet<&str> = rows.iter().map(|(_, row)| row.youtube_id.as_str()).collect();
    lines(list).map(|(_, id)| id).filter(|id| seen.insert(id)).map(str::to_string).collect()
}

fn part(table: &Listed, numbers: &HashMap<&str, usize>, files: &mut Files) -> Result<Part> {
    let mut part = PartBuilder::new(table.name, &table.path);
    for (line, row) in &table.rows {
        let (media, span) = match find(files, row, table.aliases) {
            Some((media, true)) => (Some(media), Span::Whole),
            Some((media, false)) => {
                let (start_s, end_s) = (row.time_start, row.time_end);
                (Some(media), Span::BetweenUnlessCut { start_s, end_s })
            }
            None => (None, Span::Whole),
        };
        let listed = Path::new(&row.label).join(row.id());
        part.add_found(row.id(), media, &listed, span, numbers[row.label.as_str()], Some(*line))?;
    }
    for id in &table.absent {
        part.add_missing(id);
    }
    part.finish()
}

/// `train.csv`, or a name that ends so, as in `kinetics-400_train.csv`.
fn find_table(folder: &Path, aliases: &[&str]) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|source| DataError::Io { path: folder.to_path_buf(), source })?;
    let names: BTreeSet<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let plain = aliases.iter().map(|alias| format!("{alias}.csv")).find(|name| names.contains(name));
    if let Some(name) = plain {
        return Ok(Some(folder.join(name)));
    }
    let ends_so = |name: &&String| {
        let stem = name.strip_suffix(".csv").unwrap_or_default();
        aliases.iter().any(|alias| stem.strip_suffix(alias).is_some_and(|rest| rest.ends_with(['_', '-'])))
    };
    let found: Vec<&String> = names.iter().filter(ends_so).collect();
    match found[..] {
        [] => Ok(None),
        [name] => Ok(Some(folder.join(name))),
        // Tables of different years must not be mixed by chance.
        [first, second, ..] => {
            let problem = format!("found {first:?} and {second:?}, expected one of them; name it {}.csv", aliases[0]);
            Err(format_error(folder, None, problem))
        }
    }
}

/// The rows of a table with their lines, or nothing when it has no labels and may do without.
fn rows(path: &Path, may_lack_labels: bool) -> Result<Option<Vec<(u64, Row)>>> {
    let table = Table::open(path, "the columns label,youtube_id,time_start,time_end")?;
    if may_lack_labels && !table.has("label") && table.has("youtube_id") {
        return Ok(None);
    }
    table.need(&["label", "youtube_id", "time_start", "time_end"])?;
    let rows: Vec<(u64, Row)> = table.rows()?;
    for (line, row) in &rows {
        row.check().map_err(|problem| format_error(path, Some(*line), problem))?;
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
    use super::*;

    const TRAIN: &str = "label,youtube_id,time_start,time_end,split\n\
        play piano,-abc_DEF123,5,15,train\n\"clap, twice\",b2,0,10,train\n\
        juggle,c3,1,11,train\nplay piano,e5,7.0,17.0,train\n";

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
            ("videos/validate/juggle/d4.mkv", ""),
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
            ("train_ytid_list.txt", "z-not-there\r\nb2\r\nc3\r\na-not-there\r\n"),
            ("videos/b2_000000_000010.mp4", ""),
        ]);
        let dataset = read(folder.path(), true).unwrap();
        assert_eq!(dataset.labels, ["clap, twice", "juggle"]);
        let part = &dataset.parts[0];
        assert_eq!(part.items.len(), 1);
        assert_eq!(part.missing, ["juggle/c3_000001_000011", "z-not-there", "a-not-there"].map(PathBuf::from));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let header = "label,youtube_id,time_start,time_end,split\n";
        for (rows, expected) in [
            ("a,b,c,4,train\n", "train.csv line 2:"),
            ("a,b,1,4,train\r\na,c,9,4,train\r\n", "train.csv line 3: found the times 9 to 4"),
            ("a,b,1,4,train\na,,1,4,train\n", "line 3: found label \"a\" and youtube_id \"\""),
            ("a,b,1,4,train\nc,b,1,4,train\n", "line 3: \"c/b_000001_000004\" is \"b_000001_000004\", which train has"),
            ("a,b,1,4\n", "train.csv line 2:"),
            ("", "found no video in the tables"),
        ] {
            let folder = folder(&[("train.csv", &format!("{header}{rows}")), ("videos/x.mp4", "")]);
            let error = read(folder.path(), false).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn tables_and_lists_that_do_not_fit_are_named() {
        let no_labels = "youtube_id,time_start,time_end,split\nz,0,10,test\n";
        let ids = ("train_ytid_list.txt", "b2\n");
        for (files, mini, expected) in [
            (&[("train.csv", no_labels)][..], false, "train.csv line 1: found the header \"youtube_id,time_start"),
            (&[("test.csv", no_labels)], false, "found no train.csv, val.csv or test.csv with labels"),
            (&[("train.csv", "label,youtube_id\na,b\n")], false, "without time_start"),
            (
                &[("k400_train.csv", TRAIN), ("k600_train.csv", TRAIN)],
                false,
                "\"k400_train.csv\" and \"k600_train.csv\"",
            ),
            (&[("train.csv", TRAIN)], true, "there is no train_ytid_list.txt beside it"),
            (&[ids], true, "train_ytid_list.txt: there is no train.csv beside it"),
            (&[], true, "with train_ytid_list.txt and val_ytid_list.txt"),
            (&[("train.csv", TRAIN), ("train_ytid_list.txt", "x\n")], true, "found no video of the id lists"),
        ] {
            let folder = folder(files);
            fs::create_dir(folder.path().join("videos")).unwrap();
            let error = read(folder.path(), mini).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
