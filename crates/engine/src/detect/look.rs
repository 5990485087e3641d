//! One thread decodes frames, the calling thread runs the graph and makes boxes and tubes of what it says. Nothing is kept of a
//! frame but when it is shown, and of tubes the boxes of the stretches that go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unscene_media::{FrameTime, Frames};
use unscene_models::manifest::Task;
use unscene_vision::{DetectedTube, LabelledBox, TubeLinker, find_boxes};

use super::batches::{Batch, Batches};
use super::result::{DetectForm, DetectOptions, DetectSummary, FoundBox, FoundFrame, FoundTube, Seen};
use crate::error::{EngineError, Result};
use crate::overlap::overlap;
use crate::result::{Control, Progress, Timing, VideoSummary};
use crate::runner::{Runner, check_finite};

/// The graph of an SSD on whatever runs it. Shapes and order are those of `unscene_models::vgg_ssd`.
pub trait DetectGraph: Runner {
    /// Offsets and class scores of the priors of so many frames.
    ///
    /// `keep_waiting` is there for what shares its graph with other callers: to be asked now and then, and to be obeyed.
    ///
    /// # Errors
    /// When the graph cannot be run; [`EngineError::Cancelled`] when `keep_waiting` says no.
    fn score(
        &mut self,
        frames: &Arc<Vec<f32>>,
        count: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2]>;
}

/// Gets what was seen as soon as it was.
type Tell<'a> = dyn FnMut(Seen) + 'a;

/// Finds the actors in frames, of a video or a folder of pictures, with a graph that runs anywhere; see
/// [`Detector::detect_frames`](super::Detector::detect_frames).
///
/// # Errors
/// As there.
pub fn detect_with(
    graph: &mut dyn DetectGraph,
    form: &DetectForm,
    frames: impl Frames + Send,
    options: &DetectOptions,
    tell: &mut Tell<'_>,
    control: &mut Control<'_>,
) -> Result<DetectSummary> {
    options.check()?;
    let start = Instant::now();
    let (name, (width, height)) = (frames.name().to_string(), frames.picture_size());
    let (fps, duration_s) = (frames.fps(), frames.duration_s());
    let mut batches = Batches::new(frames, &form.input, options.every, graph.batch().max(1))?;
    let mut run = Run {
        form,
        options,
        tell,
        picture: [width as f32, height as f32],
        linker: options.tubes.then(|| TubeLinker::new(form.tubes)),
        times: vec![],
        passed: 0,
        tubes: 0,
        progress: Progress { clips: 0, time_s: 0.0, duration_s },
        inference: Duration::ZERO,
    };
    let begun = run.progress;
    let take = |batch, give_back: &dyn Fn(Arc<Vec<f32>>), control: &mut Control<'_>| {
        run.take(graph, batch, give_back, control)?;
        Ok(run.progress)
    };
    let decode = overlap(begun, |buffer, keep_on| batches.fill(buffer, keep_on), take, control)?;
    if run.passed == 0 {
        return Err(EngineError::NoFrames { name });
    }
    run.finish_tubes();
    let sampler = batches.sampler();
    Ok(DetectSummary {
        model: form.model.clone(),
        task: Task::Detect,
        engine: graph.engine_name().into(),
        device: graph.device_name().into(),
        video: VideoSummary {
            duration_s: duration_s.unwrap_or(sampler.shown_until_s()),
            width,
            height,
            fps,
            frames: sampler.count(),
            clips: run.progress.clips,
            damaged_packets: sampler.source().errors(),
        },
        timing: Timing {
            decode_s: decode.as_secs_f64(),
            inference_s: run.inference.as_secs_f64(),
            total_s: start.elapsed().as_secs_f64(),
        },
    })
}

/// Boxes as they are told: those with a score of at least the threshold.
pub(crate) fn told(form: &DetectForm, options: &DetectOptions, boxes: &[LabelledBox]) -> Vec<FoundBox> {
    let told = boxes.iter().take_while(|found| found.score >= options.threshold).map(|found| FoundBox {
        label: form.labels[found.label].clone(),
        index: found.label,
        score: found.score,
        corners: found.corners,
    });
    told.collect()
}

/// One video's way through the graph.
struct Run<'a> {
    form: &'a DetectForm,
    options: &'a DetectOptions,
    tell: &'a mut Tell<'a>,
    /// Width and height.
    picture: [f32; 2],
    linker: Option<TubeLinker>,
    /// When each frame is shown; kept for tubes, which say when they begin and end.
    times: Vec<FrameTime>,
    /// Frames whose batch was taken.
    passed: usize,
    /// Tubes told.
    tubes: usize,
    progress: Progress,
    inference: Duration,
}

impl Run<'_> {
    fn take(
        &mut self,
        graph: &mut dyn DetectGraph,
        batch: Batch,
        give_back: &dyn Fn(Arc<Vec<f32>>),
        control: &mut Control<'_>,
    ) -> Result<()> {
        let Batch { buffer, looked, times } = batch;
        let (first, progress) = (self.passed, self.progress);
        self.passed += times.len();
        if let Some(last) = times.last() {
            self.progress.time_s = last.time_s + last.duration_s;
        }
        if self.linker.is_some() {
            self.times.extend(&times);
        }
        // The video may end with frames that are not looked at.
        if looked.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let mut keep_waiting = || control(progress).is_continue();
        let [offsets, scores] = graph.score(&buffer, looked.len(), &mut keep_waiting)?;
        self.inference += start.elapsed();
        give_back(buffer);
        check_finite(graph, &[&offsets, &scores])?;
        let rows = [&offsets, &scores].map(|values| values.len() / looked.len());
        for ((at, offsets), scores) in looked.iter().zip(offsets.chunks(rows[0])).zip(scores.chunks(rows[1])) {
            let boxes = find_boxes(offsets, scores, &self.form.priors, self.picture, &self.form.rule);
            self.note(first + at, times[*at].time_s, &boxes);
        }
        self.progress.clips += looked.len();
        Ok(())
    }

    fn note(&mut self, frame: usize, time_s: f64, boxes: &[LabelledBox]) {
        let told = told(self.form, self.options, boxes);
        (self.tell)(Seen::Frame(FoundFrame { frame, time_s, boxes: told }));
        let ended = self.linker.as_mut().map(|linker| linker.push(frame, boxes));
        self.tell_tubes(ended.unwrap_or_default());
    }

    fn finish_tubes(&mut self) {
        let left = self.linker.take().map(TubeLinker::finish);
        self.tell_tubes(left.unwrap_or_default());
    }

    fn tell_tubes(&mut self, tubes: Vec<DetectedTube>) {
        for DetectedTube { tube, score, scores } in
            tubes.into_iter().filter(|tube| tube.score >= self.options.threshold)
        {
            let last = self.times[tube.end_frame() - 1];
            let found = FoundTube {
                id: self.tubes,
                label: self.form.labels[tube.label].clone(),
                index: tube.label,
                score,
                start_s: self.times[tube.start_frame].time_s,
                end_s: last.time_s + last.duration_s,
                start_frame: tube.start_frame,
                boxes: tube.boxes,
                scores,
            };
            self.tubes += 1;
            (self.tell)(Seen::Tube(found));
        }
    }
}
