//! The routes, one file each.

mod accept;
pub mod classify;
pub mod detect;
pub mod jobs;
pub mod livez;
mod localize;
mod metrics;
pub mod models;
pub mod page;
pub mod predict;
pub mod readyz;
pub mod stream;
pub mod uploads;
pub mod video;
pub mod waiting;

use actix_web::HttpRequest;
use actix_web::guard::{self, Guard};
use actix_web::http::Method;
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, ServiceConfig};

pub use accept::{EVENTS, JSON, LINES_JSON, PNG};
pub use readyz::readiness;

use crate::error::{ApiError, not_found};
use crate::{kserve, openapi};

/// Registers every route, and problem documents for what no route takes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .configure(page::configure)
        .service(post("/v1/classify").route(web::post().to(classify::classify)))
        .service(post("/v1/localize").route(web::post().to(localize::localize)))
        .service(post("/v1/detect").route(web::post().to(detect::detect)))
        .service(post("/v1/predict").route(web::post().to(predict::predict)))
        .service(post("/v1/stream").route(web::post().to(stream::watch)))
        .service(resource("/v1/jobs", "GET, POST").route(web::get().to(jobs::list)).route(web::post().to(jobs::submit)))
        .service(
            resource("/v1/jobs/{id}", "GET, DELETE")
                .route(web::get().to(jobs::get))
                .route(web::delete().to(jobs::delete)),
        )
        .service(
            resource("/v1/uploads", "OPTIONS, POST")
                .wrap(resumable())
                .route(web::method(Method::OPTIONS).to(uploads::options))
                .route(web::post().to(uploads::create)),
        )
        .service(
            resource("/v1/uploads/{id}", "HEAD, PATCH, DELETE")
                .wrap(resumable())
                .route(web::head().to(uploads::head))
                .route(web::patch().to(uploads::append))
                .route(web::delete().to(uploads::delete))
                // Some networks let nothing but these pass.
                .route(web::route().guard(instead_of_post("PATCH")).to(uploads::append))
                .route(web::route().guard(instead_of_post("DELETE")).to(uploads::delete)),
        )
        .service(get("/v1/jobs/{id}/events").route(web::get().to(jobs::events)))
        .service(get("/v1/models").route(web::get().to(models::models)))
        .service(post("/v1/models/{name}/reload").route(web::post().to(models::reload)))
        .service(get("/startupz").route(web::get().to(readyz::startupz)))
        .service(get("/livez").route(web::get().to(livez::livez)))
        .service(get("/readyz").route(web::get().to(readyz::readyz)))
        .service(get("/metrics").route(web::get().to(metrics::metrics)))
        .service(get("/openapi.json").route(web::get().to(openapi::openapi)))
        .service(get("/v2").route(web::get().to(kserve::server)))
        .service(get("/v2/health/live").route(web::get().to(kserve::live)))
        .service(get("/v2/health/ready").route(web::get().to(kserve::server_ready)))
        .service(get("/v2/models/{name}").route(web::get().to(kserve::metadata)))
        .service(get("/v2/models/{name}/ready").route(web::get().to(kserve::ready)))
        .service(post("/v2/models/{name}/infer").route(web::post().to(kserve::infer)))
        .service(get("/v2/models/{name}/versions/{version}").route(web::get().to(kserve::metadata)))
        .service(get("/v2/models/{name}/versions/{version}/ready").route(web::get().to(kserve::ready)))
        .service(post("/v2/models/{name}/versions/{version}/infer").route(web::post().to(kserve::infer)))
        .default_service(web::to(not_found));
}

/// A request that is to be taken for another, as the tus protocol has it.
fn instead_of_post(method: &'static str) -> impl Guard {
    guard::All(guard::Post()).and(guard::Header("x-http-method-override", method))
}

/// Has every answer, errors too, say which version of the tus protocol it is of.
fn resumable() -> DefaultHeaders {
    DefaultHeaders::new().add((uploads::RESUMABLE, uploads::VERSION))
}

fn get(path: &str) -> actix_web::Resource {
    resource(path, "GET")
}

fn post(path: &str) -> actix_web::Resource {
    resource(path, "POST")
}

/// A path that takes these methods and says so of others.
fn resource(path: &str, allowed: &'static str) -> actix_web::Resource {
    let not_allowed = move |request: HttpRequest| async move {
        let error = ApiError::MethodNotAllowed { method: crate::error::shorten(request.method().as_str()), allowed };
        kserve::error_response(request.path(), error)
    };
    web::resource(path).default_service(web::to(not_allowed))
}
