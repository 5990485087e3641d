//! Predictions of a detector: who does what in each frame, and as tubes over time.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use unscene_engine::{DetectOptions, Detection, Detector};
use unscene_media::Source;

use super::server::Query;
use super::{Bar, PredictArgs, keep, overlay, warn_of_damage, with_file};
use crate::tables::table;
use crate::{files, interrupt};

/// What is only asked of detectors.
#[derive(Args)]
#[command(next_help_heading = "With a detector")]
pub struct DetectArgs {
    /// Look at every K-th frame; tubes have boxes in the frames between as well [default: 1]
    #[arg(long, value_name = "K")]
    every: Option<NonZero<usize>>,
    /// Also draw what was found over the video, to this MP4 file, without its sound, for one video; small pictures are enlarged,
    /// an odd side gets a pixel more, and pixels are taken as square. Tubes have a colour and a number each, boxes of no tube are grey
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
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

/// Whom a detector here finds in a video.
pub fn find(detector: &Detector, path: &Path, args: &PredictArgs) -> Result<Detection> {
    let defaults = DetectOptions::default();
    let threshold = args.threshold.unwrap_or(defaults.threshold);
    let every = args.detect.every.map_or(defaults.every, NonZero::get);
    let options = DetectOptions { every, threshold, tubes: true, ..defaults };
    let mut bar = Bar::new(path);
    let source = Source::Path(path.to_path_buf());
    let found = detector.detect(&source, &options, &mut |progress| {
        bar.update(progress);
        interrupt::control()
    });
    Ok(found?)
}

/// The same for a service; what is not said is as here.
pub fn query(args: &PredictArgs) -> Query {
    let threshold = args.threshold.map(|score| ("threshold", score.to_string()));
    let every = args.detect.every.map(|every| ("every", every.to_string()));
    [Some(("tubes", "true".into())), threshold, every].into_iter().flatten().collect()
}

/// Prints what was found in a video, draws and keeps it.
pub fn show(path: &Path, found: &Detection, args: &PredictArgs) -> Result<()> {
    warn_of_damage(path, &found.summary.video);
    print(&mut std::io::stdout().lock(), path, found, args.json)?;
    if let Some(file) = &args.detect.overlay {
        overlay::draw(&Source::Path(path.to_path_buf()), found, file, &interrupt::control)?;
    }
    keep(path, found, args)
}

fn print(out: &mut impl Write, path: &Path, found: &Detection, json: bool) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use unscene_engine::{DetectSummary, FoundBox, FoundFrame, FoundTube, Timing, VideoSummary};
    use unscene_models::manifest::Task;

    use super::*;

    fn found() -> Detection {
        let label = |index: usize| ["kick", "wave"][index].to_owned();
        let one = |index, score| FoundBox { label: label(index), index, score, corners: [1.0, 2.0, 3.0, 4.0] };
        let frame = |frame: usize, boxes| FoundFrame { frame, time_s: frame as f64 / 10.0, boxes };
        let tube = |id: usize| FoundTube {
            id,
            label: label(1),
            index: 1,
            score: 0.9 - id as f32 / 100.0,
            start_s: id as f64,
            end_s: id as f64 + 0.25,
            start_frame: 10 * id,
            boxes: vec![[1.0, 2.0, 3.0, 4.0]; 2],
            scores: vec![0.9; 2],
        };
        let video = VideoSummary {
            duration_s: 25.0,
            width: 64,
            height: 48,
            fps: 10.0,
            frames: 250,
            clips: 3,
            damaged_packets: 0,
        };
        let summary = DetectSummary {
            model: "ssd".into(),
            task: Task::Detect,
            engine: "tract".into(),
            device: "CPU".into(),
            video,
            timing: Timing::default(),
        };
        let frames =
            vec![frame(0, vec![one(1, 0.9), one(1, 0.8), one(0, 0.5)]), frame(1, vec![]), frame(2, vec![one(1, 0.7)])];
        Detection { summary, frames, tubes: Some((0..22).map(tube).collect()) }
    }

    fn printed(found: &Detection, json: bool) -> String {
        let mut out = vec![];
        print(&mut out, Path::new("a.mp4"), found, json).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The cells of each row of the tables in it.
    fn rows(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|line| line.split_whitespace().filter(|cell| *cell != "|").collect()).collect()
    }

    #[test]
    fn people_see_the_best_tubes_and_how_much_of_each_action_there_is() {
        let text = printed(&found(), false);
        assert!(text.starts_with("a.mp4 (22 tubes in 25.0 s, looked at 3 of 250 frames, tract on CPU)\n"), "{text}");
        let rows = rows(&text);
        let has = |row: &[&str]| rows.iter().any(|found| found == row);
        assert!(has(&["wave", "0", "90.0", "0.0", "0.2"]) && has(&["wave", "19", "71.0", "19.0", "19.2"]), "{text}");
        assert!(!rows.iter().any(|row| row.get(1) == Some(&"20")), "{text}");
        assert!(text.contains("and 2 tubes more (--json has all)"), "{text}");
        // Two boxes of a frame are of one action.
        assert!(has(&["wave", "2", "3"]) && has(&["kick", "1", "1"]), "{text}");
    }

    #[test]
    fn a_video_without_actors_has_no_tables() {
        let found = Detection { frames: vec![], tubes: Some(vec![]), ..found() };
        assert_eq!(printed(&found, false), "a.mp4 (0 tubes in 25.0 s, looked at 0 of 250 frames, tract on CPU)\n");
    }

    #[test]
    fn json_has_everything() {
        let value: serde_json::Value = serde_json::from_str(&printed(&found(), true)).unwrap();
        assert_eq!(value["file"], "a.mp4");
        assert_eq!(value["tubes"].as_array().unwrap().len(), 22);
        assert_eq!(value["frames"][0]["boxes"].as_array().unwrap().len(), 3);
    }
}
