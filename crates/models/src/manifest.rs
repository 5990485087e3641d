//! `manifest.json`: what a bundle says about itself. `export` writes it, `engine` reads it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rc3d::LocalizeRule;
use crate::vgg_ssd::DetectInfo;

mod validate;

pub(crate) use validate::check_clips;

/// The name of the manifest's file inside a bundle.
pub const MANIFEST_FILE: &str = "manifest.json";

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The text is not JSON, or a field is missing or has another type.
    #[error("the manifest cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A field holds a value that no exporter writes.
    #[error("manifest field `{field}`: found {found}, expected {expected}; export the bundle again")]
    Field {
        /// Path of the field, such as `input.std`.
        field: &'static str,
        /// What the file holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
}

/// A bundle's description of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What the bundle's graphs compute.
    pub task: Task,
    /// Class names; index `i` of the logits is `labels[i]`.
    pub labels: Vec<String>,
    /// How a clip is prepared.
    pub input: ClipInput,
    /// Sampled frames between the starts of two clips, by default.
    pub stride_frames: usize,
    /// Sampled frames per second; `null` means every frame of the video.
    pub fps: Option<f64>,
    /// The ONNX files. `classify` and `detect` have one; `localize` has two, from buffers to proposals and from regions to
    /// segments.
    pub graphs: Vec<GraphFile>,
    /// What `localize` needs to know between and after its graphs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localize: Option<LocalizeInfo>,
    /// What `detect` needs to know after its graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<DetectInfo>,
    /// Weights of the layer from features to logits, a safetensors file with `weight` (classes x channels) and `bias`; there
    /// with the output `maps`, to make class activation maps of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<FileInfo>,
    /// Per engine (`"ort-cpu"`), the largest difference from the reference logits divided by the largest reference logit.
    #[serde(default)]
    pub parity: BTreeMap<String, f64>,
    /// The arithmetic of the graphs. Inputs and outputs are single precision in both cases.
    pub precision: Precision,
    /// The model's configuration, as in the run folder.
    pub model: Value,
    /// Where the weights come from: version of the exporter, run, dataset, metrics, date.
    #[serde(default)]
    pub provenance: serde_json::Map<String, Value>,
}

/// What the graphs of a bundle compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One distribution over the labels per clip.
    #[default]
    Classify,
    /// Segments of a video in which an action happens.
    Localize,
    /// Boxes in a frame around who acts.
    Detect,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Classify => "classify",
            Task::Localize => "localize",
            Task::Detect => "detect",
        })
    }
}

/// Between and after the graphs of a localizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalizeInfo {
    /// Lengths of the anchors, in steps of the features.
    pub anchors: Vec<f64>,
    /// Sampled frames from one step of the features to the next.
    pub step_frames: usize,
    /// What the offsets of the head are multiplied by: centre, logarithm of the length.
    pub offset_deviations: [f32; 2],
    /// From scores to segments.
    pub rule: LocalizeRule,
}

/// The arithmetic inside the graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// Half-precision weights and compute, single-precision input and output.
    Fp16,
}

/// How a clip is cut from the video and scaled.
///
/// A detector's frame is stretched to `height` x `width` instead, so that nobody is cut off.
///
/// A value `v` of channel `c`, in `0..=255`, enters the network as `(v * range / 255 - mean[c]) / std[c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClipInput {
    /// Frames per clip.
    pub frames: usize,
    /// Height of the crop in pixels.
    pub height: usize,
    /// Width of the crop in pixels.
    pub width: usize,
    /// Length to which the shorter side of the picture is scaled before cropping, in pixels.
    pub short_side: usize,
    /// Mean per channel, in units of `range`.
    pub mean: [f32; 3],
    /// Standard deviation per channel, in units of `range`.
    pub std: [f32; 3],
    /// Order of the channels; only `"RGB"` today.
    pub channels: String,
    /// Value of full white before the mean is subtracted: 255 or 1.
    pub range: f32,
}

impl ClipInput {
    /// Number of values in one clip, `3 * frames * height * width`.
    pub fn len(&self) -> usize {
        3 * self.frames * self.height * self.width
    }

    /// Whether a side is zero; [`Manifest::validate`] refuses such a manifest.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One ONNX file of the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphFile {
    /// File name, relative to the bundle's folder.
    pub file: String,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
    /// Inputs in order.
    pub inputs: Vec<TensorInfo>,
    /// Outputs in order.
    pub outputs: Vec<TensorInfo>,
}

/// Another file of the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileInfo {
    /// File name, relative to the bundle's folder.
    pub file: String,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
}

/// Name and shape of a graph's input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// The tensor's name in the ONNX graph.
    pub name: String,
    /// Its sides, such as `["N", 3, 16, 112, 112]`.
    pub shape: Vec<Dim>,
}

