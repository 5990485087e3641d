//! The parameters of a request, from the query string and from form fields alike.

mod job;
mod predict;
mod stream;

use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;

pub use job::JobParams;
pub use predict::PredictParams;
pub use stream::StreamParams;

/// Largest `top_k` accepted; the engine further bounds it by the number of labels.
const MAX_TOP_K: usize = 1000;
/// Largest `stride_frames` accepted. A stride beyond the longest video gives one clip, and this is beyond it.
const MAX_STRIDE: usize = 1_000_000;
/// Largest `max_segments` accepted, so that an answer stays one that can be sent.
const MAX_SEGMENTS: usize = 10_000;
/// Largest `every` accepted: beyond the longest video, as [`MAX_STRIDE`].
const MAX_EVERY: usize = 1_000_000;

/// What a client may ask for besides the video; each task has its own.
pub trait Params: Default {
    /// The names that [`set`](Self::set) knows.
    const NAMES: &'static [&'static str];

    /// Sets one parameter by name.
    ///
    /// # Errors
    ///
    /// [`ApiError::BadParameter`] when it is unknown, given twice or out of range.
    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError>;

    /// Parses a query string. An unknown or repeated parameter is an error: a mistyped name must not pass unnoticed.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    fn from_query(query: &str) -> Result<Self, ApiError> {
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| ApiError::BadParameter(format!("the query string cannot be read: {error}")))?;
        let mut params = Self::default();
        for (name, value) in pairs.into_inner() {
            params.set(&name, &value)?;
        }
        Ok(params)
    }
}

/// What a client of `/v1/classify` may ask for.
#[derive(Debug, Default, PartialEq, IntoParams)]
pub struct ClassifyParams {
    /// Name of the model; the default classifier when absent.
    #[param(value_type = String, required = false)]
    pub model: Option<String>,
    /// Number of predictions in the answer; 5 when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000)]
    pub top_k: Option<usize>,
    /// Sampled frames from the start of one clip to the start of the next; as the model says when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000000)]
    pub stride_frames: Option<usize>,
    /// Whether the answer holds each clip's own predictions.
    #[param(value_type = bool, required = false)]
    pub clips: Option<bool>,
    /// Whether the answer shows where the evidence lies; of a model whose `explain` says that it can.
    #[param(value_type = Explain, inline, required = false)]
    pub explain: Option<Explain>,
}

/// How an answer is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Explain {
    /// With class activation maps.
    Cam,
}

impl Params for ClassifyParams {
    const NAMES: &'static [&'static str] = &["model", "top_k", "stride_frames", "clips", "explain"];

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "model" => once(name, &mut self.model, value.to_owned()),
            "top_k" => once(name, &mut self.top_k, count(name, value, MAX_TOP_K)?),
            "stride_frames" => once(name, &mut self.stride_frames, count(name, value, MAX_STRIDE)?),
            "clips" => once(name, &mut self.clips, flag(name, value)?),
            "explain" if value.trim() == "cam" => once(name, &mut self.explain, Explain::Cam),
            "explain" => {
                Err(ApiError::BadParameter(format!("`explain` is `{}`; give cam", crate::error::shorten(value))))
            }
            _ => Err(unknown(name, Self::NAMES)),
        }
    }
}

/// What a client of `/v1/localize` may ask for.
#[derive(Debug, Default, PartialEq, IntoParams)]
pub struct LocalizeParams {
    /// Name of the model; the default localizer when absent.
    #[param(value_type = String, required = false)]
    pub model: Option<String>,
    /// Lowest score of a segment in the answer; as the model says when absent.
    #[param(value_type = f32, required = false, minimum = 0.0, maximum = 1.0)]
    pub threshold: Option<f32>,
    /// Most segments in the answer; 100 when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 10000)]
    pub max_segments: Option<usize>,
    /// Overlap above which a segment is left out for a better one of its class; as the model says when absent.
    #[param(value_type = f64, required = false, minimum = 0.0, maximum = 1.0)]
    pub tiou_nms: Option<f64>,
    /// Sampled frames from the start of one window to the start of the next; as the model says when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000000)]
    pub stride_frames: Option<usize>,
}

impl Params for LocalizeParams {
    const NAMES: &'static [&'static str] = &["model", "threshold", "max_segments", "tiou_nms", "stride_frames"];

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "model" => once(name, &mut self.model, value.to_owned()),
            "threshold" => once(name, &mut self.threshold, share(name, value)? as f32),
            "max_segments" => once(name, &mut self.max_segments, count(name, value, MAX_SEGMENTS)?),
            "tiou_nms" => once(name, &mut self.tiou_nms, share(name, value)?),
            "stride_frames" => once(name, &mut self.stride_frames, count(name, value, MAX_STRIDE)?),
            _ => Err(unknown(name, Self::NAMES)),
        }
    }
}

