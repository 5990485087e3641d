//! The pickles of the ACT detector (Kalogeiton et al. 2017), which others share too: `JHMDB-GT.pkl`, `UCF101v2-GT.pkl`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use unscene_pickle::numpy::array;
use unscene_pickle::{Id, Object, Pickle};
use unscene_vision::Tube;

use super::ActorVideo;
use super::collect::Collected;
use crate::error::{DataError, Result};
use crate::formats::part::format_error;

/// Reads the file: `labels`, `gttubes` {video: {label: [frames x (frame from 1, x1, y1, x2, y2)]}}, `nframes`, `resolution`
/// {video: (height, width)}, and the lists `train_videos` and `test_videos` of each split.
pub fn read(path: &Path, split: u32) -> Result<Collected> {
    let bytes = fs::read(path).map_err(|source| DataError::Io { path: path.to_path_buf(), source })?;
    parse(&bytes, path, split).map_err(|problem| format_error(path, None, problem))?
}

/// What is wrong with the file is a text, what is wrong with the dataset an error.
fn parse(bytes: &[u8], path: &Path, split: u32) -> Result<Result<Collected>, String> {
    let pickle = Pickle::read(&mut &bytes[..])?;
    let root = pickle.root_id();
    let entry = |key: &str| {
        let expected = "labels, gttubes, nframes, resolution, train_videos and test_videos";
        pickle.entry(root, key).ok_or_else(|| format!("it has no {key:?}, expected a dictionary of {expected}"))
    };
    let labels = texts(&pickle, entry("labels")?).ok_or("labels: expected a list of names")?;
    let mut collected = match Collected::new(path, labels) {
        Ok(collected) => collected,
        Err(error) => return Ok(Err(error)),
    };
    for (part, key) in [("train", "train_videos"), ("test", "test_videos")] {
        let splits = items(&pickle, entry(key)?).ok_or_else(|| format!("{key}: expected a list for each split"))?;
        let of = splits.len();
        let list = (split as usize).checked_sub(1).and_then(|at| splits.get(at));
        let list = list
            .ok_or_else(|| format!("{key}: found {of} splits, expected one of the number {split}; --split names it"))?;
        let names = texts(&pickle, *list).ok_or_else(|| format!("{key}: expected lists of names"))?;
        for name in names.into_iter().collect::<BTreeSet<String>>() {
            let video =
                video(&pickle, &name, [entry("gttubes")?, entry("nframes")?, entry("resolution")?], &mut collected);
            collected.add(part, &name, video.map_err(|problem| format!("{name}: {problem}"))?);
        }
    }
    Ok(Ok(collected))
}

fn video(
    pickle: &Pickle,
    name: &str,
    [gttubes, nframes, resolution]: [Id; 3],
    collected: &mut Collected,
) -> Result<ActorVideo, String> {
    let numbers = |dict: Id, what: &str| {
        let found = pickle.entry(dict, name).and_then(|id| array(pickle, id));
        found.map(|found| found.values).ok_or_else(|| format!("found no {what}"))
    };
    let frames = match numbers(nframes, "nframes")?[..] {
        [frames] => frames as usize,
        ref other => return Err(format!("found the nframes {other:?}, expected a number")),
    };
    let size = match numbers(resolution, "resolution")?[..] {
        [height, width] => (width as u32, height as u32),
        ref other => return Err(format!("found the resolution {other:?}, expected height and width")),
    };
    let mut tubes = vec![];
    let by_label = pickle.entry(gttubes, name).map(|id| pickle.get(id));
    let Some(Object::Dict(by_label)) = by_label else { return Err("found no gttubes".into()) };
    for &(label, list) in by_label {
        let label = array(pickle, label).filter(|label| label.values.len() == 1 && label.values[0] >= 0.0);
        let label = label.ok_or("gttubes: found a label that is no number")?.values[0] as usize;
        for &rows in items(pickle, list).ok_or("gttubes: expected a list of arrays for each label")? {
            let rows = array(pickle, rows).filter(|rows| matches!(rows.shape[..], [_, 5]));
            let rows = rows.ok_or("gttubes: found no array of frames x 5")?.values;
            tubes.extend(consecutive(&rows, label, |problem| {
                collected.doubt(name, format!("actor {}: {problem}", tubes.len() + 1));
            }));
        }
    }
    Ok(ActorVideo { id: name.into(), media: None, frames: Some(frames), size: Some(size), tubes })
}

/// A tube of rows of consecutive frames.
fn consecutive(rows: &[f64], label: usize, doubt: impl FnOnce(String)) -> Option<Tube> {
    let rows: Vec<&[f64]> = rows.chunks_exact(5).collect();
    let first = rows.first().map_or(1.0, |row| row[0]);
    if first < 1.0 {
        doubt(format!("found the frame {first}, expected frames counted from 1"));
        return None;
    }
    if let Some((at, row)) = rows.iter().enumerate().find(|(at, row)| row[0] != first + *at as f64) {
        doubt(format!("found the frame {} after {}, expected consecutive ones", row[0], first + at as f64 - 1.0));
        return None;
    }
    let boxes = rows.iter().map(|row| [row[1], row[2], row[3], row[4]].map(|side| side as f32)).collect();
    Some(Tube { label, start_frame: first as usize - 1, boxes })
}

fn items(pickle: &Pickle, id: Id) -> Option<&[Id]> {
    match pickle.get(id) {
        Object::List(items) | Object::Tuple(items) => Some(items),
        _ => None,
    }
}

fn texts(pickle: &Pickle, id: Id) -> Option<Vec<String>> {
    items(pickle, id)?.iter().map(|&item| pickle.text(item).map(str::to_string)).collect()
}
