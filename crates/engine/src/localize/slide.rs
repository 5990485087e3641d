//! Windows over a video of any length: one thread decodes, the calling thread runs the graphs and makes segments of what they
//! say. Of a window that was run, nothing is kept but its segments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unscene_media::Frames;
use unscene_models::manifest::Task;
use unscene_models::rc3d::POOLED;
use unscene_vision::{Proposal, ProposalRule, Segment, anchors, label_segments, pool_segments, propose};

use super::merge::{Candidate, best_first, keep_best, thin_out};
use super::result::{FoundProposal, FoundSegment, Localization, LocalizeForm, LocalizeOptions, SegmentNms};
use super::windows::{Batch, Window, Windows};
use crate::crops::center;
use crate::error::{EngineError, Result};
use crate::overlap::overlap;
use crate::result::{Control, Progress, Timing, VideoSummary};
use crate::runner::{Runner, check_finite};

/// Segments that an answer with `max_segments` is chosen from, the best ones: a few megabytes. Others could only be in it if
/// nearly all of these said the same.
const HELD: usize = 100_000;

/// The two graphs of R-C3D on whatever runs them. Shapes and order are those of `unscene_models::rc3d`.
pub trait LocalizeGraphs: Runner {
    /// Scores of anchors, offsets of anchors and features of `windows` windows.
    ///
    /// `keep_waiting` is there for what shares its graphs with other callers: to be asked now and then, and to be obeyed.
    ///
    /// # Errors
    /// When the graph cannot be run; [`EngineError::Cancelled`] when `keep_waiting` says no.
    fn propose(
        &mut self,
        buffers: &Arc<Vec<f32>>,
        windows: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 3]>;

    /// Class scores and offsets of `count` pooled segments.
    ///
    /// # Errors
    /// As [`LocalizeGraphs::propose`].
    fn label(
        &mut self,
        regions: Vec<f32>,
        count: usize,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2]>;
}

/// Finds the actions in frames, of a video or a folder of pictures, with graphs that run anywhere; see
/// [`Localizer::localize`](super::Localizer::localize).
///
/// # Errors
/// As there.
pub fn localize_with(
    graphs: &mut dyn LocalizeGraphs,
    form: &LocalizeForm,
    mut frames: impl Frames + Send,
    options: &LocalizeOptions,
    control: &mut Control<'_>,
) -> Result<Localization> {
    options.check()?;
    let start = Instant::now();
    let (name, (width, height)) = (frames.name().to_string(), frames.picture_size());
    let (fps, duration_s) = (frames.fps(), frames.duration_s());
    frames.set_view(center(&form.input))?;
    let stride = options.stride_frames.unwrap_or(form.stride_frames);
    let mut windows = Windows::new(frames, form, stride, graphs.batch().max(1))?;
    let mut run = Run::new(graphs, form, options, duration_s);
    let decode = slide(&mut windows, &mut run, control)?;
    if run.progress.clips == 0 {
        return Err(EngineError::NoFrames { name });
    }
    let sampler = windows.sampler();
    let end_s = sampler.shown_until_s();
    let video = VideoSummary {
        duration_s: duration_s.unwrap_or(end_s),
        width,
        height,
        fps,
        frames: sampler.count(),
        clips: run.progress.clips,
        damaged_packets: sampler.source().errors(),
    };
    Ok(run.finish(video, end_s, decode, start))
}

/// Decodes on a thread of its own while this one runs the graphs; says how long decoding took.
pub(super) fn slide<F: Frames + Send>(
    windows: &mut Windows<F>,
    run: &mut Run<'_>,
    control: &mut Control<'_>,
) -> Result<Duration> {
    let begun = run.progress;
    let take = |batch, give_back: &dyn Fn(Arc<Vec<f32>>), control: &mut Control<'_>| {
        run.take(batch, give_back, control)?;
        Ok(run.progress)
    };
    overlap(begun, |buffer, keep_on| windows.fill(buffer, keep_on), take, control)
}

