//! What evaluations of a model on whole videos have in common: its labels among those of the dataset, and the way through a part.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use unscene_data::{DataError, Failure, Media};
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
    pub fn look_at_all(&self, mut look: impl FnMut(usize, &Media) -> Result<()>) -> Result<Looked> {
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
            if let Err(error) = look(at, media) {
                if matches!(error.downcast_ref(), Some(EngineError::Cancelled)) {
                    return Err(Interrupted { done, of: there.len(), what: "videos" }.into());
                }
                if !is_of_video(&error) {
                    return Err(error);
                }
                failures.push(Failure { id: id.into(), reason: error.to_string() });
                let lost = missing + failures.len();
                if lost as f64 > max_failed * of as f64 {
                    bail!("{lost} of {of} videos cannot be read, more than --max-failed allows; {id}: {error}");
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Looked { failures, elapsed: start.elapsed() })
    }
}

/// Whether an error says that a video cannot be used, rather than that the evaluation cannot go on.
fn is_of_video(error: &anyhow::Error) -> bool {
    let by_engine = matches!(error.downcast_ref(), Some(EngineError::Media(_) | EngineError::NoFrames { .. }));
    by_engine
        || matches!(
            error.downcast_ref(),
            Some(DataError::Media(_) | DataError::Format { .. } | DataError::Span { .. } | DataError::Io { .. })
        )
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

/// The dataset that a run was trained for, as its config names it.
pub fn trained_on<T: DeserializeOwned>(provenance: &Map<String, Value>) -> Option<T> {
    let data = provenance.get("config")?.get("data")?;
    serde_json::from_value(data.clone()).ok()
}

/// How the run that a bundle was made of was trained: `command` and `config`, as far as that is known.
pub fn trained_by(bundle: &Bundle) -> Map<String, Value> {
    bundle.manifest.provenance.get("run").and_then(Value::as_object).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_a_video_is_laid_to_it() {
        let (one, two) = (Media::Video("1.mp4".into()), Media::Video("2.mp4".into()));
        let look = |max_failed: f64, error: &dyn Fn() -> anyhow::Error| {
            let videos = vec![("one", Some(&one)), ("two", Some(&two)), ("gone", None)];
            let all = PartVideos { part: "test", videos, max_failed, quiet: true };
            all.look_at_all(|at, _| if at == 1 { Err(error()) } else { Ok(()) })
        };
        let format = || DataError::Format { path: "2.mp4".into(), line: None, problem: "too short".into() }.into();
        let found = look(0.7, &format).unwrap().failures;
        assert_eq!((found.len(), &*found[0].id, &*found[0].reason), (1, "two", "2.mp4: too short"));
        let empty = || EngineError::NoFrames { name: "2.mp4".into() }.into();
        assert_eq!(look(0.7, &empty).unwrap().failures.len(), 1);
        let message =
            |max_failed, error: &dyn Fn() -> anyhow::Error| look(max_failed, error).err().unwrap().to_string();
        assert!(
            message(0.5, &format).contains("2 of 3 videos cannot be read, more than --max-failed allows; two: 2.mp4")
        );
        assert!(message(0.3, &format).contains("1 of 3 videos are not on disk"));
        // Of the program or of its settings, not of a video.
        let fault = || DataError::Internal { problem: "a thread is gone".into() }.into();
        assert!(message(0.7, &fault).contains("a thread is gone"));
        let stopped = look(0.7, &|| EngineError::Cancelled.into()).err().unwrap();
        assert!(stopped.is::<Interrupted>(), "{stopped}");
    }

    #[test]
    fn labels_are_found_by_name() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let own = names(&["kick", "bow", "wave"]);
        assert_eq!(places("m", &own, &names(&["wave", "kick", "bow"])).unwrap(), [1, 2, 0]);
        let problem = |theirs: &[&str]| places("m", &own, &names(theirs)).unwrap_err().to_string();
        assert_eq!(problem(&["wave", "kick"]), "m: the model knows \"bow\", which the annotations do not have");
        let found = problem(&["wave", "kick", "bow", "march"]);
        assert_eq!(found, "m: the annotations have \"march\", which the model does not know");
    }
}
