//! Diving48: JSON lists of videos that are cut already.

use std::path::Path;

use serde::Deserialize;

use super::files::Files;
use super::part::{PartBuilder, format_error, read_json};
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
    let list = |part: &str| {
        let versions = [format!("Diving48_V2_{part}.json"), format!("Diving48_{part}.json")];
        versions.into_iter().map(|name| annotations.join(name)).find(|path| path.exists()).ok_or_else(|| {
            let problem = format!("there is neither Diving48_V2_{part}.json nor Diving48_{part}.json in it");
            format_error(annotations, None, problem)
        })
    };
    let (train_list, test_list) = (list("train")?, list("test")?);
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
        dives.into_iter().map(name).collect()
    } else {
        let last = train.iter().chain(&test).map(|entry| entry.label).max().unwrap_or(0);
        // A number out of proportion is a broken list, not a large vocabulary.
        (0..=last.min(9999)).map(|label| format!("dive_{label:02}")).collect()
    };
    let train = part("train", &train_list, train, &labels, files)?;
    let test = part("test", &test_list, test, &labels, files)?;
    Ok(Dataset { labels, parts: vec![train, test] })
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

    #[test]
    fn both_versions_are_read_and_the_second_wins() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let load = || load(folder.path(), &mut Files::new(folder.path().to_path_buf()).unwrap());
        assert!(load().unwrap_err().to_string().contains("neither Diving48_V2_train.json"));

        write("Diving48_train.json", r#"[{"vid_name": "a_1", "label": 2, "start_frame": 0, "end_frame": 9}]"#);
        write("Diving48_test.json", r#"[{"vid_name": "b_1", "label": 0, "start_frame": 0, "end_frame": 9}]"#);
        write("a_1.mp4", "");
        let first = load().unwrap();
        assert_eq!(first.labels, ["dive_00", "dive_01", "dive_02"]);
        assert_eq!((first.parts[0].items[0].label, first.parts[1].missing.len()), (2, 1));

        write("Diving48_V2_train.json", r#"[{"vid_name": "a_1", "label": 1}]"#);
        write("Diving48_vocab.json", r#"[["Back", "15som", "05Twis", "FREE"], "Reverse"]"#);
        let second = load().unwrap();
        assert_eq!(second.labels, ["Back_15som_05Twis_FREE", "Reverse"]);
        assert_eq!(second.parts[0].items[0].label, 1);

        write("Diving48_V2_train.json", r#"[{"vid_name": "a_1", "label": 7}]"#);
        assert!(load().unwrap_err().to_string().contains("a_1 has label 7, expected 0 to 1"));
        write("Diving48_V2_train.json", "[\n{\"vid_name\": 3}]");
        let error = load().unwrap_err().to_string();
        assert!(error.contains("Diving48_V2_train.json line 2") && error.contains("vid_name"), "{error}");
    }
}
