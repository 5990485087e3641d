//! ActivityNet's file of results.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::read::{Class, Row};
use super::segment::SegmentDetection;
use crate::error::{self, EvalError};

const EXPECTED: &str = r#"{"results": {VIDEO: [{"label": "...", "score": NUMBER, "segment": [START_S, END_S]}]}}"#;

#[derive(Deserialize)]
struct File {
    results: BTreeMap<String, Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    label: Option<String>,
    score: Number,
    segment: [Number; 2],
}

/// A number, also one within quotes; `null` is none.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong =
            |found: &dyn std::fmt::Display| serde::de::Error::custom(format!("found {found}, expected a number"));
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Number(f64::NAN)),
            Value::String(text) => text.parse().map(Number).map_err(|_| wrong(&format!("{text:?}"))),
            value => value.as_f64().map(Number).ok_or_else(|| wrong(&value)),
        }
    }
}

/// The entries of a file by video, or the line that makes no sense and why.
pub fn rows(content: &str) -> Result<Vec<Row>, (u64, String)> {
    let File { results } = serde_json::from_str(&standard(content))
        .map_err(|error| (error.line() as u64, format!("{error}; expected {EXPECTED}")))?;
    let row = |video: &str, Entry { label, score, segment: [start, end] }: Entry| Row {
        line: None,
        video: video.into(),
        start_s: start.0,
        end_s: end.0,
        class: label.map_or(Class::Unnamed, Class::Name),
        score: score.0,
    };
    let of = |(video, entries): (String, Vec<Entry>)| -> Vec<Row> {
        entries.into_iter().map(|entry| row(&video, entry)).collect()
    };
    Ok(results.into_iter().flat_map(of).collect())
}

/// Python writes NaN and Infinity, which JSON lacks: here they are null. Within strings they stay.
pub(crate) fn standard(content: &str) -> Cow<'_, str> {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    if !WORDS.iter().any(|word| content.contains(word)) {
        return content.into();
    }
    let mut text = String::with_capacity(content.len());
    let (mut rest, mut is_string, mut is_escaped) = (content, false, false);
    while let Some(next) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !is_string && rest.starts_with(**word));
        match word {
            Some(_) => text.push_str("null"),
            None => text.push(next),
        }
        if next == '"' && !is_escaped {
            is_string = !is_string;
        }
        is_escaped = next == '\\' && !is_escaped;
        rest = &rest[word.map_or(next.len_utf8(), |word| word.len())..];
    }
    text.into()
}

/// Detections as ActivityNet's evaluation takes them.
///
/// # Errors
/// When a label has no name, or a number is not finite, which JSON cannot say.
pub fn activitynet_json(detections: &[SegmentDetection], labels: &[String]) -> error::Result<String> {
    let mut results: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for SegmentDetection { video, start_s, end_s, label, score } in detections {
        let name = labels.get(*label).ok_or_else(|| {
            EvalError::Outputs(format!("{video}: found the label {label}, expected one of {} names", labels.len()))
        })?;
        if let Some(found) = [start_s, end_s, score].into_iter().find(|number| !number.is_finite()) {
            return Err(EvalError::Outputs(format!("{video}: found the number {found}, which JSON cannot say")));
        }
        let entry = json!({"label": name, "score": score, "segment": [start_s, end_s]});
        results.entry(video).or_default().push(entry);
    }
    Ok(json!({"version": "VERSION 1.3", "results": results, "external_data": {}}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_is_made_json() {
        let text = r#"{"a": NaN, "NaN \" NaN\\": -Infinity, "ü": [Infinity, "Infinity"]}"#;
        assert_eq!(standard(text), r#"{"a": null, "NaN \" NaN\\": null, "ü": [null, "Infinity"]}"#);
        assert!(matches!(standard(r#"{"a": 1}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        let detection = |label, score| SegmentDetection { video: "a".into(), start_s: 0.0, end_s: 1.0, label, score };
        let error = |one| activitynet_json(&[one], &["Bow".into()]).unwrap_err().to_string();
        assert!(error(detection(0, f64::NAN)).contains("a: found the number NaN"));
        assert!(error(detection(1, 0.5)).contains("a: found the label 1, expected one of 1"));
    }
}
