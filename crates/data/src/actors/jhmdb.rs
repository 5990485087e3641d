//! JHMDB as its authors share it (Jhuang et al. 2013): masks of the actor, and lists of the splits.

use std::fs;
use std::path::Path;

use unscene_vision::Tube;

use super::ActorVideo;
use super::collect::Collected;
use super::mat;
use crate::error::Result;
use crate::formats::files::id;
use crate::formats::hmdb51::{Listed, listed};
use crate::formats::part::format_error;
use crate::untrimmed::each;

/// Reads a folder with `splits/CLASS_test_splitN.txt` and `puppet_mask/CLASS/VIDEO/puppet_mask.mat`. The box of a frame is the
/// extent of its mask.
pub fn read(path: &Path, split: u32) -> Result<Collected> {
    let (splits, masks) = (path.join("splits"), path.join("puppet_mask"));
    if let Some(lacking) = [&splits, &masks].into_iter().find(|folder| !folder.is_dir()) {
        let problem = "there is no such folder; unpack JHMDB's splits.zip and puppet_mask.zip beside each other";
        return Err(format_error(lacking, None, problem));
    }
    let (labels, videos) = listed(&splits, split)?;
    let names: Vec<String> =
        videos.iter().map(|video| id(&format!("{}/{}", labels[video.label], video.video))).collect();
    let actors = each(&names, 0, |name| actor(&masks.join(name).join("puppet_mask.mat")));
    let mut collected = Collected::new(path, labels)?;
    for ((Listed { label, is_tested, .. }, id), actor) in videos.into_iter().zip(names).zip(actors) {
        match actor {
            Ok((size, boxes)) => {
                let (frames, tube) = (boxes.len(), Tube { label, start_frame: 0, boxes });
                let video = ActorVideo {
                    id: id.clone(),
                    media: None,
                    frames: Some(frames),
                    size: Some(size),
                    tubes: vec![tube],
                };
                collected.add(if is_tested { "test" } else { "train" }, &id, video);
            }
            Err(problem) => collected.doubt(&id, format!("puppet_mask.mat: {problem}")),
        }
    }
    Ok(collected)
}

/// Width and height of a video, and the box of each frame; that of an empty mask has no area.
type Boxes = ((u32, u32), Vec<[f32; 4]>);

fn actor(path: &Path) -> Result<Boxes, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let array = mat::read(&bytes, "part_mask")?;
    let [height, width, frames] = match array.shape[..] {
        [height, width] => [height, width, 1],
        [height, width, frames] => [height, width, frames],
        ref other => return Err(format!("found a mask of {other:?}, expected height x width x frames")),
    };
    if height == 0 || width == 0 {
        return Err(format!("found a mask of {height} x {width}, expected sides above 0"));
    }
    let mut boxes: Vec<Option<[usize; 4]>> = vec![None; frames];
    for (at, _) in array.nonzero().enumerate().filter(|(_, is_actor)| *is_actor) {
        let (x, y) = (at / height % width, at % height);
        let [x1, y1, x2, y2] = boxes[at / height / width].get_or_insert([x, y, x + 1, y + 1]);
        (*x1, *y1) = ((*x1).min(x), (*y1).min(y));
        (*x2, *y2) = ((*x2).max(x + 1), (*y2).max(y + 1));
    }
    let boxes = boxes.into_iter().map(|found| found.unwrap_or_default().map(|side| side as f32)).collect();
    Ok(((width as u32, height as u32), boxes))
}
