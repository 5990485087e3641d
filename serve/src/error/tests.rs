//! What clients are told, and what they are not.

use super::*;

#[test]
fn an_internal_failure_keeps_its_text_to_itself() {
    let response = ApiError::Internal("secret path".into()).error_response();
    assert_eq!(response.status(), 500);
    let body = format!("{:?}", response.into_body());
    assert!(!body.contains("secret"));
}

#[test]
fn a_full_service_says_when_to_try_again() {
    let busy = Busy::Clips { found: 30, most: 20, retry_after_s: 7 };
    let response = ApiError::Busy(busy).error_response();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "7");
    assert_eq!(response.headers().get("content-type").unwrap(), PROBLEM_JSON);
}

#[test]
fn repeated_text_is_bounded() {
    assert_eq!(shorten("a\nb"), "a\u{fffd}b");
    assert_eq!(shorten(&"x".repeat(1000)).chars().count(), 65);
}
