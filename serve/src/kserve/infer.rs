//! `POST /v2/models/{name}/infer`: a graph's inputs in, its outputs out.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use tracing::{Instrument, info_span};

use super::tensors::{Asked, HEADER_LENGTH, VALUE, floats, row_len};
use super::{AtGraph, KserveError, ServedGraph, sides};
use crate::admission::Place;
use crate::error::{ApiError, shorten};
use crate::routes::video::{Sent, thread_failed};
use crate::routes::waiting::{Waiting, Waits, Wanted};
use crate::state::State;
use crate::upload::{Upload, UploadRules, receive_body};

/// Characters that a value takes in JSON, with its comma, or so.
const JSON_VALUE: usize = 10;
/// Longest JSON: in memory, it takes several times that. What is longer is to be sent as bytes.
const MAX_JSON: usize = 64 << 20;
/// Bytes after the JSON that are read at a time.
const READ: usize = 1 << 20;

/// Runs rows that are ready, in batches with those of videos.
pub async fn infer(
    state: web::Data<State>,
    request: HttpRequest,
    path: AtGraph,
    payload: web::Payload,
) -> Result<HttpResponse, KserveError> {
    let mut waiting = Waiting::new(&state, &request)?;
    let result = waiting.wait(run(&state, &request, &path, payload, &waiting)).await;
    Ok(waiting.settle(result)?)
}

async fn run(
    state: &web::Data<State>,
    request: &HttpRequest,
    path: &AtGraph,
    payload: web::Payload,
    waiting: &Waiting,
) -> Result<HttpResponse, ApiError> {
    if state.is_draining() {
        return Err(ApiError::Draining);
    }
    let place = state.admission.enter()?;
    let graph = path.find(state)?;
    let json_len = json_len(request)?;
    let upload = receive_body(request, payload, &UploadRules::of(state)).instrument(info_span!("upload")).await?;
    let parts = Parts::of(&upload, json_len)?;
    // What is in it is read within a slot; its length says how much that is, about.
    let row = row_len(&sides(&graph.file().inputs[0]));
    let values = if parts.rest > 0 { parts.rest / VALUE } else { parts.json / JSON_VALUE };
    let rows = (values / row.max(1)).max(1);
    let graphs = graph.served.model.graphs();
    let waits = Waits::begin(state);
    let expected = place.expect(graphs.clips_worth(graph.index, rows)).map_err(ApiError::from);
    let slot = waits.slot(state, &place, expected).await?;

    let (wanted, metrics) = (waiting.wanted.clone(), state.metrics.clone());
    let span = info_span!("read and infer");
    let work = move || {
        // Held until the work has really ended, which may be after the client has left.
        let _slot = slot;
        let result = span.in_scope(|| look(&graph, &upload, &parts, &place, &wanted));
        let (asked, outputs) = result.map_err(|error| wanted.told(error))?;
        if graph.index == 0 {
            metrics.clips.with_label_values(&[graph.served.model.name()]).inc_by(asked.rows as u64);
        }
        let (answer, json_len) = asked.answer(graph.name(), graph.file(), outputs)?;
        Ok::<_, ApiError>((Sent::new(answer, Arc::new(place)), json_len))
    };
    let (body, json_len) = web::block(work).await.map_err(thread_failed)??;
    let mut response = HttpResponse::Ok();
    match json_len {
        None => response.content_type("application/json"),
        Some(length) => response.content_type("application/octet-stream").insert_header((HEADER_LENGTH, length)),
    };
    Ok(response.body(body))
}

/// Lengths of a body's JSON and of what follows it, in bytes.
struct Parts {
    json: usize,
    rest: usize,
}

impl Parts {
    fn of(upload: &Upload, json_len: Option<usize>) -> Result<Self, ApiError> {
        let size = upload.size()?;
        let json = json_len.unwrap_or(size);
        let rest = size.checked_sub(json).ok_or_else(|| {
            ApiError::BadTensor(format!("the body has {size} bytes, fewer than {HEADER_LENGTH} says are JSON"))
        })?;
        if json > MAX_JSON {
            return Err(ApiError::TooLarge(format!(
                "the JSON has {json} bytes, and {MAX_JSON} are the most; send the values as bytes after it, with the header {HEADER_LENGTH}"
            )));
        }
        Ok(Self { json, rest })
    }
}

/// Reads the request, and runs the graph.
fn look(
    graph: &ServedGraph,
    upload: &Upload,
    parts: &Parts,
    place: &Place,
    wanted: &Wanted,
) -> Result<(Asked, Vec<Vec<f32>>), ApiError> {
    let lost = |error| ApiError::Internal(format!("an upload is lost: {error}"));
    let mut json = vec![0; parts.json];
    upload.file().read_exact_at(&mut json, 0).map_err(lost)?;
    let rest = || {
        let (mut values, mut block) = (Vec::with_capacity(parts.rest / VALUE), vec![0; READ]);
        for at in (0..parts.rest).step_by(READ) {
            let block = &mut block[..READ.min(parts.rest - at)];
            upload.file().read_exact_at(block, (parts.json + at) as u64).map_err(lost)?;
            values.extend(floats(block));
        }
        Ok(values)
    };
    let mut asked = Asked::read(&json, parts.rest, rest, graph.file())?;
    drop(json);
    let (graphs, input) = (graph.served.model.graphs(), std::mem::take(&mut asked.input));
    place.expect(graphs.clips_worth(graph.index, asked.rows))?;
    let mut noted = 0;
    let outputs = graphs.infer(graph.index, &input, asked.rows, &mut |rows| {
        let done = graphs.clips_worth(graph.index, rows);
        place.done(done - noted);
        noted = done;
        wanted.still()
    })?;
    Ok((asked, outputs))
}

/// How many bytes of the body are JSON, where not all are.
fn json_len(request: &HttpRequest) -> Result<Option<usize>, ApiError> {
    let Some(value) = request.headers().get(HEADER_LENGTH) else { return Ok(None) };
    let text = value.to_str().unwrap_or("?");
    let wrong = || ApiError::BadTensor(format!("the header {HEADER_LENGTH} is `{}`; give a number", shorten(text)));
    text.trim().parse().map(Some).map_err(|_| wrong())
}
