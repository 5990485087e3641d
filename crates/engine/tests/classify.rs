//! A real video through decoding, normalisation and a model whose answer is known: the brightest channel wins.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use unscene_engine::{
    Bundle, ClassifyOptions, Crops, DeviceChoice, EngineChoice, EngineError, EngineOptions, Model, Progress, SoFar,
};
use unscene_media::{DecodeOptions, Decoder, SharedDecoder, Source};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn model(engine: EngineChoice) -> Model {
    let options = EngineOptions { engine, device: DeviceChoice::Cpu, ..Default::default() };
    Model::load(&Bundle::open(fixture("pool")).unwrap(), &options).unwrap()
}

/// Five red frames, then five green ones, at 10 frames per second.
fn video() -> Source {
    Source::Path(fixture("red_green.mp4"))
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn clips_are_scored_with_their_times_and_averaged() {
    for engine in [EngineChoice::Ort, EngineChoice::Tract] {
        for crops in [Crops::Center, Crops::Three] {
            let options = ClassifyOptions { clips: true, crops, ..Default::default() };
            let mut seen = Vec::new();
            let mut control = |progress: Progress| {
                seen.push(progress.clips);
                ControlFlow::Continue(())
            };
            let answer = model(engine).classify(&video(), &options, &mut control).unwrap();
            // Clips of 4 frames: all red, one red and three green, and two green, looped.
            let clips = answer.clips.as_ref().unwrap();
            assert_eq!((answer.video.frames, answer.video.clips, clips.len()), (10, 3, 3));
            assert_eq!(answer.video.damaged_packets, 0);
            let best: Vec<&str> = clips.iter().map(|clip| clip.predictions[0].label.as_str()).collect();
            assert_eq!(best, ["red", "green", "green"]);
            for (clip, (start_s, end_s)) in clips.iter().zip([(0.0, 0.4), (0.4, 0.8), (0.8, 1.0)]) {
                assert!((clip.start_s - start_s).abs() < 1e-3 && (clip.end_s - end_s).abs() < 1e-3, "{clip:?}");
            }
            for prediction in &answer.predictions {
                let score = |clip: &unscene_engine::ClipPrediction| {
                    clip.predictions.iter().find(|p| p.index == prediction.index).unwrap().score
                };
                let mean = clips.iter().map(score).sum::<f32>() / 3.0;
                assert!((mean - prediction.score).abs() < 1e-6);
            }
            assert_eq!(answer.predictions[0].label, "green");
            assert!([1, 2, 3].iter().all(|clips| seen.contains(clips)), "{seen:?}");
        }
    }
}

#[test]
fn the_stride_and_the_number_of_predictions_are_options() {
    let options = ClassifyOptions { stride_frames: Some(2), top_k: 1, ..Default::default() };
    let answer = model(EngineChoice::Tract).classify(&video(), &options, &mut go_on).unwrap();
    assert_eq!((answer.video.clips, answer.predictions.len(), answer.clips), (5, 1, None));
}

#[test]
fn frames_of_a_shared_decoder_are_scored_as_those_of_its_own() {
    let model = model(EngineChoice::Ort);
    let mut shared = SharedDecoder::new(Decoder::open(&video(), &DecodeOptions::default()).unwrap());
    std::thread::scope(|scope| {
        let threads = [Crops::Center, Crops::Three].map(|crops| {
            let (model, frames) = (&model, shared.reader().unwrap());
            scope.spawn(move || {
                let options = ClassifyOptions { clips: true, crops, ..Default::default() };
                let mut told = vec![];
                let mut tell = |so_far: &SoFar<'_>| told.push(so_far());
                let found = model.classify_frames(frames, &options, &mut tell, &mut go_on).unwrap();
                // After the last clip that is the answer.
                assert_eq!(*told.last().unwrap(), found.predictions);
                assert_eq!(told.len(), found.video.clips);
                let own = model.classify(&video(), &options, &mut go_on).unwrap();
                assert_eq!((found.clips, found.predictions), (own.clips, own.predictions), "{crops}");
                assert_eq!(found.video, own.video);
            })
        });
        shared.run().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_caller_can_stop() {
    let mut stop = |_: Progress| ControlFlow::Break(());
    let model = model(EngineChoice::Tract);
    let error = model.classify(&video(), &ClassifyOptions::default(), &mut stop).unwrap_err();
    assert!(matches!(error, EngineError::Cancelled), "{error}");
    // The model serves the next caller.
    assert!(model.classify(&video(), &ClassifyOptions::default(), &mut go_on).is_ok());
}

#[test]
fn a_stride_of_zero_is_an_error() {
    let options = ClassifyOptions { stride_frames: Some(0), ..Default::default() };
    let error = model(EngineChoice::Tract).classify(&video(), &options, &mut go_on).unwrap_err();
    assert_eq!(error.to_string(), "stride_frames: found 0, expected at least 1");
}
