//! How well segments are found in untrimmed videos.
//!
//! 1. [`Known`] reads files of detections and proposals, and finds what they name that the annotations lack.
//! 2. [`evaluate`] ranks and matches them by a [`Protocol`], and gives a [`LocalizeReport`] and curves.
//! 3. [`proposal_recall`] says how many actions are among the proposals.
//!
//! All of it sees detections, and not who made them: a file, a run and a bundle are measured by the same code.

mod activitynet;
mod evaluate;
mod json;
mod proposals;
mod read;
mod report;
mod segment;
mod text;
mod thumos14;

pub(crate) use activitynet::average_precision as interpolated_precision;
pub use evaluate::{Evaluation, LocalizeOptions, Protocol, evaluate};
pub use json::activitynet_json;
pub(crate) use json::standard as standard_json;
pub use proposals::{ProposalPoint, ProposalReport, proposal_recall};
pub use read::{FromFile, Known};
pub use report::{ByTiou, ClassAp, LocalizeReport, PrecisionRecall};
pub use segment::{Proposal, SegmentDetection};
pub use text::thumos_text;
