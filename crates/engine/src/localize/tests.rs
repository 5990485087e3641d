//! Sliding over made-up videos, whose frames say their own number.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use unscene_models::manifest::{ClipInput, LocalizeInfo};
use unscene_models::rc3d::LocalizeRule;

use super::result::{LocalizeForm, LocalizeOptions, SegmentNms};
use super::slide::{LocalizeGraphs, Run, slide};
use super::windows::{Window, Windows};
use crate::error::{EngineError, Result};
use crate::reel::Reel;
use crate::runner::Runner;

const FRAMES: usize = 16;
const STEP: usize = 4;

fn form() -> LocalizeForm {
    let [mean, std] = [[0.0; 3], [1.0; 3]];
    let rule = LocalizeRule { proposal_tiou: 0.9, segment_tiou: 0.3, ..LocalizeRule::default() };
    LocalizeForm {
        model: "reel".into(),
        labels: vec!["bright".into()],
        input: ClipInput {
            frames: FRAMES,
            height: 2,
            width: 2,
            short_side: 2,
            mean,
            std,
            channels: "RGB".into(),
            range: 255.0,
        },
        fps: 10.0,
        stride_frames: FRAMES,
        info: LocalizeInfo { anchors: vec![1.0], step_frames: STEP, offset_deviations: [0.1, 0.2], rule },
    }
}

/// All windows of a reel: each one's place, and the numbers of its frames, the same in all channels and pixels.
fn windows_of(reel: Reel, stride: usize, batch: usize) -> Vec<(Window, Vec<usize>)> {
    let mut windows = Windows::new(reel, &form(), stride, batch).unwrap();
    let (mut all, mut spare) = (Vec::new(), vec![Vec::new(), Vec::new()]);
    while let Some(found) = windows.fill(spare.pop().unwrap(), &|| true).unwrap() {
        assert_eq!(found.buffers.len(), found.windows.len() * 3 * FRAMES * 4);
        for (window, values) in found.windows.iter().zip(found.buffers.chunks_exact(3 * FRAMES * 4)) {
            let numbers: Vec<usize> = values[..FRAMES * 4].iter().step_by(4).map(|&value| value as usize).collect();
            let everywhere = (0..3).flat_map(|_| &numbers).flat_map(|&number| [number as f32; 4]);
            assert!(values.iter().copied().eq(everywhere), "{values:?}");
            all.push((*window, numbers));
        }
        // A buffer that is used again holds what must not be seen again.
        spare.insert(0, vec![f32::NAN; found.buffers.len()]);
    }
    all
}

#[test]
fn windows_show_the_frames_that_they_should() {
    for (frames, stride, expected) in [
        (1, 16, 1),
        (2, 4, 1),
        (15, 16, 1),
        (16, 16, 1),
        (17, 16, 2),
        (40, 16, 3),
        (40, 8, 4),
        (41, 8, 5),
        (40, 5, 6),
        (40, 1, 25),
        (40, 20, 2),
        (36, 20, 2),
        (20, 20, 1),
        (21, 20, 2),
    ] {
        for batch in [1, 2, 3] {
            let found = windows_of(Reel::of(frames), stride, batch);
            assert_eq!(found.len(), expected, "{frames} frames, stride {stride}");
            for (index, (window, numbers)) in found.iter().enumerate() {
                let start = index * stride;
                assert_eq!((window.start_frame, window.frames), (start as u64, FRAMES.min(frames - start)));
                let shown: Vec<usize> = (start..start + FRAMES).map(|frame| frame.min(frames - 1)).collect();
                assert_eq!(*numbers, shown, "{frames} frames, stride {stride}, batch {batch}, window {index}");
            }
        }
    }
}

#[test]
fn a_frame_is_decoded_and_converted_once_however_many_windows_show_it() {
    for (stride, batch, converted) in [(16, 1, 200), (4, 1, 200), (4, 3, 200), (1, 1, 200), (20, 1, 160)] {
        let reel = Reel::of(200);
        let counts = [reel.decoded.clone(), reel.converted.clone()];
        let shown: usize = windows_of(reel, stride, batch).iter().map(|(window, _)| window.frames).sum();
        let counts = counts.map(|count| count.load(Ordering::SeqCst));
        assert_eq!(counts, [200, converted], "stride {stride}, batch {batch}");
        assert!(stride >= FRAMES || shown > 3 * 200, "windows overlap: {shown}");
    }
}

#[test]
fn frames_are_sampled_by_their_times() {
    // 5 frames a second and then 20: the first are shown twice, of the others every second.
    let slow = (0..20).map(|frame| frame as f64 / 5.0);
    let fast = (0..=40).map(|frame| 4.0 + frame as f64 / 20.0);
    let reel = Reel::new(slow.chain(fast).collect());
    let converted = reel.converted.clone();
    let found = windows_of(reel, 8, 1);
    let expected = |sample: usize| if sample < 40 { sample / 2 } else { 20 + 2 * (sample - 40) };
    for (window, numbers) in &found {
        let samples = (window.start_frame as usize..).take(FRAMES).map(|sample| expected(sample.min(59)));
        assert!(samples.eq(numbers.iter().copied()), "{window:?} {numbers:?}");
    }
    assert_eq!(found.last().unwrap().0, Window { start_frame: 48, frames: 12 });
    // 20 of the slow and 20 of the fast ones, each once.
    assert_eq!(converted.load(Ordering::SeqCst), 40);
}

/// Bright steps, whose frames have numbers of at least 100, are proposed and labelled.
#[derive(Default)]
struct Bright {
    batch: usize,
    /// Where buffers were, and how many windows came at once.
    places: BTreeSet<usize>,
    sizes: Vec<usize>,
    before: Option<Box<dyn FnMut(usize)>>,
}

