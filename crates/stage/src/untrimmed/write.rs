//! The files of an untrimmed set. Layout, below the folder given:
//!
//! - `videos/PART/video_PART_0000001.mp4`
//! - `annotations_thumos/`: `ACTION_PART.txt` with lines `video_PART_0000001  0.2 1.1`, `Ambiguous_PART.txt` of movements
//!   that were broken off, and `detclasslist.txt`
//! - `activitynet.json`: all parts, without what is ambiguous
//! - `scenes.csv`: `path,scene,view`
//! - `contact_sheet.png`, and `stage.json`: the settings, written last

use std::path::Path;

use serde::Serialize;
use unscene_media::Encoder;

use super::Part;
use super::annotations::{ActivityNet, class_list, thumos};
use super::plan::{Plan, Video};
use super::sheet::contact_sheet;
use super::shot::Shot;
use crate::actions::Action;
use crate::error::StageError;
use crate::files::{create_dir, finish, occupy, rename, write_csv, write_file, write_png};
use crate::write::{Control, make_all};

/// What was made of a set in parts.
#[derive(Debug, Clone, Serialize)]
pub struct Report<P = PartReport> {
    /// Of every part.
    pub parts: Vec<P>,
    /// Frames of all videos.
    pub frames: usize,
    /// Videos that an earlier call had made.
    pub kept: usize,
}

/// What was made of one part.
#[derive(Debug, Clone, Serialize)]
pub struct PartReport {
    /// Which.
    pub part: Part,
    /// Number of videos.
    pub videos: usize,
    /// Their length together, in seconds.
    pub seconds: f64,
    /// Number of actions in them.
    pub actions: usize,
    /// Number of movements that were broken off.
    pub ambiguous: usize,
    /// Share of actions that happen in their own scene, or that of their reverse: the bias that came out. Without bias it is
    /// 0.14, since four of the ten actions have two scenes each.
    pub in_own_scene: f64,
}

/// Makes a set on all cores. Called again after it was stopped, it goes on.
///
/// # Errors
/// [`StageError::Occupied`] when the folder holds anything but an unfinished set of the same settings,
/// [`StageError::Interrupted`] when `control` says so, and what can go wrong with files.
pub fn write(plan: &Plan, out: &Path, control: &Control<'_>) -> Result<Report, StageError> {
    occupy(&plan.settings, out)?;
    for part in Part::ALL.into_iter().filter(|&part| plan.part(part).next().is_some()) {
        create_dir(&out.join("videos").join(part.name()))?;
    }
    let (_, kept) = make_all(&plan.videos, control, |video| {
        let path = out.join(video.path());
        let was_there = path.exists();
        if !was_there {
            write_video(plan, video, &path)?;
        }
        Ok(((), was_there))
    })?;
    write_annotations(plan, out)?;
    write_png(&out.join("contact_sheet.png"), &contact_sheet(plan))?;
    finish(out)?;
    Ok(Report {
        parts: Part::ALL.map(|part| PartReport::new(plan, part)).to_vec(),
        frames: plan.videos.iter().map(|video| video.timeline.frames).sum(),
        kept,
    })
}

impl PartReport {
    fn new(plan: &Plan, part: Part) -> Self {
        let sum = |count: fn(&Video) -> usize| plan.part(part).map(count).sum::<usize>();
        let actions = sum(|video| video.timeline.actions().count());
        PartReport {
            part,
            videos: plan.part(part).count(),
            seconds: plan.part(part).map(|video| video.timeline.duration_s()).sum(),
            actions,
            ambiguous: sum(|video| video.timeline.beats.len()) - actions,
            in_own_scene: sum(Video::in_own_scene) as f64 / actions.max(1) as f64,
        }
    }
}

fn write_video(plan: &Plan, video: &Video, path: &Path) -> Result<(), StageError> {
    let partial = path.with_extension("partial");
    let mut encoder = Encoder::create(&partial, &plan.settings.format.encoding(plan.settings.crf))?;
    let mut shot = Shot::new(video, &plan.settings);
    for index in 0..video.timeline.frames {
        encoder.write(shot.frame(index))?;
    }
    encoder.finish()?;
    rename(&partial, path)
}

fn write_annotations(plan: &Plan, out: &Path) -> Result<(), StageError> {
    let folder = out.join("annotations_thumos");
    create_dir(&folder)?;
    write_file(&folder.join("detclasslist.txt"), class_list().as_bytes())?;
    for part in Part::ALL.into_iter().filter(|&part| plan.part(part).next().is_some()) {
        for action in Action::ALL {
            let text = thumos(plan, part, |beat| beat.action == action && !beat.is_broken_off);
            write_file(&folder.join(format!("{}_{}.txt", action.name(), part.name())), text.as_bytes())?;
        }
        let text = thumos(plan, part, |beat| beat.is_broken_off);
        write_file(&folder.join(format!("Ambiguous_{}.txt", part.name())), text.as_bytes())?;
    }
    let json = serde_json::to_string_pretty(&ActivityNet::new(plan)).expect("annotations are plain text and numbers");
    write_file(&out.join("activitynet.json"), json.as_bytes())?;
    let scenes = plan.videos.iter().map(|video| [video.path(), video.scene.name().into(), video.view.to_string()]);
    write_csv(&out.join("scenes.csv"), ["path", "scene", "view"], scenes)
}
