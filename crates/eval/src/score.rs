//! A model over all clips of some videos.

use std::ops::ControlFlow;

use unscene_data::{Failure, Loader};
use unscene_vision::softmax;

use crate::error::{EvalError, Result};

/// What a model computes from a batch.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// n x classes.
    pub logits: Vec<f32>,
    /// n x features; empty where the model gives none.
    pub features: Vec<f32>,
    /// n x channels x frames x height x width, of the last activations; empty where the model gives none.
    pub maps: Vec<f32>,
}

impl Outputs {
    /// Takes an output by its name in the model; others are left out.
    pub fn set(&mut self, name: &str, values: Vec<f32>) {
        match name {
            "logits" => self.logits = values,
            "features" => self.features = values,
            "maps" => self.maps = values,
            _ => {}
        }
    }
}

/// The model: from n clips, n x 3 x frames x height x width, to what it computes.
pub type Forward<'a> =
    dyn FnMut(&[f32], usize) -> std::result::Result<Outputs, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// What a model says of one video.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoScores {
    /// Index of its item.
    pub item: usize,
    /// Clips that it was seen in.
    pub clips: usize,
    /// Probability of each class, mean over the clips.
    pub probabilities: Vec<f64>,
    /// Entropy of the class distribution in nats, mean over the clips.
    pub entropy: f64,
    /// Mean over the clips; empty where the model gives none.
    pub features: Vec<f64>,
}

/// All videos of a part.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// In the order of the items; those that could not be read are left out.
    pub videos: Vec<VideoScores>,
    /// Those that could not be read.
    pub failures: Vec<Failure>,
}

/// Runs a model over the test clips of a loader's items, `batch` clips at once. `watch` is called with the number of videos that
/// are done; `Break` ends with [`EvalError::Interrupted`].
///
/// Sums are taken clip by clip in the order of the video, so that neither the batch nor the number of workers changes them
/// beyond what the model itself does.
///
/// # Errors
/// When more than `max_failed` of the videos cannot be read, or the model fails.
pub fn score(
    loader: &Loader,
    classes: usize,
    batch: usize,
    max_failed: f64,
    forward: &mut Forward<'_>,
    watch: &dyn Fn(usize) -> ControlFlow<()>,
) -> Result<Scored> {
    let items = loader.items();
    let mut sums: Vec<Option<VideoScores>> = vec![None; items.len()];
    let mut failures: Vec<Failure> = Vec::new();
    let (mut input, mut waiting) = (Vec::new(), Vec::new());
    let mut seen = 0;
    let mut run = |input: &mut Vec<f32>, waiting: &mut Vec<usize>| -> Result<()> {
        if waiting.is_empty() {
            return Ok(());
        }
        let outputs = forward(input, waiting.len()).map_err(EvalError::Model)?;
        add(&mut sums, waiting, classes, &outputs)?;
        input.clear();
        waiting.clear();
        Ok(())
    };
    for clip in loader.test() {
        match clip {
            Ok(clip) => {
                input.extend_from_slice(&clip.input);
                waiting.push(clip.item);
                if clip.number == 0 {
                    seen += 1;
                }
                if waiting.len() == batch.max(1) {
                    run(&mut input, &mut waiting)?;
                }
            }
            Err((item, error)) => {
                failures.push(Failure { id: items[item].id.clone(), reason: error.to_string() });
                if failures.len() as f64 > max_failed * items.len() as f64 {
                    let Failure { id, reason } = &failures[0];
                    return Err(EvalError::TooManyFailures {
                        failed: failures.len(),
                        of: items.len(),
                        allowed: max_failed,
                        first: format!("{id}: {reason}"),
                    });
                }
            }
        }
        if watch(seen).is_break() {
            return Err(EvalError::Interrupted { done: seen, of: items.len() });
        }
    }
    run(&mut input, &mut waiting)?;
    failures.sort_by(|a, b| a.id.cmp(&b.id));
    // A video that failed after some clips is not half scored.
    let failed = |item: usize| failures.iter().any(|failure| failure.id == items[item].id);
    let mut videos: Vec<VideoScores> = sums.into_iter().flatten().filter(|video| !failed(video.item)).collect();
    for video in &mut videos {
        let clips = video.clips as f64;
        let mean = |values: &mut Vec<f64>| values.iter_mut().for_each(|value| *value /= clips);
        mean(&mut video.probabilities);
        mean(&mut video.features);
        video.entropy /= clips;
    }
    Ok(Scored { videos, failures })
}

/// Adds a batch to the sums of its videos.
fn add(sums: &mut [Option<VideoScores>], items: &[usize], classes: usize, outputs: &Outputs) -> Result<()> {
    let n = items.len();
    let features = outputs.features.len() / n;
    if outputs.logits.len() != n * classes || outputs.features.len() != n * features {
        return Err(EvalError::Outputs(format!(
            "{n} clips gave {} logits and {} features, expected {} and a multiple of {n}",
            outputs.logits.len(),
            outputs.features.len(),
            n * classes
        )));
    }
    for (position, &item) in items.iter().enumerate() {
        let mut probabilities = outputs.logits[position * classes..][..classes].to_vec();
        softmax(&mut probabilities);
        // Nothing is larger than what is not a number: counted, it would be right.
        if let Some(class) = probabilities.iter().position(|p| !p.is_finite()) {
            let found = outputs.logits[position * classes + class];
            return Err(EvalError::Outputs(format!("the logit of class {class} is {found}, expected a finite number")));
        }
        let sum = sums[item].get_or_insert_with(|| VideoScores {
            item,
            clips: 0,
            probabilities: vec![0.0; classes],
            entropy: 0.0,
            features: vec![0.0; features],
        });
        sum.clips += 1;
        for (sum, probability) in sum.probabilities.iter_mut().zip(&probabilities) {
            *sum += f64::from(*probability);
        }
        let terms = probabilities.iter().map(|p| f64::from(*p)).filter(|p| *p > 0.0).map(|p| -p * p.ln());
        sum.entropy += terms.sum::<f64>();
        for (sum, feature) in sum.features.iter_mut().zip(&outputs.features[position * features..][..features]) {
            *sum += f64::from(*feature);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_of_a_video_are_added_and_what_is_no_number_is_refused() {
        let outputs =
            |logits: &[f32]| Outputs { logits: logits.to_vec(), features: vec![1.0, 2.0], ..Outputs::default() };
        let mut sums = vec![None; 2];
        add(&mut sums, &[1, 1], 2, &outputs(&[0.0, 0.0, 0.0, 3f32.ln()])).unwrap();
        let video = sums[1].as_ref().unwrap();
        assert_eq!((video.clips, &video.features), (2, &vec![3.0]));
        assert!((video.probabilities[1] - 1.25).abs() < 1e-6 && sums[0].is_none());

        let error = add(&mut sums, &[0, 0], 2, &outputs(&[0.0, 0.0, f32::NAN, 0.0])).unwrap_err();
        assert!(error.to_string().contains("logit of class 0 is NaN"), "{error}");
        let error = add(&mut sums, &[0, 0], 3, &outputs(&[0.0; 4])).unwrap_err();
        assert!(error.to_string().contains("2 clips gave 4 logits"), "{error}");
    }
}
