//! A video that is looked at while it comes.

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use unscene_engine::{
    Bundle, ClassifyOptions, ClipPrediction, DeviceChoice, EngineChoice, EngineError, EngineOptions, Live, Model,
    Progress,
};
use unscene_media::{DecodeOptions, Decoder, Source};

/// Of clips of 4 frames the brightest channel wins.
fn model() -> Model {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pool");
    let options = EngineOptions { engine: EngineChoice::Tract, device: DeviceChoice::Cpu, ..Default::default() };
    Model::load(&Bundle::open(bundle).unwrap(), &options).unwrap()
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video").join(name)).unwrap()
}

/// A decoder of what a thread writes.
fn coming(write: impl FnOnce(&mut File) + Send + 'static) -> Decoder {
    let (reader, writer) = std::io::pipe().unwrap();
    std::thread::spawn(move || write(&mut OwnedFd::from(writer).into()));
    let file = Arc::new(OwnedFd::from(reader).into());
    Decoder::open(&Source::File { name: "the pipe".into(), file }, &DecodeOptions::default()).unwrap()
}

#[test]
fn every_clip_is_told_or_counted_and_the_newest_is_told() {
    let mut told: Vec<Live<ClipPrediction>> = vec![];
    // Much time passes after the first: those behind it give way.
    let mut tell = |clip| {
        if told.is_empty() {
            std::thread::sleep(Duration::from_secs(3));
        }
        told.push(clip);
    };
    let video = coming(|pipe| pipe.write_all(&fixture("h264.ts")).unwrap());
    let options = ClassifyOptions { top_k: 2, ..Default::default() };
    let summary = model().watch(video, &options, &mut tell, &mut go_on).unwrap();
    let dropped: u64 = told.iter().map(|clip| clip.dropped).sum();
    // 40 frames are 10 clips.
    assert_eq!((told.len() as u64 + dropped, told.len()), (10, summary.video.clips));
    assert!(dropped >= 5 && summary.dropped == dropped, "{summary:?}");
    assert!((summary.dropped_share - dropped as f64 / 10.0).abs() < 1e-12);
    let last = &told.last().unwrap().seen;
    assert!((last.start_s - 1.44).abs() < 1e-3 && (last.end_s - 1.6).abs() < 1e-3, "{last:?}");
    assert!(told.iter().all(|clip| clip.seen.predictions.len() == 2 && clip.delay_s <= summary.max_delay_s));
    // What is told of a clip is what is told of it in a whole video.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video/h264.ts");
    let options = ClassifyOptions { clips: true, ..options };
    let whole = model().classify(&Source::Path(path), &options, &mut go_on).unwrap().clips.unwrap();
    for clip in &told {
        let same = whole.iter().find(|one| (one.start_s - clip.seen.start_s).abs() < 1e-6).unwrap();
        assert_eq!(same.predictions, clip.seen.predictions);
    }
}

#[test]
fn who_does_not_want_any_more_ends_it() {
    let (sender, waits) = std::sync::mpsc::channel::<()>();
    let video = coming(move |pipe| {
        pipe.write_all(&fixture("h264.ts")).unwrap();
        // It has not ended; it ends when the test does.
        let _ = waits.recv_timeout(Duration::from_secs(2));
    });
    let mut clips = 0;
    let mut control = |progress: Progress| {
        clips = progress.clips;
        if clips > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = model().watch(video, &ClassifyOptions::default(), &mut |_| {}, &mut control);
    assert!(matches!(ended, Err(EngineError::Cancelled)), "{ended:?}");
    assert_eq!(clips, 1);
    drop(sender);
}
