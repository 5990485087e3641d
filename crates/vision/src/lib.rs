//! Pure maths shared by training, offline evaluation and serving: what happens to pixels before a network and to
//! its outputs after it. No I/O, no media library, no inference engine.

mod boxes;
mod cam;
mod crops;
mod detections;
mod detectors;
mod linking;
mod normalize;
mod picture;
mod priors;
mod proposals;
mod scores;
mod segments;
mod targets;
mod trimming;
mod tube;

pub use boxes::{Detection, iou, nms};
pub use cam::{ClassMap, ClassWeights, energy_within};
pub use crops::{cut_clip, scaled_to, three_crops};
pub use detections::{DetectRule, LabelledBox, find_boxes};
pub use detectors::{DetectorError, DetectorForm, Output, YoloLayout};
pub use linking::{DetectedTube, TubeLinker, TubeRule};
pub use normalize::{ClipDims, Normalization, ShapeError, normalize_clip};
pub use picture::{Channels, Fit, Placement};
pub use priors::{PRIOR_SCALES, Prior, PriorMap, decode_box, encode_box, match_priors, prior_maps, priors};
pub use proposals::{
    LabelledSegment, Proposal, ProposalRule, anchors, label_segments, pool_segments, propose, temporal_bins,
};
pub use scores::{softmax, top_k};
pub use segments::{Segment, segment_nms};
pub use targets::{AnchorRule, AnchorTarget, RegionRule, RegionTarget, match_anchors, sample_anchors, sample_regions};
pub use tube::Tube;
