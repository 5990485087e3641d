//! Training SSD: where in a frame who does what.

mod losses;

pub use losses::{PriorTargets, multibox_losses};
