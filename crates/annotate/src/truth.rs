//! Caches of what Stage knows: annotation without a model, and without its errors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;
use unscene_data::{
    Annotation, CacheKind, CacheOrigin, CacheWriter, Found, Item, Media, PeopleFrame, PersonBox, Span, facts,
};

use crate::agree::{BoxRow, SceneRow, stage_fps, table};
use crate::error::{AnnotateError, Result};

/// Writes the true scenes of a set that `unscene stage` made, as a classifier that is never wrong. Returns the number of videos.
///
/// # Errors
/// When the set is not finished or the cache is another one's.
pub fn scene_truth(stage: &Path, cache: &Path) -> Result<usize> {
    stage_fps(stage)?;
    let rows: Vec<SceneRow> = table(&stage.join("scenes.csv"))?;
    let labels: Vec<String> = rows.iter().map(|row| row.scene.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let found = |row: &SceneRow| {
        let scores = labels.iter().map(|label| f32::from(u8::from(*label == row.scene))).collect();
        (row.path.clone(), Found::Scenes(scores), 1)
    };
    write(stage, cache, CacheKind::Scenes, labels.clone(), rows.iter().map(found))
}

/// Writes the true boxes of people of every frame, as a detector that is never wrong. Returns the number of videos.
///
/// # Errors
/// As [`scene_truth`].
pub fn people_truth(stage: &Path, cache: &Path) -> Result<usize> {
    let fps = stage_fps(stage)?;
    let mut videos: BTreeMap<String, BTreeMap<usize, PeopleFrame>> = BTreeMap::new();
    for BoxRow { path, frame, x1, y1, x2, y2 } in table::<BoxRow>(&stage.join("boxes.csv"))? {
        let looked = videos.entry(path).or_default().entry(frame);
        let frame = looked.or_insert_with(|| PeopleFrame { time_s: frame as f64 / fps, boxes: vec![] });
        frame.boxes.push(PersonBox { corners: [x1, y1, x2, y2], score: 1.0 });
    }
    let found = videos.into_iter().map(|(path, frames)| {
        let frames: Vec<PeopleFrame> = frames.into_values().collect();
        let count = frames.len();
        (path, Found::People(frames), count)
    });
    write(stage, cache, CacheKind::People, vec![], found)
}

fn write(
    stage: &Path,
    cache: &Path,
    kind: CacheKind,
    labels: Vec<String>,
    videos: impl Iterator<Item = (String, Found, usize)>,
) -> Result<usize> {
    let model = "the truth of Stage".to_string();
    let settings = json!({"stage": stage.join("stage.json")});
    let origin = CacheOrigin { kind, model, model_sha256: "0".repeat(64), settings, labels };
    let mut writer = CacheWriter::open(cache, &origin)?;
    let mut count = 0;
    for (path, found, frames) in videos {
        let id = path.rsplit_once('.').map_or(path.as_str(), |(stem, _)| stem).to_string();
        let item = Item { id, media: Media::Video(stage.join(&path)), span: Span::Whole, label: 0 };
        if !stage.join(&path).is_file() {
            let problem = format!("{path} is not there, though a list names it");
            return Err(AnnotateError::Config { path: stage.to_path_buf(), problem });
        }
        let size = facts(&item)?.picture_size;
        writer.put(&item, Ok(&Annotation { size, frames, found }))?;
        count += 1;
    }
    writer.finish()?;
    Ok(count)
}
