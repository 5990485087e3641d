//! Clients that leave, a service that is full, and a service that stops.

use std::io::Write;
use std::net::Shutdown;

use crate::client::{Response, TestServer, head, read};

/// Sends the start of a request that announces more body than it sends.
fn unfinished(server: &TestServer, body: &[u8], announced: usize) -> std::net::TcpStream {
    let mut stream = server.connect();
    let head = head("POST", "/v1/classify", &[]) + &format!("Content-Length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

#[test]
fn a_client_that_leaves_during_its_upload_frees_its_place() {
    let server = TestServer::start(&["--queue", "0", "--max-decodes", "1"]);
    let stream = unfinished(&server, &[1; 100_000], 10_000_000);
    server.wait_for_metric("unscene_admitted_requests", 1.0);
    stream.shutdown(Shutdown::Both).unwrap();
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    server.assert_unharmed();
}

#[test]
fn a_client_that_leaves_during_the_work_stops_the_work() {
    let server = TestServer::start(&["--queue", "0", "--max-decodes", "1"]);
    let video = read("long.mp4");
    let stream = unfinished(&server, &video, video.len());
    server.wait_for_metric("unscene_decoding_videos", 1.0);
    drop(stream);
    server.wait_for_metric("unscene_cancelled_total", 1.0);
    server.wait_for_metric("unscene_decoding_videos", 0.0);
    assert_eq!(server.metric("unscene_clips_total{model=\"tiny\"}"), 0.0, "the work did not run to its end");
    server.assert_unharmed();
}

#[test]
fn a_full_service_refuses_at_once_and_says_when_to_come_back() {
    let server = TestServer::start(&["--queue", "1", "--max-decodes", "1"]);
    let uploads = [unfinished(&server, b"a", 1000), unfinished(&server, b"b", 1000)];
    server.wait_for_metric("unscene_admitted_requests", 2.0);
    let response = server.post("/v1/classify", &read("red.mp4"));
    response.assert_problem(503, "full");
    assert!(response.head.contains("retry-after: 1"), "{}", response.head);
    assert_eq!(server.get("/readyz").status, 200, "a busy service is still ready");
    drop(uploads);
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    server.assert_unharmed();
}

#[test]
fn a_request_that_takes_too_long_is_cancelled() {
    let server = TestServer::start(&["--request-timeout-s", "0.3"]);
    let response = server.post("/v1/classify", &read("long.mp4"));
    response.assert_problem(504, "0.3 s");
    server.wait_for_metric("unscene_decoding_videos", 0.0);
    let stream = unfinished(&server, b"slow", 1000);
    Response::read(stream).assert_problem(504, "0.3 s");
}

#[test]
fn requests_at_the_same_time_each_get_their_own_answer() {
    let server = TestServer::start(&["--max-decodes", "2"]);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for turn in 0..4 {
                    let colour = if (worker + turn) % 2 == 0 { "red" } else { "blue" };
                    let answer = server.post("/v1/classify", &read(&format!("{colour}.mp4"))).json();
                    assert_eq!(answer["predictions"][0]["label"], colour);
                }
            });
        }
    });
}

#[test]
fn a_shutdown_drops_what_does_not_end_in_time() {
    let server = TestServer::start(&["--shutdown-timeout-s", "0.2"]);
    let mut stream = unfinished(&server, b"slow", 1000);
    server.wait_for_metric("unscene_admitted_requests", 1.0);
    // Ends although the upload does not.
    server.shut_down();
    let mut answer = Vec::new();
    let _reset = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_shutdown_finishes_the_requests_in_flight() {
    let server = TestServer::start(&[]);
    let video = read("red.mp4");
    let (first, rest) = video.split_at(1000);
    let mut stream = unfinished(&server, first, video.len());
    server.wait_for_metric("unscene_admitted_requests", 1.0);
    let stop = server.stop.clone();
    let stopper = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move { stop.stop().await });
    });
    // Draining: not ready, no new work, and the old request still runs.
    while server.get("/readyz").status != 503 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    server.get("/readyz").assert_problem(503, "shutting down");
    server.post("/v1/classify", &video).assert_problem(503, "shutting down");
    assert_eq!(server.get("/livez").status, 200);
    stream.write_all(rest).unwrap();
    let response = Response::read(stream);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.json()["predictions"][0]["label"], "red");
    stopper.join().unwrap();
    server.shut_down();
}
