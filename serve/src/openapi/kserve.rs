//! The Open Inference Protocol.

use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Required, ResponseBuilder};

use super::parts::{BYTES, binary, fail, in_header, in_path, timeout};
use super::{COMMON, Description, OF_TENSORS};
use crate::kserve::{
    GraphMetadata, GraphReady, InferRequest, InferResponse, KserveProblem, Live, ServerMetadata, ServerReady,
};
use crate::routes::JSON;

impl Description {
    /// The routes of the Open Inference Protocol.
    pub(super) fn kserve(&mut self) {
        let problem = self.schema::<KserveProblem>();
        let server = self.answers::<ServerMetadata>("kserve_server", "The server", &[]);
        self.add("/v2", HttpMethod::Get, fail(server, COMMON, &problem));
        let live = self.answers::<Live>("kserve_live", "The process answers", &[]);
        self.add("/v2/health/live", HttpMethod::Get, live);
        let ready = self.answers::<ServerReady>("kserve_ready", "The service takes work", &[]);
        self.add("/v2/health/ready", HttpMethod::Get, fail(ready, &["503"], &problem));
        for (base, suffix) in [("/v2/models/{name}", ""), ("/v2/models/{name}/versions/{version}", "_version")] {
            let at_graph = |operation: OperationBuilder, statuses| {
                let name = in_path("name", "A bundle's name; of a localizer, and a dot, and `proposal` or `head`");
                let operation = fail(operation, statuses, &problem).parameter(name);
                if suffix.is_empty() { operation } else { operation.parameter(in_path("version", "Always 1")) }
            };
            let found = &["401", "403", "404", "429", "500", "503"];
            let metadata = self.answers::<GraphMetadata>(&format!("kserve_graph{suffix}"), "A graph's tensors", &[]);
            self.add(base, HttpMethod::Get, at_graph(metadata, found));
            let ready =
                self.answers::<GraphReady>(&format!("kserve_graph_ready{suffix}"), "Whether a graph takes work", &[]);
            self.add(&format!("{base}/ready"), HttpMethod::Get, at_graph(ready, found));
            let infer = self.infer(&format!("kserve_infer{suffix}"));
            self.add(&format!("{base}/infer"), HttpMethod::Post, at_graph(infer, OF_TENSORS));
        }
    }

    fn infer(&mut self, id: &str) -> OperationBuilder {
        let body = RequestBodyBuilder::new()
            .description(Some("The input as JSON; or, with the header Inference-Header-Content-Length, as so many bytes of JSON and the values after it"))
            .required(Some(Required::True))
            .content(JSON, self.schema::<InferRequest>())
            .content(BYTES, Content::new(Some(binary())));
        let response = ResponseBuilder::new()
            .description("The outputs, as JSON, or in the same manner with bytes")
            .content(JSON, self.schema::<InferResponse>())
            .content(BYTES, Content::new(Some(binary())));
        OperationBuilder::new()
            .operation_id(Some(id))
            .summary(Some("Runs a graph on rows that are ready"))
            .parameter(timeout())
            .parameter(in_header(
                "Inference-Header-Content-Length",
                "Bytes of the body that are JSON; the values follow them. All are JSON when it is absent.",
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0)),
            ))
            .request_body(Some(body.build()))
            .response("200", response)
    }
}
