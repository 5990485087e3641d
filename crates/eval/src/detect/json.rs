//! The file of detections: what the service answers, for many videos.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use unscene_data::DataError;
use unscene_data::actors::{ActorPart, ActorVideo};
use unscene_data::untrimmed::Doubt;
use unscene_vision::Tube;

use super::{FrameDetection, TubeDetection};
use crate::error::{EvalError, Result};
use crate::localize::standard_json;

const EXPECTED: &str = r#"{"videos": {VIDEO: {"frames": [{"frame": 0, "boxes": [{"label": "...", "score": NUMBER, "box": [X1, Y1, X2, Y2]}]}], "tubes": [{"label": "...", "score": NUMBER, "start_frame": 0, "boxes": [[X1, Y1, X2, Y2]]}]}}}"#;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    videos: Videos<'a>,
}

/// In the order of the file, each once.
struct Videos<'a>(Vec<(Cow<'a, str>, Video<'a>)>);

#[derive(Deserialize)]
struct Video<'a> {
    #[serde(borrow, default)]
    frames: Vec<Frame<'a>>,
    #[serde(borrow)]
    tubes: Option<Vec<FoundTube<'a>>>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    frame: i64,
    #[serde(borrow)]
    boxes: Vec<FoundBox<'a>>,
}

#[derive(Deserialize)]
struct FoundBox<'a> {
    #[serde(borrow)]
    label: Cow<'a, str>,
    score: Number,
    #[serde(rename = "box")]
    corners: [Number; 4],
}

#[derive(Deserialize)]
struct FoundTube<'a> {
    #[serde(borrow)]
    label: Cow<'a, str>,
    score: Number,
    start_frame: i64,
    boxes: Vec<[Number; 4]>,
}

/// A number; `null` is none.
#[derive(Clone, Copy)]
struct Number(f32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, number: f64) -> std::result::Result<Number, E> {
                Ok(Number(number as f32))
            }

            fn visit_i64<E>(self, number: i64) -> std::result::Result<Number, E> {
                Ok(Number(number as f32))
            }

            fn visit_u64<E>(self, number: u64) -> std::result::Result<Number, E> {
                Ok(Number(number as f32))
            }

            fn visit_unit<E>(self) -> std::result::Result<Number, E> {
                Ok(Number(f32::NAN))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Videos<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Videos<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from videos to what was found in them")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Videos<'de>, M::Error> {
                let (mut videos, mut ids) = (Vec::new(), HashSet::new());
                while let Some(Id(id)) = map.next_key()? {
                    if !ids.insert(id.clone()) {
                        return Err(M::Error::custom(format!("found the video {id:?} twice")));
                    }
                    videos.push((id, map.next_value()?));
                }
                Ok(Videos(videos))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// Borrowed from the text where that has no escapes.
#[derive(Deserialize)]
struct Id<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a file of detections may name: the videos of a part and the labels.
#[derive(Debug)]
pub struct DetectKnown<'a> {
    part: &'a ActorPart,
    labels: &'a [String],
    videos: HashMap<&'a str, usize>,
}

/// What a file of detections holds.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectionsFile {
    /// Boxes, video by video.
    pub frames: Vec<FrameDetection>,
    /// Tubes, where the file has any.
    pub tubes: Option<Vec<TubeDetection>>,
    /// What was left out, because it was asked to be.
    pub skipped: Vec<Doubt>,
}

impl<'a> DetectKnown<'a> {
    /// What a part and the labels of its dataset know.
    pub fn new(part: &'a ActorPart, labels: &'a [String]) -> Self {
        let videos = part.videos.iter().enumerate().map(|(at, video)| (video.id.as_str(), at)).collect();
        DetectKnown { part, labels, videos }
    }

    /// Reads detections; frames are counted from 0, and what is not asked for, such as times, is passed over.
    ///
    /// Those of unknown videos or classes, of frames that the video lacks, boxes without area or outside the frame and numbers that
    /// are not finite are an error that names the first and their count. With `skip_bad` they are left out instead. A tube is as
    /// bad as the worst of its boxes.
    ///
    /// # Errors
    /// When the file cannot be read or is not in its format, has a video twice, or something in it cannot be scored.
    pub fn read(&self, path: &Path, skip_bad: bool) -> Result<DetectionsFile> {
        let text = fs::read_to_string(path).map_err(|source| DataError::Io { path: path.to_path_buf(), source })?;
        let text = standard_json(text.trim_start_matches('\u{feff}'));
        let File { videos } = serde_json::from_str(&text).map_err(|error| DataError::Format {
            path: path.to_path_buf(),
            line: Some(error.line() as u64),
            problem: format!("{error}; expected {EXPECTED}"),
        })?;
        let (mut frames, mut tubes, mut skipped, mut of) = (vec![], None::<Vec<TubeDetection>>, vec![], 0);
        for (id, found) in &videos.0 {
            let mut doubt = |problem| {
                skipped.push(Doubt { path: path.to_path_buf(), line: None, video: id.to_string(), problem });
            };
            for Frame { frame, boxes } in &found.frames {
                of += boxes.len();
                for found in boxes {
                    match self.video(id).and_then(|video| self.found(video, *frame, found)) {
                        Ok(found) => frames.push(found),
                        Err(problem) => doubt(format!("frame {frame}: {problem}")),
                    }
                }
            }
            let Some(found) = &found.tubes else { continue };
            of += found.len();
            let tubes = tubes.get_or_insert_default();
            for (number, found) in found.iter().enumerate() {
                match self.video(id).and_then(|video| self.found_tube(video, found)) {
                    Ok(found) => tubes.push(found),
                    Err(problem) => doubt(format!("tube {}: {problem}", number + 1)),
                }
            }
        }
        match skipped.first() {
            Some(Doubt { video, problem, .. }) if !skip_bad => {
                let (first, bad) = (format!("{video}: {problem}"), skipped.len());
                Err(EvalError::Bad { path: path.to_path_buf(), what: "detections", bad, of, first })
            }
            _ => Ok(DetectionsFile { frames, tubes, skipped }),
        }
    }

