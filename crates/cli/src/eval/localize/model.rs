//! What a run or a bundle finds in the videos of a part.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};
use unscene_data::untrimmed::{UntrimmedPart, UntrimmedSpec};
use unscene_data::{ClipForm, Failure, Media, Opened, open};
use unscene_engine::{Bundle, EngineError, Localization, LocalizeForm, LocalizeOptions, Localizer, SegmentNms};
use unscene_eval::localize::{Proposal, SegmentDetection};
use unscene_media::Frames;

#[cfg(feature = "train")]
use crate::eval::libtorch::{self, RunLocalizer};
use crate::eval::videos::{self, Looked, PartVideos, trained_by};
use crate::interrupt;
use crate::subject::EngineArgs;
#[cfg(feature = "train")]
use unscene_engine::Runner;

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
    Run(Box<RunLocalizer>),
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
            let (graphs, form, provenance) = libtorch::localizer(dir, engine)?;
            let name = format!("{} by {} on {}", dir.display(), graphs.engine_name(), graphs.device_name());
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
        let provenance = trained_by(&bundle);
        Ok(Some(Finder { graphs: Graphs::Bundle(Box::new(localizer)), form, name, provenance }))
    }
}

impl Finder {
    /// The dataset that the model was trained for, as its config names it.
    pub fn trained_on(&self) -> Option<UntrimmedSpec> {
        videos::trained_on(&self.provenance)
    }

    /// Of each label of the model its place among the dataset's.
    ///
    /// # Errors
    /// As [`videos::places`].
    pub fn places(&self, labels: &[String]) -> Result<Vec<usize>> {
        videos::places(&self.name, &self.form.labels, labels)
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
        let videos = part.videos.iter().map(|video| (video.id.as_str(), video.media.as_ref())).collect();
        let all = PartVideos { part: &part.name, videos, max_failed, quiet };
        let options = LocalizeOptions { nms: SegmentNms::Off, proposals, ..LocalizeOptions::default() };
        let (mut detections, mut all_proposals, mut frames) = (vec![], vec![], 0);
        let Looked { failures, elapsed } = all.look_at_all(|at, media| {
            let (id, found) = (&part.videos[at].id, self.one(media, &options)?);
            frames += found.video.frames;
            detections.extend(found.segments.iter().map(|segment| SegmentDetection {
                video: id.clone(),
                start_s: segment.start_s,
                end_s: segment.end_s,
                label: places[segment.index],
                score: f64::from(segment.score),
            }));
            all_proposals.extend(found.proposals.iter().map(|proposal| Proposal {
                video: id.clone(),
                start_s: proposal.start_s,
                end_s: proposal.end_s,
                score: f64::from(proposal.score),
            }));
            Ok(())
        })?;
        Ok(FoundByModel { detections, proposals: all_proposals, failures, frames, elapsed })
    }

    fn one(&mut self, media: &Media, options: &LocalizeOptions) -> Result<Localization> {
        // Pictures as often as training has them.
        Ok(match open(media, &ClipForm::default(), 0)? {
            Opened::Video(frames) => self.within(*frames, options)?,
            Opened::Pictures(frames) => self.within(*frames, options)?,
        })
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
