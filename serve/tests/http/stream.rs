//! Videos that are sent while they are filmed.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::client::{TestServer, head, read};

/// A request whose body comes in chunks, and its answer.
struct Call {
    body: TcpStream,
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Call {
    fn begin(server: &TestServer, query: &str) -> Self {
        let mut body = server.connect();
        let head = head("POST", &format!("/v1/stream{query}"), &[]) + "Transfer-Encoding: chunked\r\n\r\n";
        body.write_all(head.as_bytes()).unwrap();
        let lines = BufReader::new(body.try_clone().unwrap()).lines();
        Self { body, lines }
    }

    fn send(&mut self, part: &[u8]) {
        let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
        self.body.write_all(&chunk).unwrap();
    }

    fn end(&mut self) {
        self.body.write_all(b"0\r\n\r\n").unwrap();
    }

    /// The next event: its name, and what it tells.
    fn event(&mut self) -> (String, Value) {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        let name = lines.find_map(|line| line.strip_prefix("event: ").map(str::to_owned)).expect("an event");
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("what it tells");
        let mut told: Value = serde_json::from_str(&data).unwrap();
        (name.clone(), told[&name].take())
    }
}

/// Sends a video whole; its events.
fn all_events(server: &TestServer, query: &str, video: &str) -> Vec<(String, Value)> {
    let mut call = Call::begin(server, query);
    call.send(&read(video));
    call.end();
    let mut events = vec![];
    loop {
        events.push(call.event());
        if ["summary", "error"].contains(&events.last().unwrap().0.as_str()) {
            return events;
        }
    }
}

#[test]
fn what_is_seen_is_told_while_the_video_comes() {
    let server = TestServer::start(&[]);
    for video in ["live.ts", "live.mp4", "live.webm"] {
        let mut call = Call::begin(&server, "?top_k=1");
        let bytes = read(video);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        call.send(first);
        // The first half has not ended, and something of it is known.
        let (name, clip) = call.event();
        assert_eq!((name.as_str(), clip["predictions"][0]["label"].as_str()), ("clip", Some("red")), "{video}");
        assert!(clip["delay_s"].as_f64().unwrap() >= 0.0 && clip["dropped"].is_u64(), "{clip}");
        call.send(second);
        call.end();
        let (mut seen, mut dropped, mut last) = (1, clip["dropped"].as_u64().unwrap(), clip);
        let summary = loop {
            let (name, told) = call.event();
            if name != "clip" {
                assert_eq!(name, "summary", "{told}");
                break told;
            }
            assert!(told["start_s"].as_f64() > last["start_s"].as_f64(), "{told} comes after {last}");
            (seen, dropped, last) = (seen + 1, dropped + told["dropped"].as_u64().unwrap(), told);
        };
        assert_eq!(last["predictions"][0]["label"], "blue", "{video}");
        // 200 frames are 12 clips and a half.
        assert_eq!((seen + dropped, summary["video"]["clips"].as_u64()), (13, Some(seen)), "{video}: {summary}");
        assert_eq!((summary["dropped"].as_u64(), summary["video"]["frames"].as_u64()), (Some(dropped), Some(200)));
        let share = summary["dropped_share"].as_f64().unwrap();
        assert!((share - dropped as f64 / 13.0).abs() < 1e-9, "{summary}");
    }
    server.wait_for_metric("unscene_streams", 0.0);
    assert!(server.metric("unscene_stream_clips_total{fate=\"seen\"}") >= 3.0);
    assert!(server.metric("unscene_stream_delay_seconds_count") >= 3.0);
}

#[test]
fn a_detector_tells_of_frames() {
    let server = TestServer::start_with("detector", &[]);
    let events = all_events(&server, "?every=2&threshold=0.5", "live.ts");
    let (frames, last) = events.split_at(events.len() - 1);
    assert_eq!(last[0].0, "summary", "{:?}", last[0]);
    let sent: u64 = frames.iter().map(|(_, frame)| 1 + frame["dropped"].as_u64().unwrap()).sum();
    assert_eq!(sent, 100, "every second one is looked at or passed over");
    let (name, first) = &frames[0];
    assert_eq!((name.as_str(), first["boxes"][0]["label"].as_str()), ("frame", Some("red")), "{first}");
    assert!(frames.iter().all(|(_, frame)| frame["frame"].as_u64().unwrap() % 2 == 0));
}

#[test]
fn what_cannot_be_a_stream_is_refused() {
    let server = TestServer::start(&["--max-streams", "1", "--decode-timeout-s", "6"]);
    let post = |query: &str, body: &[u8]| server.post(&format!("/v1/stream{query}"), body);
    post("", &b"no video at all ".repeat(100)).assert_problem(415, "not a known media format");
    post("", b"").assert_problem(415, "");
    post("?task=localize", b"").assert_problem(400, "give classify or detect");
    post("?every=2", b"").assert_problem(400, "`every` is not for classify");
    post("?task=detect", b"").assert_problem(404, "no model that can detect");
    // Its index is at its end, and it cannot be gone back in.
    post("", &read("long.mp4")).assert_problem(415, "has its index at its end");
    let accept = [("Accept", "image/png")];
    server.send("POST", "/v1/stream", &accept, b"").assert_problem(406, "text/event-stream");
    server.wait_for_metric("unscene_streams", 0.0);
    // No more than there may be.
    let mut call = Call::begin(&server, "");
    call.send(&read("live.ts")[..20_000]);
    call.event();
    let other = server.post("/v1/stream", &read("live.ts"));
    other.assert_problem(429, "--max-streams");
    // One that brings nothing for long is ended, and told so.
    let (name, told) = loop {
        let (name, told) = call.event();
        if name != "clip" {
            break (name, told);
        }
    };
    assert_eq!((name.as_str(), &told["type"]), ("error", &Value::from("urn:unscene:problem:slow-upload")), "{told}");
    server.wait_for_metric("unscene_streams", 0.0);
    assert_eq!(all_events(&server, "", "live.ts").last().unwrap().0, "summary");
    TestServer::start(&["--max-streams", "0"]).post("/v1/stream", &read("live.ts")).assert_problem(429, "0 videos");
}

#[test]
fn a_client_that_leaves_ends_the_work_and_a_shutdown_ends_the_stream_well() {
    let server = TestServer::start(&["--max-streams", "2"]);
    let part = &read("live.ts")[..20_000];
    let mut call = Call::begin(&server, "");
    call.send(part);
    call.event();
    assert_eq!(server.metric("unscene_streams"), 1.0);
    drop(call);
    server.wait_for_metric("unscene_streams", 0.0);

    let mut call = Call::begin(&server, "");
    call.send(part);
    call.event();
    let (sender, ended) = mpsc::channel();
    let reader = thread::spawn(move || {
        let (name, _) = loop {
            let event = call.event();
            if event.0 != "clip" {
                break event;
            }
        };
        sender.send(name).unwrap();
    });
    server.shut_down();
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)).unwrap(), "summary");
    reader.join().unwrap();
}

