//! Actors in frames, as one answer and line by line. `detector` sees in each quarter of a frame whether it is red, of which it is
//! sure, or blue, of which it is less sure; `crowd` sees 26,400 boxes in every frame.

use std::io::Write;

use serde_json::{Value, json};

use crate::client::{Lines, TestServer, fixture, head, read};

fn detector() -> TestServer {
    TestServer::start(&["--bundle", fixture("detector").to_str().unwrap()])
}

fn crowd(flags: &[&str]) -> TestServer {
    TestServer::start_with("crowd", flags)
}

/// Label and corners of each box.
fn boxes(frame: &Value) -> Vec<(&str, &Value)> {
    let boxes = frame["boxes"].as_array().unwrap();
    boxes.iter().map(|found| (found["label"].as_str().unwrap(), &found["box"])).collect()
}

/// All lines, of which the last is a summary.
fn whole(lines: Lines) -> (Vec<Value>, Value) {
    assert!(lines.head.starts_with("http/1.1 200"), "{}", lines.head);
    assert!(lines.head.contains("content-type: application/x-ndjson"), "{}", lines.head);
    let mut lines: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let last = lines.pop().unwrap()["summary"].take();
    assert!(last.is_object(), "{last}");
    (lines, last)
}

#[test]
fn the_actors_of_every_frame_are_told() {
    let server = detector();
    let response = server.post("/v1/detect", &read("halves.mp4"));
    assert_eq!(response.status, 200, "{}", response.text());
    let answer = response.json();
    assert_eq!(
        (&answer["model"], &answer["task"], &answer["device"]),
        (&"detector".into(), &"detect".into(), &"cpu".into())
    );
    assert_eq!((&answer["video"]["width"], &answer["video"]["frames"]), (&64.into(), &40.into()));
    assert!(answer.get("tubes").is_none(), "{answer}");
    let frames = answer["frames"].as_array().unwrap();
    assert_eq!(frames.len(), 40);
    let corners =
        [[0, 0, 32, 24], [0, 24, 32, 48], [32, 0, 64, 24], [32, 24, 64, 48]].map(|box_| json!(box_.map(f64::from)));
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame["frame"], number);
        assert!((frame["time_s"].as_f64().unwrap() - number as f64 / 20.0).abs() < 1e-3, "{frame}");
        let mut found = boxes(frame);
        assert_eq!(found.iter().map(|one| one.0).collect::<Vec<_>>(), ["red", "red", "blue", "blue"]);
        found.sort_by_key(|one| one.1.to_string());
        assert_eq!(found.iter().map(|one| one.1).collect::<Vec<_>>(), corners.iter().collect::<Vec<_>>());
        let scores: Vec<f64> =
            frame["boxes"].as_array().unwrap().iter().map(|one| one["score"].as_f64().unwrap()).collect();
        assert!(scores[..2].iter().all(|&red| red > 0.98) && scores[2..].iter().all(|blue| (0.6..0.95).contains(blue)));
        assert_eq!((&frame["boxes"][0]["index"], &frame["boxes"][3]["index"]), (&0.into(), &1.into()));
    }
    assert_eq!(server.metric("unscene_clips_total{model=\"detector\"}"), 40.0);
    assert_eq!(server.metric("unscene_decode_seconds_count{model=\"detector\"}"), 1.0);
    assert_eq!(server.metric("unscene_requests_total{route=\"/v1/detect\",status=\"200\"}"), 1.0);
    server.assert_unharmed();
}

