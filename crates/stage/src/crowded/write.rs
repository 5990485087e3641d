//! The files of a crowded set. Layout, below the folder given:
//!
//! - `videos/PART/PART_00000.mp4`
//! - `actors.json`: the actors of all parts in the project's own format
//! - `boxes.csv`: `path,frame,x1,y1,x2,y2`, the box of everybody in every frame, whether they act or not
//! - `scenes.csv`: `path,scene,view`
//! - `contact_sheet.png`, and `stage.json`: the settings, written last

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use unscene_media::Encoder;

use super::plan::{Plan, Video};
use super::sheet::contact_sheet;
use super::shot::Shot;
use crate::actions::Action;
use crate::error::StageError;
use crate::files::{create_dir, finish, occupy, rename, write_csv, write_file, write_png};
use crate::untrimmed::{self, Beat, Part};
use crate::write::{Control, make_all};

/// What was made of one part.
#[derive(Debug, Clone, Serialize)]
pub struct PartReport {
    /// Which.
    pub part: Part,
    /// Number of videos.
    pub videos: usize,
    /// Number of people in them who act.
    pub actors: usize,
    /// Number of people in them who only stand there.
    pub idle: usize,
    /// Boxes of those who act, one in each frame in which they do.
    pub boxes: usize,
    /// Share of actors in their own scene, or that of their reverse: the bias that came out. Without bias it is 0.14.
    pub in_own_scene: f64,
}

/// The boxes of a video's people, frame by frame.
type Boxes = Vec<Vec<[f32; 4]>>;

/// Makes a set on all cores. Called again after it was stopped, it goes on.
///
/// # Errors
/// [`StageError::Occupied`] when the folder holds anything but an unfinished set of the same settings,
/// [`StageError::Interrupted`] when `control` says so, and what can go wrong with files.
pub fn write(plan: &Plan, out: &Path, control: &Control<'_>) -> Result<untrimmed::Report<PartReport>, StageError> {
    occupy(&plan.settings, out)?;
    for part in Part::ALL.into_iter().filter(|&part| plan.part(part).next().is_some()) {
        create_dir(&out.join("videos").join(part.name()))?;
    }
    let (boxes, kept): (Vec<Boxes>, usize) = make_all(&plan.videos, control, |video| {
        let path = out.join(video.path());
        let was_there = path.exists();
        Ok((write_video(plan, video, &path, was_there)?, was_there))
    })?;
    let json = serde_json::to_string(&Annotations::new(plan, &boxes)).expect("annotations are plain text and numbers");
    write_file(&out.join("actors.json"), json.as_bytes())?;
    let scenes = plan.videos.iter().map(|video| [video.path(), video.scene.name().into(), video.view.to_string()]);
    write_csv(&out.join("scenes.csv"), ["path", "scene", "view"], scenes)?;
    let people = plan.videos.iter().zip(&boxes).flat_map(|(video, frames)| {
        let everybody = frames.iter().enumerate().flat_map(|(frame, boxes)| boxes.iter().map(move |one| (frame, one)));
        everybody.map(|(frame, one)| {
            let [x1, y1, x2, y2] = one.map(|side| format!("{side:.2}"));
            [video.path(), frame.to_string(), x1, y1, x2, y2]
        })
    });
    write_csv(&out.join("boxes.csv"), ["path", "frame", "x1", "y1", "x2", "y2"], people)?;
    write_png(&out.join("contact_sheet.png"), &contact_sheet(plan))?;
    finish(out)?;
    Ok(untrimmed::Report {
        parts: Part::ALL.map(|part| PartReport::new(plan, part)).to_vec(),
        frames: plan.videos.iter().map(|video| video.frames).sum(),
        kept,
    })
}

impl PartReport {
    fn new(plan: &Plan, part: Part) -> Self {
        let sum = |count: fn(&Video) -> usize| plan.part(part).map(count).sum::<usize>();
        let actors = sum(|video| video.beats().count());
        PartReport {
            part,
            videos: plan.part(part).count(),
            actors,
            idle: sum(|video| video.actors.len()) - actors,
            boxes: sum(|video| video.beats().map(|(_, beat)| beat.end - beat.start).sum()),
            in_own_scene: sum(Video::in_own_scene) as f64 / actors.max(1) as f64,
        }
    }
}

/// Writes a video that is not there yet, and says where everybody is in it.
fn write_video(plan: &Plan, video: &Video, path: &Path, is_kept: bool) -> Result<Boxes, StageError> {
    let mut shot = Shot::new(video, &plan.settings);
    if is_kept {
        return Ok((0..video.frames).map(|index| shot.frame(index).1).collect());
    }
    let partial = path.with_extension("partial");
    let mut encoder = Encoder::create(&partial, &plan.settings.format.encoding(plan.settings.crf))?;
    let mut everybody = Vec::with_capacity(video.frames);
    for index in 0..video.frames {
        let (rgb, boxes) = shot.frame(index);
        encoder.write(rgb)?;
        everybody.push(boxes);
    }
    encoder.finish()?;
    rename(&partial, path)?;
    Ok(everybody)
}

/// The project's own format of actors.
#[derive(Serialize)]
struct Annotations {
    labels: Vec<&'static str>,
    videos: BTreeMap<String, Entry>,
}

#[derive(Serialize)]
struct Entry {
    file: String,
    part: &'static str,
    frames: usize,
    width: u32,
    height: u32,
    tubes: Vec<Tube>,
}

#[derive(Serialize)]
struct Tube {
    label: &'static str,
    start_frame: usize,
    boxes: Vec<[f64; 4]>,
}

impl Annotations {
    fn new(plan: &Plan, boxes: &[Boxes]) -> Self {
        // Hundredths of a pixel.
        let rounded = |side: f32| (f64::from(side) * 100.0).round() / 100.0;
        let entry = |(video, boxes): (&Video, &Boxes)| {
            let tube = |(place, beat): (usize, &Beat)| {
                let boxes = boxes[beat.start..beat.end].iter().map(|frame| frame[place].map(rounded)).collect();
                Tube { label: beat.action.name(), start_frame: beat.start, boxes }
            };
            let entry = Entry {
                file: video.path(),
                part: video.part.name(),
                frames: video.frames,
                width: plan.settings.format.width,
                height: plan.settings.format.height,
                tubes: video.beats().map(tube).collect(),
            };
            (video.id(), entry)
        };
        Annotations {
            labels: Action::ALL.map(Action::name).to_vec(),
            videos: plan.videos.iter().zip(boxes).map(entry).collect(),
        }
    }
}
