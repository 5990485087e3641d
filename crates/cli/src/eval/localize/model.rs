//! What a run or a bundle finds in the videos of a part.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use unscene_data::untrimmed::{Untrimmed, UntrimmedPart, UntrimmedSpec};
use unscene_data::{ClipForm, Failure, Media};
use unscene_engine::{Bundle, EngineError, Localization, LocalizeForm, LocalizeOptions, Localizer, SegmentNms};
use unscene_eval::localize::{Proposal, SegmentDetection};
use unscene_media::{DecodeOptions, Decoder, Frames, Pictures, Source};

use crate::failure::Interrupted;
use crate::interrupt;
use crate::subject::EngineArgs;

/// The arguments that name what finds actions: a file of what was found, or a model.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct FinderArgs {
    /// File of detections
    #[arg(long, value_name = "FILE")]
    pub detections: Option<PathBuf>,
    /// The run folder of `unscene finetune localize`
    #[cfg(feature = "train")]
    #[arg(long, value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// The exported bundle
    #[arg(long, value_name = "BUNDLE")]
    pub bundle: Option<PathBuf>,
}

/// A localizer that is ready.
pub struct Finder {
    graphs: Graphs,
    /// As the sliding sees it.
    pub form: LocalizeForm,
    /// For people: the folder and what computes it.
    pub name: String,
    provenance: Map<String, Value>,
}

enum Graphs {
    #[cfg(feature = "train")]
    Run(Box<super::libtorch::RunGraphs>),
    Bundle(Box<Localizer>),
}

/// What was found, and how fast.
pub struct FoundByModel {
    pub detections: Vec<SegmentDetection>,
    pub proposals: Vec<Proposal>,
    /// Videos that could not be decoded.
    pub failures: Vec<Failure>,
    /// Frames that were looked at, and the time from the first video to the last.
    pub frames: u64,
    pub elapsed: Duration,
}

impl FinderArgs {
    /// Loads the model, where one is named.
    pub fn open(&self, engine: &EngineArgs) -> Result<Option<Finder>> {
        #[cfg(feature = "train")]
        if let Some(dir) = &self.run {
            let (graphs, form, provenance) = super::libtorch::open(dir, engine)?;
            let name = format!("{} by {} on {}", dir.display(), graphs.engine(), graphs.device());
            return Ok(Some(Finder { graphs: Graphs::Run(Box::new(graphs)), form, name, provenance }));
        }
        let Some(dir) = &self.bundle else { return Ok(None) };
        let bundle = Bundle::open(dir)?;
        let localizer = Localizer::load(&bundle, &engine.options())?;
        let form = LocalizeForm::of_bundle(&bundle)?;
        let name = format!(
            "{} by {} on {}",
            dir.display(),
            localizer.graphs().engine_name(),
            localizer.graphs().device_name()
        );
        let provenance = bundle.manifest.provenance.get("run").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Some(Finder { graphs: Graphs::Bundle(Box::new(localizer)), form, name, provenance }))
    }
}

impl Finder {
    /// The dataset that the model was trained for, as its config names it.
    pub fn trained_on(&self) -> Option<UntrimmedSpec> {
        let data = self.provenance.get("config")?.get("data")?;
        serde_json::from_value(data.clone()).ok()
    }

    /// Of each label of the model its place among the dataset's, which may have them in another order.
    ///
    /// # Errors
    /// When the two do not have the same labels.
    pub fn places(&self, dataset: &Untrimmed) -> Result<Vec<usize>> {
        let own = &self.form.labels;
        let place = |label: &String| dataset.labels.iter().position(|theirs| theirs == label);
        let unknown = own.iter().find(|label| place(label).is_none());
        let untaught = dataset.labels.iter().find(|theirs| !own.contains(theirs));
        match (unknown, untaught) {
            (None, None) => Ok(own.iter().filter_map(place).collect()),
            (Some(label), _) => bail!("{}: the model knows {label:?}, which the annotations do not have", self.name),
            (_, Some(label)) => bail!("{}: the annotations have {label:?}, which the model does not know", self.name),
        }
    }

