//! How well a cache agrees with Stage, whose truth is exact.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use unscene_data::{Cache, CacheKind, Found, Item, Media, Span};
use unscene_vision::iou;

use crate::error::{AnnotateError, Result};

/// Agreement of a classifier with the true scenes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SceneAgreement {
    /// Videos in both.
    pub videos: usize,
    /// Videos of the set.
    pub of: usize,
    /// Share whose likeliest label is the true scene.
    pub accuracy: f64,
    /// Mean probability of the true scene.
    pub probability: f64,
    /// Share of the videos that a label's commonest scene explains: what the labels tell about the scenes, whatever
    /// their names are.
    pub purity: f64,
    /// The purity of labels given at random: the share of the commonest scene.
    pub chance: f64,
    /// Labels that were the likeliest of some video.
    pub labels_used: usize,
}

/// Agreement of a detector with the true boxes, at an overlap (IoU) of at least 0.5.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeopleAgreement {
    /// Videos in both.
    pub videos: usize,
    /// Videos of the set.
    pub of: usize,
    /// Frames that were looked at in videos that truly show somebody: boxes where nobody is are wrong.
    pub frames: usize,
    /// People in them.
    pub people: usize,
    /// Share of the people that were found.
    pub recall: f64,
    /// Share of the boxes that are right.
    pub precision: f64,
    /// Mean over the people of the overlap with the best box.
    pub mean_iou: f64,
    /// Mean over the people of the share of the person's box that any box covers: what masking would hide.
    pub covered: f64,
}

#[derive(Deserialize)]
pub(crate) struct SceneRow {
    pub path: String,
    pub scene: String,
}

#[derive(Deserialize)]
pub(crate) struct BoxRow {
    pub path: String,
    pub frame: usize,
    pub x1: f32,
    pub y1: f32,
    pub x2: f32,
    pub y2: f32,
}

#[derive(Deserialize)]
struct StageFile {
    format: StageFormat,
}

#[derive(Deserialize)]
struct StageFormat {
    fps: f64,
}

/// Compares a cache of scenes with `scenes.csv` of a folder that `unscene stage` made.
///
/// # Errors
/// When a file cannot be read, or they have no video in common.
pub fn scene_agreement(cache: &Path, stage: &Path) -> Result<SceneAgreement> {
    stage_fps(stage)?;
    let rows: Vec<SceneRow> = table(&stage.join("scenes.csv"))?;
    let opened = Cache::open(cache, CacheKind::Scenes)?;
    let (mut right, mut probability) = (0, 0.0);
    let mut by_label: HashMap<usize, HashMap<&str, usize>> = HashMap::new();
    let mut by_scene: HashMap<&str, usize> = HashMap::new();
    let mut videos = 0;
    for row in &rows {
        let Some(Found::Scenes(scores)) = annotation(&opened, stage, &row.path) else { continue };
        let top = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        let truth = opened.labels().iter().position(|label| *label == row.scene);
        videos += 1;
        right += usize::from(truth == Some(top));
        probability += truth.map_or(0.0, |truth| f64::from(scores[truth]));
        *by_label.entry(top).or_default().entry(&row.scene).or_default() += 1;
        *by_scene.entry(&row.scene).or_default() += 1;
    }
    let count = some(videos, cache, stage)?;
    let explained: usize = by_label.values().map(|scenes| scenes.values().max().copied().unwrap_or(0)).sum();
    Ok(SceneAgreement {
        videos,
        of: rows.len(),
        accuracy: right as f64 / count,
        probability: probability / count,
        purity: explained as f64 / count,
        chance: by_scene.values().max().copied().unwrap_or(0) as f64 / count,
        labels_used: by_label.len(),
    })
}

/// Compares a cache of people with `boxes.csv` of a folder that `unscene stage` made.
///
/// # Errors
/// When a file cannot be read, or they have no video in common.
pub fn people_agreement(cache: &Path, stage: &Path) -> Result<PeopleAgreement> {
    let fps = stage_fps(stage)?;
    let mut truth: HashMap<String, HashMap<usize, Vec<[f32; 4]>>> = HashMap::new();
    for BoxRow { path, frame, x1, y1, x2, y2 } in table::<BoxRow>(&stage.join("boxes.csv"))? {
        truth.entry(path).or_default().entry(frame).or_default().push([x1, y1, x2, y2]);
    }
    let opened = Cache::open(cache, CacheKind::People)?;
    let (mut videos, mut frames, mut people, mut found, mut boxes) = (0, 0, 0, 0, 0);
    let (mut overlap, mut covered) = (0.0, 0.0);
    for (path, truth) in &truth {
        let Some(Found::People(looks)) = annotation(&opened, stage, path) else { continue };
        videos += 1;
        for look in looks {
            // Where nobody is, every box is wrong.
            let there = truth.get(&((look.time_s * fps).round() as usize)).map_or(&[][..], Vec::as_slice);
            let seen: Vec<[f32; 4]> = look.boxes.iter().map(|found| found.corners).collect();
            frames += 1;
            people += there.len();
            boxes += seen.len();
            found += found_people(there, &seen);
            for person in there {
                overlap += seen.iter().map(|found| f64::from(iou(found, person))).fold(0.0, f64::max);
                covered += seen.iter().map(|found| cover(found, person)).fold(0.0, f64::max);
            }
        }
    }
    some(videos, cache, stage)?;
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    Ok(PeopleAgreement {
        videos,
        of: truth.len(),
        frames,
        people,
        recall: share(found, people),
        precision: share(found, boxes),
        mean_iou: overlap / people.max(1) as f64,
        covered: covered / people.max(1) as f64,
    })
}

