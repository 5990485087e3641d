//! Looking at made-up videos, whose frames say their own number.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use unscene_models::manifest::ClipInput;
use unscene_vision::{DetectRule, TubeRule};

use super::*;
use crate::error::EngineError;
use crate::reel::Reel;
use crate::result::Progress;
use crate::runner::Runner;

/// A detector of two classes with two priors: the left half of the frame, and the right one.
fn form() -> DetectForm {
    let [mean, std] = [[0.0; 3], [1.0; 3]];
    let input =
        ClipInput { frames: 1, height: 2, width: 2, short_side: 2, mean, std, channels: "RGB".into(), range: 255.0 };
    let tubes = TubeRule { change_cost: 1.0, max_missed: 2, min_frames: 3, delay_frames: 4, ..TubeRule::default() };
    DetectForm {
        model: "halves".into(),
        labels: vec!["run".into(), "jump".into()],
        input,
        priors: vec![[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]],
        rule: DetectRule::default(),
        tubes,
    }
}

/// Sees a runner at the left in frames 10 to 19, and at the right someone who jumps in all odd ones, of whom it is less sure.
#[derive(Default)]
struct Halves {
    batch: usize,
    batches: Vec<usize>,
    seen: Vec<usize>,
    /// Says nothing that is a number.
    broken: bool,
}

impl Runner for Halves {
    fn engine_name(&self) -> &str {
        "none"
    }

    fn device_name(&self) -> &str {
        "cpu"
    }

    fn batch(&self) -> usize {
        self.batch
    }
}

