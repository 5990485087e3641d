//! The parameters of a video that comes while it is filmed.

use unscene_models::manifest::Task;
use utoipa::{IntoParams, ToSchema};

use super::{MAX_EVERY, MAX_STRIDE, MAX_TOP_K, Params, count, once, share, unknown};
use crate::error::{ApiError, shorten};

/// What a client of `/v1/stream` may ask for.
#[derive(Debug, Default, PartialEq, IntoParams)]
pub struct StreamParams {
    /// What to do; `classify` when absent and there is a model for it. Segments are only known at the end: POST /v1/localize finds them.
    #[param(value_type = StreamTask, inline, required = false)]
    pub task: Option<Task>,
    /// Name of the model; the default of the task when absent.
    #[param(value_type = String, required = false)]
    pub model: Option<String>,
    /// With `classify`: number of predictions of a clip; 5 when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000)]
    pub top_k: Option<usize>,
    /// With `classify`: sampled frames from the start of one clip to the start of the next; as the model says when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000000)]
    pub stride_frames: Option<usize>,
    /// With `detect`: of so many frames one is looked at; each when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000000)]
    pub every: Option<usize>,
    /// With `detect`: lowest score of a box; 0.25 when absent.
    #[param(value_type = f32, required = false, minimum = 0.0, maximum = 1.0)]
    pub threshold: Option<f32>,
}

/// What can be done while a video comes.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it only describes")]
enum StreamTask {
    Classify,
    Detect,
}

impl StreamParams {
    /// An error for a parameter that is not for the task.
    ///
    /// # Errors
    ///
    /// [`ApiError::BadParameter`].
    pub fn check(&self, task: Task) -> Result<(), ApiError> {
        let is_detect = task == Task::Detect;
        let misplaced = [
            ("top_k", is_detect && self.top_k.is_some()),
            ("stride_frames", is_detect && self.stride_frames.is_some()),
            ("every", !is_detect && self.every.is_some()),
            ("threshold", !is_detect && self.threshold.is_some()),
        ];
        match misplaced.into_iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(ApiError::BadParameter(format!("`{name}` is not for {task}; leave it out"))),
            None => Ok(()),
        }
    }
}

impl Params for StreamParams {
    const NAMES: &'static [&'static str] = &["task", "model", "top_k", "stride_frames", "every", "threshold"];

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "task" => match value.trim() {
                "classify" => once(name, &mut self.task, Task::Classify),
                "detect" => once(name, &mut self.task, Task::Detect),
                other => {
                    Err(ApiError::BadParameter(format!("`task` is `{}`; give classify or detect", shorten(other))))
                }
            },
            "model" => once(name, &mut self.model, value.to_owned()),
            "top_k" => once(name, &mut self.top_k, count(name, value, MAX_TOP_K)?),
            "stride_frames" => once(name, &mut self.stride_frames, count(name, value, MAX_STRIDE)?),
            "every" => once(name, &mut self.every, count(name, value, MAX_EVERY)?),
            "threshold" => once(name, &mut self.threshold, share(name, value)? as f32),
            _ => Err(unknown(name, Self::NAMES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_sets_what_belongs_to_its_task() {
        let detect = StreamParams::from_query("task=detect&model=d&every=3&threshold=0.5").unwrap();
        let expected = StreamParams {
            task: Some(Task::Detect),
            model: Some("d".into()),
            every: Some(3),
            threshold: Some(0.5),
            ..Default::default()
        };
        assert_eq!(detect, expected);
        detect.check(Task::Detect).unwrap();
        assert!(detect.check(Task::Classify).unwrap_err().to_string().contains("`every` is not for classify"));
        let classify = StreamParams::from_query("top_k=3&stride_frames=8").unwrap();
        assert!(classify.check(Task::Detect).unwrap_err().to_string().contains("`top_k` is not for detect"));
        assert!(StreamParams::from_query("task=localize").unwrap_err().to_string().contains("give classify or detect"));
    }
}
