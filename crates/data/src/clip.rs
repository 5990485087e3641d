//! From an item to the clip that a network sees: which frames, which part of them, in which form.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unscene_media::{
    Clip, ClipReader, ClipSampling, DecodeOptions, Decoder, FrameTime, Frames, Limits, Padding, Pictures, Region,
    SeekFrames, Source, View,
};
use unscene_vision::{ClipDims, Normalization, cut_clip, normalize_clip, scaled_to, three_crops};

use crate::augment::Draw;
use crate::dataset::{Item, Media, Span};
use crate::error::{DataError, Result};

/// The form in which a network takes clips. The default is that of the paper: 16 x 112 x 112, every frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipForm {
    /// Frames of a clip.
    pub frames: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// The short side of the picture that test crops are cut from, in pixels.
    pub short_side: usize,
    /// Frames per second, taken by time; `None` takes every frame.
    pub fps: Option<f64>,
    /// Frames per second of folders of pictures, which do not say.
    pub pictures_fps: f64,
    /// From bytes to numbers.
    pub normalization: Normalization,
    /// What fills a clip that the video ends in.
    pub padding: Padding,
}

impl Default for ClipForm {
    fn default() -> Self {
        ClipForm {
            frames: 16,
            height: 112,
            width: 112,
            short_side: 112,
            fps: None,
            // What UCF101, and most datasets that were unpacked into pictures, have.
            pictures_fps: 25.0,
            normalization: Normalization::default(),
            padding: Padding::default(),
        }
    }
}

impl ClipForm {
    /// Sides of a clip.
    pub fn dims(&self) -> ClipDims {
        ClipDims { frames: self.frames, height: self.height, width: self.width }
    }

    fn sampling(&self) -> ClipSampling {
        ClipSampling { frames: self.frames, stride_frames: self.frames, fps: self.fps }
    }

    /// The middle of the picture, as in tests.
    fn center(&self) -> View {
        let (width, height) = (self.width as u32, self.height as u32);
        View::CenterCrop { short_side: self.short_side as u32, width, height }
    }
}

/// Which clips of a video are tested, and which parts of their picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Views {
    /// All clips side by side, cut from the middle: the test of the paper.
    #[default]
    Paper,
    /// Ten clips spread evenly over the video, three crops of each along the longer side: what SlowFast and its followers
    /// report.
    TenByThree,
}

impl Views {
    /// Names on the command line.
    pub const ALL: [(&str, Views); 2] = [("paper", Views::Paper), ("10x3", Views::TenByThree)];

    /// The protocol in words.
    pub fn protocol(self) -> &'static str {
        match self {
            Views::Paper => "non-overlapping clips, centre crop, probabilities averaged over the video",
            Views::TenByThree => "10 clips spread over the video x 3 crops, probabilities averaged over the video",
        }
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Views::ALL[*self as usize].0)
    }
}

impl FromStr for Views {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self> {
        let known = Views::ALL.into_iter().find(|(name, _)| *name == text);
        let problem = || format!("views: found {text:?}, expected {}", Views::ALL.map(|(name, _)| name).join(" or "));
        known.map(|(_, views)| views).ok_or_else(|| DataError::Options { problem: problem() })
    }
}

/// A clip, and where it was cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// RGB bytes: frames x height x width x 3.
    pub rgb: Vec<u8>,
    /// When each frame is shown, in seconds from the start of the video.
    pub times_s: Vec<f64>,
    /// The part of the displayed picture that was cut and scaled.
    pub part: Region,
    /// Whether left and right were swapped after that.
    pub mirror: bool,
    /// Width and height of the displayed picture.
    pub picture_size: (u32, u32),
}

impl Sample {
    /// The network's input.
    ///
    /// # Shapes
    /// 3 x frames x height x width.
    pub fn to_input(&self, form: &ClipForm) -> Vec<f32> {
        let mut input = vec![0.0; form.dims().len()];
        normalize_clip(&self.rgb, form.dims(), &form.normalization, &mut input).expect("a sample has the form's sides");
        input
    }
}

