//! Files of detections and proposals, held against what the annotations know.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use unscene_data::DataError;
use unscene_data::untrimmed::{Doubt, Untrimmed, UntrimmedPart};

use super::segment::{Proposal, SegmentDetection};
use super::{json, text};
use crate::error::{EvalError, Result};

/// An entry of a file, as it stands there.
pub(super) struct Row {
    pub line: Option<u64>,
    pub video: String,
    pub start_s: f64,
    pub end_s: f64,
    pub class: Class,
    pub score: f64,
}

/// How an entry names its class.
pub(super) enum Class {
    Id(u32),
    Name(String),
    Unnamed,
}

/// What a file may name: the videos of a part and the labels.
#[derive(Debug)]
pub struct Known<'a> {
    part: &'a str,
    videos: HashSet<&'a str>,
    ids: HashMap<u32, usize>,
    names: HashMap<&'a str, usize>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct FromFile<T> {
    /// What can be scored, in the order of the file; ActivityNet's JSON by video.
    pub kept: Vec<T>,
    /// What was left out, because it was asked to be.
    pub skipped: Vec<Doubt>,
    /// What ends before it begins, and was kept: each protocol has its own way with it.
    pub reversed: Vec<Doubt>,
}

impl<'a> Known<'a> {
    /// What a dataset and one of its parts know.
    pub fn new(dataset: &'a Untrimmed, part: &'a UntrimmedPart) -> Self {
        Known {
            part: &part.name,
            videos: part.videos.iter().map(|video| video.id.as_str()).collect(),
            ids: dataset.class_ids.iter().enumerate().map(|(label, &id)| (id, label)).collect(),
            names: dataset.labels.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect(),
        }
    }

    /// Reads detections: THUMOS14's text (`video start_s end_s class_id score`, a line each) or ActivityNet's JSON
    /// (`{"results": {VIDEO: [{"label", "score", "segment": [START_S, END_S]}]}}`), whichever it is.
    ///
    /// Detections of unknown videos or classes, and numbers that are not finite, are an error that names the first and their
    /// count. With `skip_bad` they are left out instead, and so are those that end before they begin.
    ///
    /// # Errors
    /// When the file cannot be read or is not in its format, or something in it cannot be scored.
    pub fn detections(&self, path: &Path, skip_bad: bool) -> Result<FromFile<SegmentDetection>> {
        self.sort_out(path, read(path, true)?, skip_bad, "detections", |row| {
            let label = match &row.class {
                Class::Id(id) => self.ids.get(id).ok_or_else(|| self.no_class(id)),
                Class::Name(name) => self.names.get(name.as_str()).ok_or_else(|| self.no_class(&format!("{name:?}"))),
                Class::Unnamed => Err("it has no label".into()),
            };
            let Row { start_s, end_s, score, .. } = *row;
            Ok(SegmentDetection { video: row.video.clone(), start_s, end_s, label: *label?, score })
        })
    }

    /// Reads proposals, in the formats of detections without their class: `video start_s end_s score`, or JSON without labels.
    /// Where there are classes, they are passed over.
    ///
    /// # Errors
    /// As those of [`detections`](Self::detections).
    pub fn proposals(&self, path: &Path, skip_bad: bool) -> Result<FromFile<Proposal>> {
        self.sort_out(path, read(path, false)?, skip_bad, "proposals", |row| {
            let Row { start_s, end_s, score, .. } = *row;
            Ok(Proposal { video: row.video.clone(), start_s, end_s, score })
        })
    }

    /// Keeps, leaves out or refuses what `make` and the checks say.
    fn sort_out<T>(
        &self,
        path: &Path,
        rows: Vec<Row>,
        skip_bad: bool,
        what: &'static str,
        make: impl Fn(&Row) -> std::result::Result<T, String>,
    ) -> Result<FromFile<T>> {
        let of = rows.len();
        let mut sorted = FromFile { kept: Vec::new(), skipped: Vec::new(), reversed: Vec::new() };
        for row in rows {
            let made = self.check(&row).and_then(|()| make(&row));
            let Row { line, video, start_s, end_s, .. } = row;
            let doubt = |video, problem| Doubt { path: path.to_path_buf(), line, video, problem };
            let reversed = || format!("found {start_s} s to {end_s} s, expected an end that is not before the start");
            match made {
                Ok(_) if end_s < start_s && skip_bad => sorted.skipped.push(doubt(video, reversed())),
                Ok(made) => {
                    sorted.kept.push(made);
                    if end_s < start_s {
                        sorted.reversed.push(doubt(video, reversed()));
                    }
                }
                Err(problem) => sorted.skipped.push(doubt(video, problem)),
            }
        }
        match sorted.skipped.first() {
            Some(Doubt { line, video, problem, .. }) if !skip_bad => {
                let line = line.map(|line| format!("line {line}, ")).unwrap_or_default();
                let first = format!("{line}{video}: {problem}");
                Err(EvalError::Bad { path: path.to_path_buf(), what, bad: sorted.skipped.len(), of, first })
            }
            _ => Ok(sorted),
        }
    }

