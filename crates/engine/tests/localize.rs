//! Real videos through a localizer whose answers are known: `localizer` finds red and lime where all else is black.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unscene_engine::{
    Bundle, DeviceChoice, EngineChoice, EngineError, EngineOptions, Graphs, Localization, LocalizeOptions, Localizer,
    Model, Progress, SegmentNms,
};
use unscene_media::{EncodeOptions, Encoder, Source};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn options(engine: EngineChoice, batch: usize) -> EngineOptions {
    EngineOptions { engine, device: DeviceChoice::Cpu, threads: 2, batch, ..Default::default() }
}

fn localizer(engine: EngineChoice, batch: usize) -> Localizer {
    Localizer::load(&Bundle::open(fixture("localizer")).unwrap(), &options(engine, batch)).unwrap()
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn localize(localizer: &Localizer, source: &Source, options: &LocalizeOptions) -> Localization {
    localizer.localize(source, options, &mut go_on).unwrap()
}

/// A file of frames of one colour each.
fn video(dir: &Path, frames: usize, fps: u32, color: impl Fn(usize) -> [u8; 3]) -> Source {
    let path = dir.join(format!("{frames}-{fps}.mp4"));
    let options = EncodeOptions { width: 64, height: 48, fps, crf: 1, keyframe_every: 12 };
    let mut encoder = Encoder::create(&path, &options).unwrap();
    for frame in 0..frames {
        encoder.write(&color(frame).repeat(64 * 48)).unwrap();
    }
    encoder.finish().unwrap();
    Source::Path(path)
}

/// Red from 0.4 to 0.8 s and lime from 2.4 to 2.8 s, 4 s in all.
fn colors(second: f64) -> [u8; 3] {
    match (second * 10.0 + 1e-6) as usize {
        4..8 => [255, 0, 0],
        24..28 => [0, 255, 0],
        _ => [0; 3],
    }
}

/// Label, begin and end of each segment, in tenths of seconds.
fn told(found: &Localization) -> Vec<(&str, f64, f64)> {
    let tenths = |second: f64| (second * 10.0 * 100.0).round() / 100.0;
    found.segments.iter().map(|one| (one.label.as_str(), tenths(one.start_s), tenths(one.end_s))).collect()
}

#[test]
fn every_engine_batch_and_stride_finds_the_same_segments() {
    let dir = tempfile::tempdir().unwrap();
    let source = video(dir.path(), 40, 10, |frame| colors(frame as f64 / 10.0));
    for (engine, batch) in [(EngineChoice::Ort, 0), (EngineChoice::Ort, 3), (EngineChoice::Tract, 0)] {
        let localizer = localizer(engine, batch);
        for (stride, windows) in [(None, 3), (Some(8), 4), (Some(4), 7)] {
            let options = LocalizeOptions { stride_frames: stride, proposals: 2, ..Default::default() };
            let found = localize(&localizer, &source, &options);
            let mut segments = told(&found);
            assert!(found.segments.iter().all(|one| one.score > 0.97), "{found:?}");
            segments.sort_by(|a, b| a.1.total_cmp(&b.1));
            assert_eq!(segments, [("red", 4.0, 8.0), ("green", 24.0, 28.0)], "{engine} {stride:?}");
            assert_eq!((found.video.clips, found.video.frames, found.video.damaged_packets), (windows, 40, 0));
            let mut proposed: Vec<f64> = found.proposals.iter().map(|one| (one.start_s * 10.0).round()).collect();
            proposed.sort_by(f64::total_cmp);
            assert_eq!(proposed, [4.0, 24.0]);
        }
    }
}

#[test]
fn the_options_say_which_segments_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let source = video(dir.path(), 40, 10, |frame| colors(frame as f64 / 10.0));
    let localizer = localizer(EngineChoice::Tract, 0);
    let found = |options: LocalizeOptions| localize(&localizer, &source, &options);
    let stride_frames = Some(8);
    let all = found(LocalizeOptions { stride_frames, nms: SegmentNms::Off, ..Default::default() });
    // Longer anchors around the colours, and the lime ones in both windows that show them.
    assert!(all.segments.len() > 6, "{all:?}");
    let best =
        found(LocalizeOptions { stride_frames, nms: SegmentNms::Off, threshold: Some(0.9), ..Default::default() });
    assert_eq!(best.segments.len(), 3, "{best:?}");
    let thinned = found(LocalizeOptions { nms: SegmentNms::Above(0.45), ..Default::default() });
    assert!(thinned.segments.len() > 2 && thinned.segments.len() < all.segments.len(), "{thinned:?}");
    assert!(thinned.segments.windows(2).all(|two| two[0].score >= two[1].score), "best first: {thinned:?}");
    assert_eq!(found(LocalizeOptions { max_segments: Some(1), ..Default::default() }).segments.len(), 1);

    for (options, expected) in [
        (LocalizeOptions { stride_frames: Some(0), ..Default::default() }, "stride_frames: found 0"),
        (LocalizeOptions { threshold: Some(1.5), ..Default::default() }, "threshold: found 1.5"),
        (LocalizeOptions { nms: SegmentNms::Above(f64::NAN), ..Default::default() }, "tiou_nms: found NaN"),
    ] {
        let error = localizer.localize(&source, &options, &mut go_on).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_rate_of_the_video_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let localizer = localizer(EngineChoice::Tract, 0);
    for fps in [5, 30] {
        let source = video(dir.path(), 4 * fps as usize, fps, |frame| colors(frame as f64 / f64::from(fps)));
        let found = localize(&localizer, &source, &LocalizeOptions { threshold: Some(0.9), ..Default::default() });
        let mut segments = told(&found);
        segments.sort_by(|a, b| a.1.total_cmp(&b.1));
        assert_eq!(segments, [("red", 4.0, 8.0), ("green", 24.0, 28.0)], "{fps} fps");
        assert_eq!(found.video.frames, 40);
    }
    // 40 frames that last from 20 to 200 ms, of which no two neighbours take the same time.
    let source = Source::Path(fixture("../../../../tests/fixtures/video/vfr.mp4"));
    let found = localize(&localizer, &source, &LocalizeOptions::default());
    assert_eq!(found.video.frames, (found.video.duration_s * 10.0).ceil() as u64, "{found:?}");
}

#[test]
fn videos_shorter_than_a_step_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    for engine in [EngineChoice::Ort, EngineChoice::Tract] {
        let localizer = localizer(engine, 0);
        for frames in [1, 2, 3] {
            for (color, expected) in [([0; 3], 0), ([255, 0, 0], 1)] {
                let source = video(dir.path(), frames, 10, |_| color);
                let found = localize(&localizer, &source, &LocalizeOptions::default());
                assert_eq!((found.segments.len(), found.video.clips), (expected, 1), "{frames} frames: {found:?}");
                let end_s = frames as f64 / 10.0;
                assert!(found.segments.iter().all(|one| one.start_s == 0.0 && one.end_s <= end_s + 1e-9), "{found:?}");
            }
        }
    }
}

