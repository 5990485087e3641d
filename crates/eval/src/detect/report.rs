//! What is said of detections, as numbers.

use serde::Serialize;

use super::errors::ErrorReport;
use crate::localize::ByTiou;

/// How well actors are found. Precisions are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectReport {
    /// How boxes are matched and counted: `voc`, at an IoU of 0.5.
    pub frame_protocol: &'static str,
    /// How tubes are: `road`; nothing where none were given.
    pub video_protocol: Option<&'static str>,
    /// The part's name.
    pub part: String,
    /// Its videos.
    pub videos: usize,
    /// Boxes of actors in them.
    pub boxes: usize,
    /// Tubes of actors in them.
    pub tubes: usize,
    /// Boxes that were found and scored.
    pub detections: usize,
    /// Tubes that were found and scored.
    pub detected_tubes: usize,
    /// Detections left out before scoring; whoever left them out says how many.
    pub skipped: usize,
    /// Mean over the classes that have boxes, at an IoU of 0.5.
    #[serde(rename = "frame_mAP")]
    pub frame_map: f64,
    /// The same of tubes, for each overlap (spatio-temporal IoU); nothing where no tubes were given.
    #[serde(rename = "video_mAP")]
    pub video_map: Option<ByTiou>,
    /// Mean of it over 0.5 to 0.95 in steps of 0.05.
    #[serde(rename = "video_mAP_50_95")]
    pub video_map_50_95: Option<f64>,
    /// Videos in which no box was found.
    pub videos_without_box: usize,
    /// Share of the videos with actors whose best tube is of one of their classes. A video in which none was found is wrong.
    pub accuracy: Option<f64>,
    /// Videos with actors in which no tube was found.
    pub videos_without_tube: Option<usize>,
    /// What is wrong with the best boxes.
    pub errors: ErrorReport,
    /// In the order of the labels.
    pub classes: Vec<ClassDetect>,
}

/// How well the actors of a class are found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassDetect {
    /// Its name.
    pub label: String,
    /// Boxes of its actors.
    pub boxes: usize,
    /// Boxes found.
    pub detections: usize,
    /// Average precision of boxes at an IoU of 0.5; `None` where it has no box.
    #[serde(rename = "frame_AP")]
    pub frame_ap: Option<f64>,
    /// Its tubes.
    pub tubes: usize,
    /// Tubes found.
    pub detected_tubes: usize,
    /// Average precision of tubes for each overlap; `None` where it has no tube, or none were given.
    #[serde(rename = "video_AP")]
    pub video_ap: Option<ByTiou>,
}
