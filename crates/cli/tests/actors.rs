//! Datasets of actors with the command alone.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{done, run};
use serde_json::Value;

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_set_of_actors_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("actors.json");
    let write = |second: &str| {
        let json = format!(
            r#"{{"labels": ["bow", "wave"], "videos": {{
                "h264": {{"part": "train", "frames": 40, "width": 96, "height": 64, "tubes": [
                    {{"label": "bow", "boxes": [[1, 1, 9, 9], [2, 1, 10, 9]]}},
                    {{"label": "wave", "start_frame": 1, "boxes": [{second}, [3, 3, 9, 9]]}}]}},
                "gone": {{"part": "test", "tubes": [{{"label": "bow", "boxes": [[1, 1, 9, 9]]}}]}},
                "vp9": {{"part": "test", "tubes": []}}}}}}"#
        );
        fs::write(&list, json).unwrap();
    };
    write("[3, 3, 9, 9]");
    let videos = fixtures("video");
    let check = ["data", "check", "--format", "actors", "--annotations", text(&list), "--videos", text(&videos)];
    let table = done(check);
    for line in [
        "| train |      1 |     1 |    1 |          0 |                  3 |      2 |     4 |",
        "| test  |      2 |     1 |    1 |          0 |                  1 |      1 |     1 |",
        "| bow       |     1 |    1 |",
        "| wave      |     1 |    0 |",
        "  test missing: gone",
    ] {
        assert!(table.contains(line), "{line}\n{table}");
    }
    // Whoever trained on this part would never see the other label.
    let ended = run(check.into_iter().chain(["--part", "test", "--json"]));
    assert!(ended.code == Some(2) && ended.err.contains("test: 1 labels have no actor: wave"), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["parts"].as_array().unwrap().len(), 1);
    assert_eq!(report["parts"][0]["per_label"][0]["boxes"], 1);

    write("[3, 3, 9, 3]");
    let ended = run(check);
    let expected = "h264: actor 2 (wave): 1 of 2 boxes have no area, the first in frame 1";
    assert!(ended.code == Some(2) && ended.err.contains(expected), "{ended:?}");
    let ended = run(check.into_iter().chain(["--skip-bad"]));
    assert!(ended.code == Some(0) && ended.out.contains("1 annotations cannot be right"), "{ended:?}");
    assert!(ended.out.contains(expected), "{}", ended.out);
    let ended = run(check.into_iter().chain(["--part", "test"]));
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[test]
fn masks_are_checked_without_videos_and_clips_are_not_asked_of_actors() {
    let masks = fixtures("actors/jhmdb");
    let named = ["--format", "jhmdb", "--annotations", text(&masks), "--split", "1", "--skip-bad"];
    let ended = run(["data", "check"].into_iter().chain(named));
    assert!(ended.code == Some(2) && ended.err.contains("train: 1 labels have no actor: wave"), "{ended:?}");
    let table = ended.out;
    assert!(table.contains("| train |      1 |     0 |    0 |") && table.contains("only the annotations"), "{table}");
    assert!(table.contains("| test  |      2 |     0 |    0 |          0 |                  9 |"), "{table}");
    let ended = run(["data", "check", "--format", "jhmd", "--annotations", text(&masks)]);
    assert!(ended.err.contains("or of actors actors, ucf24, gttubes, jhmdb"), "{ended:?}");
}
