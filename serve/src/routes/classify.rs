//! `POST /v1/classify`: a video in, the actions in it out.

use std::ops::ControlFlow;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use serde::{Serialize, Serializer};
use unscene_draw::{Canvas, heat_over};
use unscene_engine::{
    Classification, ClassifyOptions, Explanation, Graphs, Model, Prediction, Progress, SoFar, Timing, VideoSummary,
};
use unscene_media::Frames;
use unscene_models::manifest::Task;
use utoipa::ToSchema;

use super::accept::{JSON, PNG, negotiate};
use super::video::{Body, Look, Video, take};
use crate::error::ApiError;
use crate::loaded::Loaded;
use crate::params::{ClassifyParams, Explain};
use crate::state::State;

/// Predictions of clips in one answer at most: about 20 MB with the text that is made of them.
const MAX_PREDICTIONS: usize = 250_000;

/// Takes the video as the body or as the multipart field `video`; parameters from the query or the form.
pub async fn classify(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let kind = negotiate(&request, &[JSON, PNG])?;
    // A picture is there when it is explained; otherwise JSON, where that will do.
    let plain = negotiate(&request, &[JSON]);
    let body = move |mut answer: Answer| {
        let best = answer.explanations.iter_mut().flatten().next();
        match best.filter(|_| kind == PNG) {
            Some(best) => Ok(Body::png(std::mem::take(&mut best.picture))),
            None => plain.map(|_| Body::json(answer)),
        }
    };
    take::<ClassifyParams>(state, request, payload, body).await
}

/// What was found, and where.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainedClassification)]
pub struct Answer {
    #[serde(flatten)]
    classification: Classification,
    /// One for each prediction, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    explanations: Option<Vec<Shown>>,
}

/// An explanation as clients get it.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
pub struct Shown {
    #[serde(flatten)]
    prediction: Prediction,
    /// The clip that speaks for the class most.
    start_s: f64,
    end_s: f64,
    /// The frame in the picture.
    frame_s: f64,
    /// The map over that frame, a PNG in base64.
    #[serde(rename = "png", serialize_with = "as_base64")]
    #[schema(value_type = String, content_encoding = "base64", content_media_type = "image/png")]
    picture: Vec<u8>,
}

fn as_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// About this wide is an explanation's picture, in pixels.
const PICTURE_PX: usize = 224;

impl Shown {
    fn new(found: Explanation) -> Result<Self, ApiError> {
        let Explanation { prediction, start_s, end_s, frame_s, rgb, map, size: (width, height), peak } = found;
        let enlarge = (PICTURE_PX / width).max(1);
        let mut canvas = Canvas::new((width * enlarge) as u32, (height * enlarge) as u32);
        canvas.paste(0, 0, &heat_over(&rgb, &map, peak), width as u32, enlarge as u32);
        let failed = |error| ApiError::Internal(format!("an explanation cannot be drawn: {error}"));
        Ok(Self { prediction, start_s, end_s, frame_s, picture: canvas.png().map_err(failed)? })
    }
}

impl Look for ClassifyParams {
    type Model = Model;
    type Answer = Answer;

    fn model(&self, state: &State) -> Result<Model, ApiError> {
        let model = state.model(self.model.as_deref(), Task::Classify, Loaded::classifier)?;
        if self.explain.is_some() && !model.has_maps() {
            return Err(ApiError::BadParameter(format!(
                "`explain`: the model `{}` cannot say where it looks; export its bundle with --maps",
                model.graphs().name()
            )));
        }
        Ok(model)
    }

    fn graphs(model: &Model) -> &Graphs {
        model.graphs()
    }

    fn stride_frames(&self) -> Option<usize> {
        self.stride_frames
    }

    fn look(self, model: &Model, frames: impl Frames + Send, video: &Video) -> Result<Answer, ApiError> {
        let defaults = ClassifyOptions::default();
        let options = ClassifyOptions {
            top_k: self.top_k.unwrap_or(defaults.top_k),
            stride_frames: self.stride_frames,
            clips: self.clips.unwrap_or(false),
            ..defaults
        };
        let mut control = video.control();
        let most = MAX_PREDICTIONS / options.top_k.clamp(1, model.graphs().manifest().labels.len());
        let mut is_full = false;
        let mut bounded = |progress: Progress| {
            is_full = options.clips && progress.clips > most;
            if is_full { ControlFlow::Break(()) } else { control(progress) }
        };
        let mut tell = |seen: &SoFar<'_>| video.wanted.note(|so_far| so_far.classify = Some(seen()));
        let classification = model.classify_frames(frames, &options, &mut tell, &mut bounded);
        if is_full {
            let advice = "raise `stride_frames`, lower `top_k`, or leave out `clips`";
            return Err(ApiError::LongAnswer { what: "predictions of clips", most: MAX_PREDICTIONS, advice });
        }
        let classification = classification?;
        let Some(Explain::Cam) = self.explain else { return Ok(Answer { classification, explanations: None }) };
        let found = model.explain(video.decoder()?, &classification, &mut control)?;
        let explanations = found.into_iter().map(Shown::new).collect::<Result<_, _>>()?;
        Ok(Answer { classification, explanations: Some(explanations) })
    }

    fn counts(answer: &Answer) -> (&str, &VideoSummary, &Timing) {
        let Classification { model, video, timing, .. } = &answer.classification;
        (model, video, timing)
    }
}
