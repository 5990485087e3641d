//! `GET /livez`: the process answers.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// How the process is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
}

impl Health {
    /// An answer that says so.
    pub fn answer(status: &'static str) -> HttpResponse {
        HttpResponse::Ok().json(Self { status })
    }
}

/// Always 200: a process that cannot answer this should be started again.
pub async fn livez() -> HttpResponse {
    Health::answer("live")
}