/// Reads the clip that a draw says.
///
/// A video that is shorter than a clip is filled as [`ClipForm::padding`] says. One whose header claims more than there is
/// gives the clip that its true length says. An item that is as long as a clip has one clip, whatever is drawn.
///
/// # Errors
/// When the video cannot be decoded there.
pub fn draw_clip(item: &Item, form: &ClipForm, draw: &Draw) -> Result<Sample> {
    match open(&item.media, form, 1)? {
        Opened::Video(frames) => draw_from(*frames, item.span, form, draw),
        Opened::Pictures(frames) => draw_from(*frames, item.span, form, draw),
    }
}

/// Reads an item's test clips. `take` is called with one after the other, and ends the reading by answering false.
///
/// # Errors
/// When the video cannot be decoded.
pub fn test_clips(item: &Item, form: &ClipForm, views: Views, take: &mut dyn FnMut(Sample) -> bool) -> Result<()> {
    match (open(&item.media, form, 1)?, views) {
        (Opened::Video(frames), Views::Paper) => test_from(*frames, item.span, form, take),
        (Opened::Pictures(frames), Views::Paper) => test_from(*frames, item.span, form, take),
        (Opened::Video(frames), Views::TenByThree) => ten_by_three(*frames, item.span, form, take),
        (Opened::Pictures(frames), Views::TenByThree) => ten_by_three(*frames, item.span, form, take),
    }
}

/// The frames of another video of the same length, at the times and cut as in a sample.
///
/// # Shapes
/// As [`Sample::rgb`].
pub(crate) fn frames_at(media: &Media, form: &ClipForm, sample: &Sample) -> Result<Vec<u8>> {
    match open(media, form, 1)? {
        Opened::Video(frames) => take_at(*frames, form, sample),
        Opened::Pictures(frames) => take_at(*frames, form, sample),
    }
}

fn take_at<F: SeekFrames>(mut frames: F, form: &ClipForm, sample: &Sample) -> Result<Vec<u8>> {
    let (width, height) = (form.width as u32, form.height as u32);
    frames.set_view(View::Part { part: sample.part, width, height, mirror: sample.mirror })?;
    let (tolerance_s, bytes) = (frames.tolerance_s(), frames.frame_bytes());
    let mut rgb = vec![0; sample.rgb.len()];
    let mut current: Option<FrameTime> = None;
    for (at, &time_s) in sample.times_s.iter().enumerate() {
        let place = at * bytes..(at + 1) * bytes;
        // Back to the start of a short video that a clip repeats.
        if current.is_none_or(|frame| time_s < frame.time_s - tolerance_s) {
            frames.seek(time_s)?;
            current = None;
        }
        let lasts = |frame: FrameTime| frame.time_s + frame.duration_s > time_s + tolerance_s;
        if current.is_some_and(lasts) {
            rgb.copy_within(place.start - bytes..place.start, place.start);
            continue;
        }
        while !current.is_some_and(lasts) {
            match frames.advance()? {
                Some(frame) => current = Some(frame),
                // The other video may end a little earlier: its last frame stays.
                None if current.is_some() => break,
                None => return Err(nothing_in(&frames, &(time_s..f64::INFINITY))),
            }
        }
        frames.write_current(&mut rgb[place])?;
    }
    Ok(rgb)
}

/// What a medium's frames come from.
pub enum Opened {
    /// A video file.
    Video(Box<Decoder>),
    /// A folder of pictures.
    Pictures(Box<Pictures>),
}

/// Opens a medium. One thread is right where samples are read side by side; 0 is one per core, for frames that all are needed.
///
/// # Errors
/// When it cannot be opened.
pub fn open(media: &Media, form: &ClipForm, threads: usize) -> Result<Opened> {
    let limits = Limits::default();
    Ok(match media {
        Media::Video(path) => {
            let options = DecodeOptions { threads, limits, ..DecodeOptions::default() };
            Opened::Video(Box::new(Decoder::open(&Source::from(path.as_path()), &options)?))
        }
        Media::Frames(path) => Opened::Pictures(Box::new(Pictures::open(path, form.pictures_fps, &limits)?)),
    })
}

