//! `GET /livez`: the process answers.

use actix_web::HttpResponse;
use serde_json::json;

/// Always 200: a process that cannot answer this should be started again.
pub async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}
