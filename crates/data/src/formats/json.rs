//! The JSON of 3D-ResNets-PyTorch, which the paper's release uses for all its datasets.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::files::Files;
use super::part::{Entries, PartBuilder, check_labels, format_error, read_json};
use crate::dataset::{Dataset, Span};
use crate::error::Result;

#[derive(Deserialize)]
struct File {
    labels: Vec<String>,
    database: Entries<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    subset: String,
    #[serde(default)]
    annotations: Annotations,
}

/// Frame numbers (`segment`) and times are those of the uncut source; its tools cut the videos before training.
#[derive(Deserialize, Default)]
struct Annotations {
    label: Option<String>,
}

/// The parts by the names that the file gives them.
const SUBSETS: [(&str, &str); 3] = [("training", "train"), ("validation", "val"), ("testing", "test")];

/// Reads the file; videos are at `LABEL/VIDEO`. Those to be tested without a label are left out.
pub fn load(annotations: &Path, files: &mut Files) -> Result<Dataset> {
    let expected =
        r#"{"labels": [...], "database": {"VIDEO": {"subset": "training", "annotations": {"label": "..."}}}}"#;
    let File { labels, database } = read_json(annotations, expected)?;
    check_labels(annotations, &labels)?;
    let numbers: HashMap<&str, usize> =
        labels.iter().enumerate().map(|(number, label)| (label.as_str(), number)).collect();
    let mut parts: Vec<Option<PartBuilder>> = SUBSETS.iter().map(|_| None).collect();
    for (video, Entry { subset, annotations: Annotations { label } }) in database.0 {
        let wrong = |problem: String| format_error(annotations, None, format!("{video}: {problem}"));
        let part = SUBSETS.iter().position(|(name, _)| *name == subset);
        let part = part.ok_or_else(|| wrong(format!("subset {subset:?}, expected training, validation or testing")))?;
        let Some(label) = label else {
            match SUBSETS[part].1 {
                "test" => continue,
                _ => return Err(wrong("it has no label".into())),
            }
        };
        let number = *numbers.get(label.as_str()).ok_or_else(|| wrong(format!("{label:?} is not among the labels")))?;
        let part = parts[part].get_or_insert_with(|| PartBuilder::new(SUBSETS[part].1, annotations));
        part.add(files, &format!("{label}/{video}"), Span::Whole, number, None)?;
    }
    let parts: Vec<_> = parts.into_iter().flatten().map(PartBuilder::finish).collect::<Result<_>>()?;
    match parts.is_empty() {
        true => Err(format_error(annotations, None, "the database names no video with a label")),
        false => Ok(Dataset { labels, parts }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dataset::Media;

    fn read(text: &str) -> Result<(Dataset, tempfile::TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ucf101_01.json"), text).unwrap();
        fs::create_dir_all(folder.path().join("Bowl/v_1")).unwrap();
        fs::write(folder.path().join("Bowl/v_1/image_00001.jpg"), "").unwrap();
        fs::write(folder.path().join("Bowl/v_1/n_frames"), "1").unwrap();
        let dataset = load(&folder.path().join("ucf101_01.json"), &mut Files::new(folder.path().into())?)?;
        Ok((dataset, folder))
    }

    #[test]
    fn subsets_are_parts() {
        let (dataset, folder) = read(
            r#"{"labels": ["Swim", "Bowl"], "database": {
                "v_2": {"subset": "validation", "annotations": {"label": "Swim", "segment": [1, 90]}},
                "v_1": {"subset": "training", "annotations": {"label": "Bowl"}},
                "v_3": {"subset": "testing"}}}"#,
        )
        .unwrap();
        assert_eq!(dataset.labels, ["Swim", "Bowl"]);
        let [train, val] = &dataset.parts[..] else { panic!("{:?}", dataset.parts) };
        assert_eq!((train.name.as_str(), val.name.as_str()), ("train", "val"));
        assert_eq!((train.items[0].id.as_str(), train.items[0].label), ("Bowl/v_1", 1));
        assert_eq!(train.items[0].media, Media::Frames(folder.path().join("Bowl/v_1")));
        assert_eq!(val.missing, [Path::new("Swim/v_2")]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |entries: &str| format!(r#"{{"labels": ["Bowl"], "database": {{{entries}}}}}"#);
        for (text, expected) in [
            (
                with(r#""a": {"subset": "train", "annotations": {"label": "Bowl"}}"#),
                "a: subset \"train\", expected training",
            ),
            (
                with(r#""a": {"subset": "training", "annotations": {"label": "Swim"}}"#),
                "a: \"Swim\" is not among the labels",
            ),
            (with(r#""a": {"subset": "training"}"#), "a: it has no label"),
            (with(""), "names no video"),
            (
                with(&[r#""a": {"subset": "training", "annotations": {"label": "Bowl"}}"#; 2].join(",")),
                "\"Bowl/a\" is \"Bowl/a\", which train has already",
            ),
            (r#"{"labels": ["a", "a"], "database": {}}"#.into(), "label \"a\" is there twice"),
            ("{\n\"labels\": 3}".into(), "line 2"),
            ("[]".into(), "expected {\"labels\""),
        ] {
            let error = read(&text).err().unwrap().to_string();
            assert!(error.contains("ucf101_01.json") && error.contains(expected), "{error}");
        }
    }
}
