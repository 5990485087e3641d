//! ActivityNet's JSON, which others use for their datasets too.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::collect::{Collected, Kind, Place};
use crate::error::Result;
use crate::formats::part::{Entries, format_error, read_json};

#[derive(Deserialize)]
struct File {
    database: Entries<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    subset: String,
    duration: Option<Value>,
    #[serde(default)]
    annotations: Vec<Annotation>,
}

/// Anything may stand where a time or a label should: what it is instead is said about this annotation alone.
#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    segment: Value,
    #[serde(default)]
    label: Value,
}

/// Reads the file. Labels are in the order of the alphabet, as it does not say.
pub fn read(path: &Path) -> Result<Collected> {
    let expected =
        r#"{"database": {"VIDEO": {"subset": "...", "annotations": [{"segment": [START_S, END_S], "label": "..."}]}}}"#;
    let File { database } = read_json(path, expected)?;
    let annotations = database.0.iter().flat_map(|(_, entry)| &entry.annotations);
    let mut numbers: BTreeMap<&str, usize> = annotations.filter_map(label).map(|label| (label, 0)).collect();
    numbers.values_mut().enumerate().for_each(|(number, value)| *value = number);
    let labels: Vec<String> = numbers.keys().map(|label| label.to_string()).collect();
    let class_ids = (0..labels.len() as u32).collect();

    let mut collected = Collected::new(path, labels, class_ids)?;
    let mut known = HashSet::new();
    for (video, Entry { subset, duration, annotations }) in &database.0 {
        let place = Place { path, line: None, part: subset, video };
        if !known.insert(video) {
            collected.doubt(&place, "the database has it twice, expected every video once");
            continue;
        }
        collected.video(subset, video).duration_s = match duration {
            None | Some(Value::Null) => None,
            Some(value) => match text(value).parse::<f64>() {
                Ok(duration_s) if duration_s.is_finite() && duration_s > 0.0 => Some(duration_s),
                _ => {
                    let problem = format!("{video}: found the duration {value}, expected seconds above 0");
                    return Err(format_error(path, None, problem));
                }
            },
        };
        for annotation in annotations {
            let Some(label) = label(annotation) else {
                collected.doubt(&place, format!("found the label {}, expected its name", annotation.label));
                continue;
            };
            match annotation.segment.as_array().map(Vec::as_slice) {
                Some([start, end]) => {
                    collected.add(&place, Kind::Action(numbers[label]), [&text(start), &text(end)]);
                }
                _ => {
                    let problem = format!("found the segment {}, expected two times in seconds", annotation.segment);
                    collected.doubt(&place, problem);
                }
            }
        }
    }
    Ok(collected)
}

fn label(annotation: &Annotation) -> Option<&str> {
    annotation.label.as_str().filter(|label| !label.trim().is_empty())
}