#[test]
fn threshold_every_and_tubes_do_what_they_say() {
    let server = detector();
    let video = read("halves.mp4");
    let answer = server.post("/v1/detect?threshold=0.97&every=3&tubes=true", &video).untimed();
    let frames = answer["frames"].as_array().unwrap();
    assert_eq!(
        frames.iter().map(|frame| frame["frame"].as_u64().unwrap()).collect::<Vec<_>>(),
        (0..40).step_by(3).collect::<Vec<_>>()
    );
    assert!(frames.iter().all(|frame| boxes(frame).iter().map(|one| one.0).eq(["red", "red"])), "{answer}");
    assert_eq!((&answer["video"]["frames"], &answer["video"]["clips"]), (&40.into(), &14.into()));
    // Tubes fill what was not looked at, and those that are surer than the threshold are told.
    let labels = |answer: &Value| -> Vec<String> {
        answer["tubes"].as_array().unwrap().iter().map(|tube| tube["label"].as_str().unwrap().into()).collect()
    };
    assert_eq!(labels(&answer), ["red", "red"]);
    let all = server.post("/v1/detect?every=3&tubes=true", &video).untimed();
    assert_eq!(labels(&all), ["red", "red", "blue", "blue"]);
    for tube in all["tubes"].as_array().unwrap() {
        assert_eq!((&tube["start_frame"], &tube["start_s"]), (&0.into(), &json!(0.0)));
        assert!((tube["end_s"].as_f64().unwrap() - 2.0).abs() < 0.01, "{tube}");
        assert_eq!((tube["boxes"].as_array().unwrap().len(), tube["scores"].as_array().unwrap().len()), (40, 40));
    }
    let parts: [(&str, &[u8]); 5] =
        [("threshold", b"0.97"), ("every", b"3"), ("video", &video), ("tubes", b"1"), ("model", b"detector")];
    assert_eq!(server.post_form("/v1/detect", &parts).untimed(), answer);
    let nothing = server.post("/v1/detect?threshold=1", &video).json();
    assert!(nothing["frames"].as_array().unwrap().iter().all(|frame| boxes(frame).is_empty()));
}

#[test]
fn mistakes_of_a_client_have_their_status_in_both_forms() {
    let server = detector();
    let video = read("red.mp4");
    for (query, body, status, words) in [
        ("threshold=2", &video[..], 400, "`threshold` is `2`; give a number from 0 to 1"),
        ("every=0", &video, 400, "`every` is `0`"),
        ("tubes=all", &video, 400, "`tubes` is `all`; give true or false"),
        ("top_k=1", &video, 400, "unknown parameter `top_k`; known are model, threshold, every, tubes"),
        ("model=huge", &video, 404, "loaded are `tiny` (classify), `detector` (detect)"),
        ("model=tiny", &video, 400, "the model `tiny` was made to classify; POST /v1/classify uses it"),
        ("", b"This is a letter.", 415, "the uploaded video"),
        ("", b"", 400, "empty"),
        ("", &read("audio.m4a"), 422, "video stream"),
    ] {
        let path = format!("/v1/detect?{query}");
        server.post(&path, body).assert_problem(status, words);
        server.send("POST", &path, &[("Accept", "application/x-ndjson")], body).assert_problem(status, words);
    }
    server
        .post("/v1/classify?model=detector", &video)
        .assert_problem(400, "was made to detect; POST /v1/detect uses it");
    server.post_form("/v1/detect", &[("clips", b"1"), ("video", &video)]).assert_problem(400, "a field `clips`");
    assert_eq!(server.get("/v1/detect").status, 405);
    server.get("/v1/detects").assert_problem(404, "/v1/predict and /v1/jobs take a video");
    let models = server.get("/v1/models").json();
    assert_eq!((&models["models"][1]["task"], &models["models"][1]["default"]), (&"detect".into(), &true.into()));
    assert_eq!(server.metric("unscene_cancelled_total"), 0.0);
    server.assert_unharmed();
    let server = TestServer::start(&[]);
    server.post("/v1/detect", &video).assert_problem(404, "no model that can detect is loaded; loaded are `tiny`");
}

