//! `manifest.json`: what a bundle says about itself. `export` writes it, `engine` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rc3d::{LocalizeRule, POOLED, names};

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
    /// The ONNX files. `classify` has one; `localize` has two, from buffers to proposals and from regions to segments.
    pub graphs: Vec<GraphFile>,
    /// What `localize` needs to know between and after its graphs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub localize: Option<LocalizeInfo>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One distribution over the labels per clip.
    #[default]
    Classify,
    /// Segments of a video in which an action happens.
    Localize,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Classify => "classify",
            Task::Localize => "localize",
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
/// A value `v` of channel `c`, in `0..=255`, enters the network as `(v * range / 255 - mean[c]) / std[c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

    /// Checks what the types cannot: sizes above zero, a usable normalisation, and graph shapes that agree with
    /// `input` and `labels`.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<(), ManifestError> {
        check_clips(&self.labels, &self.input, self.stride_frames, self.fps)?;
        let files = self.graphs.iter().map(|graph| ("graphs.file", &graph.file));
        for (field, file) in files.chain(self.classifier.iter().map(|info| ("classifier.file", &info.file))) {
            let plain = !file.is_empty() && file != ".." && !file.contains(['/', '\\']);
            check(plain, field, format!("{file:?}"), "a file name inside the bundle's folder")?;
        }
        match self.task {
            Task::Classify => self.validate_classify(),
            Task::Localize => self.validate_localize(),
        }
    }

    fn validate_classify(&self) -> Result<(), ManifestError> {
        check(self.graphs.len() == 1, "graphs", format!("{} graphs", self.graphs.len()), "one graph for classify")?;
        check(self.localize.is_none(), "localize", "something".into(), "nothing for classify")?;
        let graph = &self.graphs[0];
        check_tensors(&graph.inputs, "graphs[0].inputs", &[self.clip_shape()])?;
        let (first, more) = graph.outputs.split_at(graph.outputs.len().min(1));
        check_tensors(first, "graphs[0].outputs", &[batch_of(&[self.labels.len()])])?;
        // Others follow in this order where they were asked for.
        let names: Vec<&str> = more.iter().map(|output| output.name.as_str()).collect();
        let is_known = matches!(names[..], [] | ["features"] | ["maps"] | ["features", "maps"]);
        let expected = "logits, then features and maps or one of them or none";
        check(is_known, "graphs[0].outputs", names.join(", "), expected)?;
        let (maps, classifier) = (names.contains(&"maps"), self.classifier.is_some());
        let found = format!("{} maps, {} a classifier", with(maps), with(classifier));
        check(maps == classifier, "classifier", found, "both or none")
    }

    fn validate_localize(&self) -> Result<(), ManifestError> {
        let found = format!("{} graphs", self.graphs.len());
        check(self.graphs.len() == 2, "graphs", found, "two graphs for localize: proposals and head")?;
        check(self.classifier.is_none(), "classifier", "a file".into(), "none for localize")?;
        check(self.fps.is_some(), "fps", "null".into(), "the rate that a localizer was trained at")?;
        let none = || ManifestError::Field {
            field: "localize",
            found: "none".into(),
            expected: "anchors and rule of the localizer".into(),
        };
        let LocalizeInfo { anchors, step_frames, offset_deviations, rule } = self.localize.as_ref().ok_or_else(none)?;
        let positive = !anchors.is_empty() && anchors.iter().all(|length| length.is_finite() && *length > 0.0);
        check(positive, "localize.anchors", format!("{anchors:?}"), "at least one length, all above 0")?;
        let fits = *step_frames > 0 && self.input.frames.is_multiple_of(*step_frames);
        check(fits, "localize.step_frames", step_frames.to_string(), "a divisor of input.frames")?;
        let finite = offset_deviations.iter().all(|deviation| deviation.is_finite());
        check(finite, "localize.offset_deviations", format!("{offset_deviations:?}"), "two numbers")?;
        let some = rule.before_nms > 0 && rule.proposals > 0 && rule.proposals <= 100_000;
        let found = format!("before_nms {}, proposals {}", rule.before_nms, rule.proposals);
        check(some, "localize.rule", found, "at least 1 of each, and at most 100,000 proposals")?;
        let tious = [rule.proposal_tiou, rule.segment_tiou, f64::from(rule.min_score)];
        let shares = tious.iter().all(|tiou| (0.0..=1.0).contains(tiou));
        check(shares, "localize.rule", format!("{tious:?}"), "overlaps and a score from 0 to 1")?;

        let [proposal, head] = &self.graphs[..] else { return Err(none()) };
        check_tensors(&proposal.inputs, "graphs[0].inputs", &[self.clip_shape()])?;
        let (steps, per_anchor) = (self.input.frames / step_frames, 2 * anchors.len());
        // The features' channels are the model's own.
        let channels = match head.inputs.first().map(|input| &input.shape[..]) {
            Some([_, Dim::Fixed(channels), ..]) => *channels,
            _ => 0,
        };
        let outputs =
            [&[per_anchor, steps, 1, 1][..], &[per_anchor, steps, 1, 1], &[channels, steps, POOLED[1], POOLED[2]]];
        check_tensors(&proposal.outputs, "graphs[0].outputs", &outputs.map(batch_of))?;
        check_names(
            &proposal.outputs,
            "graphs[0].outputs",
            &[names::ANCHOR_SCORES, names::ANCHOR_OFFSETS, names::FEATURES],
        )?;
        let regions = [channels, POOLED[0], POOLED[1], POOLED[2]];
        check_tensors(&head.inputs, "graphs[1].inputs", &[batch_of(&regions)])?;
        let classes = 1 + self.labels.len();
        check_tensors(&head.outputs, "graphs[1].outputs", &[&[classes][..], &[2 * classes]].map(batch_of))?;
        check_names(&head.outputs, "graphs[1].outputs", &[names::CLASS_SCORES, names::CLASS_OFFSETS])
    }

    /// `N x 3 x frames x height x width`.
    fn clip_shape(&self) -> Vec<Dim> {
        batch_of(&[3, self.input.frames, self.input.height, self.input.width])
    }
}