    fn found(&self, at: usize, frame: i64, found: &FoundBox) -> std::result::Result<FrameDetection, String> {
        let FoundBox { label, score: Number(score), corners } = found;
        let (label, corners) = (self.label(label)?, corners.map(|side| side.0));
        let frame = check(&self.part.videos[at], frame, &corners, *score)?;
        Ok(FrameDetection { video: at, frame, label, score: *score, corners })
    }

    fn found_tube(&self, at: usize, found: &FoundTube) -> std::result::Result<TubeDetection, String> {
        let FoundTube { label, score: Number(score), start_frame, boxes } = found;
        let label = self.label(label)?;
        let boxes: Vec<[f32; 4]> = boxes.iter().map(|corners| corners.map(|side| side.0)).collect();
        let mut start = None;
        for (after, corners) in (0..).zip(&boxes) {
            let frame = start_frame.saturating_add(after);
            let frame = check(&self.part.videos[at], frame, corners, *score)
                .map_err(|problem| format!("frame {frame}: {problem}"))?;
            start.get_or_insert(frame);
        }
        let start_frame = start.ok_or("it has no box, expected one in each of its frames")?;
        Ok(TubeDetection { video: at, score: *score, tube: Tube { label, start_frame, boxes } })
    }

    fn video(&self, id: &str) -> std::result::Result<usize, String> {
        self.videos.get(id).copied().ok_or_else(|| {
            let (count, part) = (self.videos.len(), &self.part.name);
            format!("the video is not among the {count} annotated ones of the part {part:?}")
        })
    }

    fn label(&self, name: &str) -> std::result::Result<usize, String> {
        let found = self.labels.iter().position(|label| label == name);
        found.ok_or_else(|| {
            let first: Vec<&str> = self.labels.iter().take(20).map(String::as_str).collect();
            let more = self.labels.len() - first.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("found the class {name:?}, expected one of {}{more}", first.join(", "))
        })
    }
}

