//! Frames of a video by their number, as annotations of actors have them.

use std::path::Path;

use unscene_media::Frames;

use super::ActorVideo;
use super::collect::OVERRUN_PX;
use crate::error::Result;
use crate::formats::part::format_error;

/// Moves to a frame, counted from 0, by counting: containers claim rates and numbers of frames that are not there, and at a
/// variable rate a time says little about a number. Frames on the way are not converted.
///
/// # Errors
/// When the video ends before, or cannot be decoded.
pub fn advance_to(source: &mut impl Frames, frame: usize) -> Result<()> {
    for passed in 0..=frame {
        if source.advance()?.is_none() {
            let problem = format!("it ends after {passed} frames, but there are actors in frame {frame}");
            return Err(format_error(Path::new(source.name()), None, problem));
        }
    }
    Ok(())
}

/// # Errors
/// When a video's pictures are not those that its boxes are of.
pub fn check_pictures(source: &(impl Frames + ?Sized), video: &ActorVideo) -> Result<()> {
    let (width, height) = source.picture_size();
    let wrong = |problem: String| Err(format_error(Path::new(source.name()), None, problem));
    match video.size {
        Some((w, h)) if (w, h) != (width, height) => wrong(format!(
            "its frames are {width} x {height}, but its boxes are of frames of {w} x {h}; take the videos as they were annotated"
        )),
        Some(_) => Ok(()),
        None => {
            let limits = [width as f32, height as f32].map(|side| side + OVERRUN_PX);
            let reaches_out =
                |[x1, y1, x2, y2]: &&[f32; 4]| x1.min(*y1) < -OVERRUN_PX || *x2 > limits[0] || *y2 > limits[1];
            match video.tubes.iter().flat_map(|tube| &tube.boxes).find(reaches_out) {
                Some(found) => wrong(format!("found the box {found:?}, expected sides within {width} x {height}")),
                None => Ok(()),
            }
        }
    }
}
