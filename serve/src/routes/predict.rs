//! `POST /v1/predict`: a video in, what models of several tasks say of it out. It is decoded once for all.

use std::panic::resume_unwind;
use std::thread::{self, Scope, ScopedJoinHandle};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tracing::Span;
use unscene_engine::{Detection, Detector, Localization, Localizer, Model};
use unscene_media::{IsolatedDecoder, SharedDecoder, VideoInfo};
use unscene_models::manifest::Task;
use utoipa::ToSchema;

use super::accept::{JSON, negotiate};
use super::classify;
use super::video::{Body, Look, Video, Work, take};
use crate::error::{ApiError, Problem};
use crate::params::PredictParams;
use crate::state::State;

/// Takes the video as the body or as the multipart field `video`; parameters from the query or the form.
pub async fn predict(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    negotiate(&request, &[JSON])?;
    take::<PredictParams>(state, request, payload, |answer| Ok(Body::json(answer))).await
}

/// The models of the tasks that are asked for.
pub struct Models {
    classify: Option<Model>,
    localize: Option<Localizer>,
    detect: Option<Detector>,
}

/// What came of each task that is asked for.
#[derive(Serialize, ToSchema)]
pub struct Answers {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    classify: Option<Entry<classify::Answer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    localize: Option<Entry<Localization>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detect: Option<Entry<Detection>>,
}

/// The answer of a task, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Entry<A> {
    /// As the task's own route answers.
    Answer(A),
    /// What is wrong.
    Failed {
        /// As the task's own route says it.
        error: Problem,
    },
}

impl<A> From<Result<A, ApiError>> for Entry<A> {
    fn from(result: Result<A, ApiError>) -> Self {
        match result {
            Ok(answer) => Self::Answer(answer),
            Err(error) => Self::Failed { error: error.problem() },
        }
    }
}

/// What came of a task that is asked for.
type Came<A> = Option<Result<A, ApiError>>;

/// All of it, or the first error when nothing came of any task.
fn gather(
    classify: Came<classify::Answer>,
    localize: Came<Localization>,
    detect: Came<Detection>,
) -> Result<Answers, ApiError> {
    let any = matches!(classify, Some(Ok(_))) || matches!(localize, Some(Ok(_))) || matches!(detect, Some(Ok(_)));
    if !any {
        let first = classify.and_then(Result::err);
        let first = first.or(localize.and_then(Result::err)).or(detect.and_then(Result::err));
        return Err(first.unwrap_or_else(|| ApiError::Internal("no task was asked for".to_owned())));
    }
    Ok(Answers {
        classify: classify.map(Entry::from),
        localize: localize.map(Entry::from),
        detect: detect.map(Entry::from),
    })
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
            let (classify, localize, detect) = (classify.map(end), localize.map(end), detect.map(end));
            // What is wrong with the video is not the fault of a task, and neither is that nobody waits.
            decoded?;
            if video.wanted.still() { gather(classify, localize, detect) } else { Err(ApiError::Cancelled) }
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
    let span = Span::current();
    let look = move || params.look_and_count(model, frames, video).map_err(|error| video.wanted.told(error));
    Ok(Some(scope.spawn(move || span.in_scope(look))))
}

/// What came of a task. Its panic is that of the request.
fn end<A>(thread: Thread<'_, A>) -> Result<A, ApiError> {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
