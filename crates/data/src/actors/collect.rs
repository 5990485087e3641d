//! What the readers of actors have in common: parts in the making, and boxes that cannot be right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use unscene_vision::Tube;

use super::{ActorPart, ActorVideo, Actors};
use crate::error::Result;
use crate::formats::files::Files;
use crate::formats::part::{check_labels, format_error};
use crate::untrimmed::{Doubt, refuse};

/// By how many pixels a box may reach out of its frame: rounding, and lines that are drawn around an actor.
pub const OVERRUN_PX: f32 = 1.0;

/// No video has more frames: a year of them, at 100 per second, is fewer.
const MOST_FRAMES: usize = u32::MAX as usize;

/// Annotations in the making.
pub struct Collected {
    /// The file that errors are about.
    path: PathBuf,
    labels: Vec<String>,
    /// By part and id, with the path below the folder of videos.
    parts: BTreeMap<String, BTreeMap<String, (ActorVideo, String)>>,
    doubts: Vec<Doubt>,
}

impl Collected {
    /// Without a video.
    pub fn new(path: &Path, labels: Vec<String>) -> Result<Self> {
        check_labels(path, &labels)?;
        Ok(Collected { path: path.to_path_buf(), labels, parts: BTreeMap::new(), doubts: vec![] })
    }

    /// Names of the labels.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Adds a video to a part, with what is right of its tubes. `file` is looked for below the folder of videos.
    pub fn add(&mut self, part: &str, file: &str, video: ActorVideo) {
        let numbers: Vec<usize> = (1..=video.tubes.len()).collect();
        self.add_numbered(part, file, video, &numbers);
    }

    /// As [`add`](Self::add), for tubes that have these numbers in the file, from 1, as some are left out already.
    pub fn add_numbered(&mut self, part: &str, file: &str, mut video: ActorVideo, numbers: &[usize]) {
        let Collected { path, labels, doubts, .. } = self;
        let mut doubt = |problem| {
            doubts.push(Doubt { path: path.clone(), line: None, video: video.id.clone(), problem });
        };
        let tubes = std::mem::take(&mut video.tubes);
        let right = |(tube, number): (Tube, &usize)| {
            let Some(label) = labels.get(tube.label) else {
                let (found, expected) = (tube.label, labels.len());
                doubt(format!("actor {number}: found the class {found}, expected one below {expected}"));
                return vec![];
            };
            let name = format!("actor {number} ({label})");
            usable(tube, video.frames, video.size, |problem| doubt(format!("{name}: {problem}")))
        };
        video.tubes = tubes.into_iter().zip(numbers).flat_map(right).collect();
        let videos = self.parts.entry(part.to_string()).or_default();
        if videos.contains_key(&video.id) {
            let problem = format!("{part} has it twice, expected every video once");
            self.doubts.push(Doubt { path: self.path.clone(), line: None, video: video.id, problem });
        } else {
            videos.insert(video.id.clone(), (video, file.to_string()));
        }
    }

    /// Something about a video that cannot be right.
    pub fn doubt(&mut self, video: &str, problem: String) {
        self.doubts.push(Doubt { path: self.path.clone(), line: None, video: video.into(), problem });
    }

    /// The dataset, its videos looked for on disk. Annotations that cannot be right are left out or an error.
    pub fn finish(self, mut files: Option<&mut Files>, skip_bad: bool) -> Result<Actors> {
        if !skip_bad {
            refuse(&self.doubts)?;
        }
        if self.parts.is_empty() {
            return Err(format_error(&self.path, None, "the annotations name no video, expected at least one"));
        }
        let part = |(name, videos): (String, BTreeMap<String, (ActorVideo, String)>)| {
            let mut part = ActorPart { name, ..ActorPart::default() };
            for (mut video, file) in videos.into_values() {
                if let Some(files) = files.as_deref_mut() {
                    video.media = files.find(Path::new(&file));
                    if video.media.is_none() {
                        part.missing.push(video.id.clone());
                    }
                }
                part.videos.push(video);
            }
            part
        };
        let mut parts: Vec<ActorPart> = self.parts.into_iter().map(part).collect();
        // Parts to train on first; others keep the order of the alphabet.
        parts.sort_by_key(|part| ["train", "val", "test"].iter().position(|name| *name == part.name).unwrap_or(3));
        Ok(Actors { labels: self.labels, parts, skipped: self.doubts })
    }
}