#[test]
fn lines_say_what_the_answer_says() {
    let server = detector();
    let video = read("halves.mp4");
    for query in ["tubes=true", "tubes=1&every=7&threshold=0.97", ""] {
        let path = format!("/v1/detect?{query}");
        let mut answer = server.post(&path, &video).untimed();
        let (lines, mut summary) = whole(server.post_for_lines(&path, &video));
        let of = |kind: &str| lines.iter().filter_map(|line| line.get(kind)).cloned().collect::<Vec<_>>();
        let (frames, mut tubes) = (of("frame"), of("tube"));
        assert_eq!(frames.len() + tubes.len(), lines.len());
        assert_eq!(Value::from(frames), answer["frames"].take());
        // The answer has the best first.
        tubes.sort_by(|a, b| b["score"].as_f64().unwrap().total_cmp(&a["score"].as_f64().unwrap()));
        assert_eq!(answer.get("tubes").is_some(), query.contains("tubes"));
        assert_eq!(tubes, answer.get("tubes").and_then(Value::as_array).cloned().unwrap_or_default());
        assert!(summary["timing"]["total_s"].as_f64().unwrap() > 0.0);
        for part in ["model", "task", "engine", "device", "video"] {
            assert_eq!(summary[part].take(), answer[part].take(), "{part}");
        }
    }
    // Every second answer counts like the others.
    assert_eq!(server.metric("unscene_decode_seconds_count{model=\"detector\"}"), 6.0);
    assert_eq!(server.metric("unscene_clips_total{model=\"detector\"}"), 172.0);
    assert_eq!(server.metric("unscene_cancelled_total"), 0.0);
}

#[test]
fn an_answer_that_would_be_too_long_is_refused_and_the_way_out_is_named() {
    let server = crowd(&[]);
    // Ten of its 40 frames have 26,400 boxes each already.
    let response = server.post("/v1/detect?threshold=0", &read("red.mp4"));
    response.assert_problem(413, "more than 250000 boxes");
    response.assert_problem(413, "raise `threshold` or `every`");
    assert_eq!(response.json()["type"], "urn:unscene:problem:answer-too-large");
    let some = server.post("/v1/detect?threshold=0&every=20", &read("red.mp4")).json();
    assert_eq!(
        some["frames"].as_array().unwrap().iter().map(|frame| boxes(frame).len()).collect::<Vec<_>>(),
        [26_400; 2]
    );
    assert_eq!(server.post("/v1/detect", &read("red.mp4")).json()["frames"].as_array().unwrap().len(), 40);
}

#[test]
fn answers_that_nobody_reads_keep_their_places_and_are_ended() {
    let server = crowd(&["--queue", "0", "--max-videos", "2", "--send-timeout-s", "12"]);
    let video = read("red.mp4");
    // 40 MB each, of which the buffers on the way hold some.
    let ask = || {
        let mut stream = server.connect();
        let head = head("POST", "/v1/detect?threshold=0&every=5", &[]);
        stream.write_all((head + &format!("Content-Length: {}\r\n\r\n", video.len())).as_bytes()).unwrap();
        stream.write_all(&video).unwrap();
        stream
    };
    let unread = [ask(), ask()];
    server.wait_for_metric("unscene_clips_total{model=\"crowd\"}", 16.0);
    server.wait_for_metric("unscene_open_videos", 0.0);
    assert_eq!(server.metric("unscene_admitted_requests"), 2.0, "they are not sent yet");
    server.post("/v1/detect", &video).assert_problem(429, "full");
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    assert_eq!(server.post("/v1/detect", &video).status, 200);
    drop(unread);
    // Who reads gets all of it.
    let answer = server.post("/v1/detect?threshold=0&every=5", &video).json();
    assert_eq!(answer["frames"].as_array().unwrap().iter().map(|frame| boxes(frame).len()).sum::<usize>(), 8 * 26_400);
}