fn clips_of<F: Frames>(frames: F, form: &ClipForm) -> Result<ClipReader<F>> {
    Ok(ClipReader::new(frames, form.sampling())?.padded(form.padding))
}

fn draw_from<F: SeekFrames>(mut frames: F, span: Span, form: &ClipForm, draw: &Draw) -> Result<Sample> {
    let picture_size = frames.picture_size();
    let part = draw.part(picture_size, (form.width as u32, form.height as u32));
    let view = View::Part { part, width: form.width as u32, height: form.height as u32, mirror: draw.mirror };
    frames.set_view(view)?;
    let step_s = 1.0 / form.fps.unwrap_or(frames.fps()).max(1e-3);
    let span_s = bounds(&frames, span);
    let mut reader = clips_of(frames, form)?;

    // A clip of n frames lasts n steps, and the last moment to start is n - 1 steps before the end: any frame may be
    // the first, but for those of which fewer than n follow.
    let start_s = |end_s: f64| {
        // A millisecond less, because times that close count as the same.
        let latest_s = end_s - span_s.start - (form.frames as f64 - 1.0) * step_s - 1e-3;
        // On a grid of times, less than a step is no choice: an item that is as long as a clip starts where it starts.
        let least_s = if form.fps.is_some() { step_s } else { 0.0 };
        if latest_s < least_s { span_s.start } else { span_s.start + draw.start * latest_s }
    };
    let end_s = match span_s.end.is_finite() {
        true => span_s.end,
        false => last_moment(&mut reader, &span_s)?,
    };
    let limit_s = if span == Span::Whole { f64::INFINITY } else { end_s };
    reader.seek(start_s(end_s), limit_s)?;
    let mut clip = reader.next_clip()?;
    let is_whole = clip.as_ref().is_some_and(|clip| clip.read_frames == form.frames);
    if !is_whole && start_s(end_s) > span_s.start {
        // The header claims more than there is.
        let end_s = match clip {
            Some(clip) => clip.end_s,
            None => last_moment(&mut reader, &span_s)?,
        };
        reader.seek(start_s(end_s), limit_s)?;
        clip = reader.next_clip()?;
    }
    let clip = clip.ok_or_else(|| nothing_in(reader.decoder(), &span_s))?;
    Ok(sample(clip, part, draw.mirror, picture_size))
}

fn test_from<F: SeekFrames>(
    mut frames: F,
    span: Span,
    form: &ClipForm,
    take: &mut dyn FnMut(Sample) -> bool,
) -> Result<()> {
    let picture_size = frames.picture_size();
    let view = form.center();
    frames.set_view(view)?;
    let part = view.part(picture_size.0, picture_size.1);
    let span_s = bounds(&frames, span);
    let mut reader = clips_of(frames, form)?;
    reader.seek(span_s.start, if span == Span::Whole { f64::INFINITY } else { span_s.end })?;
    let mut any = false;
    while let Some(clip) = reader.next_clip()? {
        any = true;
        if !take(sample(clip, part, false, picture_size)) {
            return Ok(());
        }
    }
    if any { Ok(()) } else { Err(nothing_in(reader.decoder(), &span_s)) }
}

/// Clips of a video for [`Views::TenByThree`].
const SPREAD: usize = 10;

