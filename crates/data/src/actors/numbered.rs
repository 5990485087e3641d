//! Frames of a video by their number, as annotations of actors have them, in the pictures that their boxes are of.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use unscene_media::{Frames, Pictures, SeekFrames};

use super::ActorVideo;
use super::collect::OVERRUN_PX;
use crate::clip::{ClipForm, Opened, open};
use crate::dataset::Media;
use crate::error::Result;
use crate::formats::part::format_error;

/// When the frames of a video are shown, counted once. Containers claim rates and numbers of frames that are not there, and at a
/// variable rate a time says little about a number. `None` where times do not find frames again.
#[derive(Debug, Default)]
pub(super) struct FrameTimes(OnceLock<Option<Arc<[f64]>>>);

impl FrameTimes {
    /// Moves to a frame, counted from 0, of a video that was just opened. The first call decodes up to frame `last`, from which on
    /// nothing is asked for, others from a key frame; nothing on the way is converted. A video whose timestamps do not rise is counted
    /// each time.
    ///
    /// # Errors
    /// When the video ends before, or cannot be decoded.
    pub fn go_to(&self, source: &mut impl SeekFrames, frame: usize, last: usize) -> Result<()> {
        let known = match self.0.get() {
            Some(known) => known.clone(),
            None => {
                let times = count(source, last)?;
                let known = source.is_steady().then(|| times.into());
                // Others may count it at the same time, to the same end.
                let _ = self.0.set(known.clone());
                source.seek(0.0)?;
                known
            }
        };
        let Some(times) = known else { return advance_to(source, frame) };
        let Some(&time_s) = times.get(frame) else { return Err(ends(source, times.len(), frame)) };
        source.seek(time_s)?;
        let found = source.advance()?;
        if found.is_some_and(|found| (found.time_s - time_s).abs() <= source.tolerance_s()) {
            return Ok(());
        }
        // An index that leads astray.
        source.seek(0.0)?;
        advance_to(source, frame)
    }
}

/// When each frame up to `last` is shown; fewer where the video ends before.
fn count(source: &mut impl Frames, last: usize) -> Result<Vec<f64>> {
    let mut times = vec![];
    while times.len() <= last {
        let Some(frame) = source.advance()? else { break };
        times.push(frame.time_s);
    }
    Ok(times)
}

/// Moves to a frame of a video that was just opened, by counting.
///
/// # Errors
/// As [`FrameTimes::go_to`].
pub(super) fn advance_to(source: &mut impl Frames, frame: usize) -> Result<()> {
    let passed = count(source, frame)?.len();
    if passed > frame { Ok(()) } else { Err(ends(source, passed, frame)) }
}

fn ends(source: &impl Frames, frames: usize, wanted: usize) -> crate::DataError {
    let problem = format!("it ends after {frames} frames, but there are actors in frame {wanted}");
    format_error(Path::new(source.name()), None, problem)
}

/// Opens a video of actors, as [`open`] does.
///
/// # Errors
/// When it cannot be opened, or its pictures are not those that its boxes are of.
pub fn open_actors(media: &Media, video: &ActorVideo, threads: usize) -> Result<Opened> {
    let opened = open(media, &ClipForm::default(), threads)?;
    match &opened {
        Opened::Video(frames) => check_boxes(&**frames, video)?,
        Opened::Pictures(frames) => {
            check_numbers(frames)?;
            check_boxes(&**frames, video)?;
        }
    }
    Ok(opened)
}

/// That a video has the size that its boxes are of.
fn check_boxes(source: &impl Frames, video: &ActorVideo) -> Result<()> {
    let (width, height) = source.picture_size();
    let wrong = |problem: String| Err(format_error(Path::new(source.name()), None, problem));
    if let Some((w, h)) = video.size {
        return match (w, h) == (width, height) {
            true => Ok(()),
            false => wrong(format!(
                "its frames are {width} x {height}, but its boxes are of frames of {w} x {h}; take the videos as they were annotated"
            )),
        };
    }
    let [right, bottom] = [width as f32, height as f32];
    let is_wrong = |[x1, y1, x2, y2]: &[f32; 4]| {
        let reach = [-x1, -y1, x2 - right, y2 - bottom].into_iter().fold(0.0, f32::max);
        reach > OVERRUN_PX
    };
    let mut boxes = video.tubes.iter().enumerate().flat_map(|(at, tube)| {
        tube.boxes.iter().zip(tube.start_frame..).map(move |(corners, frame)| (at + 1, frame, corners))
    });
    match boxes.find(|(_, _, corners)| is_wrong(corners)) {
        Some((actor, frame, corners)) => wrong(format!(
            "actor {actor}, frame {frame}: found the box {corners:?}, expected sides within {width} x {height}; with these as `width` and \
             `height` in the annotations, --skip-bad cuts it"
        )),
        None => Ok(()),
    }
}

