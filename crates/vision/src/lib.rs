//! Pure maths shared by training, offline evaluation and serving: what happens to pixels before a network and to
//! its outputs after it. No I/O, no media library, no inference engine.

mod normalize;
mod scores;

pub use normalize::{ClipDims, Normalization, ShapeError, normalize_clip};
pub use scores::{softmax, top_k};
