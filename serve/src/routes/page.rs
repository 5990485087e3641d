//! `GET /` and `GET /page/{file}`: a page for people, which speaks with the other routes as any client does. Its files are a part of
//! the program, carry nothing secret, and ask no other host for anything.

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header, IfNoneMatch, PERMISSIONS_POLICY, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

use super::resource;
use crate::error::{ApiError, shorten};

/// The path of the page.
pub const PAGE: &str = "/";
/// What the paths of its files begin with.
pub const FILES: &str = "/page/";

/// What the page may load in a browser: its own code, answers of its service, and the videos that it is given.
const MAY_LOAD: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                        media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                        frame-ancestors 'none'";
/// What it may use of the device.
const MAY_USE: &str = "camera=(self), microphone=(), geolocation=(), display-capture=()";

/// A file of the page.
struct File {
    kind: &'static str,
    bytes: &'static [u8],
    tag: EntityTag,
}

/// Files of the folder `serve/page`, with their names.
macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../page/", $name)).as_slice())),*]
    };
}

/// By their names.
static PAGE_FILES: LazyLock<HashMap<&str, File>> = LazyLock::new(|| {
    let files = files! {
        "index.html" "style.css" "icon.svg"
        "api.js" "bars.js" "camera.js" "dom.js" "heat.js" "jobs.js" "keep.js" "key.js" "main.js" "overlay.js"
        "player.js" "programs.js" "results.js" "run.js" "settings.js" "source.js" "timeline.js"
    };
    let tagged = files.map(|(name, bytes)| {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        // Weak, since a compressed answer has the same one.
        (name, File { kind: kind(name), bytes, tag: EntityTag::new_weak(hash) })
    });
    HashMap::from(tagged)
});

/// Media type of a file.
fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

/// Registers the page and its files. They are for people: `/openapi.json` does not describe them.
pub fn configure(config: &mut ServiceConfig) {
    let allowed = "GET, HEAD";
    config
        .service(resource(PAGE, allowed).route(web::get().to(page)).route(web::head().to(page)))
        .service(resource("/page/{file}", allowed).route(web::get().to(file)).route(web::head().to(file)));
}

/// `GET /`.
async fn page(request: HttpRequest) -> HttpResponse {
    answer(&request, &PAGE_FILES["index.html"])
}

/// `GET /page/{file}`.
async fn file(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let unknown = || ApiError::NoSuchRoute(format!("`{}`", shorten(request.path())));
    Ok(answer(&request, PAGE_FILES.get(name.as_str()).ok_or_else(unknown)?))
}

/// The file, or that the client has it already.
fn answer(request: &HttpRequest, file: &File) -> HttpResponse {
    let is_known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&file.tag)),
        Err(_) => false,
    };
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    let tag = file.tag.to_string();
    let headers = [
        (ETAG, tag.as_str()),
        // Asked for each time, and sent when another version of the service has another one.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, MAY_LOAD),
        (PERMISSIONS_POLICY, MAY_USE),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for header in headers {
        response.insert_header(header);
    }
    if is_known { response.finish() } else { response.content_type(file.kind).body(file.bytes) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let there = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let served: BTreeSet<String> = PAGE_FILES.keys().map(|name| (*name).to_owned()).collect();
        assert_eq!(there.collect::<BTreeSet<_>>(), served);
    }
}
