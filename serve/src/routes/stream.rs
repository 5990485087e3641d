//! `POST /v1/stream`: a video that is sent while it is filmed, and what is seen in it as server-sent events while it comes.
//!
//! The upload goes through a pipe into the process that decodes it; nothing of it is kept. What the model has no time for is passed over,
//! and so are events that the client does not take.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::task::JoinHandle;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Sender};
use unscene_engine::{
    ClassifyOptions, ClipPrediction, DetectOptions, Detector, FoundFrame, Live, LiveSummary, Model, Progress,
};
use unscene_media::{DecodeOptions, IsolatedDecoder};
use unscene_models::manifest::Task;
use utoipa::ToSchema;

use super::accept::{EVENTS, in_events, negotiate};
use super::video::thread_failed;
use super::waiting::{Waiting, Wanted};
use crate::error::{ApiError, Problem};
use crate::loaded::Loaded;
use crate::params::{Params, StreamParams};
use crate::state::State;
use crate::upload::{Pace, Upload, UploadRules, arriving};

/// Events that wait for a client; those that come when there are so many are dropped.
const MAX_EVENTS: usize = 16;
/// Time in which a sender has to bring something, as a part of the time that decoding may take: from the last byte on twice of it may pass.
const SILENCE: f64 = 0.4;
/// How often an upload that brings nothing is looked after.
const POLL: Duration = Duration::from_millis(200);

/// What an event tells; it has the name of its member.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamEvent {
    /// Of a classifier: a clip.
    Clip(Live<ClipPrediction>),
    /// Of a detector: a frame.
    Frame(Live<FoundFrame>),
    /// The last one: the video has ended.
    Summary(LiveSummary),
    /// The last one: something went wrong.
    Error(Problem),
}

impl StreamEvent {
    fn bytes(&self) -> Bytes {
        let name = match self {
            Self::Clip(_) => "clip",
            Self::Frame(_) => "frame",
            Self::Summary(_) => "summary",
            Self::Error(_) => "error",
        };
        let data = serde_json::to_string(self).expect("names and numbers can be written as JSON");
        format!("event: {name}\ndata: {data}\n\n").into()
    }
}

/// Takes the video as the body, for as long as it comes; parameters from the query. The head of the answer waits until frames can be decoded, so
/// that what is no video has its own status.
pub async fn watch(
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    negotiate(&request, &[EVENTS])?;
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let params = StreamParams::from_query(request.query_string())?;
    let watcher = params.find(&state)?;
    let most = state.options.max_streams;
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| ApiError::ManyStreams(most))?;

    // Less than what decodes waits for a frame, which knows nothing of a silent sender. Still scenes have few bytes.
    let pace = Pace::any_within(Duration::from_secs_f64(SILENCE * state.options.decode_timeout_s));
    let rules = UploadRules { max_bytes: u64::MAX, pace, ..UploadRules::of(&state) };
    let payload = arriving(&request, payload, &rules)?;
    let (writer, reader) = pipe().map_err(|error| ApiError::Exhausted(error.kind().to_string()))?;
    let waiting = Waiting::within(&state, state.options.stream_timeout());
    let feed = actix_web::rt::spawn(feed(state.clone(), waiting.wanted.clone(), payload, writer));
    let (sender, mut events) = mpsc::channel(MAX_EVENTS);
    let work = Watch { state: state.clone(), params, wanted: waiting.wanted.clone(), events: sender, _permit: permit };
    let work = web::block(move || work.run(&watcher, reader));
    let mut live = Coming { waiting, feed };
    // The first is sent when the video is open.
    if events.recv().await.is_none() {
        let result = work.await.map_err(thread_failed)?;
        let error = live.ended(result).await.err();
        return Err(error.unwrap_or_else(|| ApiError::Internal("a stream ended well before it began".to_owned())));
    }
    let rest = stream::poll_fn(move |cx| events.poll_recv(cx));
    let last = stream::once(async move {
        let result = work.await.map_err(thread_failed).and_then(|result| result);
        let last = match live.ended(result).await {
            Ok(summary) => StreamEvent::Summary(summary),
            Err(error) => StreamEvent::Error(error.problem()),
        };
        last.bytes()
    });
    Ok(in_events(rest.chain(last)))
}

/// Both ends of a pipe.
fn pipe() -> io::Result<(pipe::Sender, File)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Sender::from_owned_fd(writer.into())?, OwnedFd::from(reader).into()))
}

