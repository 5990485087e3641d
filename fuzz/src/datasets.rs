//! Annotations in all formats. The first line is the format, and the file to begin with where there is one.

use std::path::PathBuf;

use unscene_data::actors::{ActorFormat, ActorSpec};
use unscene_data::formats::{DatasetSpec, Format};
use unscene_data::untrimmed::{UntrimmedFormat, UntrimmedSpec};
use unscene_eval::detect::DetectKnown;
use unscene_eval::localize::Known;

use crate::scratch;

/// What detections are called, where there are any.
const DETECTIONS: &str = "detections";

/// Lays out the files; gives the format, the annotations and the folder.
fn named<T: std::str::FromStr>(data: &[u8]) -> Option<(T, PathBuf, PathBuf)> {
    let (first, folder) = scratch::files(data);
    let (format, list) = first.split_once(' ').unwrap_or((&first, ""));
    let annotations = if list.is_empty() { folder.clone() } else { scratch::inside(&folder, list)? };
    Some((format.parse().ok()?, annotations, folder))
}

/// Datasets of labelled videos.
pub fn datasets(data: &[u8]) {
    let Some((format, annotations, folder)) = named::<Format>(data) else { return };
    let Ok(dataset) = (DatasetSpec { format, annotations, videos: Some(folder), split: 1 }).load() else { return };
    for part in &dataset.parts {
        assert!(part.items.iter().all(|item| item.label < dataset.labels.len()));
    }
}

/// Untrimmed datasets, and detections and proposals in them.
pub fn untrimmed(data: &[u8]) {
    let Some((format, annotations, folder)) = named::<UntrimmedFormat>(data) else { return };
    let detections = folder.join(DETECTIONS);
    let spec = UntrimmedSpec { format, annotations, videos: Some(folder), skip_bad: true };
    let Ok(dataset) = spec.load() else { return };
    let _ = UntrimmedSpec { skip_bad: false, ..spec }.load();
    for part in &dataset.parts {
        assert!(part.videos.iter().flat_map(|video| &video.segments).all(|one| one.label < dataset.labels.len()));
        let known = Known::new(&dataset, part);
        for skip_bad in [false, true] {
            let _ = known.detections(&detections, skip_bad);
            let _ = known.proposals(&detections, skip_bad);
        }
    }
}

/// Datasets of actors, and detections in them.
pub fn actors(data: &[u8]) {
    let Some((format, annotations, folder)) = named::<ActorFormat>(data) else { return };
    let detections = folder.join(DETECTIONS);
    let spec = ActorSpec { format, annotations, videos: Some(folder), split: 1, skip_bad: true };
    let Ok(dataset) = spec.load() else { return };
    let _ = ActorSpec { skip_bad: false, ..spec }.load();
    for part in &dataset.parts {
        assert!(part.videos.iter().flat_map(|video| &video.tubes).all(|tube| tube.label < dataset.labels.len()));
        let known = DetectKnown::new(part, &dataset.labels);
        for skip_bad in [false, true] {
            let _ = known.read(&detections, skip_bad);
        }
    }
}