#[test]
fn a_stream_ends_well_when_its_time_is_over() {
    let server = TestServer::start_with("detector", &["--max-stream-s", "1"]);
    // The model says what is done.
    let mut call = Call::begin(&server, "?model=detector");
    call.send(&read("live.ts")[..40_000]);
    let mut last = call.event();
    while last.0 == "frame" {
        last = call.event();
    }
    assert_eq!(last.0, "summary", "{}", last.1);
    server.wait_for_metric("unscene_streams", 0.0);
    assert_eq!(server.metric("unscene_cancelled_total"), 0.0);
}

#[test]
fn events_that_the_client_does_not_take_are_dropped_and_counted() {
    // Each of its events has two megabytes.
    let server = TestServer::start_with("crowd", &[]);
    let mut call = Call::begin(&server, "?threshold=0");
    let of = |fate: &str| server.metric(&format!("unscene_stream_clips_total{{fate=\"{fate}\"}}"));
    let video = read("live.ts");
    // The system keeps some of them for the client.
    for _ in 0..1000 {
        call.send(&video);
        if of("untold") > 0.0 {
            break;
        }
    }
    call.end();
    server.wait_for_metric("unscene_streams", 0.0);
    assert!(of("untold") > 0.0, "{} seen", of("seen"));
    // Those that were not told count in the next that is, or were the last.
    let mut told = 0;
    loop {
        let (name, frame) = call.event();
        if name != "frame" {
            assert_eq!(name, "summary");
            break;
        }
        told += 1;
        assert!(frame["boxes"].as_array().unwrap().len() > 10_000);
    }
    assert_eq!(told as f64, of("seen") - of("untold"));
}
