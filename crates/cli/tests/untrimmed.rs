//! `unscene data check` of untrimmed videos.

mod common;

use std::fs;
use std::path::Path;

use common::{done, run, video};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Two parts in THUMOS14's files and in ActivityNet's, over two videos of 1.6 s.
fn set(folder: &Path) {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lists/annotation_val/detclasslist.txt", "7 Bowl\n9 Dunk\n");
    write("lists/annotation_val/Bowl_val.txt", "a 0 1\na 1.2 1.6\n");
    write("lists/annotation_val/Dunk_val.txt", "a 0.1 0.9\n");
    write("lists/annotation_test/Bowl_test.txt", "b 0 1\nc 0 1\n");
    write("lists/annotation_test/Dunk_test.txt", "b 1 1.5\n");
    write("lists/annotation_test/Ambiguous_test.txt", "b 0.5 0.6\n");
    write("videos/val/none", "");
    write("videos/test/none", "");
    fs::copy(video("h264.mp4"), folder.join("videos/val/a.mp4")).unwrap();
    fs::copy(video("vp9.webm"), folder.join("videos/test/b.webm")).unwrap();
    let json =
        r#"{"database": {"a": {"subset": "training", "annotations": [{"segment": ["0", "1"], "label": "Bowl"}]}}}"#;
    write("activitynet.json", json);
}

#[test]
fn an_untrimmed_set_is_checked_in_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    set(folder.path());
    let (lists, videos) = (folder.path().join("lists"), folder.path().join("videos"));
    let check = ["data", "check", "--format", "thumos14", "--annotations", text(&lists), "--videos", text(&videos)];
    let table = done(check);
    assert!(
        table.contains("| val  |      1 |     1 |          0 |   0.0 |       3 |         0 |       1 |"),
        "{table}"
    );
    assert!(
        table.contains("| test |      2 |     1 |          0 |   0.0 |       3 |         1 |       1 |"),
        "{table}"
    );
    assert!(table.contains("| Bowl  |   2 |    2 |") && table.contains("  test missing: c"), "{table}");
    let report: Value = serde_json::from_str(&done(check.into_iter().chain(["--part", "test", "--json"]))).unwrap();
    assert_eq!((report["parts"].as_array().unwrap().len(), &report["parts"][0]["missing"][0]), (1, &"c".into()));

    let json = folder.path().join("activitynet.json");
    let table = done(["data", "check", "--format", "activitynet", "--annotations", text(&json)]);
    assert!(table.contains("| training |") && table.contains("only the annotations were looked at"), "{table}");
}

#[test]
fn what_training_would_fail_on_ends_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    set(folder.path());
    let (lists, videos) = (folder.path().join("lists"), folder.path().join("videos"));
    let named = ["--format", "thumos14", "--annotations", text(&lists), "--videos", text(&videos)];
    let check = |more: &[&str]| run(["data", "check"].iter().chain(&named).chain(more));
    let refused = |more: &[&str], expected: &str| {
        let ended = check(more);
        assert!(ended.code == Some(2) && ended.err.contains(expected), "{ended:?}");
    };
    refused(&["--part", "train"], "no part \"train\"; it has val, test");
    let list = lists.join("annotation_val/Bowl_val.txt");
    fs::write(&list, "a 0 1\na 1.2 1.1\n").unwrap();
    refused(&[], "Bowl_val.txt line 2: a: the segment ends at 1.1 s");
    let ended = check(&["--skip-bad"]);
    assert!(ended.code == Some(0) && ended.out.contains("1 annotations cannot be right"), "{ended:?}");
    fs::write(&list, "a 0 1\na 3 4\n").unwrap();
    refused(&[], "training would fail: val: ");
    refused(&[], "a: Bowl: the segment 3 to 4 s is past the end of the video at 1.600 s");
    let ended = check(&["--skip-bad"]);
    assert!(ended.code == Some(0) && ended.out.contains("val left out: "), "{ended:?}");
    fs::write(videos.join("val/a.mp4"), "no video").unwrap();
    refused(&["--skip-bad"], "val: 1 of 1 videos cannot be read");

    // Commands that need labelled clips say so.
    let sheet = folder.path().join("sheet.png");
    let preview = ["annotate", "preview", "--people", "none.sqlite", "--out", text(&sheet)];
    let ended = run(preview.iter().chain(&named));
    assert!(ended.code == Some(2) && ended.err.contains("thumos14 lists untrimmed videos"), "{ended:?}");
}
