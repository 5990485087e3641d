//! The official annotations of THUMOS14, where they are there.

use std::path::{Path, PathBuf};

use unscene_data::untrimmed::{Untrimmed, UntrimmedFormat, UntrimmedPart, UntrimmedSpec};

/// A file or folder beside the project; the test is passed over, and says so, without it.
fn official(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/formats/thumos14").join(name);
    if !path.exists() {
        eprintln!("not tested: {} is missing", path.display());
    }
    path.exists().then_some(path)
}

fn load(format: UntrimmedFormat, annotations: PathBuf) -> Untrimmed {
    UntrimmedSpec { format, annotations, videos: None, skip_bad: false }.load().unwrap()
}

fn segments(part: &UntrimmedPart) -> usize {
    part.videos.iter().map(|video| video.segments.len()).sum()
}

/// Counted with awk, sort and wc over the files.
#[test]
fn the_test_part_has_its_official_counts() {
    let Some(folder) = official("annotation_test") else { return };
    let found = load(UntrimmedFormat::Thumos14, folder);
    assert_eq!((found.labels.len(), found.class_ids.len(), found.skipped.len()), (20, 20, 0));
    let [test] = &found.parts[..] else { panic!("{:?}", found.parts) };
    let with_actions = test.videos.iter().filter(|video| !video.segments.is_empty()).count();
    let ambiguous: usize = test.videos.iter().map(|video| video.ambiguous.len()).sum();
    // One of the videos has nothing but ambiguous moments.
    assert_eq!((test.videos.len(), with_actions, segments(test), ambiguous), (213, 212, 3358, 99));
    let diving = found.labels.iter().position(|label| label == "Diving").unwrap();
    let dives = test.videos.iter().flat_map(|video| &video.segments).filter(|segment| segment.label == diving);
    assert_eq!(dives.count(), 388);
}

/// The folder above holds a folder for each part.
#[test]
fn the_folder_of_the_parts_is_read_too() {
    let Some(folder) = official("") else { return };
    let found = load(UntrimmedFormat::Thumos14, folder.clone());
    assert_eq!(found, load(UntrimmedFormat::Thumos14, folder.join("annotation_test")));
}

#[test]
fn the_json_of_both_parts_has_its_counts() {
    let Some(file) = official("thumos_gt.json") else { return };
    let found = load(UntrimmedFormat::Activitynet, file);
    let counts: Vec<_> = found.parts.iter().map(|part| (&*part.name, part.videos.len(), segments(part))).collect();
    assert_eq!(counts, [("train", 200, 3007), ("test", 210, 3311)]);
    assert_eq!(found.labels.len(), 20);
}
