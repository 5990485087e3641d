//! Single frames for a detector, with the boxes of actors in them, read by worker threads ahead of the network.

use std::sync::Arc;

use rand::RngExt;
use rand_pcg::Pcg64;
use unscene_media::{Frames, Region, SeekFrames, View};
use unscene_vision::{ClipDims, Normalization, normalize_clip};

use super::augment::{FrameAugmentation, FrameDraw};
use super::numbered::{FrameTimes, open_actors};
use super::{ActorPart, ActorVideo};
use crate::augment::{random, shuffled};
use crate::clip::Opened;
use crate::dataset::Media;
use crate::error::{DataError, Result};
use crate::loader::{Ahead, Failure};

/// How frames are read.
#[derive(Debug, Clone)]
pub struct FrameOptions {
    /// Height and width in pixels: a frame, or the part of it that is seen, is stretched to a square.
    pub size: usize,
    /// From pixels to what the network takes.
    pub normalization: Normalization,
    /// How frames vary; `None` takes frames evenly spread over each video, as they are.
    pub augmentation: Option<FrameAugmentation>,
    /// Frames of each video in an epoch.
    pub per_video: usize,
    /// Frames in a batch.
    pub batch: usize,
    /// The same seed gives the same frames in the same order, whatever the number of workers.
    pub seed: u64,
    /// Threads that read; 0 is one per core.
    pub workers: usize,
    /// Share of an epoch's frames that may fail before it ends with an error.
    pub max_failed: f64,
}

/// An actor in a frame as the network sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActorBox {
    /// Index of the label.
    pub label: usize,
    /// Left, top, right and bottom, in shares of what is seen.
    pub corners: [f32; 4],
}

/// Some frames as a network takes them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameBatch {
    /// n x 3 x 1 x size x size.
    pub input: Vec<f32>,
    /// The actors in each frame.
    pub boxes: Vec<Vec<ActorBox>>,
}

impl FrameBatch {
    /// Whether there is no frame in it.
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }
}

/// Reads frames with actors of the videos of a part that are on disk.
#[derive(Clone)]
pub struct FrameLoader {
    videos: Arc<[Acted]>,
    options: Arc<FrameOptions>,
}

/// A video, and the frames in which somebody acts.
struct Acted {
    video: ActorVideo,
    media: Media,
    frames: Vec<usize>,
    times: FrameTimes,
}

impl FrameLoader {
    /// Of a part's videos.
    ///
    /// # Errors
    /// [`DataError::Options`] when the options make no sense, or no video with an actor is there.
    pub fn new(part: &ActorPart, options: FrameOptions) -> Result<Self> {
        let problem = |problem: String| Err(DataError::Options { problem });
        let FrameOptions { size, per_video, batch, augmentation, .. } = &options;
        if let Some((what, _)) =
            [("size", size), ("per_video", per_video), ("batch", batch)].iter().find(|one| *one.1 == 0)
        {
            return problem(format!("{what}: found 0, expected at least 1"));
        }
        if let Some(wrong) = augmentation.as_ref().and_then(FrameAugmentation::problem) {
            return problem(wrong);
        }
        let acted = |video: &ActorVideo| {
            let (media, frames) = (video.media.clone()?, video.acted());
            (!frames.is_empty()).then(|| Acted { video: video.clone(), media, frames, times: FrameTimes::default() })
        };
        let videos: Vec<Acted> = part.videos.iter().filter_map(acted).collect();
        if videos.is_empty() {
            let (name, of, missing) = (&part.name, part.videos.len(), part.missing.len());
            return problem(format!("{name}: no video with an actor is there, of {of}; {missing} are not on disk"));
        }
        Ok(FrameLoader { videos: videos.into(), options: options.into() })
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        self.items().div_ceil(self.options.batch)
    }

    fn items(&self) -> usize {
        self.videos.len() * self.options.per_video
    }

    /// Frames of every video, in the epoch's own order, from batch `first_batch` on. The same epoch of the same seed is the
    /// same, wherever it is started.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> FrameEpoch {
        let FrameOptions { batch, seed, max_failed, workers, .. } = *self.options;
        let order = shuffled(self.items(), seed, epoch);
        let order: Arc<[usize]> = order.into_iter().skip(first_batch.saturating_mul(batch)).collect();
        let (videos, options) = (self.videos.clone(), self.options.clone());
        let read = move |item: usize| {
            let acted = &videos[item / options.per_video];
            read_frame(acted, item % options.per_video, &mut random(seed, epoch, item as u64), &options)
        };
        let ahead = Ahead::start(order, self.items(), max_failed, [workers, 2 * batch], read);
        FrameEpoch { videos: self.videos.clone(), options: self.options.clone(), ahead, failed: false }
    }
}

/// The batches of an epoch. Dropping it stops the workers.
///
/// A frame that fails leaves its batch one smaller, down to none. The batches after it are the same.
pub struct FrameEpoch {
    videos: Arc<[Acted]>,
    options: Arc<FrameOptions>,
    ahead: Ahead<(Vec<f32>, Vec<ActorBox>)>,
    failed: bool,
}

impl FrameEpoch {
    /// Frames that could not be read, and were not given before.
    pub fn take_failures(&mut self) -> Vec<Failure> {
        self.ahead.take_failures()
    }
}

