//! Predictions of a localizer: when something happens, as a table and as a picture.

use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use unscene_engine::{Localization, LocalizeOptions, Localizer, SegmentNms};
use unscene_media::Source;

use super::server::Query;
use super::{Bar, PredictArgs, keep, timeline, warn_of_damage, with_file};
use crate::tables::table;
use crate::{files, interrupt};

/// What is only asked of localizers.
#[derive(Args)]
#[command(next_help_heading = "With a localizer")]
pub struct LocalizeArgs {
    /// Segments to print at most, best first [default: 20]
    #[arg(long, value_name = "N")]
    max_segments: Option<NonZero<usize>>,
    /// Overlap (tIoU) above which a segment is left out for a better one of its class [default: the model's]
    #[arg(long, value_name = "TIOU")]
    tiou_nms: Option<f64>,
    /// Also draw the segments over time, with pictures of the video, to this SVG file; for one video
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    timeline: Option<PathBuf>,
}

impl LocalizeArgs {
    /// An option that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            ("--max-segments", self.max_segments.is_some()),
            ("--tiou-nms", self.tiou_nms.is_some()),
            ("--timeline", self.timeline.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Refuses what would fail only after the work.
    pub fn check(&self, videos: &[PathBuf]) -> Result<()> {
        if self.timeline.is_some() && videos.len() != 1 {
            bail!("--timeline draws one video, and {} are given; give one", videos.len());
        }
        self.timeline.as_ref().map_or(Ok(()), |path| files::can_be_written("--timeline", path, Some("svg")))
    }
}

/// Segments that are printed unless asked for more or fewer.
const SHOWN: usize = 20;

/// What a localizer here finds in a video.
pub fn find(localizer: &Localizer, path: &Path, args: &PredictArgs) -> Result<Localization> {
    let LocalizeArgs { max_segments, tiou_nms, .. } = &args.localize;
    let options = LocalizeOptions {
        stride_frames: args.stride_frames,
        threshold: args.threshold,
        nms: tiou_nms.map_or(SegmentNms::Rule, SegmentNms::Above),
        max_segments: Some(max_segments.map_or(SHOWN, NonZero::get)),
        ..LocalizeOptions::default()
    };
    let mut bar = Bar::new(path);
    let source = Source::Path(path.to_path_buf());
    let found = localizer.localize(&source, &options, &mut |progress| {
        bar.update(progress);
        interrupt::control()
    });
    Ok(found?)
}

/// The same for a service.
pub fn query(args: &PredictArgs) -> Query {
    let LocalizeArgs { max_segments, tiou_nms, .. } = &args.localize;
    let segments = ("max_segments", max_segments.map_or(SHOWN, NonZero::get).to_string());
    let threshold = args.threshold.map(|score| ("threshold", score.to_string()));
    let nms = tiou_nms.map(|tiou| ("tiou_nms", tiou.to_string()));
    let stride = args.stride_frames.map(|frames| ("stride_frames", frames.to_string()));
    [Some(segments), threshold, nms, stride].into_iter().flatten().collect()
}

/// Prints what was found in a video, draws and keeps it.
pub fn show(path: &Path, found: &Localization, args: &PredictArgs) -> Result<()> {
    warn_of_damage(path, &found.video);
    print(path, found, args.json)?;
    if let Some(file) = &args.localize.timeline {
        files::whole(file, timeline::draw(&Source::Path(path.to_path_buf()), found)?.as_bytes())?;
    }
    keep(path, found, args)
}

fn print(path: &Path, found: &Localization, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", with_file(path, found)?)?;
        return Ok(());
    }
    let (segments, video) = (found.segments.len(), &found.video);
    let (seconds, windows) = (video.duration_s, video.clips);
    let what =
        format!("{segments} segments in {seconds:.1} s, {windows} windows, {} on {}", found.engine, found.device);
    writeln!(out, "{} ({what})", path.display())?;
    if segments > 0 {
        let mut rows = table(&["action", "score %", "from s", "to s"]);
        for one in &found.segments {
            let numbers = [f64::from(one.score) * 100.0, one.start_s, one.end_s];
            rows.add_row([vec![one.label.clone()], numbers.map(|number| format!("{number:.1}")).to_vec()].concat());
        }
        writeln!(out, "{rows}")?;
    }
    Ok(())
}