/// What is right of a tube, in one or several stretches; each thing that is wrong is said once.
fn usable(tube: Tube, frames: Option<usize>, size: Option<(u32, u32)>, mut doubt: impl FnMut(String)) -> Vec<Tube> {
    let Tube { label, start_frame, mut boxes } = tube;
    if start_frame > MOST_FRAMES {
        doubt(format!("it begins in frame {start_frame}, expected one below {MOST_FRAMES}"));
        return vec![];
    }
    if boxes.is_empty() {
        doubt("it has no box, expected one in each of its frames".into());
    }
    let there = frames.map_or(boxes.len(), |frames| frames.saturating_sub(start_frame));
    if boxes.len() > there {
        let (end, frames) = (start_frame + boxes.len(), start_frame + there);
        doubt(format!(
            "it is in frames {start_frame} to {end}, expected none from frame {frames} on, where the video ends"
        ));
        boxes.truncate(there);
    }
    let mut empty = Bad::default();
    let mut outside = Bad::default();
    let mut stretches: Vec<Tube> = vec![];
    let mut is_open = false;
    for (at, found) in boxes.iter().enumerate() {
        let frame = start_frame + at;
        let [x1, y1, x2, y2] = *found;
        let is_box =
            |[x1, y1, x2, y2]: [f32; 4]| x2 > x1 && y2 > y1 && [x1, y1, x2, y2].iter().all(|side| side.is_finite());
        let mut inside = *found;
        if let Some((width, height)) = size.filter(|_| is_box(*found)) {
            let (width, height) = (width as f32, height as f32);
            inside = [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)];
            let reach = found.iter().zip(&inside).map(|(side, cut)| (side - cut).abs()).fold(0.0, f32::max);
            if reach > OVERRUN_PX || !is_box(inside) {
                outside.note(frame, found);
            }
        } else if !is_box(*found) {
            empty.note(frame, found);
        }
        if !is_box(inside) {
            is_open = false;
            continue;
        }
        match stretches.last_mut().filter(|_| is_open) {
            Some(tube) => tube.boxes.push(inside),
            None => stretches.push(Tube { label, start_frame: frame, boxes: vec![inside] }),
        }
        is_open = true;
    }
    let of = boxes.len();
    if let Some((frame, found)) = empty.first {
        let expected = "expected x1 below x2 and y1 below y2";
        doubt(format!(
            "{} of {of} boxes have no area, the first in frame {frame}: found {found:?}, {expected}",
            empty.count
        ));
    }
    if let (Some((frame, found)), Some((width, height))) = (outside.first, size) {
        let count = outside.count;
        doubt(format!(
            "{count} of {of} boxes reach out of the frame, the first in frame {frame}: found {found:?}, expected sides \
             within {width} x {height}"
        ));
    }
    stretches
}

/// Boxes that are wrong in the same way.
#[derive(Default)]
struct Bad {
    count: usize,
    first: Option<(usize, [f32; 4])>,
}

impl Bad {
    fn note(&mut self, frame: usize, found: &[f32; 4]) {
        self.count += 1;
        self.first.get_or_insert((frame, *found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(boxes: &[[f32; 4]], start_frame: usize, frames: Option<usize>) -> (Vec<(usize, usize)>, Vec<String>) {
        let mut said = vec![];
        let tube = Tube { label: 0, start_frame, boxes: boxes.to_vec() };
        let found = usable(tube, frames, Some((100, 50)), |problem| said.push(problem));
        for tube in &found {
            for [x1, y1, x2, y2] in &tube.boxes {
                assert!(0.0 <= *x1 && x1 < x2 && *x2 <= 100.0 && 0.0 <= *y1 && y1 < y2 && *y2 <= 50.0);
            }
        }
        (found.iter().map(|tube| (tube.start_frame, tube.boxes.len())).collect(), said)
    }

    #[test]
    fn what_is_wrong_is_said_once_and_the_rest_is_kept() {
        let (right, flat, wide) = ([1.0, 1.0, 9.0, 9.0], [5.0, 5.0, 5.0, 9.0], [90.0, 1.0, 104.0, 9.0]);
        let (far, edge) = ([200.0, 1.0, 210.0, 9.0], [-0.5, 0.0, 100.9, 50.0]);
        assert_eq!(sorted(&[right, edge, right], 4, None), (vec![(4, 3)], vec![]));
        let (kept, said) = sorted(&[right, flat, flat, right, right], 4, Some(9));
        assert_eq!(kept, [(4, 1), (7, 2)]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("2 of 5 boxes have no area, the first in frame 5: found [5.0, 5.0, 5.0, 9.0]"));
        // Cut where it reaches out, gone where nothing of it is inside.
        let (kept, said) = sorted(&[wide, far, right], 0, None);
        assert_eq!(kept, [(0, 1), (2, 1)]);
        assert!(said[0].contains("2 of 3 boxes reach out of the frame, the first in frame 0"), "{said:?}");
        let (kept, said) = sorted(&[right; 5], 4, Some(7));
        assert_eq!(kept, [(4, 3)]);
        assert!(said[0].starts_with("it is in frames 4 to 9, expected none from frame 7 on"), "{said:?}");
        assert_eq!(sorted(&[right], 9, Some(7)).0, []);
        let (kept, said) = sorted(&[[f32::NAN, 0.0, 1.0, 1.0]], 0, None);
        assert_eq!((kept, said.len()), (vec![], 1));
        assert!(sorted(&[], 0, None).1[0].contains("no box"));
        let (kept, said) = sorted(&[right], usize::MAX, None);
        assert!(kept.is_empty() && said[0].contains("it begins in frame 18446744073709551615"), "{said:?}");
    }
}
