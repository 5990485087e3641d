//! `GET /openapi.json`: what every route takes and answers, as OpenAPI 3.1. Schemas are those of the types that are read and
//! written, parameters those of [`params`](crate::params).

use std::sync::OnceLock;

use actix_web::HttpResponse;
use unscene_engine::{Detection, Localization};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterIn, Paths};
use utoipa::openapi::schema::Components;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Info, OpenApi, Ref, Response, ResponseBuilder};
use utoipa::{IntoParams, ToSchema};

use crate::error::Problem;
use crate::params::{ClassifyParams, DetectParams, LocalizeParams, PredictParams};
use crate::routes::livez::Health;
use crate::routes::models::{ModelInfo, ModelList};
use crate::routes::readyz::Ready;
use crate::routes::{JSON, LINES_JSON, PNG, classify, detect, predict};
use parts::{binary, fail, in_path, text, timeout, video};

mod jobs;
mod kserve;
mod parts;

/// The name of the one way to say who one is.
const KEY: &str = "key";

/// Failures of any route.
const COMMON: &[&str] = &["401", "403", "429", "500"];
/// Those of routes that take a video.
const OF_VIDEOS: &[&str] = &["400", "401", "403", "404", "406", "408", "413", "415", "422", "429", "500", "503", "504"];
/// Those of routes that take tensors.
const OF_TENSORS: &[&str] = &["400", "401", "403", "404", "408", "413", "415", "429", "500", "503", "504"];

/// Answers with the description.
pub async fn openapi() -> HttpResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_pretty_json().expect("a description can be written as JSON"));
    HttpResponse::Ok().content_type(JSON).body(text.as_str())
}

/// The description of every route.
pub fn document() -> OpenApi {
    let mut all = Description::default();
    all.task::<ClassifyParams, classify::Answer>("classify", "Names the action of a video", &[PNG]);
    all.task::<LocalizeParams, Localization>("localize", "Finds when actions happen in a long video", &[]);
    all.task::<DetectParams, Detection>(
        "detect",
        "Finds who acts in each frame of a video, and what they do",
        &[LINES_JSON],
    );
    all.task::<PredictParams, predict::Answers>(
        "predict",
        "What models of several tasks say of a video, decoded once",
        &[],
    );

    all.jobs();
    all.uploads();
    all.stream();
    let list = all.answers::<ModelList>("models", "What is served, and what could not be loaded", COMMON);
    all.add("/v1/models", HttpMethod::Get, list);
    let reload = all.answers::<ModelInfo>(
        "reload",
        "Loads the bundle of a model again, and serves it from then on",
        &["401", "403", "404", "409", "422", "429", "500", "503"],
    );
    all.add("/v1/models/{name}/reload", HttpMethod::Post, reload.parameter(in_path("name", "The model's name")));

    let live = all.answers::<Health>("live", "The process answers", &[]);
    all.add("/livez", HttpMethod::Get, live);
    let started = all.answers::<Health>("started", "The models were loaded once", &["503"]);
    all.add("/startupz", HttpMethod::Get, started);
    let ready = all.answers::<Ready>("ready", "The service takes work", &["503"]);
    all.add("/readyz", HttpMethod::Get, ready);
    let metrics = text("metrics", "What is counted, for Prometheus", "text/plain");
    let metrics = all.failures(metrics, COMMON);
    all.add("/metrics", HttpMethod::Get, metrics);
    all.add("/openapi.json", HttpMethod::Get, text("openapi", "This description", JSON));
    all.kserve();
    all.finish()
}

/// A description in the making.
#[derive(Default)]
struct Description {
    paths: Paths,
    components: Components,
}

impl Description {
    fn add(&mut self, path: &str, method: HttpMethod, operation: OperationBuilder) {
        self.paths.add_path_operation(path, vec![method], operation.build());
    }

    /// The schema of a type, by its name.
    fn schema<T: ToSchema>(&mut self) -> Content {
        let mut schemas = vec![(T::name().to_string(), T::schema())];
        T::schemas(&mut schemas);
        self.components.schemas.extend(schemas);
        Content::new(Some(Ref::from_schema_name(T::name())))
    }