/// The number of the frame, if all is right.
fn check(video: &ActorVideo, frame: i64, corners: &[f32; 4], score: f32) -> std::result::Result<usize, String> {
    // More frames than fit 32 bits are in no video.
    let number =
        u32::try_from(frame).map_err(|_| format!("found the frame {frame}, expected a count from 0 on"))? as usize;
    if let Some(frames) = video.frames.filter(|frames| number >= *frames) {
        return Err(format!("the video has {frames} frames, counted from 0"));
    }
    if !score.is_finite() {
        return Err(format!("found the score {score}, expected a finite number"));
    }
    let [x1, y1, x2, y2] = *corners;
    if !(x2 > x1 && y2 > y1 && corners.iter().all(|side| side.is_finite())) {
        return Err(format!("found the box {corners:?}, expected x1 below x2 and y1 below y2"));
    }
    match video.size {
        Some((width, height)) if x2 <= 0.0 || y2 <= 0.0 || x1 >= width as f32 || y1 >= height as f32 => {
            Err(format!("found the box {corners:?}, expected one within {width} x {height}"))
        }
        _ => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> ActorPart {
        let video =
            |id: &str| ActorVideo { id: id.into(), media: None, frames: Some(5), size: Some((64, 48)), tubes: vec![] };
        ActorPart { name: "test".into(), videos: vec![video("a"), video("b")], missing: vec![] }
    }

    fn read(content: &str, skip_bad: bool) -> Result<DetectionsFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("found.json");
        fs::write(&path, content).unwrap();
        DetectKnown::new(&part(), &["Bow".into(), "Wave".into()]).read(&path, skip_bad)
    }

    #[test]
    fn boxes_and_tubes_are_read() {
        let found = read(
            r#"{"model": "m", "videos": {"b": {"frames": [{"frame": 4, "time_s": 0.4, "boxes": [
                {"label": "Wave", "score": 0.5, "box": [1, 2, 10.5, 20]}]}],
                "tubes": [{"label": "Bow", "score": 0.25, "start_frame": 3, "boxes": [[0, 0, 1, 1], [0, 0, 2, 2]]}]},
                "a": {"frames": []}}}"#,
            false,
        )
        .unwrap();
        let expected = FrameDetection { video: 1, frame: 4, label: 1, score: 0.5, corners: [1.0, 2.0, 10.5, 20.0] };
        assert_eq!((&found.frames[..], found.skipped.len()), (&[expected][..], 0));
        let boxes = vec![[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 2.0, 2.0]];
        let tube = TubeDetection { video: 1, score: 0.25, tube: Tube { label: 0, start_frame: 3, boxes } };
        assert_eq!(found.tubes, Some(vec![tube]));
        // Without tubes none were given, and that is not as if none were found.
        assert_eq!(read(r#"{"videos": {"a": {"frames": []}}}"#, false).unwrap().tubes, None);
    }

    #[test]
    fn what_cannot_be_scored_is_refused_or_left_out() {
        let one = |label: &str, corners: &str| format!(r#"{{"label": "{label}", "score": 0.5, "box": {corners}}}"#);
        let frame = |frame: i64, boxes: &str| format!(r#"{{"frame": {frame}, "boxes": [{boxes}]}}"#);
        let (fine, square) = (one("Bow", "[0, 0, 9, 9]"), "[0, 0, 9, 9]");
        for (id, frames, expected) in [
            ("c", frame(0, &fine), "c: frame 0: the video is not among the 2 annotated ones of the part \"test\""),
            ("a", frame(0, &one("Jump", square)), "found the class \"Jump\", expected one of Bow, Wave"),
            ("a", frame(5, &fine), "frame 5: the video has 5 frames, counted from 0"),
            ("a", frame(-1, &fine), "frame -1: found the frame -1, expected a count from 0 on"),
            ("a", frame(i64::MAX, &fine), "expected a count from 0 on"),
            ("a", frame(0, &one("Bow", "[0, 0, NaN, 9]")), "found the box [0.0, 0.0, NaN, 9.0], expected x1 below x2"),
            ("a", frame(0, &one("Bow", "[-Infinity, 0, 1e39, 9]")), "found the box [NaN, 0.0, inf, 9.0]"),
            ("a", frame(0, &one("Bow", "[0, null, 9, 9]")), "found the box [0.0, NaN, 9.0, 9.0]"),
            ("a", frame(0, &fine.replace("0.5", "NaN")), "found the score NaN, expected a finite number"),
            ("a", frame(0, &one("Bow", "[9, 0, 0, 9]")), "expected x1 below x2 and y1 below y2"),
            ("a", frame(0, &one("Bow", "[9, 0, 9, 9]")), "expected x1 below x2 and y1 below y2"),
            ("a", frame(0, &one("Bow", "[64, 0, 70, 9]")), "expected one within 64 x 48"),
        ] {
            let text = format!(
                r#"{{"videos": {{"{id}": {{"frames": [{frames}]}}, "b": {{"frames": [{}]}}}}}}"#,
                frame(1, &fine)
            );
            let error = read(&text, false).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("1 of 2 detections cannot be scored"), "{error}");
            let found = read(&text, true).unwrap();
            assert_eq!((found.frames.len(), found.skipped.len()), (1, 1));
        }
        for (start, boxes, expected) in [
            (4, "[0, 0, 1, 1], [0, 0, 1, 1]", "a: tube 1: frame 5: the video has 5 frames"),
            (1, "[0, 0, 1, 1], [0, 0, 1, NaN]", "a: tube 1: frame 2: found the box [0.0, 0.0, 1.0, NaN]"),
            (-1, "[0, 0, 1, 1]", "a: tube 1: frame -1: found the frame -1"),
            (i64::MAX, "[0, 0, 1, 1], [0, 0, 1, 1]", "expected a count from 0 on"),
            (0, "", "a: tube 1: it has no box"),
        ] {
            let tube = format!(r#"{{"label": "Bow", "score": 1, "start_frame": {start}, "boxes": [{boxes}]}}"#);
            let text = format!(r#"{{"videos": {{"a": {{"tubes": [{tube}]}}}}}}"#);
            let error = read(&text, false).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("1 of 1 detections"), "{error}");
            assert_eq!(read(&text, true).unwrap().tubes, Some(vec![]));
        }
    }

    #[test]
    fn a_file_in_another_form_is_refused_whole() {
        for (text, expected) in [
            (r#"{"videos": {"a": {"frames": [{"boxes": []}]}}}"#, "missing field `frame`"),
            (
                r#"{"videos": {"a": {"frames": [{"frame": 0, "boxes": [{"label": "Bow", "box": [0, 0, 1, 1]}]}]}}}"#,
                "missing field `score`",
            ),
            (
                r#"{"videos": {"a": {"tubes": [{"label": "Bow", "score": "1", "start_frame": 0, "boxes": []}]}}}"#,
                "string \"1\", expected a number",
            ),
            (r#"{"videos": {"a": {"frames": [{"frame": 0.5, "boxes": []}]}}}"#, "floating point `0.5`, expected i64"),
            ("{\"videos\": {\"a\": {},\n\"a\": {}}}", "line 2: found the video \"a\" twice"),
        ] {
            let error = read(text, true).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("expected {\"videos\""), "{error}");
        }
    }
}