/// One video's way through the graphs.
pub(super) struct Run<'a> {
    graphs: &'a mut dyn LocalizeGraphs,
    form: &'a LocalizeForm,
    options: &'a LocalizeOptions,
    rule: ProposalRule,
    /// Of a whole window.
    anchors: Vec<Segment>,
    /// tIoU of segments of a class that is too much; none keeps all.
    max_tiou: Option<f64>,
    min_score: f32,
    progress: Progress,
    /// In seconds.
    segments: Vec<Candidate>,
    proposals: Vec<Candidate>,
    inference: Duration,
}

impl<'a> Run<'a> {
    pub fn new(
        graphs: &'a mut dyn LocalizeGraphs,
        form: &'a LocalizeForm,
        options: &'a LocalizeOptions,
        duration_s: Option<f64>,
    ) -> Self {
        let (info, rule) = (&form.info, &form.info.rule);
        let steps = form.input.frames / info.step_frames;
        Self {
            graphs,
            form,
            options,
            rule: ProposalRule { before_nms: rule.before_nms, max_tiou: rule.proposal_tiou, most: rule.proposals },
            anchors: anchors(steps, info.step_frames, &info.anchors),
            max_tiou: match options.nms {
                SegmentNms::Rule => Some(rule.segment_tiou),
                SegmentNms::Above(tiou) => Some(tiou),
                SegmentNms::Off => None,
            },
            min_score: options.threshold.unwrap_or(rule.min_score),
            progress: Progress { clips: 0, time_s: 0.0, duration_s },
            segments: Vec::new(),
            proposals: Vec::new(),
            inference: Duration::ZERO,
        }
    }

    fn take(&mut self, batch: Batch, give_back: &dyn Fn(Arc<Vec<f32>>), control: &mut Control<'_>) -> Result<()> {
        let Batch { buffers, windows } = batch;
        let progress = self.progress;
        let mut keep_waiting = || control(progress).is_continue();
        let start = Instant::now();
        let [scores, offsets, features] = self.graphs.propose(&buffers, windows.len(), &mut keep_waiting)?;
        self.inference += start.elapsed();
        give_back(buffers);
        check_finite(self.graphs, &[&scores, &offsets])?;

        let (steps, step_frames) = (self.steps(), self.form.info.step_frames);
        let cells = POOLED[1] * POOLED[2];
        let channels = features.len() / (windows.len() * steps * cells);
        let (mut all, mut regions) = (Vec::new(), Vec::new());
        let rows = windows.iter().enumerate();
        for (row, window) in rows {
            let [scores, offsets, features] =
                [&scores, &offsets, &features].map(|values| part(values, row, windows.len()));
            let found = propose(scores, offsets, &self.anchors, steps, window.frames as f64, &self.rule);
            let segments: Vec<Segment> = found.iter().map(|one| one.segment).collect();
            let sides = [channels, steps, cells];
            regions.extend(pool_segments::<{ POOLED[0] }>(features, sides, &segments, step_frames));
            self.note_proposals(window, &found);
            all.push(segments);
        }
        let count = all.iter().map(Vec::len).sum();
        if count > 0 {
            let start = Instant::now();
            let [scores, offsets] = self.graphs.label(regions, count, &mut keep_waiting)?;
            self.inference += start.elapsed();
            check_finite(self.graphs, &[&scores, &offsets])?;
            self.note_segments(&windows, &all, &scores, &offsets);
        }
        self.progress.clips += windows.len();
        if let Some(last) = windows.last() {
            self.progress.time_s = (last.start_frame + last.frames as u64) as f64 / self.form.fps;
        }
        Ok(())
    }

    fn steps(&self) -> usize {
        self.form.input.frames / self.form.info.step_frames
    }

