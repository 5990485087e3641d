//! The files of a set. Layout, below the folder given:
//!
//! - `videos/ACTION/v_ACTION_SPLIT_NUMBER.mp4`
//! - `train.csv`, `val.csv`, `iid.csv`, `swapped.csv`, `unseen.csv`: `path,label`
//! - `ucf101/`: `classInd.txt`, and `trainlist01.txt` with `testlist01.txt` = iid; 02 tests on swapped, 03 on unseen
//! - `scenes.csv`: `path,scene,view`; `boxes.csv`: `path,frame,x1,y1,x2,y2`, pixels: the truth about every video
//! - `pictures/SCENE/NUMBER.png`, empty scenes in views that no video shows, with `pictures/train.csv` and `val.csv`
//! - `empty/`, when asked for: the same videos and lists again without the people
//! - `contact_sheet.png`, and `stage.json`: the settings, written last
//!
//! Paths in lists start at the folder of the list, those in `ucf101/` at `videos/`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use unscene_media::Encoder;

use crate::actions::Action;
use crate::error::StageError;
use crate::files::{create_dir, finish, occupy, rename, write_csv, write_file, write_png};
use crate::plan::{Plan, Settings, Split, Video};
use crate::scenes::Scene;
use crate::sheet::contact_sheet;
use crate::take::{backdrop, render};
use unscene_draw::Canvas;

/// Called with the number of finished videos; `Break` stops the work.
pub type Control<'a> = dyn Fn(usize) -> ControlFlow<()> + Sync + 'a;

/// Folder of the videos without people.
const EMPTY: &str = "empty";
/// Pictures of empty scenes: of each scene to train on, and to validate.
const PICTURES: (u64, u64) = (40, 10);
/// Their views start here, far from those of the videos.
const FIRST_PICTURE: u64 = 1 << 20;

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of every split.
    pub splits: Vec<SplitReport>,
    /// Frames of all videos.
    pub frames: usize,
    /// Pictures of empty scenes.
    pub pictures: usize,
    /// Videos that an earlier call had made.
    pub kept: usize,
}

/// What was made of one split.
#[derive(Debug, Clone, Serialize)]
pub struct SplitReport {
    /// Which.
    pub split: Split,
    /// Number of videos.
    pub videos: usize,
    /// Share of videos in which the action happens in its own scene: the bias that came out.
    pub in_own_scene: f64,
}

/// Makes a set on all cores. Called again after it was stopped, it goes on.
///
/// # Errors
/// [`StageError::Occupied`] when the folder holds anything but an unfinished set of the same settings,
/// [`StageError::Interrupted`] when `control` says so, and what can go wrong with files.
pub fn write(plan: &Plan, out: &Path, control: &Control<'_>) -> Result<Report, StageError> {
    occupy(&plan.settings, out)?;
    write_pictures(plan, &out.join("pictures"))?;
    let roots: &[&str] = if plan.settings.empty { &["", EMPTY] } else { &[""] };
    for (root, action) in roots.iter().flat_map(|root| Action::ALL.map(|action| (root, action))) {
        create_dir(&out.join(root).join("videos").join(action.name()))?;
    }
    let (boxes, kept) = make_all(&plan.videos, control, |video| {
        let path = |root: &str| out.join(root).join("videos").join(video.path());
        let made = write_video(plan, video, &path(""), true)?;
        if plan.settings.empty {
            write_video(plan, video, &path(EMPTY), false)?;
        }
        Ok(made)
    })?;
    write_lists(plan, &boxes, out)?;
    write_png(&out.join("contact_sheet.png"), &contact_sheet(plan))?;
    finish(out)?;

    let splits = Split::ALL.map(|split| {
        let videos: Vec<_> = plan.videos.iter().filter(|video| video.split == split).collect();
        let own = videos.iter().filter(|video| video.in_own_scene()).count();
        SplitReport { split, videos: videos.len(), in_own_scene: own as f64 / videos.len().max(1) as f64 }
    });
    Ok(Report {
        splits: splits.to_vec(),
        frames: boxes.iter().map(Vec::len).sum(),
        pictures: Scene::all().count() * (PICTURES.0 + PICTURES.1) as usize,
        kept,
    })
}

