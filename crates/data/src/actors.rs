//! Videos of actors with a box in every frame: what detection is trained and tested on.

mod augment;
mod check;
mod collect;
mod frames;
mod gttubes;
mod jhmdb;
mod json;
mod mat;
mod numbered;
mod pyannot;
mod spec;

use unscene_vision::Tube;

use crate::dataset::Media;
use crate::untrimmed::Doubt;

pub use augment::{Colors, FrameAugmentation, FrameDraw};
pub use check::{ActorCheck, ActorPartReport, ActorReport, LabelActors, actors_to_check, check_actors};
pub use frames::{ActorBox, FrameBatch, FrameEpoch, FrameLoader, FrameOptions};
pub use numbered::open_actors;
pub use spec::{ActorFormat, ActorSpec};

/// A video and the actors in it.
#[derive(Debug, Clone, PartialEq)]
pub struct ActorVideo {
    /// The name by which annotations and detections know it, such as `Basketball/v_Basketball_g01_c01`.
    pub id: String,
    /// Its pictures; `None` where only annotations were asked for, or the disk lacks it.
    pub media: Option<Media>,
    /// How many frames it has, where the annotations say.
    pub frames: Option<usize>,
    /// Width and height of its frames in pixels, where the annotations say.
    pub size: Option<(u32, u32)>,
    /// Actors, in the order of the annotations.
    pub tubes: Vec<Tube>,
}

impl ActorVideo {
    /// The frames in which somebody acts, in their order.
    pub fn acted(&self) -> Vec<usize> {
        let mut frames: Vec<usize> = self.tubes.iter().flat_map(|tube| tube.start_frame..tube.end_frame()).collect();
        frames.sort_unstable();
        frames.dedup();
        frames
    }
}

/// One part of a dataset of actors, such as `test`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActorPart {
    /// Its name.
    pub name: String,
    /// Its videos, by id.
    pub videos: Vec<ActorVideo>,
    /// Ids of videos that the annotations name and the disk lacks.
    pub missing: Vec<String>,
}

/// Videos with actors in them, in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Actors {
    /// Names of the labels.
    pub labels: Vec<String>,
    /// The parts.
    pub parts: Vec<ActorPart>,
    /// Annotations that were left out, because they were asked to be.
    pub skipped: Vec<Doubt>,
}

impl Actors {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&ActorPart> {
        self.parts.iter().find(|part| part.name == name)
    }
}