    fn check(&self, row: &Row) -> std::result::Result<(), String> {
        if !self.videos.contains(row.video.as_str()) {
            let (count, part) = (self.videos.len(), self.part);
            return Err(format!("it is not among the {count} annotated videos of the part {part:?}"));
        }
        match [("score", row.score), ("start", row.start_s), ("end", row.end_s)].iter().find(|one| !one.1.is_finite()) {
            Some((name, found)) => Err(format!("found the {name} {found}, expected a finite number")),
            None => Ok(()),
        }
    }

    fn no_class(&self, found: &dyn std::fmt::Display) -> String {
        let mut classes: Vec<(&usize, String)> = self
            .names
            .iter()
            .map(|(name, label)| {
                let id = self.ids.iter().find(|id| id.1 == label).map(|id| format!("{} ", id.0));
                (label, format!("{}{name}", id.unwrap_or_default()))
            })
            .collect();
        classes.sort();
        let count = classes.len();
        let first: Vec<String> = classes.into_iter().take(20).map(|class| class.1).collect();
        let more = if count > first.len() { format!(" and {} more", count - first.len()) } else { String::new() };
        format!("found the class {found}, expected one of {}{more}", first.join(", "))
    }
}

/// The entries of a file in either format.
fn read(path: &Path, has_classes: bool) -> Result<Vec<Row>> {
    let bytes = fs::read(path).map_err(|source| DataError::Io { path: path.to_path_buf(), source })?;
    let content = String::from_utf8_lossy(&bytes);
    let content = content.trim_start_matches('\u{feff}');
    let rows = match content.trim_start().starts_with('{') {
        true => json::rows(content),
        false => text::rows(content, has_classes),
    };
    rows.map_err(|(line, problem)| DataError::Format { path: path.to_path_buf(), line: Some(line), problem }.into())
}

#[cfg(test)]
mod tests {
    use unscene_data::untrimmed::UntrimmedVideo;

    use super::*;

    fn dataset() -> Untrimmed {
        let video = |id: &str| UntrimmedVideo {
            id: id.into(),
            media: None,
            duration_s: None,
            segments: vec![],
            ambiguous: vec![],
        };
        let part = UntrimmedPart { name: "test".into(), videos: vec![video("a"), video("b")], missing: vec![] };
        let labels = vec!["Bow".into(), "Wave".into()];
        Untrimmed { labels, class_ids: vec![7, 9], parts: vec![part], skipped: vec![] }
    }

