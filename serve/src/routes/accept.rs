//! Which kind of answer a client gets, by its `Accept` header (RFC 9110, section 12.5.1).

use std::convert::Infallible;

use actix_web::http::header::{Accept, CACHE_CONTROL, CONTENT_ENCODING, Header, Quality};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt};

use crate::error::ApiError;

/// Media type of an answer in one piece.
pub const JSON: &str = "application/json";
/// Media type of an answer in lines.
pub const LINES_JSON: &str = "application/x-ndjson";
/// Media type of server-sent events.
pub const EVENTS: &str = "text/event-stream";
/// Media type of a picture.
pub const PNG: &str = "image/png";

/// The kind that the client likes best of those that there are, the first where it likes several alike. Browsers take anything,
/// and get the first.
///
/// # Errors
///
/// [`ApiError::NotAcceptable`] when it takes none of them.
pub fn negotiate<'a>(request: &HttpRequest, offered: &[&'a str]) -> Result<&'a str, ApiError> {
    // A header that says nothing that can be read is as good as none.
    let accept = Accept::parse(request).map(|Accept(ranges)| ranges).unwrap_or_default();
    if accept.is_empty() {
        return Ok(offered[0]);
    }
    // The quality of a kind is that of the range that describes it most closely.
    let quality = |kind: &str| {
        let (whole, part) = kind.split_once('/').unwrap_or((kind, ""));
        let fits = accept.iter().filter_map(|range| {
            let closeness = match (range.item.type_().as_str(), range.item.subtype().as_str()) {
                ("*", "*") => 0,
                (main, "*") if main == whole => 1,
                (main, sub) if (main, sub) == (whole, part) => 2,
                _ => return None,
            };
            Some((closeness, range.quality))
        });
        fits.max_by_key(|(closeness, _)| *closeness).map(|(closeness, quality)| (quality, closeness))
    };
    let rated = offered.iter().filter_map(|&kind| Some((quality(kind)?, kind)));
    // Of equals the last would be taken.
    let best = rated.rev().max_by_key(|((quality, closeness), _)| (*quality, *closeness));
    match best {
        Some(((quality, _), kind)) if quality > Quality::ZERO => Ok(kind),
        _ => Err(ApiError::NotAcceptable(offered.join(", "))),
    }
}

/// An answer in server-sent events, which come when they come: compressed, they would wait for each other.
pub fn in_events(events: impl Stream<Item = Bytes> + 'static) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_ENCODING, "identity")).insert_header((CACHE_CONTROL, "no-store"));
    answer.content_type(EVENTS).streaming(events.map(Ok::<_, Infallible>))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn chosen(accept: &str) -> Option<&'static str> {
        let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
        negotiate(&request, &[JSON, PNG]).ok()
    }

    #[test]
    fn the_best_liked_kind_is_chosen() {
        assert_eq!(negotiate(&TestRequest::default().to_http_request(), &[JSON, PNG]).unwrap(), JSON);
        for (accept, expected) in [
            ("*/*", Some(JSON)),
            ("image/png", Some(PNG)),
            ("IMAGE/PNG", Some(PNG)),
            ("image/png, */*", Some(PNG)),
            ("*/*, image/png", Some(PNG)),
            ("image/png;q=0.1, application/json", Some(JSON)),
            ("image/png, */*;q=0.1", Some(PNG)),
            ("image/*", Some(PNG)),
            ("image/png, application/json", Some(JSON)),
            // A browser's.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Some(JSON)),
            ("text/html", None),
            ("application/json;q=0, */*", Some(PNG)),
            ("application/json;q=0, image/png;q=0", None),
            ("nonsense", Some(JSON)),
            ("", Some(JSON)),
        ] {
            assert_eq!(chosen(accept), expected, "{accept}");
        }
    }
}
