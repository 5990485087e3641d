//! Models that look at frames: classifiers of scenes and detectors of people.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use unscene_data::{CacheKind, PeopleFrame, PersonBox};
use unscene_engine::{Array, Bundle, EngineError, EngineOptions, Network};
use unscene_vision::{Channels, DetectorForm, Fit, Output, Placement, nms, softmax};

use crate::config::{Activation, InputConfig, PeopleConfig, ScenesConfig, ScenesOutput, read_labels};
use crate::error::{AnnotateError, Result};

/// A loaded model and what is known about its input and output.
pub struct FrameModel {
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) input: InputConfig,
    pub(crate) head: Head,
    network: Network,
}

/// What a model finds.
#[derive(Debug, Clone)]
pub(crate) enum Head {
    Scenes { output: ScenesOutput, labels: Vec<String> },
    People(PeopleConfig),
}

impl FrameModel {
    /// Loads a classifier of scenes: an ONNX file with its config, or a bundle of a network of single frames, which
    /// needs none.
    ///
    /// # Errors
    /// When a file cannot be read, there are no labels, or the model has another input.
    pub fn scenes(model: &Path, config: Option<&Path>, labels: Option<&Path>, options: &EngineOptions) -> Result<Self> {
        if model.is_dir() {
            return Self::from_bundle(model, options);
        }
        let config_path = config
            .ok_or_else(|| missing(model, "a classifier needs --config; the folder examples has one to start from"))?;
        let config = ScenesConfig::read(config_path)?;
        let beside = config.labels.map(|labels| config_path.parent().unwrap_or(Path::new("")).join(labels));
        let labels = labels.map(PathBuf::from).or(beside);
        let labels = labels.ok_or_else(|| missing(config_path, "no file of labels is named in it or by --labels"))?;
        let labels = read_labels(&labels)?;
        let sides = [3, config.input.height as usize, config.input.width as usize];
        Self::load(model, config.input, Head::Scenes { output: config.output, labels }, &sides, options)
    }

    /// Loads a detector of people with its config.
    ///
    /// # Errors
    /// When a file cannot be read, or the model has another input.
    pub fn people(model: &Path, config: &Path, options: &EngineOptions) -> Result<Self> {
        let config = PeopleConfig::read(config)?;
        let sides = [3, config.input.height as usize, config.input.width as usize];
        Self::load(model, config.input.clone(), Head::People(config), &sides, options)
    }

    fn from_bundle(dir: &Path, options: &EngineOptions) -> Result<Self> {
        let bundle = Bundle::open(dir)?;
        let clip = &bundle.manifest.input;
        if clip.frames != 1 {
            let problem =
                format!("this bundle takes {} frames at once, expected a network of single frames", clip.frames);
            return Err(AnnotateError::Config { path: dir.to_path_buf(), problem });
        }
        let input = InputConfig {
            width: clip.width as u32,
            height: clip.height as u32,
            fit: Fit::ShortSide(clip.short_side as u32),
            channels: Channels::Rgb,
            mean: clip.mean,
            std: clip.std,
            range: clip.range,
        };
        let name = bundle.manifest.graphs[0].outputs.first().map_or("logits", |output| &output.name).to_string();
        let output = ScenesOutput { name, activation: Activation::Softmax };
        let head = Head::Scenes { output, labels: bundle.manifest.labels.clone() };
        let sides = [3, 1, clip.height, clip.width];
        Self::load(&bundle.model_path(), input, head, &sides, options)
    }

    fn load(path: &Path, input: InputConfig, head: Head, sides: &[usize], options: &EngineOptions) -> Result<Self> {
        let io_error = |source| AnnotateError::Io { path: path.to_path_buf(), source };
        let mut hasher = Sha256::new();
        std::io::copy(&mut fs::File::open(path).map_err(io_error)?, &mut hasher).map_err(io_error)?;
        let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let network = Network::load(path, sides, options).map_err(|error| match error {
            EngineError::Load { engine, reason, .. } => {
                let reason = reason.lines().next().unwrap_or_default().replace("failed:", "failed: ");
                let problem = format!("{engine} cannot load it ({reason}); is it an ONNX model, and whole?");
                AnnotateError::Config { path: path.to_path_buf(), problem }
            }
            error => error.into(),
        })?;
        let mut model = FrameModel { name, sha256, input, head, network };
        model.try_out()?;
        Ok(model)
    }

    /// Runs a black picture: outputs that do not fit the config are found before the first video is decoded.
    fn try_out(&mut self) -> Result<()> {
        let picture = (self.input.width, self.input.height);
        let black = vec![0.0; 3 * picture.0 as usize * picture.1 as usize];
        let placement = Placement::new(self.input.fit, picture, picture);
        self.look(&black, &[(0.0, placement)]).map(|_| ())
    }

    /// Engine and device, as in "onnxruntime 1.32.0 on cpu".
    pub fn runs_on(&self) -> String {
        format!("{} on {}", self.network.engine_name(), self.network.device_name())
    }

    pub(crate) fn kind(&self) -> CacheKind {
        match self.head {
            Head::Scenes { .. } => CacheKind::Scenes,
            Head::People(_) => CacheKind::People,
        }
    }

    pub(crate) fn labels(&self) -> &[String] {
        match &self.head {
            Head::Scenes { labels, .. } => labels,
            Head::People(_) => &[],
        }
    }