/// A side of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// Known when the graph is written.
    Fixed(usize),
    /// Free, by name: `"N"` is the number of clips.
    Symbol(String),
}

impl Manifest {
    /// What a graph of a bundle is called where graphs are models of their own: as the bundle, or, where there are several, by the
    /// bundle, a dot, and the file.
    pub fn graph_name(&self, bundle: &str, graph: usize) -> String {
        let file = &self.graphs[graph].file;
        match self.graphs.len() {
            1 => bundle.to_owned(),
            _ => format!("{bundle}.{}", file.strip_suffix(".onnx").unwrap_or(file)),
        }
    }

    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// When the text is not a manifest, or [`Self::validate`] refuses it.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_str(text)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Writes the manifest as indented JSON with a final newline.
    ///
    /// # Errors
    /// When [`Self::validate`] refuses it.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        self.validate()?;
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "task": "classify", "labels": ["run", "jump"],
        "input": {"frames": 16, "height": 112, "width": 112, "short_side": 112, "mean": [114.7748, 107.7354, 99.475],
                  "std": [1, 1, 1], "channels": "RGB", "range": 255},
        "stride_frames": 16, "fps": null,
        "graphs": [{"file": "model.onnx", "sha256": "00",
                    "inputs": [{"name": "clip", "shape": ["N", 3, 16, 112, 112]}],
                    "outputs": [{"name": "logits", "shape": ["N", 2]}]}],
        "parity": {"ort-cpu": 1e-6}, "precision": "fp32", "model": {"arch": "r3d"}, "provenance": {"seed": 1}
    }"#;

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        let manifest = Manifest::from_json(TEXT).unwrap();
        assert_eq!(manifest.input.len(), 3 * 16 * 112 * 112);
        assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()).unwrap(), manifest);
    }

    const LOCALIZE: &str = r#"{
        "task": "localize", "labels": ["run", "jump"],
        "input": {"frames": 64, "height": 56, "width": 56, "short_side": 64, "mean": [0, 0, 0],
                  "std": [1, 1, 1], "channels": "RGB", "range": 1},
        "stride_frames": 32, "fps": 25.0,
        "localize": {"anchors": [1.0, 2.0], "step_frames": 8, "offset_deviations": [0.1, 0.2],
                     "rule": {"before_nms": 6000, "proposal_tiou": 0.9, "proposals": 300, "segment_tiou": 0.4,
                              "min_score": 0.005}},
        "graphs": [{"file": "proposal.onnx", "sha256": "00", "inputs": [{"name": "clip", "shape": ["N", 3, 64, 56, 56]}],
                    "outputs": [{"name": "anchor_scores", "shape": ["N", 4, 8, 1, 1]},
                                {"name": "anchor_offsets", "shape": ["N", 4, 8, 1, 1]},
                                {"name": "features", "shape": ["N", 16, 8, 2, 2]}]},
                   {"file": "head.onnx", "sha256": "00", "inputs": [{"name": "regions", "shape": ["N", 16, 4, 2, 2]}],
                    "outputs": [{"name": "class_scores", "shape": ["N", 3]},
                                {"name": "class_offsets", "shape": ["N", 6]}]}],
        "precision": "fp32", "model": {}
    }"#;

    #[test]
    fn a_localizer_says_what_lies_between_its_graphs() {
        let manifest = Manifest::from_json(LOCALIZE).unwrap();
        assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()).unwrap(), manifest);
        for (from, to, field) in [
            (r#""anchors": [1.0, 2.0]"#, r#""anchors": [1.0, -2.0]"#, "`localize.anchors`"),
            (r#""anchors": [1.0, 2.0]"#, r#""anchors": [1.0]"#, "`graphs[0].outputs`"),
            (r#""step_frames": 8"#, r#""step_frames": 7"#, "`localize.step_frames`"),
            (r#""proposals": 300"#, r#""proposals": 0"#, "`localize.rule`"),
            (r#""segment_tiou": 0.4"#, r#""segment_tiou": 1.4"#, "`localize.rule`"),
            (r#""fps": 25.0"#, r#""fps": null"#, "`fps`"),
            (r#"["N", 16, 4, 2, 2]"#, r#"["N", 16, 4, 3, 3]"#, "`graphs[1].inputs`"),
            (r#"["N", 6]"#, r#"["N", 4]"#, "`graphs[1].outputs`"),
            (r#""class_scores""#, r#""logits""#, "`graphs[1].outputs`"),
            (r#""file": "head.onnx""#, r#""file": "../head.onnx""#, "`graphs.file`"),
        ] {
            assert!(LOCALIZE.contains(from), "{from}");
            let message = Manifest::from_json(&LOCALIZE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(field), "{to}: {message}");
        }
    }

    const DETECT: &str = r#"{
        "task": "detect", "labels": ["run", "jump"],
        "input": {"frames": 1, "height": 96, "width": 96, "short_side": 96, "mean": [123, 117, 104],
                  "std": [1, 1, 1], "channels": "RGB", "range": 255},
        "stride_frames": 1, "fps": null,
        "detect": {"maps": [{"cells": 12, "step_px": 8, "min_px": 9.6, "max_px": 19.2, "ratios": [2]},
                            {"cells": 6, "step_px": 16, "min_px": 19.2, "max_px": 35.52, "ratios": [2, 3]},
                            {"cells": 3, "step_px": 32, "min_px": 35.52, "max_px": 51.84, "ratios": [2, 3]},
                            {"cells": 2, "step_px": 64, "min_px": 51.84, "max_px": 68.16, "ratios": [2, 3]}],
                   "rule": {"min_score": 0.01, "before_nms": 200, "max_iou": 0.45, "most": 200},
                   "tubes": {"most_boxes": 10, "min_iou": 0.1, "max_missed": 5, "change_cost": 3.0,
                             "delay_frames": 100, "min_frames": 10}},
        "graphs": [{"file": "model.onnx", "sha256": "00", "inputs": [{"name": "clip", "shape": ["N", 3, 1, 96, 96]}],
                    "outputs": [{"name": "offsets", "shape": ["N", 870, 4]},
                                {"name": "class_scores", "shape": ["N", 870, 3]}]}],
        "precision": "fp32", "model": {}
    }"#;

    #[test]
    fn a_detector_scores_every_prior() {
        let manifest = Manifest::from_json(DETECT).unwrap();
        assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()).unwrap(), manifest);
        for (from, to, field) in [
            (r#""frames": 1"#, r#""frames": 2"#, "`input.frames`"),
            (r#""height": 96"#, r#""height": 95"#, "`input`: found 95 x 96"),
            (r#"["N", 870, 3]"#, r#"["N", 870, 2]"#, "`graphs[0].outputs`"),
            (r#"["N", 870, 3]"#, r#"["N", 869, 3]"#, "`graphs[0].outputs`"),
            (r#""cells": 6"#, r#""cells": 5"#, "`graphs[0].outputs`"),
            (r#""cells": 6"#, r#""cells": 99999999999"#, "`detect.maps`"),
            (r#""ratios": [2]"#, r#""ratios": [0]"#, "`detect.maps`"),
            (r#""step_px": 8"#, r#""step_px": -8"#, "`detect.maps`"),
            (r#""max_iou": 0.45"#, r#""max_iou": 4.5"#, "`detect.rule`"),
            (r#""most": 200"#, r#""most": 0"#, "`detect.rule`"),
            (r#""min_iou": 0.1"#, r#""min_iou": -1"#, "`detect.tubes`"),
            (r#""delay_frames": 100"#, r#""delay_frames": 9999999999"#, "`detect.tubes`"),
            (r#""detect": {"maps""#, r#""detects": {"maps""#, "`detect`"),
            (r#""offsets""#, r#""boxes""#, "`graphs[0].outputs`"),
            (r#"["N", 3, 1, 96, 96]"#, r#"["N", 3, 96, 96]"#, "`graphs[0].inputs`"),
        ] {
            assert!(DETECT.contains(from), "{from}");
            let message = Manifest::from_json(&DETECT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(field), "{to}: {message}");
        }
    }

    #[test]
    fn every_check_names_its_field() {
        for (from, to, field) in [
            (r#"["run", "jump"]"#, "[]", "`labels`"),
            (r#""frames": 16"#, r#""frames": 0"#, "`input`"),
            (r#""frames": 16"#, r#""frames": 99999999999999999"#, "`input`"),
            (r#""short_side": 112"#, r#""short_side": 64"#, "`input.short_side`"),
            ("[1, 1, 1]", "[1, 0, 1]", "`input.std`"),
            (r#""RGB""#, r#""BGR""#, "`input.channels`"),
            (r#""stride_frames": 16"#, r#""stride_frames": 0"#, "`stride_frames`"),
            (r#""fps": null"#, r#""fps": -1"#, "`fps`: found -1,"),
            (r#""fps": null"#, r#""fps": 1e9"#, "`fps`: found 1000000000,"),
            (r#""jump"]"#, r#"" "]"#, "`labels`: found an empty name"),
            (r#""jump"]"#, r#""run"]"#, "`labels`: found \"run\" twice"),
            ("model.onnx", "../model.onnx", "`graphs.file`"),
            (r#"["N", 3, 16, 112, 112]"#, r#"["N", 3, 8, 112, 112]"#, "`graphs[0].inputs`"),
            (r#"["N", 2]"#, r#"["N", 3]"#, "`graphs[0].outputs`"),
            (r#""task": "classify""#, r#""task": "sing""#, "unknown variant `sing`"),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let message = Manifest::from_json(&TEXT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(field), "{to}: {message}");
        }
    }
}
