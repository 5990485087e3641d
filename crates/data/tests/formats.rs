//! The official lists, where they are there.

use std::path::{Path, PathBuf};

use unscene_data::Dataset;
use unscene_data::formats::{DatasetSpec, Format};

/// A folder of official lists beside the project; the test is passed over, and says so, without it.
fn official(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/formats").join(name);
    if !folder.is_dir() {
        eprintln!("not tested: {} is missing", folder.display());
    }
    folder.is_dir().then_some(folder)
}

/// A dataset whose videos are all missing.
fn load(format: Format, annotations: &Path, split: u32) -> Dataset {
    let videos = tempfile::tempdir().unwrap();
    let spec = DatasetSpec { format, annotations: annotations.into(), videos: Some(videos.path().into()), split };
    let dataset = spec.load().unwrap();
    assert!(dataset.parts.iter().all(|part| part.items.is_empty()), "there are no videos");
    dataset
}

fn missing<'a>(dataset: &'a Dataset, part: &str) -> &'a [PathBuf] {
    &dataset.part(part).unwrap().missing
}

#[test]
fn ucf101_has_its_official_counts() {
    let Some(folder) = official("ucf101") else { return };
    let dataset = load(Format::Ucf101, &folder, 1);
    assert_eq!((dataset.labels.len(), dataset.parts.len()), (101, 2));
    assert_eq!((missing(&dataset, "train").len(), missing(&dataset, "test").len()), (9537, 3783));
}

#[test]
fn hmdb51_has_its_official_counts() {
    let Some(folder) = official("hmdb51") else { return };
    for split in 1..=3 {
        // At least three classes of 51 are there; each has 70 videos to train and 30 to test.
        let dataset = load(Format::Hmdb51, &folder, split);
        assert!(dataset.labels.len() >= 3 && dataset.parts.len() == 2, "{:?}", dataset.labels);
        for class in &dataset.labels {
            let count = |part| missing(&dataset, part).iter().filter(|path| path.starts_with(class)).count();
            assert_eq!((count("train"), count("test")), (70, 30), "{class}, split {split}");
        }
    }
}