impl Runner for Bright {
    fn engine_name(&self) -> &str {
        "bright 1"
    }

    fn device_name(&self) -> &str {
        "cpu"
    }

    fn batch(&self) -> usize {
        self.batch
    }
}

impl LocalizeGraphs for Bright {
    fn propose(
        &mut self,
        buffers: &Arc<Vec<f32>>,
        windows: usize,
        _: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 3]> {
        if let Some(before) = &mut self.before {
            before(self.sizes.len());
        }
        self.places.insert(buffers.as_ptr() as usize);
        self.sizes.push(windows);
        let (mut scores, mut features) = (Vec::new(), Vec::new());
        for window in buffers.chunks_exact(3 * FRAMES * 4) {
            let steps: Vec<bool> = window[..FRAMES * 4].chunks(STEP * 4).map(|step| step[0] >= 100.0).collect();
            scores.extend(vec![0.0; steps.len()]);
            scores.extend(steps.iter().map(|&bright| if bright { 3.0 } else { -9.0 }));
            features.extend(steps.iter().flat_map(|&bright| [f32::from(bright); 4]));
        }
        let offsets = vec![0.0; scores.len()];
        Ok([scores, offsets, features])
    }

    fn label(&mut self, regions: Vec<f32>, count: usize, _: &mut dyn FnMut() -> bool) -> Result<[Vec<f32>; 2]> {
        let bright = regions.chunks_exact(16).map(|region| region.iter().sum::<f32>() / 16.0);
        let scores: Vec<f32> = bright.flat_map(|bright| [0.0, 4.0 * bright - 2.0]).collect();
        assert_eq!(scores.len(), 2 * count);
        let offsets = vec![0.0; 2 * scores.len()];
        Ok([scores, offsets])
    }
}

fn go_on(_: crate::result::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Begins and ends of what is found in a reel, in time.
fn found_in(reel: Reel, graphs: &mut Bright, options: &LocalizeOptions) -> Vec<(f64, f64)> {
    let form = form();
    let mut windows = Windows::new(reel, &form, options.stride_frames.unwrap_or(FRAMES), graphs.batch).unwrap();
    let mut run = Run::new(graphs, &form, options, None);
    slide(&mut windows, &mut run, &mut go_on).unwrap();
    let (segments, _) = run.outcome(windows.sampler().shown_until_s());
    let mut times: Vec<(f64, f64)> = segments.iter().map(|one| (one.segment.start, one.segment.end)).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    times
}

#[test]
fn windows_of_any_stride_find_the_same_once() {
    for (stride, batch) in [(16, 1), (8, 1), (4, 1), (4, 2), (4, 3), (16, 2)] {
        let mut graphs = Bright { batch, ..Bright::default() };
        let options = LocalizeOptions { stride_frames: Some(stride), threshold: Some(0.5), ..Default::default() };
        let found = found_in(Reel::of(130), &mut graphs, &options);
        // Frames 100 to 129 in steps of 4; the last is cut where the video ends.
        let expected: Vec<(f64, f64)> =
            (25..33).map(|step| (0.4 * step as f64, (0.4 * step as f64 + 0.4).min(13.0))).collect();
        assert_eq!(found.len(), expected.len(), "stride {stride}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9,
                "{found:?} {expected:?}"
            );
        }
        assert!(graphs.places.len() <= 2, "two buffers at most: {:?}", graphs.places);
        assert!(graphs.sizes.iter().rev().skip(1).all(|&size| size == batch), "{:?}", graphs.sizes);
    }
}

#[test]
fn without_suppression_each_window_says_what_it_sees() {
    let mut graphs = Bright { batch: 1, ..Bright::default() };
    let nms = SegmentNms::Off;
    let options = LocalizeOptions { stride_frames: Some(4), threshold: Some(0.5), nms, ..Default::default() };
    // The step from frame 100 is in the four windows that begin at 88, 92, 96 and 100.
    assert_eq!(
        found_in(Reel::of(120), &mut graphs, &options).iter().filter(|one| (one.0 - 10.0).abs() < 1e-9).count(),
        4
    );
}

#[test]
fn the_next_window_is_decoded_while_one_is_run() {
    let reel = Reel::of(64);
    let converted = reel.converted.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let wait = move |run: usize| {
        // Whatever is run, the window after it must become ready meanwhile.
        let expected = (FRAMES * (run + 2)).min(64);
        for _ in 0..6000 {
            if converted.load(Ordering::SeqCst) >= expected {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        noted.lock().unwrap().push(converted.load(Ordering::SeqCst));
    };
    let mut graphs = Bright { batch: 1, before: Some(Box::new(wait)), ..Bright::default() };
    found_in(reel, &mut graphs, &LocalizeOptions::default());
    // And no further: both buffers are taken.
    assert_eq!(*seen.lock().unwrap(), [32, 48, 64, 64]);
}

#[test]
fn a_caller_can_stop_and_nothing_is_left_running() {
    let form = form();
    let (options, mut graphs) = (LocalizeOptions::default(), Bright { batch: 1, ..Bright::default() });
    let reel = Reel::of(100_000);
    let decoded = reel.decoded.clone();
    let mut windows = Windows::new(reel, &form, FRAMES, 1).unwrap();
    let mut run = Run::new(&mut graphs, &form, &options, None);
    let mut batches = 0;
    let mut stop = |_| {
        batches += 1;
        if batches < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let error = slide(&mut windows, &mut run, &mut stop).err().unwrap();
    assert!(matches!(error, EngineError::Cancelled), "{error}");
    assert!(decoded.load(Ordering::SeqCst) < 1000);
}
