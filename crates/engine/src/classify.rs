//! A video in, predictions out. The calling thread decodes and normalises while the session's thread infers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use unscene_media::{ClipReader, ClipSampling, DecodeOptions, Decoder, Frames, Source};
use unscene_models::manifest::Manifest;
use unscene_vision::{softmax, top_k};

use crate::crops::{CropPlan, plan};
use crate::error::{EngineError, Result};
use crate::model::{CLASSIFIER, LOGITS, Model};
use crate::queue::Caller;
use crate::result::*;
use crate::session::{Done, Session};

/// Batches of one video that are queued or in work: one runs while the next is filled.
const IN_FLIGHT: usize = 2;

impl Model {
    /// Classifies a video: clips are scored one by one, and their probabilities averaged.
    ///
    /// Blocks. The calling thread decodes, at most two batches ahead of inference. `control` is called after every
    /// clip, and while the model is busy with other callers; `Break` ends the work.
    ///
    /// # Errors
    /// When the video cannot be decoded or is over a limit, an option is out of range, the engine fails, or `control`
    /// says `Break`.
    pub fn classify(
        &self,
        source: &Source,
        options: &ClassifyOptions,
        control: &mut Control<'_>,
    ) -> Result<Classification> {
        let decode = DecodeOptions { threads: 0, limits: options.limits, ..DecodeOptions::default() };
        self.classify_frames(Decoder::open(source, &decode)?, options, &mut |_: &SoFar<'_>| {}, control)
    }

    /// As [`Model::classify`], of frames that are open. Whenever a clip is scored, `tell` may ask for the classes over the clips so
    /// far, best first: the answer, were there no more.
    ///
    /// # Errors
    /// As there.
    pub fn classify_frames(
        &self,
        mut frames: impl Frames,
        options: &ClassifyOptions,
        tell: &mut dyn FnMut(&SoFar<'_>),
        control: &mut Control<'_>,
    ) -> Result<Classification> {
        let start = Instant::now();
        let manifest = self.graphs().manifest();
        let plan = plan(&mut frames, options.crops, &manifest.input)?;
        let sampling = sampling(manifest, options)?;
        let mut run = Run::new(self, options, tell, frames.duration_s(), frames.fps());
        let mut reader = ClipReader::new(frames, sampling)?;

        while let Some(clip) = reader.next_clip()? {
            run.clips.push_back((clip.start_s, clip.end_s));
            run.progress.clips += 1;
            run.progress.time_s = clip.end_s;
            for crop in 0..plan.crops() {
                plan.normalize(&clip.rgb, crop, run.next_row())?;
                if run.batch_is_full() {
                    run.send(control)?;
                }
            }
            if control(run.progress).is_break() {
                return Err(EngineError::Cancelled);
            }
        }
        run.send(control)?;
        while run.in_flight > 0 {
            run.receive(control)?;
        }
        run.finish(&reader, start)
    }
}

/// One video's way through the session.
struct Run<'a> {
    model: &'a Model,
    options: &'a ClassifyOptions,
    tell: &'a mut dyn FnMut(&SoFar<'_>),
    crops: usize,
    progress: Progress,
    /// Times of the clips whose scores are still to come.
    clips: VecDeque<(f64, f64)>,
    /// The batch being filled, and buffers to fill next.
    batch: Vec<f32>,
    free: Vec<Vec<f32>>,
    in_flight: usize,
    answers: (Sender<Done>, Receiver<Done>),
    /// What still waits when this is dropped is not run.
    caller: Caller,
    /// Probabilities of the current clip's crops, added up.
    clip_sum: Vec<f32>,
    clip_rows: usize,
    /// Probabilities of all clips, added up in f64 so that long videos lose nothing.
    sum: Vec<f64>,
    scored: Vec<ClipPrediction>,
    scored_clips: usize,
    /// For each class the largest score of a clip, and when that begins.
    strongest: Vec<(f32, f64)>,
    inference: Duration,
    waited: Duration,
}

