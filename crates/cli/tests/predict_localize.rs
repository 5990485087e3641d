//! `unscene predict` with a localizer whose answers are known: it finds red and lime where all else is black.

mod common;

use std::path::Path;

use common::{bundle, colors, done, localizer, run, video};

#[test]
fn segments_are_a_table_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let (path, svg) = (folder.path().join("colors <1>.mp4"), folder.path().join("out.svg"));
    colors(&path);
    let [bundle, video, timeline] = [&localizer(), &path, &svg].map(|path| path.to_str().unwrap().to_string());
    let told = done(["predict", "--bundle", &bundle, &video, "--timeline", &timeline]);
    assert!(told.contains("(2 segments in 4.0 s, 3 windows, "), "{told}");
    let row = |label: &str| -> Vec<String> {
        let line = told.lines().find(|line| line.contains(label)).unwrap_or_else(|| panic!("{told}"));
        line.split('|').map(|cell| cell.trim().to_string()).filter(|cell| !cell.is_empty()).collect()
    };
    assert_eq!(
        (&row("red")[2..], &row("green")[2..]),
        (&["0.4".into(), "0.8".into()][..], &["2.4".into(), "2.8".into()][..])
    );

    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert_eq!(drawn.matches("data:image/png;base64,").count(), 10, "ten key frames");
    assert!(drawn.contains("colors &lt;1&gt;.mp4") && drawn.contains("red, 0.4 s to 0.8 s, 99 %"), "{drawn}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "nothing but the video and the drawing");

    // Options of localization, and no segment at all.
    let best = done(["predict", "--bundle", &bundle, &video, "--max-segments", "1", "--tiou-nms", "0.9"]);
    assert!(best.contains("(1 segments in"), "{best}");
    let none = done(["predict", "--bundle", &bundle, &video, "--threshold", "1"]);
    assert!(none.contains("(0 segments in") && none.lines().count() == 1, "{none}");
}

#[test]
fn options_of_the_other_task_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let classifier = bundle(folder.path());
    let [localizer, classifier] = [localizer(), classifier].map(|path| path.to_str().unwrap().to_string());
    let video = video("h264.mp4").to_str().unwrap().to_string();
    let svg = folder.path().join("out.svg").to_str().unwrap().to_string();
    for (args, part) in [
        (vec!["--bundle", &classifier, "--timeline", &svg, &video], "--timeline is not for"),
        (vec!["--bundle", &classifier, "--threshold", "0.5", &video], "made to classify"),
        (vec!["--bundle", &localizer, "--top-k", "2", &video], "--top-k is not for"),
        (vec!["--bundle", &localizer, "--crops", "three", &video], "made to localize"),
        (
            vec!["--bundle", &localizer, "--timeline", &svg, &video, &video],
            "--timeline draws one video, and 2 are given",
        ),
        (vec!["--bundle", &localizer, "--threshold", "7", &video], "threshold: found 7"),
        (
            vec!["--bundle", &localizer, "--timeline", "/no/such/folder/out.svg", &video],
            "--timeline: there is no folder /no/such/folder; make it first",
        ),
        (vec!["--bundle", &localizer, "--timeline", "out.png", &video], "expected a name that ends in .svg"),
    ] {
        let ended = run(["predict"].into_iter().chain(args));
        assert!(ended.code == Some(2) && ended.err.contains(part), "{part}: {ended:?}");
    }
    assert!(!Path::new(&svg).exists());
}
