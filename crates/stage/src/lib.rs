//! Stage: rendered videos of people acting in front of scenes, with exact truth, from a seed.
//!
//! The benchmark on which scene bias can be seen and measured without a download. In training, an action happens in its
//! own scene with a probability, the bias; test sets break that habit. A model that looks at the scene is right on
//! `iid` and wrong on `swapped`; one that looks at the actor does not care.
//!
//! From the inside out:
//!
//! 1. [`Action`] gives joint angles for every moment; a figure is drawn with them.
//! 2. [`Scene`] paints a place; the same number of a view is the same picture.
//! 3. [`Take`] is one video: who does what where. [`render`] gives its frames and the box of the person.
//! 4. [`Settings`] and a seed make the plan of a whole set, [`write`](write()) makes its files.
//!
//! Two modules make other kinds of sets of the same actions, scenes and figures: [`untrimmed`] long videos of several actions,
//! [`crowded`] videos of several people at once.

mod actions;
pub mod crowded;
mod error;
mod figure;
mod files;
mod person;
mod plan;
mod scenes;
mod sheet;
mod take;
pub mod untrimmed;
mod write;

pub use actions::Action;
pub use error::StageError;
pub use plan::{Plan, Preset, Settings, Split, Video};
pub use scenes::Scene;
pub use take::{Format, Take, backdrop, render};
pub use write::{Control, Report, SplitReport, write};
