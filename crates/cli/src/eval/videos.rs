//! What evaluations of a model on whole videos have in common: its labels among those of the dataset, and the way through a part.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use unscene_data::{Failure, Media};
use unscene_engine::{Bundle, EngineError};

use crate::failure::Interrupted;

/// The videos of a part.
pub struct PartVideos<'a> {
    /// The part's name.
    pub part: &'a str,
    /// Id of each, and where it is if it is on disk.
    pub videos: Vec<(&'a str, Option<&'a Media>)>,
    /// Share of them that may be missing or unreadable.
    pub max_failed: f64,
    /// No progress bar.
    pub quiet: bool,
}

/// What became of the videos.
pub struct Looked {
    /// Those that could not be read.
    pub failures: Vec<Failure>,
    /// From the first to the last.
    pub elapsed: Duration,
}

impl PartVideos<'_> {
    /// Calls `look` with the place of each video that is on disk. A video that cannot be decoded is noted.
    ///
    /// # Errors
    /// When no video is on disk, more are missing or unreadable than may be, or `look` fails in another way.
    pub fn look_at_all(&self, mut look: impl FnMut(usize, &Media) -> Result<(), EngineError>) -> Result<Looked> {
        let PartVideos { part, videos, max_failed, quiet } = self;
        let there: Vec<_> =
            videos.iter().enumerate().filter_map(|(at, (id, media))| Some((at, *id, (*media)?))).collect();
        let (of, missing) = (videos.len(), videos.len() - there.len());
        if there.is_empty() {
            bail!("no video of {part:?} is on disk; name their folder with --videos");
        }
        if missing as f64 > max_failed * of as f64 {
            let first = videos.iter().find(|(_, media)| media.is_none()).map_or("", |(id, _)| *id);
            bail!("{missing} of {of} videos are not on disk, more than --max-failed allows, {first} for one");
        }
        let bar = if *quiet { ProgressBar::hidden() } else { ProgressBar::new(there.len() as u64) };
        let style = "{msg} {wide_bar} {pos} of {len} videos, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).context("the bar's template")?);
        let (start, mut failures) = (Instant::now(), vec![]);
        for (done, &(at, id, media)) in there.iter().enumerate() {
            bar.set_message(id.to_string());
            match look(at, media) {
                Ok(()) => {}
                Err(EngineError::Cancelled) => {
                    return Err(Interrupted { done, of: there.len(), what: "videos" }.into());
                }
                Err(error @ (EngineError::Media(_) | EngineError::NoFrames { .. })) => {
                    failures.push(Failure { id: id.into(), reason: error.to_string() });
                    let lost = missing + failures.len();
                    if lost as f64 > max_failed * of as f64 {
                        bail!("{lost} of {of} videos cannot be read, more than --max-failed allows; {id}: {error}");
                    }
                }
                Err(error) => return Err(error.into()),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Looked { failures, elapsed: start.elapsed() })
    }
}

/// Of each label of a model its place among the dataset's, which may have them in another order.
///
/// # Errors
/// When the two do not have the same labels.
pub fn places(model: &str, own: &[String], theirs: &[String]) -> Result<Vec<usize>> {
    let place = |label: &String| theirs.iter().position(|theirs| theirs == label);
    let unknown = own.iter().find(|label| place(label).is_none());
    let untaught = theirs.iter().find(|theirs| !own.contains(theirs));
    match (unknown, untaught) {
        (None, None) => Ok(own.iter().filter_map(place).collect()),
        (Some(label), _) => bail!("{model}: the model knows {label:?}, which the annotations do not have"),
        (_, Some(label)) => bail!("{model}: the annotations have {label:?}, which the model does not know"),
    }
}

/// How the run that a bundle was made of was trained: `command` and `config`, as far as that is known.
pub fn trained_by(bundle: &Bundle) -> Map<String, Value> {
    bundle.manifest.provenance.get("run").and_then(Value::as_object).cloned().unwrap_or_default()
}
