//! The models of Unscene, each a serde config and a function that records it as a graph, and the two descriptions that
//! travel with weights: the run folder's `config.json` and the bundle's `manifest.json`.

pub mod classifier;
pub mod heads;
pub mod manifest;
pub mod r3d;
pub mod rc3d;
pub mod reference;
pub mod run;
pub mod vgg_ssd;