impl<'a> Run<'a> {
    fn new(
        model: &'a Model,
        options: &'a ClassifyOptions,
        tell: &'a mut dyn FnMut(&SoFar<'_>),
        duration_s: Option<f64>,
        fps: f64,
    ) -> Self {
        let (graphs, crops) = (model.graphs(), CropPlan::count(options.crops));
        let classes = graphs.manifest().labels.len();
        let rows = crops * graphs.clips_of(duration_s, fps, options.stride_frames);
        Self {
            model,
            options,
            tell,
            crops,
            scored_clips: 0,
            progress: Progress { clips: 0, time_s: 0.0, duration_s },
            clips: VecDeque::new(),
            batch: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            answers: unbounded(),
            caller: graphs.session().caller(rows),
            clip_sum: vec![0.0; classes],
            clip_rows: 0,
            sum: vec![0.0; classes],
            scored: Vec::new(),
            strongest: vec![(f32::NEG_INFINITY, 0.0); classes],
            inference: Duration::ZERO,
            waited: Duration::ZERO,
        }
    }

    /// Room for one more clip at the end of the batch.
    fn next_row(&mut self) -> &mut [f32] {
        let (len, row) = (self.batch.len(), self.model.graphs().row_len(CLASSIFIER));
        if len == 0 {
            self.batch = self.free.pop().unwrap_or_default();
            self.batch.clear();
        }
        self.batch.resize(len + row, 0.0);
        &mut self.batch[len..]
    }

    fn session(&self) -> &'a Session {
        self.model.graphs().session()
    }

    fn rows(&self) -> usize {
        self.batch.len() / self.model.graphs().row_len(CLASSIFIER)
    }

    fn batch_is_full(&self) -> bool {
        self.rows() >= self.model.graphs().batch()
    }

    /// Sends the batch, if it holds anything, after making room for it.
    fn send(&mut self, control: &mut Control<'_>) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        while self.in_flight >= IN_FLIGHT {
            self.receive(control)?;
        }
        let (clips, input) = (self.rows(), Arc::new(std::mem::take(&mut self.batch)));
        if !self.caller.submit(CLASSIFIER, input, clips, self.answers.0.clone()) {
            return Err(self.session().gone());
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Waits for the oldest batch: the session answers in order.
    fn receive(&mut self, control: &mut Control<'_>) -> Result<()> {
        let start = Instant::now();
        let done = self.session().wait(&self.answers.1, || control(self.progress).is_continue())?;
        self.waited += start.elapsed();
        self.in_flight -= 1;
        self.inference += done.inference;
        self.free.extend(Arc::into_inner(done.input));
        let mut outputs = done.outputs.map_err(|reason| self.session().error(reason))?;
        for row in outputs[LOGITS].chunks_exact_mut(self.sum.len()) {
            softmax(row);
            self.add(row);
        }
        Ok(())
    }

    /// Adds the probabilities of one crop, and closes its clip when that was the last one.
    fn add(&mut self, probabilities: &[f32]) {
        for (sum, p) in self.clip_sum.iter_mut().zip(probabilities) {
            *sum += p / self.crops as f32;
        }
        self.clip_rows += 1;
        if self.clip_rows < self.crops {
            return;
        }
        for (sum, p) in self.sum.iter_mut().zip(&self.clip_sum) {
            *sum += f64::from(*p);
        }
        if let Some((start_s, end_s)) = self.clips.pop_front() {
            for (strongest, score) in self.strongest.iter_mut().zip(&self.clip_sum) {
                if *score > strongest.0 {
                    *strongest = (*score, start_s);
                }
            }
            self.scored_clips += 1;
            if self.options.clips {
                let predictions = self.best(&self.clip_sum);
                self.scored.push(ClipPrediction { start_s, end_s, predictions });
            }
            let labels = &self.model.graphs().manifest().labels;
            let (sum, clips, most) = (&self.sum, self.scored_clips, self.options.top_k);
            (self.tell)(&|| best(labels, &mean(sum, clips), most));
        }
        self.clip_sum.fill(0.0);
        self.clip_rows = 0;
    }

    fn best(&self, scores: &[f32]) -> Vec<Prediction> {
        best(&self.model.graphs().manifest().labels, scores, self.options.top_k)
    }

    fn finish(mut self, reader: &ClipReader<impl Frames>, start: Instant) -> Result<Classification> {
        let (clips, frames) = (self.progress.clips, reader.decoder());
        if clips == 0 {
            return Err(EngineError::NoFrames { name: frames.name().to_string() });
        }
        let (width, height) = frames.picture_size();
        let mean = mean(&self.sum, clips);
        if mean.iter().any(|score| !score.is_finite()) {
            let reason = "the scores are not finite; check the weights, or export without --fp16".into();
            return Err(self.session().error(reason));
        }
        let (total, predictions) = (start.elapsed(), self.best(&mean));
        Ok(Classification {
            model: self.model.graphs().name().into(),
            task: self.model.graphs().manifest().task,
            engine: self.model.graphs().engine_name().into(),
            device: self.model.graphs().device_name().into(),
            video: VideoSummary {
                duration_s: frames.duration_s().unwrap_or(self.progress.time_s),
                width,
                height,
                fps: frames.fps(),
                frames: reader.frames(),
                clips,
                damaged_packets: frames.errors(),
            },
            strongest_s: predictions.iter().map(|one| self.strongest[one.index].1).collect(),
            predictions,
            clips: self.options.clips.then(|| std::mem::take(&mut self.scored)),
            timing: Timing {
                decode_s: total.saturating_sub(self.waited).as_secs_f64(),
                inference_s: self.inference.as_secs_f64(),
                total_s: total.as_secs_f64(),
            },
        })
    }
}

/// The classes with the highest scores, best first; so many at most.
pub(crate) fn best(labels: &[String], scores: &[f32], most: usize) -> Vec<Prediction> {
    let best = top_k(scores, most).into_iter();
    best.map(|index| Prediction { label: labels[index].clone(), index, score: scores[index] }).collect()
}

/// Probabilities, over so many clips.
fn mean(sum: &[f64], clips: usize) -> Vec<f32> {
    sum.iter().map(|sum| (sum / clips as f64) as f32).collect()
}

/// Which frames make the clips that a model is given.
pub(crate) fn sampling(manifest: &Manifest, options: &ClassifyOptions) -> Result<ClipSampling> {
    let stride_frames = options.stride_frames.unwrap_or(manifest.stride_frames);
    if stride_frames == 0 {
        let (found, expected) = ("0".into(), "at least 1".into());
        return Err(EngineError::Argument { what: "stride_frames", found, expected });
    }
    Ok(ClipSampling { frames: manifest.input.frames, stride_frames, fps: manifest.fps })
}
