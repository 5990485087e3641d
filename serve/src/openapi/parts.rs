//! What descriptions of several routes are made of.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Content, RefOr, Required, Response, ResponseBuilder};

use crate::error::PROBLEM_JSON;

/// Media type of bytes of any kind.
pub const BYTES: &str = "application/octet-stream";

/// What each failure's status means.
const FAILURES: [(&str, &str); 16] = [
    ("400", "A parameter, a tensor or the upload is wrong"),
    ("401", "An API key is needed, and not there or not known"),
    ("403", "The API key is for something else"),
    ("404", "No such model"),
    ("406", "The client takes no kind of answer that there is"),
    ("408", "The upload came too slowly"),
    ("409", "Other models are loaded again now; or the part does not begin where the last one ended"),
    ("412", "The client speaks another version of the tus protocol"),
    ("413", "The video or the answer is over a limit"),
    ("415", "The upload is not a video, or is compressed"),
    ("422", "The video or the bundle cannot be used"),
    ("423", "A part of the upload comes already"),
    (
        "429",
        "There is too much before the request, or the API key is used too often; Retry-After says when to come again",
    ),
    ("500", "The service failed"),
    ("503", "The service is starting, shutting down, or has no room or no model"),
    ("504", "The request took too long"),
];
/// Adds how an operation can fail.
pub fn fail(mut operation: OperationBuilder, statuses: &[&str], problem: &Content) -> OperationBuilder {
    for (status, meaning) in FAILURES.iter().filter(|(status, _)| statuses.contains(status)) {
        let mut response = ResponseBuilder::new().description(*meaning).content(PROBLEM_JSON, problem.clone());
        response = match *status {
            "401" => response.header("WWW-Authenticate", header("`Bearer`", Type::String)),
            "429" => response.header("Retry-After", header("Seconds after which to come again", Type::Integer)),
            "503" => response.header("Retry-After", header("Seconds, where it is known", Type::Integer)),
            _ => response,
        };
        operation = operation.response(*status, response);
    }
    operation
}

/// A header of an answer.
pub fn header(description: &str, kind: Type) -> Header {
    HeaderBuilder::new().description(Some(description)).schema(Some(ObjectBuilder::new().schema_type(kind))).build()
}

/// A route that answers with text.
pub fn text(id: &str, summary: &str, kind: &str) -> OperationBuilder {
    let any =
        ObjectBuilder::new().schema_type(if kind == "text/plain" { Type::String.into() } else { SchemaType::AnyValue });
    let response = Response::builder().description("Done").content(kind, Content::new(Some(any))).build();
    OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)).response("200", response)
}

/// A video as the body, or in a form with the parameters.
pub fn video(params: &[Parameter]) -> RequestBody {
    let mut form = ObjectBuilder::new().property("video", binary()).required("video");
    for param in params {
        let schema = param.schema.clone().unwrap_or_else(|| RefOr::T(Schema::default()));
        form = form.property(&param.name, schema);
    }
    RequestBodyBuilder::new()
        .description(Some(
            "A video, whatever Content-Type it claims; or a form with the field `video`, and any parameter as a field",
        ))
        .required(Some(Required::True))
        .content("video/mp4", Content::new(Some(binary())))
        .content(BYTES, Content::new(Some(binary())))
        .content("multipart/form-data", Content::new(Some(form)))
        .build()
}

/// Bytes.
pub fn binary() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).content_media_type(BYTES)
}

/// The header with which a client says how long it waits.
pub fn timeout() -> ParameterBuilder {
    in_header(
        "X-Request-Timeout-S",
        "Seconds that the client waits at most; after them the work is given up.",
        ObjectBuilder::new().schema_type(Type::Number).exclusive_minimum(Some(0.0)).maximum(Some(31_536_000.0)),
    )
}

/// A parameter in a header.
pub fn in_header(name: &str, description: &str, schema: ObjectBuilder) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

/// A parameter in the path.
pub fn in_path(name: &str, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
}

/// A parameter in the query.
pub fn in_query(name: &str, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
}
