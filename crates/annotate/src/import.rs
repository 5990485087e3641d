//! The annotations that the paper's release (SDN) gives: NumPy files of nested dictionaries.
//!
//! - `places_data/*.npy`: `{class: {video: {"probs": 365 or frames x 365, "pred_cls": ...}}}`
//! - `detections/*.npy`: `{class: {video: {frame: {"human_boxes": n x (x1, y1, x2, y2, score)}}}}`, frames from 1, boxes
//!   in pixels of the extracted frames
//!
//! Videos of Kinetics go by the 11 letters of their YouTube id.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use unscene_data::{
    Annotation, CacheKind, CacheOrigin, CacheWriter, DataError, Failure, Found, Item, PeopleFrame, PersonBox, facts,
};
use unscene_pickle::numpy::{array, read_npy};
use unscene_pickle::{Id, Object, Pickle};

use crate::error::{AnnotateError, Result};
use crate::run::{Report, check_failures};

/// What is needed beside the files themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportOptions {
    /// Names of the scenes, for probabilities.
    pub labels: Vec<String>,
    /// Height in pixels of the pictures that boxes are in: 240 in the release; `None` where it is the videos' own.
    pub picture_height: Option<u32>,
    /// Share of the videos that may be absent from the files or unreadable.
    pub max_failed: f64,
}

/// Takes what SDN's files say about `items`, whose class names are in `classes`, into a cache.
///
/// # Errors
/// When a file is not in that form, or too many videos are not in it.
pub fn import(
    kind: CacheKind,
    files: &[PathBuf],
    items: &[Item],
    classes: &[String],
    options: &ImportOptions,
    out: &Path,
) -> Result<Report> {
    let mut hasher = Sha256::new();
    let mut sources = Vec::new();
    for path in files {
        let bytes = fs::read(path).map_err(|source| AnnotateError::Io { path: path.clone(), source })?;
        hasher.update(&bytes);
        let (pickle, root) = read_npy(&bytes).map_err(|problem| wrong(path, problem))?;
        if !matches!(pickle.get(root), Object::Dict(_)) {
            return Err(wrong(path, "it holds no dictionary, expected {class: {video: ...}}".into()));
        }
        sources.push(Source { path, pickle, root });
    }
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let origin = CacheOrigin {
        kind,
        model: format!("imported from {}", names.join(", ")),
        model_sha256: hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        settings: json!({"import": "sdn", "picture_height": options.picture_height}),
        labels: if kind == CacheKind::Scenes { options.labels.clone() } else { vec![] },
    };
    if out.exists() {
        let problem = "it is there already; remove it, or name another file".into();
        return Err(AnnotateError::Config { path: out.to_path_buf(), problem });
    }
    // An import is quick, and starts anew: unlike a model's work, nothing of a failed one is kept.
    let partial = out.with_added_extension("partial");
    let _ = fs::remove_file(&partial);
    let report = CacheWriter::open(&partial, &origin)
        .map_err(AnnotateError::from)
        .and_then(|cache| fill(cache, kind, &sources, items, classes, options))
        .and_then(|report| {
            let renamed = fs::rename(&partial, out);
            renamed.map(|()| report).map_err(|source| AnnotateError::Io { path: out.to_path_buf(), source })
        });
    if report.is_err() {
        let _ = fs::remove_file(&partial);
    }
    report
}

fn fill(
    mut cache: CacheWriter,
    kind: CacheKind,
    sources: &[Source<'_>],
    items: &[Item],
    classes: &[String],
    options: &ImportOptions,
) -> Result<Report> {
    let mut report = Report::default();
    for item in items {
        let found = sources.iter().find_map(|source| Some((source, source.video(&classes[item.label], &item.id)?)));
        let annotation = match found {
            None => Err(format!("{} is not in the files under the class {:?}", item.id, classes[item.label])),
            Some((source, video)) => source.annotation(kind, video, item, options)?,
        };
        match annotation {
            Ok(annotation) => {
                if let Found::People(frames) = &annotation.found {
                    report.people += frames.iter().map(|frame| frame.boxes.len()).sum::<usize>();
                    report.frames_with_people += frames.iter().filter(|frame| !frame.boxes.is_empty()).count();
                }
                report.frames += annotation.frames;
                report.videos += 1;
                cache.put(item, Ok(&annotation))?;
            }
            Err(reason) => {
                cache.put(item, Err(&reason))?;
                report.failures.push(Failure { id: item.id.clone(), reason });
                check_failures(&report.failures, options.max_failed, items.len())?;
            }
        }
    }
    cache.finish()?;
    Ok(report)
}

struct Source<'a> {
    path: &'a Path,
    pickle: Pickle,
    root: Id,
}