/// Makes videos on all cores, each by `make`, which says whether it was there already. Gives what they made, in the order of the
/// videos, and how many were there.
///
/// # Errors
/// [`StageError::Interrupted`] when `control` says so, and the first error of `make`.
pub(crate) fn make_all<V: Sync, T: Send>(
    videos: &[V],
    control: &Control<'_>,
    make: impl Fn(&V) -> Result<(T, bool), StageError> + Sync,
) -> Result<(Vec<T>, usize), StageError> {
    let (done, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let made = videos.par_iter().map(|video| {
        if control(done.load(Ordering::Relaxed)).is_break() {
            return Err(StageError::Interrupted { done: done.load(Ordering::Relaxed), of: videos.len() });
        }
        let (made, was_there) = make(video)?;
        kept.fetch_add(usize::from(was_there), Ordering::Relaxed);
        done.fetch_add(1, Ordering::Relaxed);
        Ok(made)
    });
    let made = made.collect::<Result<_, _>>()?;
    let _ = control(videos.len());
    Ok((made, kept.into_inner()))
}

/// Renders a video and encodes it, unless it is there already. Returns the boxes, and whether it was.
fn write_video(
    plan: &Plan,
    video: &Video,
    path: &Path,
    with_person: bool,
) -> Result<(Vec<[f32; 4]>, bool), StageError> {
    let Settings { seed, format, crf, .. } = plan.settings;
    let is_new = !path.exists();
    let partial = path.with_extension("partial");
    let mut encoder = if is_new { Some(Encoder::create(&partial, &format.encoding(crf))?) } else { None };
    let mut boxes = Vec::new();
    render(&video.take, &format, seed, with_person, |rgb, person| {
        boxes.push(person);
        encoder.as_mut().map_or(Ok(()), |encoder| encoder.write(rgb))
    })?;
    if let Some(encoder) = encoder {
        encoder.finish()?;
        rename(&partial, path)?;
    }
    Ok((boxes, !is_new))
}

fn write_pictures(plan: &Plan, folder: &Path) -> Result<(), StageError> {
    let Settings { seed, format, .. } = plan.settings;
    let pictures: Vec<(Scene, u64)> =
        Scene::all().flat_map(|scene| (0..PICTURES.0 + PICTURES.1).map(move |number| (scene, number))).collect();
    for scene in Scene::all() {
        create_dir(&folder.join(scene.name()))?;
    }
    pictures.par_iter().try_for_each(|&(scene, number)| {
        let rgb = backdrop(scene, FIRST_PICTURE + number, seed, format.width, format.height);
        let mut canvas = Canvas::new(format.width, format.height);
        canvas.paste(0, 0, &rgb, format.width, 1);
        write_png(&folder.join(picture_path(scene, number)), &canvas)
    })?;
    for (name, train) in [("train.csv", true), ("val.csv", false)] {
        let rows = pictures.iter().filter(|(_, number)| (*number < PICTURES.0) == train);
        let rows = rows.map(|&(scene, number)| [picture_path(scene, number), scene.name().into()]);
        write_csv(&folder.join(name), ["path", "label"], rows)?;
    }
    Ok(())
}

fn picture_path(scene: Scene, number: u64) -> String {
    format!("{}/{number:03}.png", scene.name())
}

fn write_lists(plan: &Plan, boxes: &[Vec<[f32; 4]>], out: &Path) -> Result<(), StageError> {
    let of = |split: Split| plan.videos.iter().filter(move |video| video.split == split);
    let listed = |video: &Video| format!("videos/{}", video.path());
    // A list of nothing would only be in the way of whoever reads the folder.
    let is_there = |split: &Split| of(*split).next().is_some();
    for split in Split::ALL.into_iter().filter(is_there) {
        let rows = of(split).map(|video| [listed(video), video.take.action.name().into()]);
        let name = format!("{}.csv", split.name());
        write_csv(&out.join(&name), ["path", "label"], rows.clone())?;
        if plan.settings.empty {
            write_csv(&out.join(EMPTY).join(&name), ["path", "label"], rows)?;
        }
    }
    let scenes =
        plan.videos.iter().map(|video| [listed(video), video.take.scene.name().into(), video.take.view.to_string()]);
    write_csv(&out.join("scenes.csv"), ["path", "scene", "view"], scenes)?;
    let rows = plan.videos.iter().zip(boxes).flat_map(|(video, boxes)| {
        boxes.iter().enumerate().map(move |(frame, person)| {
            let [x1, y1, x2, y2] = person.map(|side| format!("{side:.1}"));
            [listed(video), frame.to_string(), x1, y1, x2, y2]
        })
    });
    write_csv(&out.join("boxes.csv"), ["path", "frame", "x1", "y1", "x2", "y2"], rows)?;

    let ucf101 = out.join("ucf101");
    create_dir(&ucf101)?;
    let classes = Action::ALL.iter().enumerate().map(|(index, action)| format!("{} {}\n", index + 1, action.name()));
    write_file(&ucf101.join("classInd.txt"), classes.collect::<String>().as_bytes())?;
    for (number, test) in [Split::Iid, Split::Swapped, Split::Unseen].into_iter().enumerate() {
        if !is_there(&test) {
            continue;
        }
        let number = number + 1;
        let train = of(Split::Train).map(|video| format!("{} {}\n", video.path(), video.take.action as usize + 1));
        write_file(&ucf101.join(format!("trainlist{number:02}.txt")), train.collect::<String>().as_bytes())?;
        let test = of(test).map(|video| video.path() + "\n");
        write_file(&ucf101.join(format!("testlist{number:02}.txt")), test.collect::<String>().as_bytes())?;
    }
    Ok(())
}