    /// A route that answers with a type, or fails.
    fn answers<T: ToSchema>(&mut self, id: &str, summary: &str, failures: &[&str]) -> OperationBuilder {
        let response = Response::builder().description("Done").content(JSON, self.schema::<T>()).build();
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)).response("200", response);
        self.failures(operation, failures)
    }

    fn failures(&mut self, operation: OperationBuilder, statuses: &[&str]) -> OperationBuilder {
        let problem = self.schema::<Problem>();
        fail(operation, statuses, &problem)
    }

    /// A route that takes a video. Beside JSON it can answer with other kinds.
    fn task<P: IntoParams, A: ToSchema>(&mut self, task: &str, summary: &str, other_kinds: &[&str]) {
        let params = P::into_params(|| Some(ParameterIn::Query));
        let body = video(&params);
        let mut response = ResponseBuilder::new().description("Done").content(JSON, self.schema::<A>());
        for &kind in other_kinds {
            let content = match kind {
                LINES_JSON => self.schema::<detect::Line>(),
                _ => Content::new(Some(binary())),
            };
            response = response.content(kind, content);
        }
        let operation = OperationBuilder::new()
            .operation_id(Some(task))
            .summary(Some(summary))
            .parameters(Some(params))
            .parameter(timeout())
            .request_body(Some(body))
            .response("200", response);
        let operation = self.failures(operation, OF_VIDEOS);
        self.add(&format!("/v1/{task}"), HttpMethod::Post, operation);
    }

    fn finish(mut self) -> OpenApi {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Where the service has keys; probes and this description need none"));
        self.components.add_security_scheme(KEY, SecurityScheme::Http(scheme.build()));
        let mut info = Info::new("Unscene", env!("CARGO_PKG_VERSION"));
        info.description = Some(
            "Actions in videos. Times are seconds from the start of the video by its timestamps, boxes are left, top, right and \
             bottom in pixels of the displayed frame, scores are probabilities."
                .to_owned(),
        );
        let mut all = OpenApi::new(info, self.paths);
        all.components = Some(self.components);
        // With a key or, where the service has none, without.
        let by_key = SecurityRequirement::new::<_, [&str; 0], &str>(KEY, []);
        all.security = Some(vec![SecurityRequirement::default(), by_key]);
        all
    }
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::path::Operation;

    use super::*;
    use crate::params::Params;

    /// A document's operation for a task.
    fn operation(document: &OpenApi, task: &str) -> Operation {
        document.paths.get_path_operation(format!("/v1/{task}"), HttpMethod::Post).unwrap().clone()
    }

    fn described<P: Params>(document: &OpenApi, task: &str) {
        let params = operation(document, task).parameters.unwrap();
        let names: Vec<String> = params
            .iter()
            .filter_map(|param| match param {
                RefOr::T(param) if param.parameter_in == ParameterIn::Query => Some(param.name.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(names, P::NAMES, "{task}");
    }

    #[test]
    fn every_parameter_that_is_read_is_described() {
        let document = document();
        described::<ClassifyParams>(&document, "classify");
        described::<LocalizeParams>(&document, "localize");
        described::<DetectParams>(&document, "detect");
        described::<PredictParams>(&document, "predict");
    }

    #[test]
    fn every_route_is_described() {
        let routes = include_str!("routes/mod.rs");
        let document = document();
        let mut found = 0;
        for route in routes.split(".service(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            for (method, verb) in [
                ("get", HttpMethod::Get),
                ("post", HttpMethod::Post),
                ("delete", HttpMethod::Delete),
                ("head", HttpMethod::Head),
                ("patch", HttpMethod::Patch),
            ] {
                if route.contains(&format!("web::{method}()")) {
                    assert!(document.paths.get_path_operation(path, verb).is_some(), "{method} {path}");
                    found += 1;
                }
            }
        }
        let described: usize = document
            .paths
            .paths
            .values()
            .flat_map(|item| {
                [
                    item.get.is_some(),
                    item.post.is_some(),
                    item.delete.is_some(),
                    item.head.is_some(),
                    item.patch.is_some(),
                ]
            })
            .map(usize::from)
            .sum();
        assert_eq!(found, described);
    }
}
