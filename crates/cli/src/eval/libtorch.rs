//! A localizer's or detector's run, computed by libtorch. Only its numbers differ from an exported bundle's: what becomes of
//! them is the same code.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use unscene_engine::{DetectForm, DetectGraph, EngineError, LocalizeForm, LocalizeGraphs, Runner};
use unscene_models::rc3d::{POOLED, names};
use unscene_models::run::{RunConfig, RunFolder};
use unscene_models::vgg_ssd;
use unscene_train::{Net, read_weights};

use crate::subject::EngineArgs;

/// What computes a run.
const ENGINE: &str = "libtorch";
/// Frames that a detector's run computes at once: few enough for any memory, and enough for a GPU.
const FRAMES: usize = 8;

/// A run's net.
struct RunNet {
    net: Net,
    device: String,
}

/// Both halves of a localizer.
pub struct RunLocalizer {
    run: RunNet,
    window: [usize; 4],
    region: [usize; 4],
}

/// A detector.
pub struct RunDetector {
    run: RunNet,
    frame: [usize; 4],
}

fn load(dir: &Path, engine: &EngineArgs) -> Result<(RunNet, RunConfig)> {
    let device = engine.libtorch_device()?;
    let folder = RunFolder::new(dir);
    let config = folder.read_config()?;
    let net = Net::from_weights(config.model.graph()?, &read_weights(&folder.weights_path())?)?.to_device(device)?;
    let device = if device.is_cuda() { "cuda".into() } else { "cpu".into() };
    Ok((RunNet { net, device }, config))
}

/// The folder's name.
fn name(dir: &Path) -> String {
    dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned()
}

/// Loads a localizer's run.
pub fn localizer(dir: &Path, engine: &EngineArgs) -> Result<(RunLocalizer, LocalizeForm, Map<String, Value>)> {
    let (run, config) = load(dir, engine)?;
    let model = config.model.localizer().with_context(|| dir.display().to_string())?;
    let (_, channels) = model.steps_and_channels()?;
    let window = [3, model.frames, model.size, model.size];
    let info = model.localize_info()?;
    let form = LocalizeForm {
        model: name(dir),
        labels: config.labels,
        fps: config.fps.context("config.json: fps is null")?,
        stride_frames: config.stride_frames,
        info,
        input: config.input,
    };
    let region = [channels, POOLED[0], POOLED[1], POOLED[2]];
    Ok((RunLocalizer { run, window, region }, form, config.provenance))
}

/// Loads a detector's run.
pub fn detector(dir: &Path, engine: &EngineArgs) -> Result<(RunDetector, DetectForm, Map<String, Value>)> {
    let (run, config) = load(dir, engine)?;
    let model = config.model.detector().with_context(|| dir.display().to_string())?;
    let (frame, info) = ([3, 1, model.size, model.size], model.detect_info()?);
    let form = DetectForm::new(name(dir), config.labels, config.input, &info);
    Ok((RunDetector { run, frame }, form, config.provenance))
}

impl RunNet {
    fn compute<const N: usize>(
        &self,
        input: (&str, &[f32]),
        rows: usize,
        sides: [usize; 4],
        outputs: [&str; N],
    ) -> Result<[Vec<f32>; N], EngineError> {
        let failed = |reason: String| EngineError::Inference { engine: ENGINE.into(), reason };
        let (name, values) = input;
        let sides: Vec<usize> = std::iter::once(rows).chain(sides).collect();
        let found =
            self.net.infer_outputs(name, values, &sides, &outputs).map_err(|error| failed(error.to_string()))?;
        found.try_into().map_err(|_| failed("another number of outputs than was asked for".into()))
    }
}

impl Runner for RunLocalizer {
    fn engine_name(&self) -> &str {
        ENGINE
    }

    fn device_name(&self) -> &str {
        &self.run.device
    }

    fn batch(&self) -> usize {
        1
    }
}

impl LocalizeGraphs for RunLocalizer {
    fn propose(
        &mut self,
        buffers: &Arc<Vec<f32>>,
        windows: usize,
        _keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 3], EngineError> {
        let outputs = [names::ANCHOR_SCORES, names::ANCHOR_OFFSETS, names::FEATURES];
        self.run.compute((names::CLIP, buffers), windows, self.window, outputs)
    }

    fn label(
        &mut self,
        regions: Vec<f32>,
        count: usize,
        _keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2], EngineError> {
        self.run.compute((names::REGIONS, &regions), count, self.region, [names::CLASS_SCORES, names::CLASS_OFFSETS])
    }
}

impl Runner for RunDetector {
    fn engine_name(&self) -> &str {
        ENGINE
    }

    fn device_name(&self) -> &str {
        &self.run.device
    }

    fn batch(&self) -> usize {
        FRAMES
    }
}

impl DetectGraph for RunDetector {
    fn score(
        &mut self,
        frames: &Arc<Vec<f32>>,
        count: usize,
        _keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2], EngineError> {
        let outputs = [vgg_ssd::names::OFFSETS, vgg_ssd::names::CLASS_SCORES];
        self.run.compute((vgg_ssd::names::CLIP, frames), count, self.frame, outputs)
    }
}
