//! A check of a dataset of actors says what training would find.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use unscene_data::actors::{ActorCheck, ActorFormat, ActorReport, ActorSpec, actors_to_check, check_actors};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video")
}

/// Checks videos of fixtures: each a name, what else is known about it, and its tubes.
fn check(labels: &str, videos: &[(&str, &str, &str)], options: &ActorCheck) -> ActorReport {
    let folder = tempfile::tempdir().unwrap();
    let annotations = folder.path().join("actors.json");
    let video = |(name, known, tubes): &(&str, &str, &str)| {
        format!(r#""{name}": {{"part": "train", {known} "tubes": [{tubes}]}}"#)
    };
    let videos = videos.iter().map(video).collect::<Vec<_>>().join(", ");
    fs::write(&annotations, format!(r#"{{"labels": {labels}, "videos": {{{videos}}}}}"#)).unwrap();
    let (format, videos) = (ActorFormat::Actors, Some(fixtures()));
    let actors = ActorSpec { format, annotations, videos, split: 1, skip_bad: false }.load().unwrap();
    let (seen, of) = (AtomicUsize::new(0), actors_to_check(&actors, options));
    let report = check_actors(&actors, options, &|done| {
        seen.fetch_max(done, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    assert_eq!(seen.into_inner(), of);
    report
}

/// A tube of `count` boxes.
fn tube(label: &str, start_frame: usize, count: usize) -> String {
    let boxes = vec!["[1, 1, 20, 30]"; count].join(", ");
    format!(r#"{{"label": "{label}", "start_frame": {start_frame}, "boxes": [{boxes}]}}"#)
}

#[test]
fn what_is_there_is_counted() {
    let known = r#""frames": 40, "width": 96, "height": 64,"#;
    let both = [tube("bow", 0, 9), tube("wave", 6, 34)].join(", ");
    let videos =
        [("h264.mp4", known, both.as_str()), ("picture.png", "", &tube("bow", 0, 1)), ("gone", "", &tube("bow", 0, 2))];
    let report = check(r#"["bow", "wave"]"#, &videos, &ActorCheck::default());
    assert_eq!(report.problems, [""; 0]);
    let [part] = &report.parts[..] else { panic!("{report:?}") };
    assert_eq!((&*part.name, part.videos, part.found, part.read), ("train", 3, 2, 2));
    assert_eq!((&part.missing[..], part.unreadable.len()), (&["gone".to_string()][..], 0));
    assert_eq!(part.frames, 40 + 1 + 2);
    let counts: Vec<_> = part.per_label.iter().map(|count| (&*count.label, count.tubes, count.boxes)).collect();
    assert_eq!(counts, [("bow", 3, 12), ("wave", 1, 34)]);
}

#[test]
fn what_training_would_fail_on_is_a_problem() {
    let problems = |labels: &str, videos: &[(&str, &str, &str)], max_failed| {
        check(labels, videos, &ActorCheck { max_failed, ..ActorCheck::default() }).problems.join("; ")
    };
    let bow = |start, count| tube("bow", start, count);
    let fine = ("h264.mp4", "", &*bow(39, 1));
    assert_eq!(problems(r#"["bow"]"#, &[fine], 0.0), "");
    let text = problems(r#"["bow"]"#, &[("gone", "", &bow(0, 1))], 0.0);
    assert_eq!(text, "train: none of 1 videos is there, gone for one; check --videos");
    assert_eq!(problems(r#"["bow", "wave"]"#, &[fine], 0.0), "train: 1 labels have no actor: wave");
    // Two frames more than it has; its header claims 4,000 and 40 are there; boxes of another size; nothing in it.
    for (name, known, tubes, expected) in [
        ("vp9.webm", "", bow(40, 2), "vp9.webm: it ends after 40 frames, but there are actors in frame 41"),
        ("overreport.avi", "", bow(0, 60), "overreport.avi: it ends after 40 frames, but there are actors in frame 59"),
        (
            "mpeg4.avi",
            r#""width": 320, "height": 240,"#,
            bow(0, 1),
            "its frames are 96 x 64, but its boxes are of frames of 320 x 240",
        ),
        ("audio.mp4", "", bow(0, 1), "no video"),
    ] {
        let videos = [fine, (name, known, tubes.as_str())];
        let text = problems(r#"["bow"]"#, &videos, 0.4);
        assert!(
            text.contains("1 of 2 videos cannot be read, more than the 40.0 %") && text.contains(expected),
            "{text}"
        );
        assert_eq!(problems(r#"["bow"]"#, &videos, 0.5), "");
    }
}

#[test]
fn some_videos_stand_for_all() {
    let names = ["h264.mp4", "hevc.mp4", "vp9.mp4", "av1.mp4", "mpeg4.mp4"];
    let boxes = tube("bow", 0, 1);
    let videos = names.map(|name| (name, "", boxes.as_str()));
    let report = check(r#"["bow"]"#, &videos, &ActorCheck { sample: 2, workers: 1, ..ActorCheck::default() });
    assert_eq!((report.parts[0].read, report.parts[0].found, report.parts[0].frames), (2, 5, 5));
}
