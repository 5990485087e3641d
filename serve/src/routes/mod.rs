//! The routes, one file each.

mod classify;
mod detect;
mod livez;
mod localize;
mod metrics;
mod models;
mod predict;
mod readyz;
mod video;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::error::{ApiError, not_found};

/// Registers every route, and problem documents for what no route takes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(post("/v1/classify").route(web::post().to(classify::classify)))
        .service(post("/v1/localize").route(web::post().to(localize::localize)))
        .service(post("/v1/detect").route(web::post().to(detect::detect)))
        .service(post("/v1/predict").route(web::post().to(predict::predict)))
        .service(get("/v1/models").route(web::get().to(models::models)))
        .service(post("/v1/models/{name}/reload").route(web::post().to(models::reload)))
        .service(get("/startupz").route(web::get().to(readyz::startupz)))
        .service(get("/livez").route(web::get().to(livez::livez)))
        .service(get("/readyz").route(web::get().to(readyz::readyz)))
        .service(get("/metrics").route(web::get().to(metrics::metrics)))
        .default_service(web::to(not_found));
}

fn get(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(only_get))
}

fn post(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(only_post))
}

async fn only_get(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(not_allowed(&request, "GET"))
}

async fn only_post(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(not_allowed(&request, "POST"))
}

fn not_allowed(request: &HttpRequest, allowed: &'static str) -> ApiError {
    ApiError::MethodNotAllowed { method: crate::error::shorten(request.method().as_str()), allowed }
}