    fn note_proposals(&mut self, window: &Window, found: &[Proposal]) {
        if self.options.proposals > 0 {
            let best = found.iter().take(self.options.proposals);
            let noted = best.map(|one| self.candidate(window, one.segment, 0, one.score)).collect::<Vec<_>>();
            self.proposals.extend(noted);
        }
    }

    /// Makes segments of what the head says about the proposals of each window, and leaves out what a better one of the same
    /// window says.
    fn note_segments(&mut self, windows: &[Window], proposals: &[Vec<Segment>], scores: &[f32], offsets: &[f32]) {
        let outputs = 1 + self.form.labels.len();
        let (mut scores, mut offsets) = (scores, offsets);
        for (window, proposals) in windows.iter().zip(proposals) {
            let (own_scores, own_offsets);
            (own_scores, scores) = scores.split_at(proposals.len() * outputs);
            (own_offsets, offsets) = offsets.split_at(2 * proposals.len() * outputs);
            let (frames, deviations) = (window.frames as f64, self.form.info.offset_deviations);
            let found = label_segments(own_scores, own_offsets, proposals, frames, deviations, self.min_score);
            let found = found.iter().map(|one| self.candidate(window, one.segment, one.label, one.score)).collect();
            self.segments.extend(match self.max_tiou {
                Some(max_tiou) => thin_out(found, max_tiou),
                None => found,
            });
        }
        if let Some(most) = self.options.max_segments {
            keep_best(&mut self.segments, most.max(HELD));
        }
    }

    /// A segment of a window in seconds of the video.
    fn candidate(&self, window: &Window, segment: Segment, label: usize, score: f32) -> Candidate {
        let second = |frame: f64| (window.start_frame as f64 + frame) / self.form.fps;
        Candidate { segment: Segment::new(second(segment.start), second(segment.end)), label, score }
    }

    /// Segments and proposals of the whole video, which ends at a second; best first.
    pub fn outcome(&mut self, end_s: f64) -> (Vec<Candidate>, Vec<Candidate>) {
        // The last sample may last beyond the video.
        let within = |found: &mut Vec<Candidate>| {
            let clipped = found.drain(..).map(|one| Candidate { segment: one.segment.clipped(end_s), ..one });
            clipped.filter(|one| one.segment.length() > 0.0).collect::<Vec<_>>()
        };
        let segments = match self.max_tiou {
            Some(max_tiou) => thin_out(within(&mut self.segments), max_tiou),
            None => within(&mut self.segments),
        };
        let proposals = thin_out(within(&mut self.proposals), self.form.info.rule.proposal_tiou);
        (best_first(segments, self.options.max_segments), best_first(proposals, Some(self.options.proposals)))
    }

    fn finish(mut self, video: VideoSummary, end_s: f64, decode: Duration, start: Instant) -> Localization {
        let (segments, proposals) = self.outcome(end_s);
        let found = |one: Candidate| FoundSegment {
            label: self.form.labels[one.label].clone(),
            index: one.label,
            score: one.score,
            start_s: one.segment.start,
            end_s: one.segment.end,
        };
        let proposed = |one: Candidate| {
            let Segment { start: start_s, end: end_s } = one.segment;
            FoundProposal { score: one.score, start_s, end_s }
        };
        Localization {
            model: self.form.model.clone(),
            task: Task::Localize,
            engine: self.graphs.engine_name().into(),
            device: self.graphs.device_name().into(),
            video,
            segments: segments.into_iter().map(found).collect(),
            proposals: proposals.into_iter().map(proposed).collect(),
            timing: Timing {
                decode_s: decode.as_secs_f64(),
                inference_s: self.inference.as_secs_f64(),
                total_s: start.elapsed().as_secs_f64(),
            },
        }
    }
}

/// One of `of` equal parts.
fn part(values: &[f32], index: usize, of: usize) -> &[f32] {
    let size = values.len() / of;
    &values[index * size..][..size]
}
