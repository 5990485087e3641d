//! The Open Inference Protocol (KServe v2) over HTTP: tensors in, tensors out, for clients that prepare clips themselves.
//!
//! <https://github.com/kserve/open-inference-protocol>, with Triton's extension for binary tensors. A graph of a bundle is a model
//! here: of a localizer, which has two, each is one by the name of the bundle, a dot, and the name of its file.

mod infer;
mod metadata;
mod tensors;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::{ResponseError, web};
use serde::Serialize;
use unscene_models::manifest::{Dim, GraphFile, TensorInfo};

use crate::error::{ApiError, Problem, shorten};
use crate::registry::Served;
use crate::state::State;

pub use infer::infer;
pub use metadata::{
    GraphMetadata, GraphReady, Live, ServerMetadata, ServerReady, live, metadata, ready, server, server_ready,
};
pub use tensors::{InferRequest, InferResponse};

/// The one version of a graph: a bundle that changes takes the place of the old one.
const VERSION: &str = "1";
/// The one type of value.
const FP32: &str = "FP32";

/// A graph that is served: a bundle, and which of its graphs.
#[derive(Clone)]
struct ServedGraph {
    served: Served,
    index: usize,
}

impl ServedGraph {
    /// The graph of that name and version.
    ///
    /// # Errors
    ///
    /// [`ApiError::Loading`], [`ApiError::UnknownModel`], which lists the names that there are.
    fn find(state: &State, name: &str, version: Option<&str>) -> Result<Self, ApiError> {
        if !state.registry.is_loaded() {
            return Err(ApiError::Loading);
        }
        let serving = state.registry.serving();
        let all = serving.iter().flat_map(|served| {
            let graphs = 0..served.model.graphs().manifest().graphs.len();
            graphs.map(|index| Self { served: served.clone(), index })
        });
        let known = |graph: &Self| graph.name() == name && version.is_none_or(|version| version == VERSION);
        if let Some(found) = all.clone().find(known) {
            return Ok(found);
        }
        let names: Vec<String> = all.map(|graph| format!("`{}` (version {VERSION})", graph.name())).collect();
        let loaded = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let version = version.map(|version| format!(" version {}", shorten(version))).unwrap_or_default();
        Err(ApiError::UnknownModel { name: shorten(name) + &version, loaded })
    }

    fn file(&self) -> &GraphFile {
        &self.served.model.graphs().manifest().graphs[self.index]
    }

    fn name(&self) -> String {
        let graphs = self.served.model.graphs();
        graphs.manifest().graph_name(graphs.name(), self.index)
    }
}

/// Sides of a tensor; -1 for the one that counts rows.
fn sides(tensor: &TensorInfo) -> Vec<i64> {
    let side = |side: &Dim| if let Dim::Fixed(side) = side { i64::try_from(*side).unwrap_or(i64::MAX) } else { -1 };
    tensor.shape.iter().map(side).collect()
}

/// Name and, where it is given, version of a graph in a path.
#[derive(serde::Deserialize)]
pub struct GraphPath {
    name: String,
    version: Option<String>,
}

impl GraphPath {
    fn find(&self, state: &State) -> Result<ServedGraph, ApiError> {
        ServedGraph::find(state, &self.name, self.version.as_deref())
    }
}

type AtGraph = web::Path<GraphPath>;

/// An error as the protocol tells it: beside what every error has, the member `error`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct KserveError(#[from] pub ApiError);

/// The document of a [`KserveError`].
#[derive(Serialize, utoipa::ToSchema)]
pub struct KserveProblem {
    /// What is wrong, as in `detail`.
    error: String,
    #[serde(flatten)]
    problem: Problem,
}

impl ResponseError for KserveError {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.0.problem();
        self.0.response(KserveProblem { error: problem.detail().to_owned(), problem })
    }
}

/// An error of any route, as clients of its path expect it.
pub fn error_response(path: &str, error: ApiError) -> HttpResponse {
    if path == "/v2" || path.starts_with("/v2/") { KserveError(error).error_response() } else { error.error_response() }
}