/// That no picture of a folder is missing: all after it would have the boxes of others. Names without a number at their end, or with the
/// same one, say nothing.
fn check_numbers(pictures: &Pictures) -> Result<()> {
    let number = |path: &PathBuf| {
        let stem = path.file_stem()?.to_str()?;
        stem[stem.trim_end_matches(|digit: char| digit.is_ascii_digit()).len()..].parse::<u64>().ok()
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wrong = |found: String, expected: &str| {
        let problem = format!("found {found}, expected {expected}: boxes go by the number of a frame");
        Err(format_error(Path::new(pictures.name()), None, problem))
    };
    let (files, numbers): (_, Vec<Option<u64>>) = (pictures.files(), pictures.files().iter().map(number).collect());
    let is_one_picture = !Path::new(pictures.name()).is_dir();
    let are_the_same = numbers.len() > 1 && numbers.iter().all(|number| *number == numbers[0]);
    if is_one_picture || are_the_same || numbers.iter().all(Option::is_none) {
        return Ok(());
    }
    if let Some(at) = numbers.iter().position(Option::is_none) {
        return wrong(name(&files[at]), "a number at the end of every picture's name or of none");
    }
    if let Some(first) = numbers[0].filter(|first| *first > 1) {
        return wrong(format!("{} as its first picture, number {first}", name(&files[0])), "0 or 1");
    }
    match numbers.windows(2).position(|pair| pair[1] != pair[0].and_then(|number| number.checked_add(1))) {
        Some(at) => wrong(format!("{} after {}", name(&files[at + 1]), name(&files[at])), "every number"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use unscene_vision::Tube;

    use super::*;

    fn video(corners: [f32; 4]) -> ActorVideo {
        let tubes = vec![Tube { label: 0, start_frame: 6, boxes: vec![corners] }];
        ActorVideo { id: "a".into(), media: None, frames: None, size: None, tubes }
    }

    /// A folder of pictures of these names, what opening it says of a box, and the size of its pictures.
    fn folder(names: &[&str]) -> (tempfile::TempDir, Media) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let square = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/video/picture.png");
            std::fs::copy(square, folder.path().join(name)).unwrap();
        }
        let media = Media::Frames(folder.path().to_path_buf());
        (folder, media)
    }

    #[test]
    fn boxes_of_unknown_frames_are_held_against_those_that_are_there() {
        let (_folder, media) = folder(&["f-1.png"]);
        let opens = |corners| open_actors(&media, &video(corners), 1).err().map(|error| error.to_string());
        let Ok(Opened::Pictures(pictures)) = open_actors(&media, &video([0.0, 0.0, 1.0, 1.0]), 1) else { panic!() };
        let (width, height) = pictures.picture_size();
        let (right, bottom) = (width as f32, height as f32);
        assert_eq!(opens([0.0, 0.0, right + 1.0, bottom]), None);
        for corners in [[0.0, 0.0, right + 3.0, bottom], [-2.0, 0.0, 4.0, 4.0], [right + 4.0, 0.0, right + 9.0, bottom]]
        {
            let message = opens(corners).unwrap();
            assert!(message.contains("actor 1, frame 6: found the box"), "{message}");
            assert!(message.contains(&format!("expected sides within {width} x {height}; with these as")), "{message}");
        }
    }

    #[test]
    fn pictures_have_every_number_or_none() {
        let opens = |names: &[&str]| {
            let (_folder, media) = folder(names);
            open_actors(&media, &video([0.0, 0.0, 1.0, 1.0]), 1).err().map(|error| error.to_string())
        };
        for names in [
            &["f-1.png", "f-2.png"][..],
            &["00.png", "01.png", "02.png"],
            &["a.png", "b.png"],
            &["1_480x270.png", "2_480x270.png", "10_480x270.png"],
        ] {
            assert_eq!(opens(names), None, "{names:?}");
        }
        for (names, expected) in [
            // 1, 2, 10 is their order, and 3 to 9 are missing.
            (&["f-1.png", "f-2.png", "f-10.png"][..], "found f-10.png after f-2.png, expected every number"),
            (&["f-2.png", "f-3.png"], "found f-2.png as its first picture, number 2, expected 0 or 1"),
            (&["f-7.png"], "found f-7.png as its first picture"),
            (
                &["cover.png", "f-1.png", "f-2.png"],
                "found cover.png, expected a number at the end of every picture's name",
            ),
        ] {
            let message = opens(names).unwrap();
            assert!(message.contains(expected), "{message}");
        }
        // A medium may be one picture, whatever its name.
        let (folder, _) = folder(&["f-7.png"]);
        let media = Media::Frames(folder.path().join("f-7.png"));
        assert!(open_actors(&media, &video([0.0, 0.0, 1.0, 1.0]), 1).is_ok());
    }
}
