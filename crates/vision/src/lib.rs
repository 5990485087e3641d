//! Pure maths shared by training, offline evaluation and serving: what happens to pixels before a network and to
//! its outputs after it. No I/O, no media library, no inference engine.

mod boxes;
mod cam;
mod crops;
mod detectors;
mod normalize;
mod picture;
mod scores;

pub use boxes::{Detection, iou, nms};
pub use cam::{ClassMap, ClassWeights, energy_within};
pub use crops::{cut_clip, scaled_to, three_crops};
pub use detectors::{DetectorError, DetectorForm, Output, YoloLayout};
pub use normalize::{ClipDims, Normalization, ShapeError, normalize_clip};
pub use picture::{Channels, Fit, Placement};
pub use scores::{softmax, top_k};
