//! Predictions of a detector: who does what in each frame, and as tubes over time.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use unscene_engine::{DetectOptions, Detection, Detector};
use unscene_media::Source;

use super::{Bar, PredictArgs, overlay, warn_of_damage, with_file};
use crate::tables::table;
use crate::{files, interrupt};

/// What is only asked of detectors.
#[derive(Args)]
#[command(next_help_heading = "With the bundle of a detector")]
pub struct DetectArgs {
    /// Look at every K-th frame; tubes have boxes in the frames between as well [default: 1]
    #[arg(long, value_name = "K")]
    every: Option<NonZero<usize>>,
    /// Also draw what was found over the video, to this MP4 file, without its sound, for one video; small pictures are enlarged,
    /// and an odd side gets a pixel more. Tubes have a colour and a number each, boxes of no tube are grey
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
}

impl DetectArgs {
    /// An option that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        let given = [("--every", self.every.is_some()), ("--overlay", self.overlay.is_some())];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Refuses what would fail only after the work.
    pub fn check(&self, videos: &[PathBuf]) -> Result<()> {
        let Some(path) = &self.overlay else { return Ok(()) };
        let [video] = videos else { bail!("--overlay draws over one video, and {} are given; give one", videos.len()) };
        files::can_be_written("--overlay", path, Some("mp4"))?;
        if path.canonicalize().is_ok_and(|path| video.canonicalize().is_ok_and(|video| video == path)) {
            bail!("--overlay: {} is the video itself; name another file", path.display());
        }
        Ok(())
    }
}

/// Tubes that are printed, best first; `--json` has all.
const SHOWN: usize = 20;

pub fn predict(detector: &Detector, path: &Path, args: &PredictArgs) -> Result<()> {
    let defaults = DetectOptions::default();
    let threshold = args.threshold.unwrap_or(defaults.threshold);
    let every = args.detect.every.map_or(defaults.every, NonZero::get);
    let options = DetectOptions { every, threshold, tubes: true, ..defaults };
    let mut bar = Bar::new(path);
    let source = Source::Path(path.to_path_buf());
    let found = detector.detect(&source, &options, &mut |progress| {
        bar.update(progress);
        interrupt::control()
    })?;
    drop(bar);
    warn_of_damage(path, &found.summary.video);
    print(path, &found, args.json)?;
    args.detect.overlay.as_ref().map_or(Ok(()), |file| overlay::draw(&source, &found, file, &interrupt::control))
}

fn print(path: &Path, found: &Detection, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", with_file(path, found)?)?;
        return Ok(());
    }
    let Detection { summary, frames, tubes } = found;
    let tubes = tubes.as_deref().unwrap_or_default();
    writeln!(
        out,
        "{} ({} tubes in {:.1} s, looked at {} of {} frames, {} on {})",
        path.display(),
        tubes.len(),
        summary.video.duration_s,
        frames.len(),
        summary.video.frames,
        summary.engine,
        summary.device
    )?;
    if !tubes.is_empty() {
        let mut rows = table(&["action", "tube", "score %", "from s", "to s"]);
        for tube in tubes.iter().take(SHOWN) {
            let numbers =
                [f64::from(tube.score) * 100.0, tube.start_s, tube.end_s].map(|number| format!("{number:.1}"));
            rows.add_row([tube.label.clone(), tube.id.to_string()].into_iter().chain(numbers));
        }
        writeln!(out, "{rows}")?;
        if tubes.len() > SHOWN {
            writeln!(out, "and {} tubes more (--json has all)", tubes.len() - SHOWN)?;
        }
    }
    // Frames that show a label, and boxes with it.
    let mut seen: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for frame in frames {
        for (at, one) in frame.boxes.iter().enumerate() {
            let [frames, boxes] = seen.entry(&one.label).or_default();
            *boxes += 1;
            *frames += usize::from(frame.boxes[..at].iter().all(|earlier| earlier.label != one.label));
        }
    }
    if !seen.is_empty() {
        let mut rows = table(&["action", "frames", "boxes"]);
        for (label, counts) in seen {
            rows.add_row([label.to_string()].into_iter().chain(counts.map(|count| count.to_string())));
        }
        writeln!(out, "\n{rows}")?;
    }
    Ok(())
}
