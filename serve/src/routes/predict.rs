//! `POST /v1/predict`: a video in, what models of several tasks say of it out. It is decoded once for all.

use std::panic::resume_unwind;
use std::thread::{self, Scope, ScopedJoinHandle};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Serialize, Serializer};
use serde_json::json;
use unscene_engine::{Detection, Detector, Localization, Localizer, Model};
use unscene_media::{IsolatedDecoder, SharedDecoder, VideoInfo};
use unscene_models::manifest::Task;

use super::classify;
use super::video::{Body, Look, Video, Work, take};
use crate::error::ApiError;
use crate::params::PredictParams;
use crate::state::State;

/// Takes the video as the body or as the multipart field `video`; parameters from the query or the form.
pub async fn predict(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    take::<PredictParams>(state, request, payload, Body::json).await
}

/// The models of the tasks that are asked for.
pub struct Models {
    classify: Option<Model>,
    localize: Option<Localizer>,
    detect: Option<Detector>,
}

/// What came of each task that is asked for.
#[derive(Serialize)]
pub struct Answers {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "entry")]
    classify: Option<Result<classify::Answer, ApiError>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "entry")]
    localize: Option<Result<Localization, ApiError>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "entry")]
    detect: Option<Result<Detection, ApiError>>,
}

/// The answer of a task, or `{"error": ...}`.
fn entry<A: Serialize, S: Serializer>(entry: &Option<Result<A, ApiError>>, serializer: S) -> Result<S::Ok, S::Error> {
    match entry {
        Some(Err(error)) => json!({ "error": error.problem() }).serialize(serializer),
        Some(Ok(answer)) => answer.serialize(serializer),
        None => serializer.serialize_none(),
    }
}

impl Answers {
    /// An error when nothing came of any task: its first one.
    fn check(self) -> Result<Self, ApiError> {
        let Self { classify, localize, detect } = &self;
        let any = [is_some_ok(classify), is_some_ok(localize), is_some_ok(detect)].contains(&true);
        if any {
            return Ok(self);
        }
        let classify = self.classify.and_then(Result::err);
        let error = classify.or(self.localize.and_then(Result::err)).or(self.detect.and_then(Result::err));
        Err(error.unwrap_or_else(|| ApiError::Internal("no task was asked for".to_owned())))
    }
}

fn is_some_ok<A>(entry: &Option<Result<A, ApiError>>) -> bool {
    matches!(entry, Some(Ok(_)))
}

impl Work for PredictParams {
    type Models = Models;
    type Answer = Answers;

    fn find(&self, state: &State) -> Result<Models, ApiError> {
        Ok(Models {
            classify: self.asked(Task::Classify, self.classify.as_ref(), state)?,
            localize: self.asked(Task::Localize, self.localize.as_ref(), state)?,
            detect: self.asked(Task::Detect, self.detect.as_ref(), state)?,
        })
    }

    fn clips(&self, models: &Models, info: &VideoInfo) -> usize {
        clips(self.classify.as_ref(), models.classify.as_ref(), info)
            + clips(self.localize.as_ref(), models.localize.as_ref(), info)
            + clips(self.detect.as_ref(), models.detect.as_ref(), info)
    }

    fn run(self, models: &Models, video: &Video) -> Result<Answers, ApiError> {
        let mut shared = SharedDecoder::new(video.decoder()?);
        // Moves the decoder: were it alive after an early return, those who read from it would be waited for in vain.
        thread::scope(move |scope| {
            let classify = begin(scope, self.classify, models.classify.as_ref(), &mut shared, video)?;
            let localize = begin(scope, self.localize, models.localize.as_ref(), &mut shared, video)?;
            let detect = begin(scope, self.detect, models.detect.as_ref(), &mut shared, video)?;
            let decoded = shared.run();
            let answers = Answers { classify: classify.map(end), localize: localize.map(end), detect: detect.map(end) };
            // What is wrong with the video is not the fault of a task, and neither is that nobody waits.
            decoded?;
            if video.wanted.still() { answers.check() } else { Err(ApiError::Cancelled) }
        })
    }
}

impl PredictParams {
    /// The model of a task that is asked for: by name, or because there is one, or because something is said about it.
    fn asked<L: Look>(&self, task: Task, params: Option<&L>, state: &State) -> Result<Option<L::Model>, ApiError> {
        match &self.tasks {
            Some(tasks) if !tasks.contains(&task) && params.is_some() => Err(ApiError::BadParameter(format!(
                "a parameter of {task} is given and `tasks` does not ask for it; add it there or leave out the parameter"
            ))),
            Some(tasks) if !tasks.contains(&task) => Ok(None),
            None if params.is_none() && !state.has(task) => Ok(None),
            _ => params.unwrap_or(&L::default()).model(state).map(Some),
        }
    }
}

/// The clips of a task that is asked for.
fn clips<L: Look>(params: Option<&L>, model: Option<&L::Model>, info: &VideoInfo) -> usize {
    model.map_or(0, |model| params.unwrap_or(&L::default()).clips(model, info))
}

/// A task at work.
type Thread<'scope, A> = ScopedJoinHandle<'scope, Result<A, ApiError>>;

/// Begins a task on a thread of its own, if it is asked for.
fn begin<'scope, L: Look>(
    scope: &'scope Scope<'scope, '_>,
    params: Option<L>,
    model: Option<&'scope L::Model>,
    shared: &mut SharedDecoder<IsolatedDecoder>,
    video: &'scope Video,
) -> Result<Option<Thread<'scope, L::Answer>>, ApiError> {
    let Some(model) = model else { return Ok(None) };
    let (params, frames) = (params.unwrap_or_default(), shared.reader()?);
    let look = move || params.look_and_count(model, frames, video).map_err(|error| video.told(error));
    Ok(Some(scope.spawn(look)))
}

/// What came of a task. Its panic is that of the request.
fn end<A>(thread: Thread<'_, A>) -> Result<A, ApiError> {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