impl DetectGraph for Halves {
    fn score(
        &mut self,
        frames: &Arc<Vec<f32>>,
        count: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2]> {
        assert_eq!(frames.len(), 12 * count);
        if !keep_waiting() {
            return Err(EngineError::Cancelled);
        }
        self.batches.push(count);
        let mut scores = vec![];
        for row in frames.chunks_exact(12) {
            let frame = row[0] as usize;
            self.seen.push(frame);
            let runs = if (10..20).contains(&frame) { 5.0 } else { -9.0 };
            let jumps = if frame % 2 == 1 { 0.0 } else { -9.0 };
            scores.extend([0.0, runs, -9.0, 0.0, -9.0, if self.broken { f32::NAN } else { jumps }]);
        }
        Ok([vec![0.0; 8 * count], scores])
    }
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn look(graph: &mut Halves, reel: Reel, options: &DetectOptions) -> Result<Detection> {
    let (mut frames, mut tubes) = (vec![], vec![]);
    let mut keep = |seen| match seen {
        Seen::Frame(frame) => frames.push(frame),
        Seen::Tube(tube) => tubes.push(tube),
    };
    let summary = detect_with(graph, &form(), reel, options, &mut keep, &mut go_on)?;
    Ok(Detection::new(summary, frames, options.tubes.then_some(tubes)))
}

#[test]
fn every_frame_is_looked_at_once_whatever_the_batch() {
    for batch in [1, 4, 7, 100] {
        let reel = Reel::of(30);
        let (decoded, converted) = (reel.decoded.clone(), reel.converted.clone());
        let mut graph = Halves { batch, ..Halves::default() };
        let found = look(&mut graph, reel, &DetectOptions::default()).unwrap();
        assert_eq!(graph.seen, (0..30).collect::<Vec<_>>());
        assert_eq!((decoded.load(Ordering::SeqCst), converted.load(Ordering::SeqCst)), (30, 30));
        assert!(graph.batches.iter().all(|&count| count <= batch), "{:?}", graph.batches);
        assert_eq!((found.summary.video.frames, found.summary.video.clips), (30, 30));
        for (number, frame) in found.frames.iter().enumerate() {
            assert_eq!((frame.frame, frame.time_s), (number, number as f64 / 10.0));
            let boxes: Vec<(&str, [f32; 4])> =
                frame.boxes.iter().map(|found| (found.label.as_str(), found.corners)).collect();
            let (left, right) = (("run", [0.0, 0.0, 1.0, 2.0]), ("jump", [1.0, 0.0, 2.0, 2.0]));
            let expected = match ((10..20).contains(&number), number % 2 == 1) {
                (true, true) => vec![left, right],
                (true, false) => vec![left],
                (false, true) => vec![right],
                (false, false) => vec![],
            };
            assert_eq!(boxes, expected, "frame {number}");
        }
        assert!(found.tubes.is_none());
    }
}

#[test]
fn of_every_third_frame_only_those_are_converted() {
    let reel = Reel::of(31);
    let (decoded, converted) = (reel.decoded.clone(), reel.converted.clone());
    let mut graph = Halves { batch: 4, ..Halves::default() };
    let options = DetectOptions { every: 3, threshold: 0.6, tubes: true, ..DetectOptions::default() };
    let found = look(&mut graph, reel, &options).unwrap();
    assert_eq!((decoded.load(Ordering::SeqCst), converted.load(Ordering::SeqCst)), (31, 11));
    assert_eq!(graph.batches, [4, 4, 3]);
    let frames: Vec<usize> = found.frames.iter().map(|frame| frame.frame).collect();
    assert_eq!(frames, (0..=30).step_by(3).collect::<Vec<_>>());
    assert_eq!((found.summary.video.frames, found.summary.video.clips), (31, 11));
    // The jumper's score is a half, below the threshold.
    assert!(found.frames.iter().flat_map(|frame| &frame.boxes).all(|found| found.label == "run"));
    // The runner is looked at in frames 12, 15 and 18; the frames between are theirs too.
    let tubes = found.tubes.unwrap();
    let runs: Vec<&FoundTube> = tubes.iter().filter(|tube| tube.label == "run").collect();
    assert_eq!(runs.len(), 1, "{tubes:?}");
    assert_eq!((runs[0].start_frame, runs[0].boxes.len(), runs[0].scores.len()), (12, 7, 7));
    assert!((runs[0].start_s - 1.2).abs() < 1e-9 && (runs[0].end_s - 1.9).abs() < 1e-9, "{:?}", runs[0]);
}

#[test]
fn a_tube_is_told_while_the_video_goes_on() {
    let mut graph = Halves { batch: 1, ..Halves::default() };
    let options = DetectOptions { tubes: true, ..DetectOptions::default() };
    let (mut last_frame, mut told) = (0, vec![]);
    let mut tell = |seen| match seen {
        Seen::Frame(frame) => last_frame = frame.frame,
        Seen::Tube(tube) => told.push((tube.id, tube.label, tube.start_frame, tube.boxes.len(), last_frame)),
    };
    detect_with(&mut graph, &form(), Reel::of(200), &options, &mut tell, &mut go_on).unwrap();
    let runs: Vec<_> = told.iter().filter(|tube| tube.1 == "run").collect();
    assert_eq!(runs.len(), 1, "{told:?}");
    let &(_, _, start, frames, known_at) = runs[0];
    assert_eq!((start, frames), (10, 10));
    assert!(known_at <= 19 + 2, "{told:?}");
    let ids: Vec<usize> = told.iter().map(|tube| tube.0).collect();
    assert_eq!(ids, (0..told.len()).collect::<Vec<_>>());
}

#[test]
fn decoding_goes_on_while_the_graph_runs_and_no_further_than_both_buffers() {
    struct Slow(Halves, Arc<std::sync::atomic::AtomicUsize>, Vec<usize>);
    impl Runner for Slow {
        fn engine_name(&self) -> &str {
            "none"
        }
        fn device_name(&self) -> &str {
            "cpu"
        }
        fn batch(&self) -> usize {
            4
        }
    }
    impl DetectGraph for Slow {
        fn score(
            &mut self,
            frames: &Arc<Vec<f32>>,
            count: usize,
            wait: &mut dyn FnMut() -> bool,
        ) -> Result<[Vec<f32>; 2]> {
            // Until the decoder has filled the other buffer, and then a while for what it must not do.
            let (seen, of) = (self.0.seen.len(), 40);
            let both = (seen + 8).min(of);
            for _ in 0..2000 {
                if self.1.load(Ordering::SeqCst) >= both {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(5));
            self.2.push(self.1.load(Ordering::SeqCst));
            self.0.score(frames, count, wait)
        }
    }
    let reel = Reel::of(40);
    let mut graph = Slow(Halves { batch: 4, ..Halves::default() }, reel.converted.clone(), vec![]);
    detect_with(&mut graph, &form(), reel, &DetectOptions::default(), &mut |_| {}, &mut go_on).unwrap();
    assert_eq!(graph.2, [8, 12, 16, 20, 24, 28, 32, 36, 40, 40]);
}

#[test]
fn a_caller_can_stop_and_nothing_is_left_running() {
    let reel = Reel::of(100_000);
    let decoded = reel.decoded.clone();
    let mut graph = Halves { batch: 1, ..Halves::default() };
    let mut batches = 0;
    let mut stop = |_| {
        batches += 1;
        if batches < 6 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let error = detect_with(&mut graph, &form(), reel, &DetectOptions::default(), &mut |_| {}, &mut stop).unwrap_err();
    assert!(matches!(error, EngineError::Cancelled), "{error}");
    assert!(decoded.load(Ordering::SeqCst) < 1000);
}

#[test]
fn what_cannot_be_looked_at_is_named() {
    let options = DetectOptions::default();
    let mut graph = Halves { batch: 1, ..Halves::default() };
    for (options, expected) in [
        (DetectOptions { every: 0, ..options.clone() }, "every: found 0, expected at least 1"),
        (DetectOptions { threshold: 1.5, ..options.clone() }, "threshold: found 1.5"),
        (DetectOptions { threshold: f32::NAN, ..options.clone() }, "threshold: found NaN"),
    ] {
        let message = look(&mut graph, Reel::of(3), &options).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let message = look(&mut graph, Reel::of(0), &options).unwrap_err().to_string();
    assert_eq!(message, "reel: the video has no frame that can be decoded");
    graph.broken = true;
    let message = look(&mut graph, Reel::of(3), &options).unwrap_err().to_string();
    assert!(message.contains("scores or offsets are not finite"), "{message}");
}

#[test]
fn an_answer_reads_as_it_is_documented() {
    let mut graph = Halves { batch: 1, ..Halves::default() };
    let options = DetectOptions { tubes: true, ..DetectOptions::default() };
    let found = serde_json::to_value(look(&mut graph, Reel::of(30), &options).unwrap()).unwrap();
    assert_eq!((&found["model"], &found["task"]), (&"halves".into(), &"detect".into()));
    assert_eq!(found["frames"][1]["boxes"][0]["box"], serde_json::json!([1.0, 0.0, 2.0, 2.0]));
    assert_eq!(found["frames"][1]["boxes"][0]["label"], "jump");
    assert_eq!(found["tubes"][0]["label"], "run");
    let seen = serde_json::to_value(Seen::Frame(FoundFrame { frame: 3, time_s: 0.1, boxes: vec![] })).unwrap();
    assert_eq!(seen, serde_json::json!({"frame": {"frame": 3, "time_s": 0.1, "boxes": []}}));
}
