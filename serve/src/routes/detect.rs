//! `POST /v1/detect`: a video in, the actors in its frames out; as one answer, or line by line while it is looked at.

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use actix_web::http::header::CONTENT_ENCODING;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::mpsc::{self, Sender, error::TrySendError};
use unscene_engine::{DetectOptions, DetectSummary, Detection, Detector, Graphs, Seen, Timing, VideoSummary};
use unscene_media::Frames;
use unscene_models::manifest::Task;
use utoipa::ToSchema;

use super::accept::{JSON, LINES_JSON, negotiate};
use super::video::{Body, Look, Video, start, take};
use super::waiting::{Waiting, Wanted};
use crate::error::{ApiError, Problem};
use crate::loaded::Loaded;
use crate::params::DetectParams;
use crate::state::State;

/// Boxes in one answer at most, those of tubes among them: about 50 MB with the text that is made of them.
pub const MAX_BOXES: usize = 250_000;
/// Lines that wait for a client at most, before the work waits too.
const MAX_LINES: usize = 16;
/// How often work that waits for the client looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(5);

/// Takes the video as the body or as the multipart field `video`; parameters from the query or the form.
pub async fn detect(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    if negotiate(&request, &[JSON, LINES_JSON])? == LINES_JSON {
        return in_lines(state, request, payload).await;
    }
    take::<DetectParams>(state, request, payload, |answer| Ok(Body::json(answer))).await
}

/// A line of an answer.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Line {
    /// What was seen.
    Seen(Seen),
    /// The last one.
    End(End),
}

/// How an answer in lines ends.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All has been told.
    Summary(DetectSummary),
    /// Something went wrong after the first line.
    Error(Problem),
}

impl Line {
    fn bytes(&self) -> Bytes {
        let mut text = serde_json::to_vec(self).expect("names and numbers can be written as JSON");
        text.push(b'\n');
        text.into()
    }
}

/// Answers with a line for everything seen, as soon as it is. The head waits for the first line, so that what goes wrong
/// before has its own status.
async fn in_lines(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (sender, mut lines) = mpsc::channel(MAX_LINES);
    let mut waiting = Waiting::new(&state, &request)?;
    let run = move |params: DetectParams, detector: &Detector, video: &Video| params.tell(detector, video, &sender);
    let work = start(state, request, payload, waiting.wanted.clone(), run);
    let begun = waiting.wait(async {
        let work = work.await?;
        match lines.recv().await {
            Some(first) => Ok((first, work)),
            None => {
                let nothing = || ApiError::Internal("a detection ended well without a frame".to_owned());
                Err(work.await.err().unwrap_or_else(nothing))
            }
        }
    });
    let (first, work) = match begun.await {
        Ok(begun) => begun,
        error => waiting.settle(error)?,
    };
    let rest = stream::poll_fn(move |cx| lines.poll_recv(cx));
    let last = stream::once(async move {
        match waiting.settle(work.await) {
            Ok(summary) => Line::End(End::Summary(summary)).bytes(),
            Err(error) => Line::End(End::Error(error.problem())).bytes(),
        }
    });
    let body = stream::iter([first]).chain(rest).chain(last).map(Ok::<_, Infallible>);
    // Compressed, lines would wait for each other.
    let encoding = (CONTENT_ENCODING, "identity");
    Ok(HttpResponse::Ok().content_type(LINES_JSON).insert_header(encoding).streaming(body))
}

impl DetectParams {
    fn options(&self) -> DetectOptions {
        let defaults = DetectOptions::default();
        DetectOptions {
            every: self.every.unwrap_or(defaults.every),
            threshold: self.threshold.unwrap_or(defaults.threshold),
            tubes: self.tubes.unwrap_or(defaults.tubes),
            ..defaults
        }
    }

    /// Tells of everything as soon as it is seen.
    fn tell(self, detector: &Detector, video: &Video, lines: &Sender<Bytes>) -> Result<DetectSummary, ApiError> {
        let mut all_sent = true;
        let mut tell = |seen| all_sent &= send(Line::Seen(seen).bytes(), lines, &video.wanted);
        let frames = video.decoder()?;
        let summary = detector.detect_frames(frames, &self.options(), &mut tell, &mut video.control())?;
        // The last tubes are told after the last frame, when nothing asks any more whether somebody waits.
        if !all_sent {
            return Err(ApiError::Cancelled);
        }
        video.metrics.count(&summary.model, &summary.video, &summary.timing);
        Ok(summary)
    }
}

/// Sends a line; while too many wait for the client, waits too, as long as anybody wants them. Whether it was sent.
fn send(mut line: Bytes, lines: &Sender<Bytes>, wanted: &Wanted) -> bool {
    loop {
        match lines.try_send(line) {
            Ok(()) => return true,
            Err(TrySendError::Full(back)) if wanted.still() => line = back,
            Err(_) => return false,
        }
        thread::sleep(POLL);
    }
}

impl Look for DetectParams {
    type Model = Detector;
    type Answer = Detection;

    fn model(&self, state: &State) -> Result<Detector, ApiError> {
        state.model(self.model.as_deref(), Task::Detect, Loaded::detector)
    }

    fn graphs(detector: &Detector) -> &Graphs {
        detector.graphs()
    }

    fn stride_frames(&self) -> Option<usize> {
        self.every
    }

    fn look(self, detector: &Detector, frames: impl Frames + Send, video: &Video) -> Result<Detection, ApiError> {
        let options = self.options();
        let (mut found, mut tubes) = (vec![], vec![]);
        let boxes = Cell::new(0);
        let is_full = || boxes.get() > MAX_BOXES;
        let mut keep = |seen| {
            boxes.set(boxes.get() + count(&seen));
            match seen {
                _ if is_full() => {}
                Seen::Frame(frame) => {
                    video.wanted.note(|so_far| so_far.detect = Some(frame.clone()));
                    found.push(frame);
                }
                Seen::Tube(tube) => tubes.push(tube),
            }
        };
        let mut wanted = video.control();
        let mut control = |progress| if is_full() { ControlFlow::Break(()) } else { wanted(progress) };
        let summary = detector.detect_frames(frames, &options, &mut keep, &mut control);
        if is_full() {
            let advice = "raise `threshold` or `every`, or have POST /v1/detect send it line by line with the header \
                          `Accept: application/x-ndjson`";
            return Err(ApiError::LongAnswer { what: "boxes", most: MAX_BOXES, advice });
        }
        Ok(Detection::new(summary?, found, options.tubes.then_some(tubes)))
    }

    fn counts(answer: &Detection) -> (&str, &VideoSummary, &Timing) {
        (&answer.summary.model, &answer.summary.video, &answer.summary.timing)
    }
}

/// Boxes in it.
fn count(seen: &Seen) -> usize {
    match seen {
        Seen::Frame(frame) => frame.boxes.len(),
        Seen::Tube(tube) => tube.boxes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_waits_for_room_as_long_as_somebody_wants_it() {
        let line = || Bytes::from_static(b"{}\n");
        let (sender, mut lines) = mpsc::channel(1);
        let (long, over) = (Wanted::within(Duration::from_secs(600)), Wanted::within(Duration::ZERO));
        // What there is room for is sent, however late.
        assert!(send(line(), &sender, &over));
        assert!(!send(line(), &sender, &over));
        let reader = thread::spawn(move || {
            thread::sleep(4 * POLL);
            [lines.blocking_recv(), lines.blocking_recv()]
        });
        assert!(send(line(), &sender, &long));
        assert_eq!(reader.join().unwrap(), [Some(line()), Some(line())]);
        // The reader is gone.
        assert!(!send(line(), &sender, &long));
    }
}
