//! What there is, and whether it can be used.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use unscene_models::manifest::TensorInfo;
use utoipa::ToSchema;

use super::{AtGraph, FP32, KserveError, VERSION, sides};
use crate::error::ApiError;
use crate::routes::readiness;
use crate::state::State;

/// `GET /v2`: the server.
#[derive(Serialize, ToSchema)]
pub struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    /// `binary_tensor_data`.
    extensions: Vec<&'static str>,
}

/// A graph.
#[derive(Serialize, ToSchema)]
pub struct GraphMetadata {
    name: String,
    versions: Vec<&'static str>,
    /// The format of the graph, `onnx_onnxv1`.
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// An input or output of a graph.
#[derive(Serialize, ToSchema)]
pub struct TensorMetadata {
    name: String,
    /// Always `FP32`.
    datatype: &'static str,
    /// Its sides; -1 counts rows, and may be any number from 1.
    shape: Vec<i64>,
}

/// Whether the process answers.
#[derive(Serialize, ToSchema)]
pub struct Live {
    live: bool,
}

/// Whether the service takes work.
#[derive(Serialize, ToSchema)]
pub struct ServerReady {
    ready: bool,
}

/// Whether a graph takes work.
#[derive(Serialize, ToSchema)]
pub struct GraphReady {
    name: String,
    ready: bool,
}

/// `GET /v2`.
pub async fn server() -> HttpResponse {
    let extensions = vec!["binary_tensor_data"];
    HttpResponse::Ok().json(ServerMetadata { name: "unscene", version: env!("CARGO_PKG_VERSION"), extensions })
}

/// `GET /v2/health/live`: always 200.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Live { live: true })
}

/// `GET /v2/health/ready`: as `/readyz`.
pub async fn server_ready(state: web::Data<State>) -> Result<HttpResponse, KserveError> {
    readiness(&state)?;
    Ok(HttpResponse::Ok().json(ServerReady { ready: true }))
}

/// `GET /v2/models/{name}`, or a version of it.
pub async fn metadata(state: web::Data<State>, path: AtGraph) -> Result<HttpResponse, KserveError> {
    let graph = path.find(&state)?;
    let tensors = |tensors: &[TensorInfo]| {
        let tensors = tensors.iter();
        tensors
            .map(|tensor| TensorMetadata { name: tensor.name.clone(), datatype: FP32, shape: sides(tensor) })
            .collect()
    };
    Ok(HttpResponse::Ok().json(GraphMetadata {
        name: graph.name(),
        versions: vec![VERSION],
        platform: "onnx_onnxv1",
        inputs: tensors(&graph.file().inputs),
        outputs: tensors(&graph.file().outputs),
    }))
}

/// `GET /v2/models/{name}/ready`, or of a version of it.
pub async fn ready(state: web::Data<State>, path: AtGraph) -> Result<HttpResponse, KserveError> {
    let graph = path.find(&state)?;
    if state.is_draining() {
        return Err(ApiError::Draining.into());
    }
    if let Some(trouble) = graph.served.model.graphs().trouble() {
        return Err(ApiError::NotReady(format!("`{}`: {trouble}", graph.name())).into());
    }
    Ok(HttpResponse::Ok().json(GraphReady { name: graph.name(), ready: true }))
}