fn ten_by_three<F: SeekFrames>(
    mut frames: F,
    span: Span,
    form: &ClipForm,
    take: &mut dyn FnMut(Sample) -> bool,
) -> Result<()> {
    let picture_size = frames.picture_size();
    let (width, height) = scaled_to(form.short_side as u32, picture_size.0, picture_size.1);
    frames.set_view(View::Resize { width, height })?;
    let scaled = (width as usize, height as usize);
    let corners = three_crops(scaled, form.dims()).ok_or_else(|| DataError::Options {
        problem: format!("a crop of {} x {} does not fit a picture of {width} x {height}", form.width, form.height),
    })?;
    let step_s = 1.0 / form.fps.unwrap_or(frames.fps()).max(1e-3);
    let span_s = bounds(&frames, span);
    let mut reader = clips_of(frames, form)?;
    let limit_s = if span == Span::Whole { f64::INFINITY } else { span_s.end };
    let latest_s = |end_s: f64| (end_s - (form.frames as f64 - 1.0) * step_s - 1e-3).max(span_s.start);
    let mut last_s = match span_s.end.is_finite() {
        true => latest_s(span_s.end),
        false => latest_s(last_moment(&mut reader, &span_s)?),
    };
    reader.seek(last_s, limit_s)?;
    let is_whole = reader.next_clip()?.is_some_and(|clip| clip.read_frames == form.frames);
    if !is_whole && last_s > span_s.start {
        // The header claims more than there is.
        last_s = latest_s(last_moment(&mut reader, &span_s)?);
    }
    // A video that is no longer than a clip has one.
    let clips = if last_s > span_s.start { SPREAD } else { 1 };
    for number in 0..clips {
        let start_s = span_s.start + (last_s - span_s.start) * number as f64 / (SPREAD - 1) as f64;
        reader.seek(start_s, limit_s)?;
        let clip = reader.next_clip()?.ok_or_else(|| nothing_in(reader.decoder(), &span_s))?;
        for (left, top) in corners {
            let rgb = cut_clip(&clip.rgb, scaled, (left, top), form.dims());
            let part = of_picture(picture_size, scaled, (left, top), form);
            if !take(Sample { rgb, times_s: clip.times_s.clone(), part, mirror: false, picture_size }) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Where a crop of the scaled picture lies in the displayed one.
fn of_picture(picture: (u32, u32), scaled: (usize, usize), (left, top): (usize, usize), form: &ClipForm) -> Region {
    let back = |at: usize, whole: u32, scaled: usize| (at as u64 * u64::from(whole) / scaled.max(1) as u64) as u32;
    let (x, y) = (back(left, picture.0, scaled.0), back(top, picture.1, scaled.1));
    let (width, height) = (back(form.width, picture.0, scaled.0), back(form.height, picture.1, scaled.1));
    Region { x, y, width: width.max(1), height: height.max(1) }
}

fn sample(clip: Clip, part: Region, mirror: bool, picture_size: (u32, u32)) -> Sample {
    Sample { rgb: clip.rgb, times_s: clip.times_s, part, mirror, picture_size }
}

/// The moments of a span; a video of unknown length ends at infinity.
pub(crate) fn bounds(frames: &impl Frames, span: Span) -> Range<f64> {
    let duration_s = frames.duration_s().unwrap_or(f64::INFINITY);
    match span {
        Span::Whole => 0.0..duration_s,
        Span::Between { start_s, end_s } => start_s..end_s,
        // Cutting rounds to frames, and sound may last longer than pictures.
        Span::BetweenUnlessCut { start_s, end_s } if duration_s >= end_s - 0.5 => start_s..end_s,
        Span::BetweenUnlessCut { .. } => 0.0..duration_s,
    }
}

/// Reads to the end to see when it is.
fn last_moment<F: SeekFrames>(reader: &mut ClipReader<F>, span_s: &Range<f64>) -> Result<f64> {
    let frames = reader.decoder_mut();
    frames.seek(span_s.start)?;
    let mut end_s = span_s.start;
    while let Some(frame) = frames.advance()? {
        end_s = frame.time_s + frame.duration_s;
    }
    Ok(end_s.min(span_s.end))
}

fn nothing_in(frames: &impl Frames, span_s: &Range<f64>) -> DataError {
    let has =
        frames.duration_s().map_or("and its length is not known".into(), |end_s| format!("it ends at {end_s:.3} s"));
    DataError::Span { name: frames.name().to_string(), start_s: span_s.start, end_s: span_s.end, has }
}
