//! THUMOS14's file of detections: a line each, words between spaces.

use std::fmt::Write;
use std::str::FromStr;

use super::read::{Class, Row};
use super::segment::SegmentDetection;
use crate::error::{self, EvalError};

const WITH_CLASS: &str = "video start_s end_s class_id score";
const WITHOUT_CLASS: &str = "video start_s end_s score";

/// The lines of a file, or the line that makes no sense and why. Without classes, a line may have one.
pub fn rows(content: &str, has_classes: bool) -> Result<Vec<Row>, (u64, String)> {
    let lines = content.lines().zip(1u64..).map(|(line, number)| (number, line.trim()));
    let filled = lines.filter(|(_, line)| !line.is_empty());
    filled.map(|(number, line)| row(number, line, has_classes).map_err(|problem| (number, problem))).collect()
}

fn row(number: u64, line: &str, has_classes: bool) -> Result<Row, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (video, start_s, end_s, class, score) = match words[..] {
        [video, start_s, end_s, class, score] => (video, start_s, end_s, Some(class), score),
        [video, start_s, end_s, score] if !has_classes => (video, start_s, end_s, None, score),
        _ => {
            let (count, form) = if has_classes { (5, WITH_CLASS) } else { (4, WITHOUT_CLASS) };
            return Err(format!("found {} words, expected {count}: {form}", words.len()));
        }
    };
    let class = match class.filter(|_| has_classes) {
        Some(class) => Class::Id(parse(class, "a whole number for class_id")?),
        None => Class::Unnamed,
    };
    Ok(Row {
        line: Some(number),
        // The official kit takes the names of files too.
        video: video.strip_suffix(".mp4").unwrap_or(video).to_string(),
        start_s: parse(start_s, "a number for start_s")?,
        end_s: parse(end_s, "a number for end_s")?,
        class,
        score: parse(score, "a number for score")?,
    })
}

fn parse<T: FromStr>(word: &str, expected: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("found {word:?}, expected {expected}"))
}

/// Detections as the official THUMOS14 kit takes them; `class_ids` are the numbers of the labels.
///
/// # Errors
/// When the id of a video has a space, or a label has no number.
pub fn thumos_text(detections: &[SegmentDetection], class_ids: &[u32]) -> error::Result<String> {
    let mut text = String::new();
    for SegmentDetection { video, start_s, end_s, label, score } in detections {
        if video.is_empty() || video.contains(char::is_whitespace) {
            let problem = format!(
                "THUMOS14's text parts words by spaces: found the video {video:?}, expected an id without any; \
                 write ActivityNet's JSON instead"
            );
            return Err(EvalError::Outputs(problem));
        }
        let id = class_ids.get(*label).ok_or_else(|| {
            let known = class_ids.len();
            EvalError::Outputs(format!("{video}: found the label {label}, expected one of {known} that have a number"))
        })?;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{video} {start_s} {end_s} {id} {score}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_text_cannot_say_is_refused() {
        let detection =
            |video: &str, label| SegmentDetection { video: video.into(), start_s: 0.0, end_s: 1.0, label, score: 0.5 };
        let error = |one| thumos_text(&[one], &[7]).unwrap_err().to_string();
        assert!(error(detection("my video", 0)).contains("\"my video\", expected an id without"));
        assert!(error(detection("a", 1)).contains("a: found the label 1, expected one of 1"));
    }
}
