//! The parameters of a job.

use super::{Params, PredictParams, once, unknown};
use crate::error::ApiError;

/// What a client of `/v1/jobs` may ask for: what one of `/v1/predict` may, and in the query where the video is.
#[derive(Debug, Default)]
pub struct JobParams {
    /// What is asked of the models.
    pub predict: PredictParams,
    /// Where the video is to be fetched from, when it does not come with the request.
    pub url: Option<String>,
    /// What `predict` was read from.
    pairs: Vec<(String, String)>,
}

impl JobParams {
    /// What [`PredictParams`] are read from again.
    pub fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }
}

impl Params for JobParams {
    /// Those that a form may have: one brings its video.
    const NAMES: &'static [&'static str] = PredictParams::NAMES;

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        if name == "url" {
            return once(name, &mut self.url, value.to_owned());
        }
        if !Self::NAMES.contains(&name) {
            return Err(unknown(name, &[&["url"], Self::NAMES].concat()));
        }
        self.predict.set(name, value)?;
        self.pairs.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_job_is_what_its_models_are_asked() {
        let asked = JobParams::from_query("tasks=classify&url=https://a.org/b?c%26d&classify.model=a%26b").unwrap();
        assert_eq!(asked.url.as_deref(), Some("https://a.org/b?c&d"));
        assert_eq!(asked.query(), "tasks=classify&classify.model=a%26b");
        assert_eq!(PredictParams::from_query(&asked.query()).unwrap(), asked.predict);
        assert!(JobParams::from_query("url=a&url=b").is_err());
    }
}