#[test]
fn progress_is_told_and_a_caller_can_stop() {
    let dir = tempfile::tempdir().unwrap();
    let source = video(dir.path(), 40, 10, |_| [0; 3]);
    let localizer = localizer(EngineChoice::Tract, 1);
    let mut seen = Vec::new();
    let mut note = |progress: Progress| {
        seen.push((progress.clips, (progress.time_s * 10.0).round(), progress.duration_s.map(f64::round)));
        ControlFlow::Continue(())
    };
    localizer.localize(&source, &LocalizeOptions::default(), &mut note).unwrap();
    for expected in [(1, 16.0, Some(4.0)), (2, 32.0, Some(4.0)), (3, 40.0, Some(4.0))] {
        assert!(seen.contains(&expected), "{seen:?}");
    }
    let mut stop = |_: Progress| ControlFlow::Break(());
    let error = localizer.localize(&source, &LocalizeOptions::default(), &mut stop).unwrap_err();
    assert!(matches!(error, EngineError::Cancelled), "{error}");
    assert!(localizer.localize(&source, &LocalizeOptions::default(), &mut go_on).is_ok());
}

#[test]
fn several_callers_share_a_localizer_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let localizer = localizer(EngineChoice::Ort, 0);
    let sources: Vec<Source> = [(0, 4), (1, 8), (2, 20)]
        .iter()
        .map(|&(number, from)| {
            let dir = dir.path().join(number.to_string());
            std::fs::create_dir(&dir).unwrap();
            video(&dir, 40, 10, |frame| if (from..from + 4).contains(&frame) { [255, 0, 0] } else { [0; 3] })
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            for (source, from) in sources.iter().zip([4.0, 8.0, 20.0]) {
                let localizer = &localizer;
                scope.spawn(move || {
                    let found = localize(localizer, source, &LocalizeOptions::default());
                    assert_eq!(told(&found), [("red", from, from + 4.0)]);
                });
            }
        }
    });
}

#[test]
fn a_bundle_of_the_other_task_says_what_takes_it() {
    let (localizer, classifier) = (fixture("localizer"), fixture("pool"));
    let options = options(EngineChoice::Tract, 0);
    let error = Model::load(&Bundle::open(localizer).unwrap(), &options).err().unwrap().to_string();
    assert!(error.contains("made to localize and cannot classify; `unscene predict`"), "{error}");
    let error = Localizer::load(&Bundle::open(classifier).unwrap(), &options).err().unwrap().to_string();
    assert!(error.contains("made to classify and cannot localize") && error.contains("/v1/classify"), "{error}");
}

#[test]
fn graphs_run_alone() {
    let bundle = Bundle::open(fixture("localizer")).unwrap();
    for engine in [EngineChoice::Ort, EngineChoice::Tract] {
        let graphs = Graphs::load(&bundle, &options(engine, 0)).unwrap();
        // Two regions: all red, and all black.
        let regions = [vec![1.0; 16], vec![0.0; 32 + 48]].concat();
        let found = graphs.run(1, &regions, 2).unwrap();
        assert_eq!(found, [vec![5.0, 10.0, 0.0, 5.0, 0.0, 0.0], vec![0.0; 12]]);
        assert!(graphs.run(1, &regions, 3).unwrap_err().to_string().contains("96 values for 3 clips"));
        assert!(graphs.run(2, &regions, 2).unwrap_err().to_string().contains("graph: found 2, expected below 2"));
    }
}