/// Writes an upload into a pipe until it ends, nobody reads it, its time is over, or a shutdown begins.
async fn feed(
    state: web::Data<State>,
    wanted: Wanted,
    mut payload: impl Stream<Item = Result<Bytes, ApiError>> + Unpin,
    mut writer: pipe::Sender,
) -> Result<(), ApiError> {
    while wanted.still() && !state.is_draining() {
        let Ok(chunk) = tokio::time::timeout(POLL, payload.next()).await else { continue };
        let Some(chunk) = chunk else { break };
        match writer.write_all(&chunk?).await {
            Ok(()) => {}
            // Who read has its own reason.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            Err(error) => return Err(ApiError::Internal(format!("a pipe cannot be written: {error}"))),
        }
    }
    Ok(())
}

/// An upload that comes, and who waits for what is seen in it. When the client leaves this is dropped, and the work ends.
struct Coming {
    waiting: Waiting,
    feed: JoinHandle<Result<(), ApiError>>,
}

impl Coming {
    /// What came of the work, or what went wrong with the upload before.
    async fn ended(&mut self, result: Result<LiveSummary, ApiError>) -> Result<LiveSummary, ApiError> {
        let fed = if self.feed.is_finished() { (&mut self.feed).await.unwrap_or(Ok(())) } else { Ok(()) };
        self.waiting.settle(fed.and(result))
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

/// The model that looks.
pub enum Watcher {
    /// At clips.
    Classify(Model),
    /// At frames.
    Detect(Detector),
}

impl StreamParams {
    /// The model that is asked for.
    fn find(&self, state: &State) -> Result<Watcher, ApiError> {
        let name = self.model.as_deref();
        let classifier = || state.model(name, Task::Classify, Loaded::classifier);
        let detector = || state.model(name, Task::Detect, Loaded::detector).map(Watcher::Detect);
        let watcher = match self.task {
            Some(Task::Detect) => detector()?,
            None if name.is_none() && !state.has(Task::Classify) => detector()?,
            None => match classifier() {
                Err(ApiError::WrongModel { found: Task::Detect, .. }) => detector()?,
                found => Watcher::Classify(found?),
            },
            Some(_) => Watcher::Classify(classifier()?),
        };
        self.check(match watcher {
            Watcher::Classify(_) => Task::Classify,
            Watcher::Detect(_) => Task::Detect,
        })?;
        Ok(watcher)
    }
}

/// The work on a video that comes.
struct Watch {
    state: web::Data<State>,
    params: StreamParams,
    wanted: Wanted,
    events: Sender<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Watch {
    fn run(self, watcher: &Watcher, reader: File) -> Result<LiveSummary, ApiError> {
        let frames = self.open(reader)?;
        // Says that it is open; nothing is told yet.
        if self.events.blocking_send(Bytes::new()).is_err() {
            return Err(ApiError::Cancelled);
        }
        // When its time is over, it ends as every video does.
        let wanted = &self.wanted;
        let mut control =
            |_: Progress| if wanted.is_given_up() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let StreamParams { top_k, stride_frames, every, threshold, .. } = self.params;
        let summary = match watcher {
            Watcher::Classify(model) => {
                let defaults = ClassifyOptions::default();
                let options = ClassifyOptions { top_k: top_k.unwrap_or(defaults.top_k), stride_frames, ..defaults };
                let mut untold = 0;
                let mut tell = |clip| untold = self.tell(clip, untold, StreamEvent::Clip);
                model.watch(frames, &options, &mut tell, &mut control)
            }
            Watcher::Detect(detector) => {
                let defaults = DetectOptions::default();
                let (every, threshold) = (every.unwrap_or(defaults.every), threshold.unwrap_or(defaults.threshold));
                let options = DetectOptions { every, threshold, ..defaults };
                let mut untold = 0;
                let mut tell = |frame| untold = self.tell(frame, untold, StreamEvent::Frame);
                detector.watch(frames, &options, &mut tell, &mut control)
            }
        };
        Ok(summary?)
    }

    /// Opens the video. It takes no turn to decode: it mostly waits for what comes.
    fn open(&self, reader: File) -> Result<IsolatedDecoder, ApiError> {
        let options =
            DecodeOptions { threads: 1, limits: self.state.options.stream_limits(), ..DecodeOptions::default() };
        Ok(self.state.workers.open(&Upload::kept(Arc::new(reader)).source(), &options)?)
    }

    /// Sends an event, if the client takes it; otherwise how many it has not been told of.
    fn tell<T>(&self, live: Live<T>, untold: u64, event: impl Fn(Live<T>) -> StreamEvent) -> u64 {
        let metrics = &self.state.metrics;
        let count = |fate, clips| metrics.stream_clips.with_label_values(&[fate]).inc_by(clips);
        count("seen", 1);
        count("dropped", live.dropped);
        metrics.stream_delay_seconds.observe(live.delay_s);
        let dropped = live.dropped + untold;
        match self.events.try_send(event(Live { dropped, ..live }).bytes()) {
            Ok(()) => 0,
            Err(_) => {
                count("untold", 1);
                dropped + 1
            }
        }
    }
}
