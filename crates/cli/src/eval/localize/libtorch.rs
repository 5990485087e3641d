//! A localizer's run, computed by libtorch. Only its numbers differ from an exported bundle's: windows, proposals and segments are
//! made by the same code.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use unscene_engine::{EngineError, LocalizeForm, LocalizeGraphs};
use unscene_models::rc3d::{POOLED, names};
use unscene_models::run::RunFolder;
use unscene_train::{Net, read_weights};

use crate::subject::EngineArgs;

/// A run's net, both halves.
pub struct RunGraphs {
    net: Net,
    window: [usize; 4],
    region: [usize; 4],
    device: String,
}

/// Loads a run.
pub fn open(dir: &Path, engine: &EngineArgs) -> Result<(RunGraphs, LocalizeForm, Map<String, Value>)> {
    let device = engine.libtorch_device()?;
    let folder = RunFolder::new(dir);
    let config = folder.read_config()?;
    let model = config.model.localizer().with_context(|| dir.display().to_string())?;
    let net = Net::from_weights(model.graph()?, &read_weights(&folder.weights_path())?)?.to_device(device)?;
    let (_, channels) = model.steps_and_channels()?;
    let info = model.localize_info()?;
    let form = LocalizeForm {
        model: dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned(),
        labels: config.labels,
        fps: config.fps.context("config.json: fps is null")?,
        stride_frames: config.stride_frames,
        info,
        input: config.input,
    };
    let graphs = RunGraphs {
        net,
        window: [3, model.frames, model.size, model.size],
        region: [channels, POOLED[0], POOLED[1], POOLED[2]],
        device: if device.is_cuda() { "cuda".into() } else { "cpu".into() },
    };
    Ok((graphs, form, config.provenance))
}

impl RunGraphs {
    /// What computes it.
    pub fn engine(&self) -> &'static str {
        "libtorch"
    }

    /// Where.
    pub fn device(&self) -> &str {
        &self.device
    }

    fn compute<const N: usize>(
        &self,
        input: (&str, &[f32]),
        rows: usize,
        sides: [usize; 4],
        outputs: [&str; N],
    ) -> Result<[Vec<f32>; N], EngineError> {
        let failed = |reason: String| EngineError::Inference { engine: "libtorch".into(), reason };
        let (name, values) = input;
        let sides: Vec<usize> = std::iter::once(rows).chain(sides).collect();
        let found =
            self.net.infer_outputs(name, values, &sides, &outputs).map_err(|error| failed(error.to_string()))?;
        found.try_into().map_err(|_| failed("another number of outputs than was asked for".into()))
    }
}

impl LocalizeGraphs for RunGraphs {
    fn engine_name(&self) -> &str {
        self.engine()
    }

    fn device_name(&self) -> &str {
        &self.device
    }

    fn batch(&self) -> usize {
        1
    }

    fn propose(
        &mut self,
        buffers: &Arc<Vec<f32>>,
        windows: usize,
        _keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 3], EngineError> {
        let outputs = [names::ANCHOR_SCORES, names::ANCHOR_OFFSETS, names::FEATURES];
        self.compute((names::CLIP, buffers), windows, self.window, outputs)
    }

    fn label(
        &mut self,
        regions: Vec<f32>,
        count: usize,
        _keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<[Vec<f32>; 2], EngineError> {
        self.compute((names::REGIONS, &regions), count, self.region, [names::CLASS_SCORES, names::CLASS_OFFSETS])
    }
}
