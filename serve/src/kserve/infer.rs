//! `POST /v2/models/{name}/infer`: a graph's inputs in, its outputs out.

use std::os::unix::fs::FileExt;

use actix_web::http::header::CONTENT_ENCODING;
use actix_web::{HttpRequest, HttpResponse, web};

use super::tensors::{Asked, HEADER_LENGTH, row_len};
use super::{AtGraph, KserveError, ServedGraph, sides};
use crate::error::{ApiError, shorten};
use crate::routes::video::{Waiting, thread_failed};
use crate::state::State;
use crate::upload::{Upload, UploadRules, receive_body};

/// Characters that a value takes in JSON at least, with its comma; most take more.
const SHORTEST_VALUE: usize = 2;

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
    check_encoding(request)?;
    let upload = receive_body(request, payload, &UploadRules::of(state)).await?;
    // What is in it is read later, within a slot; how long it is says how many rows there are at most.
    let value = json_len.map_or(SHORTEST_VALUE, |_| size_of::<f32>());
    let input = sides(&graph.file().inputs[0]);
    place.expect((upload.size()? / (value * row_len(&input)).max(1)).max(1))?;
    let slot = state.admission.slot().await;

    let (wanted, metrics) = (waiting.wanted.clone(), state.metrics.clone());
    let work = move || {
        // Both are held until the work has really ended, which may be after the client has left.
        let (_place, _slot) = (place, slot);
        let (asked, outputs) = look(&graph, &upload, json_len, &mut || wanted.still())?;
        metrics.clips.with_label_values(&[graph.served.model.name()]).inc_by(asked.rows as u64);
        asked.answer(graph.name(), graph.file(), outputs)
    };
    let (body, json_len) = web::block(work).await.map_err(thread_failed)??;
    let mut response = HttpResponse::Ok();
    match json_len {
        None => response.content_type("application/json"),
        Some(length) => response.content_type("application/octet-stream").insert_header((HEADER_LENGTH, length)),
    };
    Ok(response.body(body))
}

/// Reads the request, and runs the graph.
fn look(
    graph: &ServedGraph,
    upload: &Upload,
    json_len: Option<usize>,
    keep_waiting: &mut dyn FnMut() -> bool,
) -> Result<(Asked, Vec<Vec<f32>>), ApiError> {
    let mut body = vec![0; upload.size()?];
    upload
        .file()
        .read_exact_at(&mut body, 0)
        .map_err(|error| ApiError::Internal(format!("an upload is lost: {error}")))?;
    let mut asked = Asked::read(&body, json_len, graph.file())?;
    drop(body);
    let input = std::mem::take(&mut asked.input);
    let outputs = graph.served.model.graphs().infer(graph.index, &input, asked.rows, keep_waiting)?;
    Ok((asked, outputs))
}

/// How many bytes of the body are JSON, where not all are.
fn json_len(request: &HttpRequest) -> Result<Option<usize>, ApiError> {
    let Some(value) = request.headers().get(HEADER_LENGTH) else { return Ok(None) };
    let text = value.to_str().unwrap_or("?");
    let wrong = || ApiError::BadTensor(format!("the header {HEADER_LENGTH} is `{}`; give a number", shorten(text)));
    text.trim().parse().map(Some).map_err(|_| wrong())
}

/// Bodies are taken as they are.
fn check_encoding(request: &HttpRequest) -> Result<(), ApiError> {
    let encoding = request.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    match encoding {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => Err(ApiError::BadTensor(format!(
            "the header content-encoding is `{}`; send the body without compression",
            shorten(encoding)
        ))),
        _ => Ok(()),
    }
}
