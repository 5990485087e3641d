//! A check says what training would find.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use unscene_data::untrimmed::{
    Untrimmed, UntrimmedCheck, UntrimmedFormat, UntrimmedReport, UntrimmedSpec, check_untrimmed, untrimmed_to_check,
};

/// THUMOS14's files of two classes, and fixtures of 1.6 s under the names of their videos.
fn load(bowl: &str, dunk: &str, videos: &[(&str, &str)]) -> (Untrimmed, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("Bowl_train.txt", bowl);
    write("Dunk_train.txt", dunk);
    write("Ambiguous_train.txt", "a 1 1.1\n");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video");
    for (id, fixture) in videos {
        fs::copy(fixtures.join(fixture), folder.path().join(id).with_extension("mp4")).unwrap();
    }
    let (format, path) = (UntrimmedFormat::Thumos14, folder.path().to_path_buf());
    let spec = UntrimmedSpec { format, annotations: path.clone(), videos: Some(path), skip_bad: false };
    (spec.load().unwrap(), folder)
}

fn check(untrimmed: &mut Untrimmed, max_failed: f64, skip_bad: bool) -> UntrimmedReport {
    let options = UntrimmedCheck { max_failed, skip_bad, ..UntrimmedCheck::default() };
    let (seen, of) = (AtomicUsize::new(0), untrimmed_to_check(untrimmed, &options));
    let report = check_untrimmed(untrimmed, &options, &|done| {
        seen.fetch_max(done, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    // A video whose length is not known is not read, but counts as done.
    assert_eq!(seen.into_inner(), of);
    report
}

#[test]
fn what_is_there_is_counted() {
    let videos = [("a", "h264.mp4"), ("b", "hevc.mp4")];
    let (mut untrimmed, _folder) = load("a 0 1\na 1 1.5\nb 0 1\nc 0 1\n", "b 0.1 1\n", &videos);
    let report = check(&mut untrimmed, 0.0, false);
    assert_eq!(report.problems, [""; 0]);
    let [part] = &report.parts[..] else { panic!("{report:?}") };
    assert_eq!((&*part.name, part.videos, part.found, &part.missing[..]), ("train", 3, 2, &["c".to_string()][..]));
    assert_eq!((part.unreadable.len(), part.ambiguous, part.buffers, part.skipped.len()), (0, 1, 2, 0));
    let counts: Vec<_> = part.per_label.iter().map(|count| (&*count.label, count.segments)).collect();
    assert_eq!(counts, [("Bowl", 4), ("Dunk", 1)]);
    assert!((part.hours * 3600.0 - 3.2).abs() < 0.01, "{}", part.hours);
}

#[test]
fn what_training_would_fail_on_is_a_problem() {
    let problem = |bowl, dunk, videos: &[_], max_failed, skip_bad| {
        let (mut untrimmed, _folder) = load(bowl, dunk, videos);
        let report = check(&mut untrimmed, max_failed, skip_bad);
        (report.problems.join("; "), report)
    };
    let fine = ("a", "h264.mp4");
    let (text, _) = problem("a 0 1\n", "a 0 1\n", &[], 0.0, false);
    assert_eq!(text, "train: none of 1 videos is there, a for one; check --videos");
    let (text, report) = problem("a 0 1\na 1.6 3\n", "a 0 1\n", &[fine], 0.0, false);
    assert!(text.contains("Bowl: the segment 1.6 to 3 s is past the end of the video at 1.600 s"), "{text}");
    assert_eq!(report.parts[0].buffers, 0);
    let (text, report) = problem("a 0 1\na 1.6 3\n", "a 0 1\n", &[fine], 0.0, true);
    assert_eq!((&*text, report.parts[0].skipped.len(), report.parts[0].buffers), ("", 1, 1));
    let (text, _) = problem("a 0 1\n", "", &[fine], 0.0, false);
    assert_eq!(text, "train: 1 labels have no action: Dunk");
    // The header of one is fine, but 40 of its 4,000 frames are there.
    let broken = [fine, ("b", "overreport.avi"), ("c", "audio.mp4")];
    let lists = ("a 0 1\nb 0 1\n", "c 0 1\n");
    let (text, report) = problem(lists.0, lists.1, &broken, 0.5, false);
    assert!(text.contains("2 of 3 videos cannot be read, more than the 50.0 %") && text.contains("no video"), "{text}");
    let ids: Vec<&str> = report.parts[0].unreadable.iter().map(|failure| &*failure.id).collect();
    assert_eq!(ids, ["c", "b"]);
    assert_eq!(problem(lists.0, lists.1, &broken, 0.7, false).0, "");
}

#[test]
fn annotations_alone_have_no_problem() {
    let (untrimmed, folder) = load("a 0 1\n", "a 1 2\n", &[]);
    let spec = UntrimmedSpec {
        format: UntrimmedFormat::Thumos14,
        annotations: folder.path().into(),
        videos: None,
        skip_bad: false,
    };
    let mut alone = spec.load().unwrap();
    assert_eq!(alone.labels, untrimmed.labels);
    let report = check(&mut alone, 0.0, false);
    assert_eq!((report.problems.len(), report.parts[0].found, report.parts[0].missing.len()), (0, 0, 0));
    alone.parts[0].videos[0].duration_s = Some(1800.0);
    assert_eq!(check(&mut alone, 0.0, false).parts[0].hours, 0.5);
}