/// What a client of `/v1/detect` may ask for.
#[derive(Debug, Default, PartialEq, IntoParams)]
pub struct DetectParams {
    /// Name of the model; the default detector when absent.
    #[param(value_type = String, required = false)]
    pub model: Option<String>,
    /// Lowest score of a box in the answer; 0.25 when absent.
    #[param(value_type = f32, required = false, minimum = 0.0, maximum = 1.0)]
    pub threshold: Option<f32>,
    /// Of so many frames one is looked at; each when absent.
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000000)]
    pub every: Option<usize>,
    /// Whether the answer holds tubes, an actor's boxes from frame to frame.
    #[param(value_type = bool, required = false)]
    pub tubes: Option<bool>,
}

impl Params for DetectParams {
    const NAMES: &'static [&'static str] = &["model", "threshold", "every", "tubes"];

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "model" => once(name, &mut self.model, value.to_owned()),
            "threshold" => once(name, &mut self.threshold, share(name, value)? as f32),
            "every" => once(name, &mut self.every, count(name, value, MAX_EVERY)?),
            "tubes" => once(name, &mut self.tubes, flag(name, value)?),
            _ => Err(unknown(name, Self::NAMES)),
        }
    }
}

fn unknown(name: &str, known: &[&str]) -> ApiError {
    let (name, known) = (crate::error::shorten(name), known.join(", "));
    ApiError::BadParameter(format!("unknown parameter `{name}`; known are {known}"))
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), ApiError> {
    if place.replace(value).is_some() {
        return Err(ApiError::BadParameter(format!("`{name}` is given more than once; give it once")));
    }
    Ok(())
}

fn count(name: &str, value: &str, max: usize) -> Result<usize, ApiError> {
    match value.trim().parse::<usize>() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(ApiError::BadParameter(format!(
            "`{name}` is `{}`; give a whole number from 1 to {max}",
            crate::error::shorten(value)
        ))),
    }
}

fn share(name: &str, value: &str) -> Result<f64, ApiError> {
    match value.trim().parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(ApiError::BadParameter(format!(
            "`{name}` is `{}`; give a number from 0 to 1",
            crate::error::shorten(value)
        ))),
    }
}

fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ApiError::BadParameter(format!("`{name}` is `{}`; give true or false", crate::error::shorten(value)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_sets_every_parameter() {
        let params = ClassifyParams::from_query("model=r3d&top_k=3&stride_frames=8&clips=true&explain=cam").unwrap();
        let expected = ClassifyParams {
            model: Some("r3d".into()),
            top_k: Some(3),
            stride_frames: Some(8),
            clips: Some(true),
            explain: Some(Explain::Cam),
        };
        assert_eq!(params, expected);
    }

    #[test]
    fn a_query_sets_every_parameter_of_localization() {
        let query = "model=r&threshold=0.25&max_segments=7&tiou_nms=1&stride_frames=192";
        let expected = LocalizeParams {
            model: Some("r".into()),
            threshold: Some(0.25),
            max_segments: Some(7),
            tiou_nms: Some(1.0),
            stride_frames: Some(192),
        };
        assert_eq!(LocalizeParams::from_query(query).unwrap(), expected);
        for (query, word) in [
            ("threshold=1.5", "`threshold` is `1.5`; give a number from 0 to 1"),
            ("threshold=nan", "threshold"),
            ("tiou_nms=-1", "tiou_nms"),
            ("max_segments=0", "max_segments"),
            ("top_k=3", "known are model, threshold"),
        ] {
            let error = LocalizeParams::from_query(query).unwrap_err().to_string();
            assert!(error.contains(word), "{query}: {error}");
        }
    }

    #[test]
    fn a_query_sets_every_parameter_of_detection() {
        let expected =
            DetectParams { model: Some("d".into()), threshold: Some(0.5), every: Some(4), tubes: Some(true) };
        assert_eq!(DetectParams::from_query("model=d&threshold=0.5&every=4&tubes=1").unwrap(), expected);
        for (query, word) in [
            ("threshold=-0.1", "`threshold` is `-0.1`; give a number from 0 to 1"),
            ("every=0", "`every` is `0`; give a whole number from 1"),
            ("tubes=all", "`tubes` is `all`; give true or false"),
            ("tubes=1&tubes=1", "more than once"),
            ("stride_frames=3", "known are model, threshold, every, tubes"),
        ] {
            let error = DetectParams::from_query(query).unwrap_err().to_string();
            assert!(error.contains(word), "{query}: {error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (query, word) in [
            ("topk=3", "topk"),
            ("top_k=0", "top_k"),
            ("top_k=-1", "-1"),
            ("top_k=99999999999999999999", "top_k"),
            ("stride_frames=x", "stride_frames"),
            ("clips=maybe", "maybe"),
            ("explain=lime", "give cam"),
            ("top_k=1&top_k=2", "more than once"),
        ] {
            let error = ClassifyParams::from_query(query).unwrap_err().to_string();
            assert!(error.contains(word), "{query}: {error}");
        }
    }
}