impl Source<'_> {
    /// A video's entry, by the last part of its id: whole, without the times of Kinetics, or with an extension.
    fn video(&self, class: &str, id: &str) -> Option<Id> {
        let class = self.pickle.entry(self.root, class)?;
        let name = id.rsplit('/').next().unwrap_or(id);
        let youtube = name.get(..11).filter(|_| name.len() > 11);
        [Some(name), youtube].into_iter().flatten().find_map(|name| self.pickle.entry(class, name))
    }

    /// The outer error is a file that is not in the form, the inner one a video that cannot be read.
    fn annotation(
        &self,
        kind: CacheKind,
        video: Id,
        item: &Item,
        options: &ImportOptions,
    ) -> Result<Result<Annotation, String>> {
        // The size and the rate are those of the video itself.
        let facts = match facts(item) {
            Ok(facts) => facts,
            Err(error) => return Ok(Err(DataError::to_string(&error))),
        };
        let size = facts.picture_size;
        if kind == CacheKind::Scenes {
            let (frames, scores) = self.scores(video, &item.id, options.labels.len())?;
            return Ok(Ok(Annotation { size, frames, found: Found::Scenes(scores) }));
        }
        let scale = options.picture_height.map_or(1.0, |height| size.1 as f32 / height as f32);
        let frames = self.frames(video, &item.id, facts.fps, scale)?;
        let last_s = frames.last().map_or(0.0, |frame| frame.time_s);
        // Half a second, because headers round and frames may have been extracted at another rate.
        if let Some(end_s) = facts.duration_s.filter(|end_s| last_s > end_s + 0.5) {
            let problem =
                format!("{}: the files have boxes at {last_s:.2} s, but the video ends at {end_s:.2} s", item.id);
            return Ok(Err(problem));
        }
        Ok(Ok(Annotation { size, frames: frames.len(), found: Found::People(frames) }))
    }

    /// The mean over the frames.
    fn scores(&self, video: Id, id: &str, labels: usize) -> Result<(usize, Vec<f32>)> {
        let expected =
            || wrong(self.path, format!("{id}: expected \"probs\" of {labels} or frames x {labels} numbers"));
        let probs = self.pickle.entry(video, "probs").and_then(|probs| array(&self.pickle, probs));
        let probs = probs.ok_or_else(expected)?;
        if labels == 0 || probs.shape.last() != Some(&labels) || probs.shape.len() > 2 || probs.values.is_empty() {
            let found: Vec<String> = probs.shape.iter().map(ToString::to_string).collect();
            let problem = format!(
                "{id}: \"probs\" is {}, expected {labels} (the number of labels) or frames x {labels}",
                found.join(" x ")
            );
            return Err(wrong(self.path, problem));
        }
        if let Some(bad) = probs.values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(wrong(self.path, format!("{id}: \"probs\" holds {bad}, expected probabilities from 0 to 1")));
        }
        let frames = probs.values.len() / labels;
        let mut mean = vec![0.0; labels];
        for row in probs.values.chunks_exact(labels) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / frames as f64);
        }
        Ok((frames, mean.into_iter().map(|value| value as f32).collect()))
    }

    fn frames(&self, video: Id, id: &str, fps: f64, scale: f32) -> Result<Vec<PeopleFrame>> {
        let expected = |problem: &str| {
            let problem = format!(
                "{id}: {problem}; expected {{1: {{\"human_boxes\": n x (x1, y1, x2, y2, score)}}, 2: ...}}, frames from 1 on"
            );
            wrong(self.path, problem)
        };
        let Object::Dict(entries) = self.pickle.get(video) else { return Err(expected("it is no dictionary")) };
        let mut frames = Vec::with_capacity(entries.len());
        for &(key, value) in entries {
            let Some(number) = array(&self.pickle, key).filter(|key| key.values.len() == 1 && key.values[0] >= 1.0)
            else {
                let found = self
                    .pickle
                    .text(key)
                    .map_or("no whole number from 1 on".into(), |text| format!("the text {text:?}"));
                return Err(expected(&format!("the key of a frame is {found}")));
            };
            let boxes = self.pickle.entry(value, "human_boxes").and_then(|boxes| array(&self.pickle, boxes));
            let boxes = boxes.ok_or_else(|| expected("a frame has no \"human_boxes\""))?;
            if !boxes.values.is_empty() && (boxes.shape.len() != 2 || boxes.shape[1] != 5) {
                return Err(expected(&format!("\"human_boxes\" has the sides {:?}", boxes.shape)));
            }
            let person = |row: &[f64]| PersonBox {
                corners: [row[0], row[1], row[2], row[3]].map(|side| side as f32 * scale),
                score: row[4] as f32,
            };
            let boxes = boxes.values.chunks_exact(5).map(person).collect();
            frames.push(PeopleFrame { time_s: (number.values[0] - 1.0) / fps, boxes });
        }
        frames.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        Ok(frames)
    }
}

fn wrong(path: &Path, problem: String) -> AnnotateError {
    AnnotateError::Config { path: path.to_path_buf(), problem }
}