    /// Finds what is in every video of a part that is on disk; `places` are those of its labels. The best `proposals` of each video come with it.
    pub fn find(
        &mut self,
        part: &UntrimmedPart,
        places: &[usize],
        proposals: usize,
        max_failed: f64,
        quiet: bool,
    ) -> Result<FoundByModel> {
        let there: Vec<_> = part.videos.iter().filter_map(|video| Some((video, video.media.as_ref()?))).collect();
        let of = part.videos.len();
        let missing = of - there.len();
        if there.is_empty() {
            bail!("no video of {:?} is on disk; name their folder with --videos", part.name);
        }
        if missing as f64 > max_failed * of as f64 {
            let first = part.missing.first().map_or("", String::as_str);
            bail!("{missing} of {of} videos are not on disk, more than --max-failed allows, {first} for one");
        }
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(there.len() as u64) };
        let style = "{msg} {wide_bar} {pos} of {len} videos, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).context("the bar's template")?);
        let options = LocalizeOptions { nms: SegmentNms::Off, proposals, ..LocalizeOptions::default() };
        let (mut detections, mut all_proposals, mut failures, mut frames) = (vec![], vec![], vec![], 0);
        let start = Instant::now();
        for (done, (video, media)) in there.iter().enumerate() {
            bar.set_message(video.id.clone());
            match self.one(media, &options) {
                Ok(found) => {
                    frames += found.video.frames;
                    detections.extend(found.segments.iter().map(|segment| SegmentDetection {
                        video: video.id.clone(),
                        start_s: segment.start_s,
                        end_s: segment.end_s,
                        label: places[segment.index],
                        score: f64::from(segment.score),
                    }));
                    all_proposals.extend(found.proposals.iter().map(|proposal| Proposal {
                        video: video.id.clone(),
                        start_s: proposal.start_s,
                        end_s: proposal.end_s,
                        score: f64::from(proposal.score),
                    }));
                }
                Err(EngineError::Cancelled) => {
                    return Err(Interrupted { done, of: there.len(), what: "videos" }.into());
                }
                Err(error @ (EngineError::Media(_) | EngineError::NoFrames { .. })) => {
                    failures.push(Failure { id: video.id.clone(), reason: error.to_string() });
                    let lost = missing + failures.len();
                    if lost as f64 > max_failed * of as f64 {
                        bail!(
                            "{lost} of {of} videos cannot be read, more than --max-failed allows; {}: {error}",
                            video.id
                        );
                    }
                }
                Err(error) => return Err(error.into()),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(FoundByModel { detections, proposals: all_proposals, failures, frames, elapsed: start.elapsed() })
    }

    fn one(&mut self, media: &Media, options: &LocalizeOptions) -> Result<Localization, EngineError> {
        let limits = options.limits;
        match media {
            Media::Video(path) => {
                let decode = DecodeOptions { threads: 0, limits, ..DecodeOptions::default() };
                self.within(Decoder::open(&Source::from(path.as_path()), &decode)?, options)
            }
            // As often as training has them.
            Media::Frames(path) => {
                self.within(Pictures::open(path, ClipForm::default().pictures_fps, &limits)?, options)
            }
        }
    }

    fn within(&mut self, frames: impl Frames + Send, options: &LocalizeOptions) -> Result<Localization, EngineError> {
        let mut control = |_| interrupt::control();
        match &mut self.graphs {
            #[cfg(feature = "train")]
            Graphs::Run(graphs) => {
                unscene_engine::localize_with(graphs.as_mut(), &self.form, frames, options, &mut control)
            }
            Graphs::Bundle(localizer) => localizer.localize_frames(frames, options, &mut control),
        }
    }
}
