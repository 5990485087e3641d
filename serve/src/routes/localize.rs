//! `POST /v1/localize`: a long video in, the segments of it that show an action out.

use actix_web::{HttpRequest, HttpResponse, web};
use unscene_engine::{Graphs, Localization, LocalizeOptions, Localizer, SegmentNms, Timing, VideoSummary};
use unscene_media::Frames;
use unscene_models::manifest::Task;

use super::accept::{JSON, negotiate};
use super::video::{Body, Look, Video, take};
use crate::error::ApiError;
use crate::loaded::Loaded;
use crate::params::LocalizeParams;
use crate::state::State;

/// Segments in an answer unless more are asked for: as many as ActivityNet's protocol lets a video have.
const SEGMENTS: usize = 100;

/// Takes the video as the body or as the multipart field `video`; parameters from the query or the form.
pub async fn localize(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    negotiate(&request, &[JSON])?;
    take::<LocalizeParams>(state, request, payload, |answer| Ok(Body::json(answer))).await
}

impl Look for LocalizeParams {
    type Model = Localizer;
    type Answer = Localization;

    fn model(&self, state: &State) -> Result<Localizer, ApiError> {
        state.model(self.model.as_deref(), Task::Localize, Loaded::localizer)
    }

    fn graphs(localizer: &Localizer) -> &Graphs {
        localizer.graphs()
    }

    fn stride_frames(&self) -> Option<usize> {
        self.stride_frames
    }

    fn look(self, localizer: &Localizer, frames: impl Frames + Send, video: &Video) -> Result<Localization, ApiError> {
        let options = LocalizeOptions {
            stride_frames: self.stride_frames,
            threshold: self.threshold,
            nms: self.tiou_nms.map_or(SegmentNms::Rule, SegmentNms::Above),
            max_segments: Some(self.max_segments.unwrap_or(SEGMENTS)),
            ..LocalizeOptions::default()
        };
        Ok(localizer.localize_frames(frames, &options, &mut video.control())?)
    }

    fn counts(answer: &Localization) -> (&str, &VideoSummary, &Timing) {
        (&answer.model, &answer.video, &answer.timing)
    }
}
