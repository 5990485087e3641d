//! Single frames of an item, for those who look at it without training: annotation and previews.

use serde::{Deserialize, Serialize};
use unscene_media::{ClipReader, ClipSampling, Frames, SeekFrames, View};

use crate::clip::{ClipForm, Opened, bounds, open};
use crate::dataset::{Item, Span};
use crate::error::Result;

/// Which frames are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Looks {
    /// Every k-th frame, the first included.
    Every(usize),
    /// This many per second, the first frame included.
    PerSecond(f64),
    /// This many, at equal distances; between them the video is not decoded.
    Spread(usize),
}

/// A frame.
pub struct Look<'a> {
    /// When it is shown.
    pub time_s: f64,
    /// Width and height of the displayed picture that it was made from.
    pub picture_size: (u32, u32),
    /// height x width x 3, of the view's size.
    pub rgb: &'a [u8],
}

/// What the header of an item's video says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Width and height of the displayed picture.
    pub picture_size: (u32, u32),
    /// Frames per second; for pictures and where the header does not say, 25.
    pub fps: f64,
    /// Seconds from the first frame to the end of the last, where the header says.
    pub duration_s: Option<f64>,
}

/// Reads the header of an item's video.
///
/// # Errors
/// When it cannot be opened.
pub fn facts(item: &Item) -> Result<Facts> {
    fn of(frames: &impl Frames) -> Facts {
        let fps = if frames.fps() > 0.0 { frames.fps() } else { ClipForm::default().pictures_fps };
        Facts { picture_size: frames.picture_size(), fps, duration_s: frames.duration_s() }
    }
    Ok(match open(&item.media, &ClipForm::default(), 1)? {
        Opened::Video(frames) => of(&*frames),
        Opened::Pictures(frames) => of(&*frames),
    })
}

/// Shows frames of an item to `take`, each in the view that suits a picture of its size. Ends when `take` says false.
///
/// # Errors
/// When the video cannot be decoded.
pub fn look(
    item: &Item,
    looks: Looks,
    view: &dyn Fn((u32, u32)) -> View,
    take: &mut dyn FnMut(Look<'_>) -> bool,
) -> Result<()> {
    match open(&item.media, &ClipForm::default(), 1)? {
        Opened::Video(frames) => look_at(*frames, item.span, looks, view, take),
        Opened::Pictures(frames) => look_at(*frames, item.span, looks, view, take),
    }
}

fn look_at<F: SeekFrames>(
    mut frames: F,
    span: Span,
    looks: Looks,
    view: &dyn Fn((u32, u32)) -> View,
    take: &mut dyn FnMut(Look<'_>) -> bool,
) -> Result<()> {
    let picture_size = frames.picture_size();
    frames.set_view(view(picture_size))?;
    let span_s = bounds(&frames, span);
    let (stride_frames, fps) = match looks {
        Looks::Every(stride_frames) => (stride_frames, None),
        Looks::PerSecond(fps) => (1, Some(fps)),
        Looks::Spread(_) => (1, None),
    };
    let mut reader = ClipReader::new(frames, ClipSampling { frames: 1, stride_frames, fps })?;
    let end_s = if span == Span::Whole { f64::INFINITY } else { span_s.end };
    let mut last_s = f64::NEG_INFINITY;
    let mut show = |clip: unscene_media::Clip| {
        // A short video has fewer frames than were asked for.
        let is_new = clip.times_s[0] > last_s;
        last_s = clip.times_s[0];
        !is_new || take(Look { time_s: clip.times_s[0], picture_size, rgb: &clip.rgb })
    };
    if let Looks::Spread(count) = looks
        && span_s.end.is_finite()
    {
        for number in 0..count {
            let share = (number as f64 + 0.5) / count as f64;
            reader.seek(span_s.start + share * (span_s.end - span_s.start), end_s)?;
            // Headers claim too much; what lies beyond the end is not shown.
            if let Some(clip) = reader.next_clip()?
                && !show(clip)
            {
                return Ok(());
            }
        }
        return Ok(());
    }
    reader.seek(span_s.start, end_s)?;
    while let Some(clip) = reader.next_clip()? {
        if !show(clip) {
            return Ok(());
        }
    }
    Ok(())
}