fn batch_of(sides: &[usize]) -> Vec<Dim> {
    [Dim::Symbol("N".into())].into_iter().chain(sides.iter().map(|&side| Dim::Fixed(side))).collect()
}

fn with(is_there: bool) -> &'static str {
    if is_there { "with" } else { "without" }
}

/// Checks what a run and a bundle both say about clips.
///
/// # Errors
/// [`ManifestError::Field`] with the first field that is wrong.
pub(crate) fn check_clips(
    labels: &[String],
    input: &ClipInput,
    stride_frames: usize,
    fps: Option<f64>,
) -> Result<(), ManifestError> {
    check(!labels.is_empty(), "labels", "none".into(), "at least one label")?;
    let unnamed = labels.iter().any(|label| label.trim().is_empty());
    check(!unnamed, "labels", "an empty name".into(), "a name for every class")?;
    let mut seen = BTreeSet::new();
    let twice = labels.iter().find(|label| !seen.insert(*label));
    check(twice.is_none(), "labels", format!("{:?} twice", twice.map_or("", String::as_str)), "names that differ")?;
    let size = format!("{} x {} x {}", input.frames, input.height, input.width);
    // A bound, because a clip is allocated from these numbers: 1e9 values are 4 GB.
    let values = [3, input.frames, input.height, input.width]
        .iter()
        .try_fold(1usize, |product, &side| product.checked_mul(side));
    let sane = values.is_some_and(|n| (1..=1_000_000_000).contains(&n));
    check(sane, "input", size, "frames x height x width from 1 to 3e8 values")?;
    let fits = input.short_side >= input.height.max(input.width).min(1 << 20) && input.short_side <= 1 << 20;
    let side = input.short_side.to_string();
    check(fits, "input.short_side", side, "at least the crop's height and width, at most 1048576")?;
    let finite = input.mean.iter().all(|m| m.is_finite());
    check(finite, "input.mean", format!("{:?}", input.mean), "finite numbers")?;
    let positive = input.std.iter().all(|s| s.is_finite() && *s > 0.0);
    check(positive, "input.std", format!("{:?}", input.std), "numbers above zero")?;
    let range = input.range.is_finite() && input.range > 0.0;
    check(range, "input.range", input.range.to_string(), "a number above zero")?;
    check(input.channels == "RGB", "input.channels", format!("{:?}", input.channels), "\"RGB\"")?;
    check(stride_frames > 0, "stride_frames", "0".into(), "at least 1")?;
    // Above what cameras take, a clip would be one frame over and over.
    let sane = fps.is_none_or(|fps| fps > 0.0 && fps <= 1000.0);
    let found = fps.map_or("null".into(), |fps| fps.to_string());
    check(sane, "fps", found, "null or frames per second above 0 and up to 1000")?;
    Ok(())
}

/// An error unless `ok`.
fn check(ok: bool, field: &'static str, found: String, expected: &str) -> Result<(), ManifestError> {
    match ok {
        true => Ok(()),
        false => Err(ManifestError::Field { field, found, expected: expected.into() }),
    }
}

fn check_tensors(found: &[TensorInfo], field: &'static str, expected: &[Vec<Dim>]) -> Result<(), ManifestError> {
    if found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| found.shape == *expected) {
        return Ok(());
    }
    Err(ManifestError::Field {
        field,
        found: serde_json::to_string(found)?,
        expected: format!("tensors of shapes {}", serde_json::to_string(expected)?),
    })
}

fn check_names(found: &[TensorInfo], field: &'static str, expected: &[&str]) -> Result<(), ManifestError> {
    let names: Vec<&str> = found.iter().map(|tensor| tensor.name.as_str()).collect();
    check(names == expected, field, names.join(", "), &expected.join(", "))
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