/// How many people are found: each by a box of its own that overlaps them by half. Further boxes around them are wrong.
fn found_people(people: &[[f32; 4]], boxes: &[[f32; 4]]) -> usize {
    let mut pairs: Vec<(f32, usize, usize)> = vec![];
    for (person, corners) in people.iter().enumerate() {
        pairs.extend(boxes.iter().enumerate().map(|(at, found)| (iou(found, corners), person, at)));
    }
    pairs.retain(|(overlap, ..)| *overlap >= 0.5);
    // The best pairs first, each person and each box in one of them.
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut found, mut taken) = (HashSet::new(), HashSet::new());
    for (_, person, at) in pairs {
        if !found.contains(&person) && !taken.contains(&at) {
            found.insert(person);
            taken.insert(at);
        }
    }
    found.len()
}

/// The share of a person's box that a box covers.
fn cover(found: &[f32; 4], person: &[f32; 4]) -> f64 {
    let side = |low: usize, high: usize| (found[high].min(person[high]) - found[low].max(person[low])).max(0.0);
    let area = (person[2] - person[0]) * (person[3] - person[1]);
    if area > 0.0 { f64::from(side(0, 2) * side(1, 3) / area) } else { 0.0 }
}

/// What a cache says about a path of a list; nothing when it does not know it, it was another video of that name, or it
/// could not be read.
fn annotation(cache: &Cache, stage: &Path, path: &str) -> Option<Found> {
    let id = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    // Stage's own lists name videos below `videos/`; UCF101's lists start there.
    let ids = [id, id.strip_prefix("videos/").unwrap_or(id)];
    let item = |id: &str| Item { id: id.into(), media: Media::Video(stage.join(path)), span: Span::Whole, label: 0 };
    ids.iter().find_map(|id| cache.read([&item(id)]).ok()?.pop()?).map(|annotation| annotation.found)
}

/// Frames per second of a finished set.
pub(crate) fn stage_fps(stage: &Path) -> Result<f64> {
    let settings = stage.join("stage.json");
    if !settings.is_file() {
        let problem = "this is no finished Stage set: it lacks stage.json; `unscene stage` makes one".into();
        return Err(AnnotateError::Config { path: stage.to_path_buf(), problem });
    }
    let text = fs::read_to_string(&settings).map_err(|source| AnnotateError::Io { path: settings.clone(), source })?;
    let StageFile { format } = serde_json::from_str(&text)
        .map_err(|error| AnnotateError::Config { path: settings.clone(), problem: error.to_string() })?;
    Ok(format.fps)
}

fn some(videos: usize, cache: &Path, stage: &Path) -> Result<f64> {
    if videos > 0 {
        return Ok(videos as f64);
    }
    let problem = format!("none of its videos is of {}; annotate that set first", stage.display());
    Err(AnnotateError::Config { path: cache.to_path_buf(), problem })
}

pub(crate) fn table<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let failed = |error: csv::Error| match error.kind() {
        csv::ErrorKind::Io(_) => AnnotateError::Io { path: path.to_path_buf(), source: error.into() },
        _ => AnnotateError::Config { path: path.to_path_buf(), problem: error.to_string() },
    };
    csv::Reader::from_path(path).map_err(failed)?.into_deserialize().collect::<Result<_, _>>().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_person_is_found_by_a_box_of_its_own() {
        let at = |x: f32| [x, 0.0, x + 10.0, 10.0];
        assert_eq!(found_people(&[at(0.0)], &[at(0.0), at(1.0)]), 1);
        assert_eq!(found_people(&[at(0.0), at(30.0)], &[at(31.0), at(1.0)]), 2);
        // One box between two people who stand close is one of them; half of one is enough.
        assert_eq!(found_people(&[at(0.0), at(4.0)], &[at(2.0)]), 1);
        assert_eq!(found_people(&[at(0.0), at(4.0)], &[at(2.0), at(5.0)]), 2);
        assert_eq!(found_people(&[at(0.0)], &[[0.0, 0.0, 10.0, 5.0]]), 1);
        assert_eq!(found_people(&[at(0.0)], &[[0.0, 0.0, 10.0, 4.9]]), 0);
        assert_eq!(found_people(&[], &[at(0.0)]), 0);
    }
}
