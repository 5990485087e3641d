//! Diving48: JSON lists of videos that are cut already.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::Files;
use super::part::{PartBuilder, check_labels, format_error, read_json};
use crate::dataset::{Dataset, Part, Span};
use crate::error::Result;

#[derive(Deserialize)]
struct Entry {
    vid_name: String,
    label: usize,
}

/// A dive by its four elements, or by a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Dive {
    Elements(Vec<String>),
    Name(String),
}

/// Reads V2 where it is there, and else V1.
pub fn load(annotations: &Path, files: &mut Files) -> Result<Dataset> {
    let [train_list, test_list] = lists(annotations)?;
    let expected = r#"a list of {"vid_name": "...", "label": 0}"#;
    let train: Vec<Entry> = read_json(&train_list, expected)?;
    let test: Vec<Entry> = read_json(&test_list, expected)?;

    let vocabulary = annotations.join("Diving48_vocab.json");
    let labels: Vec<String> = if vocabulary.exists() {
        let dives: Vec<Dive> =
            read_json(&vocabulary, r#"a list of dives such as ["Back", "15som", "05Twis", "FREE"]"#)?;
        let name = |dive| match dive {
            Dive::Elements(elements) => elements.join("_"),
            Dive::Name(name) => name,
        };
        let labels: Vec<String> = dives.into_iter().map(name).collect();
        check_labels(&vocabulary, &labels)?;
        labels
    } else {
        let last = train.iter().chain(&test).map(|entry| entry.label).max().unwrap_or(0);
        // A number out of proportion is a broken list, not a large vocabulary.
        (0..=last.min(9999)).map(|label| format!("dive_{label:02}")).collect()
    };
    let train = part("train", &train_list, train, &labels, files)?;
    let test = part("test", &test_list, test, &labels, files)?;
    Ok(Dataset { labels, parts: vec![train, test] })
}

/// The lists of one version: the two differ in what labels mean, so they never go together.
fn lists(annotations: &Path) -> Result<[PathBuf; 2]> {
    for version in ["Diving48_V2", "Diving48"] {
        let lists = ["train", "test"].map(|part| annotations.join(format!("{version}_{part}.json")));
        match lists.each_ref().map(|list| list.exists()) {
            [true, true] => return Ok(lists),
            [false, false] => {}
            [train, _] => {
                let [found, absent] = if train { ["train", "test"] } else { ["test", "train"] };
                let problem = format!(
                    "found {version}_{found}.json without {version}_{absent}.json, expected both; the labels of the \
                     two versions differ, so take both files from the same"
                );
                return Err(format_error(annotations, None, problem));
            }
        }
    }
    let problem = "found neither Diving48_V2_train.json and Diving48_V2_test.json, nor Diving48_train.json and \
                   Diving48_test.json, expected one of the pairs";
    Err(format_error(annotations, None, problem))
}

fn part(name: &str, list: &Path, entries: Vec<Entry>, labels: &[String], files: &mut Files) -> Result<Part> {
    let mut part = PartBuilder::new(name, list);
    for Entry { vid_name, label } in entries {
        if label >= labels.len() {
            let problem = format!("{vid_name} has label {label}, expected 0 to {}", labels.len() - 1);
            return Err(format_error(list, None, problem));
        }
        part.add(files, &vid_name, Span::Whole, label, None)?;
    }
    part.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dataset::Media;

    #[test]
    fn both_versions_are_read_and_the_second_wins() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let load = || load(folder.path(), &mut Files::new(folder.path().to_path_buf()).unwrap());
        assert!(load().unwrap_err().to_string().contains("found neither Diving48_V2_train.json"));

        write("Diving48_train.json", r#"[{"vid_name": "a_1", "label": 2, "start_frame": 0, "end_frame": 9}]"#);
        write("Diving48_test.json", r#"[{"vid_name": "b_1", "label": 0, "start_frame": 0, "end_frame": 9}]"#);
        write("a_1.mp4", "");
        let first = load().unwrap();
        assert_eq!(first.labels, ["dive_00", "dive_01", "dive_02"]);
        assert_eq!((first.parts[0].items[0].label, first.parts[1].missing.len()), (2, 1));

        write("Diving48_V2_train.json", r#"[{"vid_name": "a_1", "label": 1}]"#);
        assert!(load().unwrap_err().to_string().contains("without Diving48_V2_test.json"));
        write("Diving48_V2_test.json", r#"[{"vid_name": "b_1", "label": 0}]"#);
        write("Diving48_vocab.json", r#"[["Back", "15som", "05Twis", "FREE"], "Reverse"]"#);
        let second = load().unwrap();
        assert_eq!(second.labels, ["Back_15som_05Twis_FREE", "Reverse"]);
        assert_eq!(second.parts[0].items[0].label, 1);
        assert_eq!(second.parts[0].items[0].media, Media::Video(folder.path().join("a_1.mp4")));
        assert_eq!(second.parts[0].items[0].span, Span::Whole);

        write("Diving48_V2_train.json", r#"[{"vid_name": "a_1", "label": 7}]"#);
        assert!(load().unwrap_err().to_string().contains("a_1 has label 7, expected 0 to 1"));
        write("Diving48_V2_train.json", r#"[{"vid_name": "a_1", "label": 1}, {"vid_name": "a_1", "label": 0}]"#);
        assert!(load().unwrap_err().to_string().contains("\"a_1\" is \"a_1\", which train has already"));
        write("Diving48_V2_train.json", "[]");
        assert!(load().unwrap_err().to_string().contains("Diving48_V2_train.json: the list names no video for train"));
        write("Diving48_V2_train.json", "[\n{\"vid_name\": 3}]");
        let error = load().unwrap_err().to_string();
        assert!(error.contains("Diving48_V2_train.json line 2") && error.contains("vid_name"), "{error}");
        write("Diving48_V2_train.json", r#"[{"vid_name": "a_1", "label": 0}]"#);
        write("Diving48_vocab.json", "[]");
        assert!(load().unwrap_err().to_string().contains("Diving48_vocab.json: found no label"));
    }
}
