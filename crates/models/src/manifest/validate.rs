//! What the types of a manifest cannot say.

use std::collections::BTreeSet;

use super::{ClipInput, Dim, LocalizeInfo, Manifest, ManifestError, Task, TensorInfo};
use crate::rc3d::{POOLED, names};
use crate::vgg_ssd::{self, DetectInfo};

impl Manifest {
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
            Task::Detect => self.validate_detect(),
        }
    }

    fn validate_classify(&self) -> Result<(), ManifestError> {
        check(self.graphs.len() == 1, "graphs", format!("{} graphs", self.graphs.len()), "one graph for classify")?;
        check(self.localize.is_none(), "localize", "something".into(), "nothing for classify")?;
        check(self.detect.is_none(), "detect", "something".into(), "nothing for classify")?;
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
        check(self.detect.is_none(), "detect", "something".into(), "nothing for localize")?;
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

    fn validate_detect(&self) -> Result<(), ManifestError> {
        check(self.graphs.len() == 1, "graphs", format!("{} graphs", self.graphs.len()), "one graph for detect")?;
        check(self.localize.is_none(), "localize", "something".into(), "nothing for detect")?;
        check(self.classifier.is_none(), "classifier", "a file".into(), "none for detect")?;
        let frames = self.input.frames;
        check(frames == 1, "input.frames", frames.to_string(), "1: a detector looks at single frames")?;
        let (height, width) = (self.input.height, self.input.width);
        check(height == width, "input", format!("{height} x {width}"), "a square, which its priors are shares of")?;
        let graph = &self.graphs[0];
        check_tensors(&graph.inputs, "graphs[0].inputs", &[self.clip_shape()])?;
        let none = || ManifestError::Field {
            field: "detect",
            found: "none".into(),
            expected: "priors and rules of the detector".into(),
        };
        let info = self.detect.as_ref().ok_or_else(none)?;
        check_detect(info)?;
        let priors: usize = info.maps.iter().map(|map| map.cells * map.cells * map.per_cell()).sum();
        let outputs = [[priors, 4], [priors, 1 + self.labels.len()]];
        check_tensors(&graph.outputs, "graphs[0].outputs", &outputs.map(|sides| batch_of(&sides)))?;
        check_names(&graph.outputs, "graphs[0].outputs", &[vgg_ssd::names::OFFSETS, vgg_ssd::names::CLASS_SCORES])
    }

    /// `N x 3 x frames x height x width`.
    fn clip_shape(&self) -> Vec<Dim> {
        batch_of(&[3, self.input.frames, self.input.height, self.input.width])
    }
}

/// Priors that can be made, and rules within their bounds. Frames of 300 pixels have six maps of up to 38 cells a side; the bounds
/// keep the priors of any file below a hundred megabytes.
fn check_detect(info: &DetectInfo) -> Result<(), ManifestError> {
    let DetectInfo { maps, rule, tubes } = info;
    let positive = |number: &f64| number.is_finite() && *number > 0.0;
    check((1..=16).contains(&maps.len()), "detect.maps", format!("{} maps", maps.len()), "1 to 16")?;
    for map in maps {
        let sizes = [map.step_px, map.min_px, map.max_px];
        let sane = (1..=128).contains(&map.cells) && map.ratios.len() <= 8;
        let sane = sane && sizes.iter().chain(&map.ratios).all(positive);
        let found = format!("{} cells, sizes {sizes:?}, ratios {:?}", map.cells, map.ratios);
        check(sane, "detect.maps", found, "1 to 128 cells, at most 8 ratios, and numbers above 0")?;
    }
    let shares = [rule.min_score, rule.max_iou];
    let sane = shares.iter().all(|share| (0.0..=1.0).contains(share)) && rule.before_nms > 0 && rule.most > 0;
    let found = format!("{shares:?}, before_nms {}, most {}", rule.before_nms, rule.most);
    check(sane, "detect.rule", found, "a score and an overlap from 0 to 1, and at least 1 box")?;
    let counts = [tubes.most_boxes, tubes.max_missed, tubes.delay_frames, tubes.min_frames];
    let sane = (0.0..=1.0).contains(&tubes.min_iou) && tubes.change_cost.is_finite() && tubes.change_cost >= 0.0;
    let sane = sane && counts.iter().all(|count| *count <= 1_000_000);
    let found = format!("min_iou {}, change_cost {}, counts {counts:?}", tubes.min_iou, tubes.change_cost);
    check(sane, "detect.tubes", found, "an overlap from 0 to 1, a cost from 0, counts up to 1,000,000")
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
