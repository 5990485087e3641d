//! Datasets on disk, and the clips that training takes from them.
//!
//! 1. [`formats`] read the lists of labelled videos that people have: each gives a [`Dataset`] of [`Item`]s.
//! 2. [`draw_clip`] and [`test_clips`] take clips from an item, with what chance decides ([`Augmentation`]) drawn from
//!    the seed, the epoch and the item alone.
//! 3. [`Loader`] does so on threads, ahead of the network, and gives batches.
//!
//! What other models say about the videos, their scenes and people, is kept in a [`Cache`]; [`mask_people`] uses it.

pub mod actors;
mod augment;
mod cache;
mod check;
mod clip;
mod dataset;
mod error;
pub mod formats;
mod loader;
mod look;
mod mask;
mod masked;
mod people;
pub mod untrimmed;

pub use augment::{Augmentation, Draw, Position, shuffled};
pub use cache::{
    Annotation, Cache, CacheKind, CacheOrigin, CacheWriter, Found, PeopleFrame, PersonBox, json_differences,
};
pub use check::{CheckControl, CheckOptions, CheckReport, LabelCount, PartReport, check, videos_to_check};
pub use clip::{ClipForm, Opened, Sample, Views, draw_clip, open, test_clips};
pub use dataset::{Dataset, Item, Media, Part, Span};
pub use error::{DataError, Result};
pub use loader::{Batch, Change, Epoch, Failure, Loader, LoaderOptions, TestClip, TestClips};
pub use look::{Facts, Look, Looks, facts, look};
pub use mask::{Fill, mask_people, people_mask};
pub use masked::{MaskedPeople, masked_people};
pub use people::People;