/// A string as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map(str::to_string).unwrap_or_else(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{ActionSegment, Untrimmed};
    use super::*;
    use crate::dataset::Media;
    use crate::formats::files::Files;

    fn load(text: &str, skip_bad: bool) -> Result<Untrimmed> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("activity_net.json");
        fs::write(&path, text).unwrap();
        read(&path)?.finish(&path, None, skip_bad)
    }

    fn database(entries: &str) -> String {
        format!(r#"{{"version": "VERSION 1.3", "taxonomy": [], "database": {{{entries}}}}}"#)
    }

    #[test]
    fn subsets_keep_their_names_and_times_may_be_strings() {
        let found = load(
            &database(
                r#""b": {"subset": "validation", "duration": 9.25, "resolution": "320x240", "annotations": [
                    {"segment": ["4.5", 9], "label": "Wave"}, {"segment": [0, 0.01], "label": "Bow"}]},
                "a": {"subset": "training", "duration": "12", "annotations": [{"segment": [1e0, 2], "label": "Wave"}]},
                "c": {"subset": "Test"}, "d": {"subset": "Test", "duration": null, "annotations": []}"#,
            ),
            false,
        )
        .unwrap();
        assert_eq!((found.labels, found.class_ids), (vec!["Bow".to_string(), "Wave".into()], vec![0, 1]));
        let names: Vec<_> = found.parts.iter().map(|part| (&*part.name, part.videos.len())).collect();
        assert_eq!(names, [("training", 1), ("validation", 1), ("Test", 2)]);
        let segment = |label, start_s, end_s| ActionSegment { label, start_s, end_s };
        assert_eq!(found.parts[0].videos[0].duration_s, Some(12.0));
        assert_eq!(found.parts[1].videos[0].segments, [segment(1, 4.5, 9.0), segment(0, 0.0, 0.01)]);
        assert_eq!(found.parts[2].videos[1].duration_s, None);
    }

    #[test]
    fn videos_have_a_prefix_or_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("train")).unwrap();
        for name in ["v_--x.mp4", "train/y.mkv"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let entry = |id: &str| {
            format!(r#""{id}": {{"subset": "training", "annotations": [{{"segment": [1, 2], "label": "Wave"}}]}}"#)
        };
        let path = folder.path().join("a.json");
        fs::write(&path, database(&["--x", "v_y", "v_z"].map(entry).join(","))).unwrap();
        let mut files = Files::new(folder.path().into()).unwrap();
        let found = read(&path).unwrap().finish(&path, Some(&mut files), false).unwrap();
        let media: Vec<_> = found.parts[0].videos.iter().map(|video| video.media.clone()).collect();
        let video = |name: &str| Some(Media::Video(folder.path().join(name)));
        assert_eq!(media, [video("v_--x.mp4"), video("train/y.mkv"), None]);
        assert_eq!(found.parts[0].missing, ["v_z"]);
    }

    #[test]
    fn annotations_that_cannot_be_right_are_refused_or_left_out_and_named() {
        let entry =
            |annotation: &str| format!(r#""a": {{"subset": "t", "duration": 10, "annotations": [{annotation}]}}"#);
        let good = r#"{"segment": [1, 2], "label": "Wave"}"#;
        for (bad, expected) in [
            (
                r#"{"segment": [3, 2], "label": "Wave"}"#,
                "the segment ends at 2 s, expected later than its begin at 3 s",
            ),
            (r#"{"segment": [-3, 2], "label": "Wave"}"#, "begins at -3 s"),
            (r#"{"segment": ["?", null], "label": "Wave"}"#, "found the times \"?\" and \"null\""),
            (r#"{"segment": [1], "label": "Wave"}"#, "found the segment [1], expected two times"),
            (r#"{"label": "Wave"}"#, "found the segment null"),
            (r#"{"segment": [1, 2], "label": 7}"#, "found the label 7"),
            (r#"{"segment": [1, 2]}"#, "found the label null"),
            (r#"{"segment": [8, 10.6], "label": "Wave"}"#, "8 to 10.6 s is past the end of the video at 10.000 s"),
            (r#"{"segment": [10, 10.2], "label": "Wave"}"#, "10 to 10.2 s is past the end of the video at 10.000 s"),
            (r#"{"segment": ["1.0", "2.0"], "label": "Wave"}"#, "is there already"),
        ] {
            let text = database(&entry(&[good, bad].join(",")));
            let found = load(&text, true).unwrap();
            let [doubt] = &found.skipped[..] else { panic!("{bad}: {:?}", found.skipped) };
            assert!(doubt.problem.contains(expected) && doubt.video == "a" && doubt.line.is_none(), "{doubt:?}");
            assert_eq!(found.parts[0].videos[0].segments.len(), 1, "{bad}");
            let error = load(&text, false).unwrap_err().to_string();
            assert!(error.contains("activity_net.json: a: ") && error.contains(expected), "{error}");
        }
        // Rounding past the end is not wrong, and the annotation stays as it is.
        let found = load(&database(&entry(r#"{"segment": [8, 10.5], "label": "Wave"}"#)), false).unwrap();
        assert_eq!(found.parts[0].videos[0].segments[0].end_s, 10.5);
        let twice = [entry(good), entry(r#"{"segment": [3, 4], "label": "Wave"}"#)].join(",");
        assert!(load(&database(&twice), false).unwrap_err().to_string().contains("the database has it twice"));
    }

    #[test]
    fn what_is_wrong_with_the_file_is_named() {
        for (text, expected) in [
            ("{\n\"database\": 3}".to_string(), "line 2: invalid type: integer `3`, expected a map from videos"),
            (database(r#""a": {"annotations": []}"#), "missing field `subset`"),
            (database(r#""a": {"subset": "t", "annotations": {"label": "Wave"}}"#), "expected a sequence"),
            (database(r#""a": {"subset": "t", "annotations": []}"#), "found no label"),
            (
                database(
                    r#""a": {"subset": "t", "duration": 0, "annotations": [{"segment": [1, 2], "label": "Wave"}]}"#,
                ),
                "a: found the duration 0, expected seconds above 0",
            ),
        ] {
            let error = load(&text, true).unwrap_err().to_string();
            assert!(error.contains("activity_net.json") && error.contains(expected), "{error}");
        }
    }
}