    /// Whatever would make other results, but for the choice of frames.
    pub(crate) fn settings(&self) -> Value {
        match &self.head {
            Head::Scenes { output, .. } => json!({"input": self.input, "output": output}),
            Head::People(config) => json!(config),
        }
    }

    /// Pictures that it takes at once, at most `wanted`.
    pub(crate) fn batch(&self, wanted: usize) -> usize {
        let one_by_one =
            matches!(&self.head, Head::People(PeopleConfig { output: DetectorForm::Torchvision { .. }, .. }));
        if one_by_one { 1 } else { self.network.fixed_batch().unwrap_or(wanted).max(1) }
    }

    /// Looks at pictures, each with its time and its place in the frame.
    ///
    /// # Shapes
    /// `input` is n x 3 x height x width.
    pub(crate) fn look(&mut self, input: &[f32], frames: &[(f64, Placement)]) -> Result<Vec<Seen>> {
        // A graph that fixes the number of pictures gets black ones to make it up.
        let n = self.network.fixed_batch().map_or(frames.len(), |fixed| fixed.max(frames.len()));
        let mut padded = Vec::new();
        let input = if n == frames.len() {
            input
        } else {
            padded.extend_from_slice(input);
            padded.resize(input.len() / frames.len().max(1) * n, 0.0);
            &padded
        };
        let arrays = self.network.run(input, n)?;
        let mut seen = Vec::with_capacity(frames.len());
        for (number, (time_s, placement)) in frames.iter().enumerate() {
            let outputs = outputs_of(&arrays, number, n);
            seen.push(match &self.head {
                Head::Scenes { output, labels } => Seen::Scenes(self.scenes_of(output, labels, &outputs)?),
                Head::People(config) => {
                    let boxes = self.people_of(config, &outputs, placement)?;
                    Seen::People(PeopleFrame { time_s: *time_s, boxes })
                }
            });
        }
        Ok(seen)
    }

    fn scenes_of(&self, output: &ScenesOutput, labels: &[String], outputs: &[Part<'_>]) -> Result<Vec<f32>> {
        let found = outputs.iter().find(|found| found.name == output.name && found.values.len() == labels.len());
        let Some(found) = found else {
            let shown: Vec<String> =
                outputs.iter().map(|output| format!("{:?} {:?}", output.name, output.shape)).collect();
            let problem = format!(
                "the model gives {}, expected an output {:?} of one value for each of the {} labels; change the \
                 config's \"output\" or the labels to fit",
                shown.join(", "),
                output.name,
                labels.len()
            );
            return Err(AnnotateError::Output { model: self.name.clone(), problem });
        };
        if found.values.iter().any(|value| !value.is_finite()) {
            let problem = format!(
                "the values of {:?} for one picture are not all numbers; check mean, std and range",
                output.name
            );
            return Err(AnnotateError::Output { model: self.name.clone(), problem });
        }
        match output.activation {
            Activation::Softmax => {
                let mut values = found.values.to_vec();
                softmax(&mut values);
                Ok(values)
            }
            Activation::None => {
                let sum: f32 = found.values.iter().sum();
                if !(0.9..=1.1).contains(&sum) || found.values.iter().any(|value| *value < 0.0) {
                    let problem = format!(
                        "the values of {:?} for one picture sum to {sum}: they are no probabilities; set the activation to \
                         \"softmax\"",
                        output.name
                    );
                    return Err(AnnotateError::Output { model: self.name.clone(), problem });
                }
                Ok(found.values.to_vec())
            }
        }
    }

    fn people_of(&self, config: &PeopleConfig, outputs: &[Part<'_>], placement: &Placement) -> Result<Vec<PersonBox>> {
        let views: Vec<Output<'_>> =
            outputs.iter().map(|o| Output { name: o.name, shape: &o.shape, values: o.values }).collect();
        let size = (self.input.width, self.input.height);
        let people = config.output.people(&views, size, config.min_score);
        let people = people.map_err(|source| AnnotateError::Detector { model: self.name.clone(), source })?;
        let people = nms(people, config.max_iou).into_iter();
        let people =
            people.map(|person| PersonBox { corners: placement.to_frame(person.corners), score: person.score });
        // What lies in the padding alone is nobody.
        Ok(people
            .filter(|person| person.corners[0] < person.corners[2] && person.corners[1] < person.corners[3])
            .collect())
    }
}

/// What was seen in a picture.
pub(crate) enum Seen {
    Scenes(Vec<f32>),
    People(PeopleFrame),
}

/// One picture's part of an output.
struct Part<'a> {
    name: &'a str,
    shape: Vec<usize>,
    values: &'a [f32],
}

/// The outputs of picture `number` of `n`, with 1 as the first side. Outputs that do not count pictures stay whole.
fn outputs_of<'a>(arrays: &'a [Array], number: usize, n: usize) -> Vec<Part<'a>> {
    let part = |array: &'a Array| {
        let mut shape = array.shape.clone();
        if n == 1 || shape.first() != Some(&n) {
            return Part { name: &array.name, shape, values: &array.values };
        }
        shape[0] = 1;
        let size = array.values.len() / n;
        Part { name: &array.name, shape, values: &array.values[number * size..(number + 1) * size] }
    };
    arrays.iter().map(part).collect()
}

fn missing(path: &Path, problem: &str) -> AnnotateError {
    AnnotateError::Config { path: path.to_path_buf(), problem: problem.into() }
}