impl Iterator for FrameEpoch {
    type Item = Result<FrameBatch>;

    /// The next batch; ends after an error.
    fn next(&mut self) -> Option<Result<FrameBatch>> {
        if self.failed {
            return None;
        }
        let FrameEpoch { videos, options, ahead, .. } = self;
        let mut batch = FrameBatch::default();
        let id = |item: usize| videos[item / options.per_video].video.id.clone();
        let is_there = ahead.take(options.batch, id, |_, (input, boxes)| {
            batch.input.extend_from_slice(&input);
            batch.boxes.push(boxes);
        });
        self.failed = is_there.is_err();
        is_there.map(|is_there| is_there.then_some(batch)).transpose()
    }
}

fn read_frame(
    acted: &Acted,
    number: usize,
    rng: &mut Pcg64,
    options: &FrameOptions,
) -> Result<(Vec<f32>, Vec<ActorBox>)> {
    let frames = &acted.frames;
    let at = match options.augmentation {
        Some(_) => rng.random_range(0..frames.len()),
        // The middles of equal parts.
        None => (2 * number + 1) * frames.len() / (2 * options.per_video),
    };
    match open_actors(&acted.media, &acted.video, 1)? {
        Opened::Video(mut source) => sample(&mut *source, acted, frames[at], rng, options),
        Opened::Pictures(mut source) => sample(&mut *source, acted, frames[at], rng, options),
    }
}

fn sample(
    source: &mut impl SeekFrames,
    Acted { video, frames, times, .. }: &Acted,
    frame: usize,
    rng: &mut Pcg64,
    options: &FrameOptions,
) -> Result<(Vec<f32>, Vec<ActorBox>)> {
    let there = video.tubes.iter().filter_map(|tube| Some((tube.label, *tube.at(frame)?)));
    let (labels, corners): (Vec<usize>, Vec<[f32; 4]>) = there.unzip();
    let draw = match &options.augmentation {
        Some(augmentation) => augmentation.draw(source.picture_size(), &corners, rng),
        None => FrameAugmentation::none().draw(source.picture_size(), &corners, rng),
    };
    times.go_to(source, frame, frames.last().copied().unwrap_or(frame))?;
    let input = look(source, &draw, options)?;
    let placed = labels.into_iter().zip(&corners);
    let boxes = placed.filter_map(|(label, corners)| Some(ActorBox { label, corners: draw.place(corners)? }));
    Ok((input, boxes.collect()))
}

/// What is seen of the current frame, 3 x 1 x size x size. The part of it that lies in the frame is scaled in the one conversion to RGB; around
/// it is the mean colour.
fn look(source: &mut impl Frames, draw: &FrameDraw, options: &FrameOptions) -> Result<Vec<f32>> {
    let (width, height) = source.picture_size();
    let [left, top, right, bottom] = draw.region;
    let size = options.size as i64;
    let limits = [i64::from(width), i64::from(height)];
    let inside = [left.max(0), top.max(0), right.min(limits[0]), bottom.min(limits[1])];
    // Where that is in the square, in whole pixels.
    let across = |x: i64| ((x - left) * size + (right - left) / 2) / (right - left);
    let down = |y: i64| ((y - top) * size + (bottom - top) / 2) / (bottom - top);
    let (mut x1, y1, mut x2, y2) = (across(inside[0]), down(inside[1]), across(inside[2]), down(inside[3]));
    if draw.mirror {
        (x1, x2) = (size - x2, size - x1);
    }
    let (part_width, part_height) = ((x2 - x1).max(1) as u32, (y2 - y1).max(1) as u32);
    let [x, y] = [inside[0] as u32, inside[1] as u32];
    let part = Region { x, y, width: (inside[2] - inside[0]) as u32, height: (inside[3] - inside[1]) as u32 };
    source.set_view(View::Part { part, width: part_width, height: part_height, mirror: draw.mirror })?;
    let mut seen = vec![0; source.frame_bytes()];
    source.write_current(&mut seen)?;

    let mean = options.normalization.mean.map(|mean| (mean * 255.0 / options.normalization.range).round() as u8);
    let side = options.size;
    let mut rgb: Vec<u8> = mean.repeat(side * side);
    for (row, seen) in seen.chunks_exact(3 * part_width as usize).enumerate() {
        let (row, column) = ((y1 as usize + row).min(side - 1), (x1 as usize).min(side - 1));
        let place = &mut rgb[3 * (row * side + column)..3 * (row + 1) * side];
        let count = seen.len().min(place.len());
        place[..count].copy_from_slice(&seen[..count]);
        if let Some(colors) = &draw.colors {
            for pixel in place[..count].chunks_exact_mut(3) {
                let changed = colors.apply([pixel[0], pixel[1], pixel[2]].map(f32::from));
                pixel.copy_from_slice(&changed.map(|channel| channel.round() as u8));
            }
        }
    }
    let dims = ClipDims { frames: 1, height: side, width: side };
    let mut input = vec![0.0; 3 * side * side];
    normalize_clip(&rgb, dims, &options.normalization, &mut input)
        .map_err(|error| DataError::Internal { problem: error.to_string() })?;
    Ok(input)
}
