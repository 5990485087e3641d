//! UCF101-24: `pyannot.pkl` with the boxes (Singh et al. 2017), and the lists of UCF101's splits.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use unscene_pickle::numpy::{array, text};
use unscene_pickle::{Id, Object, Pickle};
use unscene_vision::Tube;

use super::ActorVideo;
use super::collect::Collected;
use crate::error::{DataError, Result};
use crate::formats::files::id;
use crate::formats::part::{format_error, lines, read as read_text};

/// All videos of UCF101 are of this size.
const SIZE: (u32, u32) = (320, 240);

/// Reads the pickle, or the one of this name in a folder, and `testlistNN.txt` beside it: the videos in the list are `test`,
/// all others `train`; with a `trainlistNN.txt`, only those in that.
///
/// Boxes there are x, y, width, height in frames `sf` to `ef` (not included), counted from 0.
pub fn read(path: &Path, split: u32) -> Result<Collected> {
    let path = &if path.is_dir() { path.join("pyannot.pkl") } else { path.to_path_buf() };
    let bytes = fs::read(path).map_err(|source| DataError::Io { path: path.clone(), source })?;
    let wrong = |problem: String| format_error(path, None, problem);
    let pickle = Pickle::read(&mut &bytes[..]).map_err(wrong)?;
    let Object::Dict(entries) = pickle.root() else {
        return Err(wrong("it holds no dictionary, expected {video: {\"annotations\", \"numf\", \"label\"}}".into()));
    };
    let list = |name: &str| path.with_file_name(format!("{name}list{split:02}.txt"));
    let test = listed(&list("test"))?;
    let train = if list("train").exists() { Some(listed(&list("train"))?) } else { None };

    let mut videos = Vec::with_capacity(entries.len());
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    for &(key, value) in entries {
        let name =
            text(&pickle, key).ok_or_else(|| wrong("found a video without a name, expected CLASS/VIDEO".into()))?;
        let class = name.split_once('/').map(|(class, _)| class.to_string());
        let class = class.ok_or_else(|| wrong(format!("found the video {name:?}, expected CLASS/VIDEO")))?;
        let label = whole(&pickle, value, "label").map_err(|problem| wrong(format!("{name}: {problem}")))?;
        let known = names.entry(label).or_insert_with(|| class.clone());
        if *known != class {
            return Err(wrong(format!("{name}: found the label {label}, which is {known} elsewhere")));
        }
        videos.push((name, value));
    }
    if let Some((at, (&label, _))) = names.iter().enumerate().find(|(at, (label, _))| *at != **label) {
        return Err(wrong(format!("found the label {label}, expected {at}: labels are counted from 0 without a gap")));
    }
    let mut collected = Collected::new(path, names.into_values().collect())?;
    for (name, value) in videos {
        let part = match (test.contains(&name), &train) {
            (true, _) => "test",
            (false, None) => "train",
            (false, Some(train)) if train.contains(&name) => "train",
            (false, Some(_)) => continue,
        };
        let video =
            video(&pickle, &name, value, &mut collected).map_err(|problem| wrong(format!("{name}: {problem}")))?;
        collected.add(part, &name, video);
    }
    Ok(collected)
}

fn video(pickle: &Pickle, name: &str, entry: Id, collected: &mut Collected) -> Result<ActorVideo, String> {
    let frames = whole(pickle, entry, "numf")?;
    let annotations = pickle.entry(entry, "annotations").map(|id| pickle.get(id));
    let Some(Object::List(annotations)) = annotations else { return Err("it has no list \"annotations\"".into()) };
    let mut tubes = vec![];
    for (at, &annotation) in annotations.iter().enumerate() {
        let of = |problem: String| format!("actor {}: {problem}", at + 1);
        let [label, start_frame, end_frame] = ["label", "sf", "ef"].map(|key| whole(pickle, annotation, key));
        let (label, start_frame, end_frame) = (label.map_err(of)?, start_frame.map_err(of)?, end_frame.map_err(of)?);
        let boxes = pickle.entry(annotation, "boxes").and_then(|id| array(pickle, id));
        let boxes = boxes.filter(|boxes| matches!(boxes.shape[..], [_, 4]));
        let boxes = boxes.ok_or_else(|| of("found no array \"boxes\", expected frames x 4".into()))?;
        let corners = |row: &[f64]| [row[0], row[1], row[0] + row[2], row[1] + row[3]].map(|side| side as f32);
        let boxes: Vec<[f32; 4]> = boxes.values.chunks_exact(4).map(corners).collect();
        if end_frame.checked_sub(start_frame) != Some(boxes.len()) {
            let found = boxes.len();
            collected.doubt(
                name,
                of(format!("found {found} boxes, expected one in each frame of {start_frame} to {end_frame}")),
            );
        }
        tubes.push(Tube { label, start_frame, boxes });
    }
    Ok(ActorVideo { id: name.into(), media: None, frames: Some(frames), size: Some(SIZE), tubes })
}

/// A whole number of a dictionary, from 0 on.
fn whole(pickle: &Pickle, dict: Id, key: &str) -> Result<usize, String> {
    let number = pickle.entry(dict, key).and_then(|id| array(pickle, id)).filter(|found| found.values.len() == 1);
    match number.map(|found| found.values[0]) {
        Some(value) if value >= 0.0 && value.fract() == 0.0 && value < 1e9 => Ok(value as usize),
        Some(value) => Err(format!("{key}: found {value}, expected a whole number from 0 on")),
        None => Err(format!("{key}: found no number, expected a whole one from 0 on")),
    }
}

/// The videos of a list, one a line, with or without an extension and a label's number.
fn listed(path: &Path) -> Result<HashSet<String>> {
    if !path.exists() {
        let problem = "there is no such list; put UCF101's lists beside pyannot.pkl, or choose another split";
        return Err(format_error(path, None, problem));
    }
    let text = read_text(path)?;
    let name = |line: &str| id(line.split_whitespace().next().unwrap_or_default());
    Ok(lines(&text).map(|(_, line)| name(line)).collect())
}
