//! What a detector found, drawn over the video: a box and a label for each actor, tubes with their number and a colour each.

use std::iter::Peekable;
use std::ops::ControlFlow;
use std::path::Path;
use std::{slice, vec};

use anyhow::Result;
use unscene_draw::Marker;
use unscene_engine::{Detection, EngineError, FoundBox, FoundFrame, FoundTube, Progress};
use unscene_media::{DecodeOptions, Decoder, EncodeOptions, Encoder, Source, View};

use super::{Bar, COLOURS};
use crate::files::Partial;

/// Of boxes that belong to no tube.
const GREY: [u8; 3] = [190, 190, 190];

/// Pictures whose short side is shorter, in pixels, are enlarged by a whole number, so that labels have room.
const SHORT_SIDE: u32 = 240;
/// Though not if the long side became longer.
const LONG_SIDE: u32 = 1920;

/// x264's quality: visually as good as the video.
const CRF: u8 = 18;

/// Reads a video again, and writes it with what was found in it, frame by frame at the times of the video. A frame is held at
/// a time. `control` is asked after each whether to go on. Nothing is left of a file that could not be finished.
///
/// The picture is that which is displayed, turned upright; a small one is enlarged, and an odd side gets a pixel more, which
/// repeats the last.
pub fn draw(source: &Source, found: &Detection, file: &Path, control: &dyn Fn() -> ControlFlow<()>) -> Result<()> {
    let partial = Partial::of(file);
    let mut decoder = Decoder::open(source, &DecodeOptions::default())?;
    let enlarge = enlarging(decoder.frame_size());
    let (width, height) = (decoder.info().width * enlarge, decoder.info().height * enlarge);
    decoder.set_view(View::Resize { width, height })?;
    let fps = decoder.info().fps.round().clamp(1.0, 240.0) as u32;
    // A key frame about every second, to jump to.
    let options = EncodeOptions { width, height, fps, crf: CRF, keyframe_every: fps };
    let mut encoder = Encoder::create_timed(partial.path(), &options)?;
    let marker = Marker::new(width, height);
    let mut marks = Marks::of(found);
    let mut bar = Bar::new(file);
    let mut rgb = vec![0; decoder.frame_bytes()];
    for frame in 0.. {
        let Some(time) = decoder.next_frame(&mut rgb)? else { break };
        let mut marks = marks.at(frame);
        marks.iter_mut().for_each(|mark| mark.corners = mark.corners.map(|side| side * enlarge as f32));
        // Labels over the lines of all boxes.
        marks.iter().for_each(|mark| marker.outline(&mut rgb, mark.corners, mark.color));
        marks.iter().for_each(|mark| marker.label(&mut rgb, mark.corners, mark.color, &mark.text));
        encoder.write_at(&rgb, time)?;
        bar.update(Progress { clips: 0, time_s: time.time_s, duration_s: Some(found.summary.video.duration_s) });
        if control().is_break() {
            return Err(EngineError::Cancelled.into());
        }
    }
    encoder.finish()?;
    partial.keep()
}

/// How many pixels become one's side.
fn enlarging((width, height): (u32, u32)) -> u32 {
    SHORT_SIDE.div_ceil(width.min(height)).min(LONG_SIDE / width.max(height)).max(1)
}

/// A box that is drawn.
#[derive(Debug, PartialEq)]
struct Mark {
    corners: [f32; 4],
    color: [u8; 3],
    text: String,
}

/// What is to be drawn, going through the frames.
struct Marks<'a> {
    frames: Peekable<slice::Iter<'a, FoundFrame>>,
    /// Tubes that have not begun, by their begin.
    tubes: Peekable<vec::IntoIter<&'a FoundTube>>,
    /// Tubes that are there.
    shown: Vec<&'a FoundTube>,
}

impl<'a> Marks<'a> {
    fn of(found: &'a Detection) -> Self {
        let mut tubes: Vec<&FoundTube> = found.tubes.iter().flatten().collect();
        tubes.sort_by_key(|tube| tube.start_frame);
        Marks { frames: found.frames.iter().peekable(), tubes: tubes.into_iter().peekable(), shown: vec![] }
    }

    /// Those of a frame, which is the next; boxes of tubes last, over the others.
    fn at(&mut self, frame: usize) -> Vec<Mark> {
        while let Some(tube) = self.tubes.next_if(|tube| tube.start_frame <= frame) {
            self.shown.push(tube);
        }
        self.shown.retain(|tube| frame < tube.start_frame + tube.boxes.len());
        let of_tubes = || self.shown.iter().map(|tube| (*tube, frame - tube.start_frame));
        let boxes = self.frames.next_if(|found| found.frame == frame).map_or(&[][..], |found| &found.boxes);
        // A tube's boxes are those of the frames.
        let is_alone = |found: &&FoundBox| {
            of_tubes().all(|(tube, at)| tube.index != found.index || tube.boxes[at] != found.corners)
        };
        let alone = boxes.iter().filter(is_alone).map(|found| Mark {
            corners: found.corners,
            color: GREY,
            text: format!("{} {:.0} %", found.label, found.score * 100.0),
        });
        let tubes = of_tubes().map(|(tube, at)| Mark {
            corners: tube.boxes[at],
            color: COLOURS[tube.id % COLOURS.len()],
            text: format!("#{} {} {:.0} %", tube.id, tube.label, tube.scores[at] * 100.0),
        });
        alone.chain(tubes).collect()
    }
}

#[cfg(test)]
mod tests;