#[test]
fn lines_come_while_the_work_goes_on_which_waits_for_a_client_that_does_not_read() {
    let server = crowd(&["--queue", "0", "--max-videos", "2"]);
    let ask = || server.post_for_lines("/v1/detect?threshold=0", &read("red.mp4"));
    // 105 MB, of which the buffers on the way hold less than half.
    let mut stalled = ask();
    assert!(stalled.next().unwrap().starts_with(r#"{"frame":{"frame":0,"time_s":0.0,"boxes":[{"#));
    // The same work for a client that reads ends. With room for its lines, the first would have ended before.
    assert_eq!(ask().count(), 41);
    assert_eq!(server.metric("unscene_clips_total{model=\"crowd\"}"), 40.0);
    assert_eq!(server.metric("unscene_open_videos"), 1.0);
    assert_eq!(server.metric("unscene_in_flight_requests"), 2.0, "this one, and the one that asks");
    assert_eq!(server.metric("unscene_request_seconds_count{route=\"/v1/detect\"}"), 1.0);
    let mut rest: Vec<String> = stalled.map(|line| line[..40].to_owned()).collect();
    assert!(rest.pop().unwrap().starts_with(r#"{"summary":{"model":"crowd""#));
    assert_eq!(rest.len(), 39);
    for (line, number) in rest.iter().zip(1..) {
        assert!(line.starts_with(&format!(r#"{{"frame":{{"frame":{number},"#)), "{line}");
    }
    server.wait_for_metric("unscene_open_videos", 0.0);
    server.wait_for_metric("unscene_in_flight_requests", 1.0);
    assert_eq!(server.metric("unscene_request_seconds_count{route=\"/v1/detect\"}"), 2.0);
    assert_eq!(server.metric("unscene_clips_total{model=\"crowd\"}"), 80.0);
    assert_eq!(server.metric("unscene_cancelled_total"), 0.0);
}

#[test]
fn a_client_that_hangs_up_frees_the_slot() {
    let server = crowd(&["--queue", "0", "--max-videos", "1"]);
    let mut lines = server.post_for_lines("/v1/detect?threshold=0", &read("long.mp4"));
    assert!(lines.next().unwrap().starts_with(r#"{"frame":"#));
    assert_eq!(server.metric("unscene_open_videos"), 1.0);
    drop(lines);
    server.wait_for_metric("unscene_cancelled_total", 1.0);
    server.wait_for_metric("unscene_open_videos", 0.0);
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    assert_eq!(server.metric("unscene_clips_total{model=\"crowd\"}"), 0.0, "the work did not run to its end");
    assert_eq!(server.post("/v1/detect", &read("red.mp4")).status, 200);
}

#[test]
fn what_goes_wrong_after_the_first_line_is_the_last_line() {
    let server = TestServer::start_with("detector", &["--max-frames", "39"]);
    server.post("/v1/detect", &read("red.mp4")).assert_problem(413, "39");
    let lines = server.post_for_lines("/v1/detect", &read("red.mp4"));
    assert!(lines.head.starts_with("http/1.1 200"), "{}", lines.head);
    let mut lines: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let error = lines.pop().unwrap()["error"].take();
    assert_eq!((&error["status"], &error["type"]), (&413.into(), &"urn:unscene:problem:too-large".into()));
    assert!(error["detail"].as_str().unwrap().contains("39"), "{error}");
    assert!(!lines.is_empty() && lines.len() < 40 && lines.iter().all(|line| line.get("frame").is_some()));
    assert_eq!(server.metric("unscene_cancelled_total"), 0.0);
}

#[test]
fn a_stalled_client_keeps_the_slot_until_the_deadline_and_is_told_of_it() {
    let server = crowd(&["--request-timeout-s", "12"]);
    let mut lines = server.post_for_lines("/v1/detect?threshold=0", &read("long.mp4"));
    assert!(lines.next().unwrap().starts_with(r#"{"frame":"#));
    server.wait_for_metric("unscene_open_videos", 0.0);
    let last = lines.last().unwrap();
    let error = serde_json::from_str::<Value>(&last).unwrap()["error"].take();
    assert_eq!((&error["status"], &error["type"]), (&504.into(), &"urn:unscene:problem:timeout".into()), "{last}");
    server.wait_for_metric("unscene_cancelled_total", 1.0);
}

#[test]
fn a_shutdown_waits_for_lines_that_are_being_read() {
    let server = crowd(&[]);
    let mut lines = server.post_for_lines("/v1/detect?threshold=0&every=2", &read("red.mp4"));
    lines.next().unwrap();
    let stop = server.stop.clone();
    let stopper = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move { stop.stop().await });
    });
    while server.get("/readyz").status != 503 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(lines.last().unwrap().starts_with(r#"{"summary":"#));
    stopper.join().unwrap();
    server.shut_down();
}