    fn detections(content: &str, skip_bad: bool) -> Result<FromFile<SegmentDetection>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("found");
        fs::write(&path, content).unwrap();
        let dataset = dataset();
        Known::new(&dataset, &dataset.parts[0]).detections(&path, skip_bad)
    }

    fn detection(video: &str, start_s: f64, end_s: f64, label: usize, score: f64) -> SegmentDetection {
        SegmentDetection { video: video.into(), start_s, end_s, label, score }
    }

    #[test]
    fn both_formats_are_read_as_they_are_written() {
        let found =
            [detection("a", 0.1, 2.25, 1, 0.5), detection("a", 3.0, 4.0, 0, 1e-7), detection("b", 0.0, 1.0, 0, 2.0)];
        let dataset = dataset();
        let text = text::thumos_text(&found, &dataset.class_ids).unwrap();
        assert_eq!(text, "a 0.1 2.25 9 0.5\na 3 4 7 0.0000001\nb 0 1 7 2\n");
        let json = json::activitynet_json(&found, &dataset.labels).unwrap();
        for content in [text, json] {
            let read = detections(&content, false).unwrap();
            assert_eq!((&read.kept[..], read.skipped.len(), read.reversed.len()), (&found[..], 0, 0), "{content}");
        }
    }

    #[test]
    fn what_cannot_be_scored_is_refused_or_left_out() {
        let lines = ["a 0 1 7 0.5", "c 0 1 7 0.5", "", "a 0 1 8 0.5", "b 0 1 9 NaN", "b inf 1 9 0.1", "b 2 1 9 0.5"];
        let text = lines.join("\n");
        let error = detections(&text, false).unwrap_err().to_string();
        let said = "found: 4 of 6 detections cannot be scored; the first: line 2, c: it is not among the 2 annotated videos \
                    of the part \"test\"; correct the file, or leave them out with --skip-bad";
        assert!(error.ends_with(said), "{error}");
        let read = detections(&text, true).unwrap();
        assert_eq!(read.kept, [detection("a", 0.0, 1.0, 0, 0.5)]);
        let said: Vec<_> = read.skipped.iter().map(|doubt| (doubt.line.unwrap(), doubt.problem.as_str())).collect();
        assert_eq!(said[1], (4, "found the class 8, expected one of 7 Bow, 9 Wave"));
        assert_eq!(said[2], (5, "found the score NaN, expected a finite number"));
        assert_eq!(said[3], (6, "found the start inf, expected a finite number"));
        assert_eq!(said[4], (7, "found 2 s to 1 s, expected an end that is not before the start"));
        // A reversed one alone is no reason to refuse: the official programs score it.
        let read = detections("b 2 1 9 0.5", false).unwrap();
        assert_eq!((read.kept.len(), read.skipped.len(), read.reversed[0].line), (1, 0, Some(1)));
    }

    #[test]
    fn json_is_held_against_the_same() {
        let entry = |rest: &str| format!(r#"{{"results": {{"a": [{{"segment": ["0.5", 1], {rest}}}]}}}}"#);
        let read = detections(&entry(r#""label": "Wave", "score": "0.25""#), false).unwrap();
        assert_eq!(read.kept, [detection("a", 0.5, 1.0, 1, 0.25)]);
        for (rest, part) in [
            (r#""label": "Bowl", "score": 1"#, "a: found the class \"Bowl\", expected one of 7 Bow, 9 Wave"),
            (r#""score": 1"#, "1 of 1 detections cannot be scored; the first: a: it has no label"),
            (r#""label": "Bow", "score": NaN"#, "a: found the score NaN"),
            (r#""label": "Bow", "score": -Infinity"#, "a: found the score NaN"),
            (r#""label": "Bow", "score": null"#, "a: found the score NaN"),
            (r#""label": "Bow", "score": "much""#, "line 1: found \"much\", expected a number"),
            (r#""label": "Bow""#, "missing field `score`"),
            (r#""label": "Bow", "score": [1]"#, "expected a number"),
        ] {
            let error = detections(&entry(rest), false).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = detections("{\n\"result\": {}}", false).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("\"results\": {VIDEO"), "{error}");
    }

    #[test]
    fn lines_that_are_no_detection_are_named() {
        for (line, part) in [
            ("a 0 1 7", "line 2: found 4 words, expected 5: video start_s end_s class_id score"),
            ("a 0 1 7 0.5 0.5", "line 2: found 6 words"),
            ("a 0 one 7 0.5", "line 2: found \"one\", expected a number for end_s"),
            ("a 0 1 Bow 0.5", "line 2: found \"Bow\", expected a whole number for class_id"),
            ("a 0 1 -7 0.5", "line 2: found \"-7\""),
        ] {
            let error = detections(&format!("a.mp4\t0 1 7 0.5\r\n{line}\n"), true).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(detections("a.mp4\t0 1 7 0.5\r\n", true).unwrap().kept, [detection("a", 0.0, 1.0, 0, 0.5)]);
        assert_eq!(detections("", false).unwrap().kept, []);
    }

    #[test]
    fn proposals_have_no_class() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("found");
        let dataset = dataset();
        let known = Known::new(&dataset, &dataset.parts[0]);
        for content in
            ["a 0 1 0.5", "a 0 1 99 0.5", r#"{"results": {"a": [{"segment": [0, 1], "score": 0.5}]}, "version": 1}"#]
        {
            fs::write(&path, content).unwrap();
            let expected = Proposal { video: "a".into(), start_s: 0.0, end_s: 1.0, score: 0.5 };
            assert_eq!(known.proposals(&path, false).unwrap().kept, [expected], "{content}");
        }
        fs::write(&path, "c 0 1 0.5").unwrap();
        assert!(known.proposals(&path, false).unwrap_err().to_string().contains("1 of 1 proposals cannot"));
        assert!(
            known.proposals(&folder.path().join("no"), false).unwrap_err().to_string().contains("no: No such file")
        );
    }
}
