//! The official lists, where they are there.

use std::path::{Path, PathBuf};

use unscene_data::formats::{DatasetSpec, Format};

/// A folder of official lists beside the project; the test is passed over, and says so, without it.
fn official(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/formats").join(name);
    if !folder.is_dir() {
        eprintln!("not tested: {} is missing", folder.display());
    }
    folder.is_dir().then_some(folder)
}

fn counts(format: Format, annotations: &Path, split: u32) -> (usize, Vec<(String, usize)>) {
    let videos = tempfile::tempdir().unwrap();
    let spec = DatasetSpec { format, annotations: annotations.into(), videos: Some(videos.path().into()), split };
    let dataset = spec.load().unwrap();
    assert!(dataset.parts.iter().all(|part| part.items.is_empty()), "there are no videos");
    (dataset.labels.len(), dataset.parts.into_iter().map(|part| (part.name, part.missing.len())).collect())
}

#[test]
fn ucf101_has_its_official_counts() {
    let Some(folder) = official("ucf101") else { return };
    assert_eq!(counts(Format::Ucf101, &folder, 1), (101, vec![("train".into(), 9537), ("test".into(), 3783)]));
}

#[test]
fn hmdb51_has_its_official_counts() {
    let Some(folder) = official("hmdb51") else { return };
    for split in 1..=3 {
        // Three classes of 51 are there; each has 70 videos to train and 30 to test.
        assert_eq!(counts(Format::Hmdb51, &folder, split), (3, vec![("train".into(), 210), ("test".into(), 90)]));
    }
}
