//! Several tasks on a video that is decoded once. That it is, and that each sees what it would see alone, is shown where frames can
//! be counted: in the tests of `media`.

use std::io::Write;

use serde_json::{Value, json};

use crate::client::{TestServer, fixture, head, read};

const LOCALIZER: &str = "../../../crates/engine/tests/fixtures/localizer";

fn all() -> TestServer {
    with(&[])
}

/// `tiny`, the localizer and the detector.
fn with(flags: &[&str]) -> TestServer {
    let [localizer, detector] = [LOCALIZER, "detector"].map(|name| fixture(name).to_str().unwrap().to_owned());
    let mut all = vec!["--bundle", localizer.as_str(), "--bundle", detector.as_str()];
    all.extend(flags);
    TestServer::start(&all)
}

/// The answers of the tasks, without the times that they took.
fn untimed(mut answer: Value) -> Value {
    for task in answer.as_object_mut().unwrap().values_mut() {
        assert!(task.as_object_mut().unwrap().remove("timing").is_some(), "{task}");
    }
    answer
}

#[test]
fn each_task_answers_as_its_own_route_does() {
    let server = all();
    for video in ["halves.mp4", "red.mp4"].map(read) {
        let answer = server.post("/v1/predict", &video);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let alone = ["classify", "localize", "detect"]
            .map(|task| (task.to_owned(), server.post(&format!("/v1/{task}"), &video).untimed()));
        assert_eq!(untimed(answer.json()), Value::Object(alone.into_iter().collect()));
    }
    // Once alone and once together, for both videos.
    for model in ["tiny", "localizer", "detector"] {
        assert_eq!(server.metric(&format!("unscene_decode_seconds_count{{model=\"{model}\"}}")), 4.0);
    }
    assert_eq!(server.metric("unscene_requests_total{route=\"/v1/predict\",status=\"200\"}"), 2.0);
}

#[test]
fn tasks_and_their_parameters_come_from_the_query_and_from_a_form() {
    let server = all();
    let video = read("halves.mp4");
    let query = "tasks=detect,classify&classify.top_k=1&classify.clips=true&detect.every=4&detect.tubes=1&detect.threshold=0.97";
    let answer = untimed(server.post(&format!("/v1/predict?{query}"), &video).json());
    let classify = server.post("/v1/classify?top_k=1&clips=true", &video).untimed();
    let detect = server.post("/v1/detect?every=4&tubes=1&threshold=0.97", &video).untimed();
    assert_eq!(answer, json!({ "classify": classify, "detect": detect }));
    let parts: [(&str, &[u8]); 8] = [
        ("tasks", b"classify,detect"),
        ("classify.top_k", b"1"),
        ("classify.model", b"tiny"),
        ("video", &video),
        ("classify.clips", b"true"),
        ("detect.every", b"4"),
        ("detect.tubes", b"1"),
        ("detect.threshold", b"0.97"),
    ];
    assert_eq!(untimed(server.post_form("/v1/predict", &parts).json()), answer);
    // Without `tasks`, those that there is a model for.
    let server = TestServer::start(&[]);
    let answer = server.post("/v1/predict", &video).json();
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["classify"]);
}

#[test]
fn an_answer_can_be_explained_here_too() {
    let server = TestServer::start_with("maps", &["--bundle", fixture("detector").to_str().unwrap()]);
    let video = read("halves.mp4");
    let answer = server.post("/v1/predict?classify.explain=cam&classify.top_k=2", &video).json();
    let alone = server.post("/v1/classify?explain=cam&top_k=2", &video).json();
    assert_eq!(answer["classify"]["explanations"].as_array().unwrap().len(), 2);
    assert_eq!(answer["classify"]["explanations"], alone["explanations"]);
}

#[test]
fn a_task_that_fails_leaves_the_others_alone() {
    let server = TestServer::start(&["--bundle", fixture("crowd").to_str().unwrap()]);
    let video = read("red.mp4");
    let answer = server.post("/v1/predict?detect.threshold=0", &video);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["classify"]["predictions"][0]["label"], "red");
    assert_eq!(answer["detect"].as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
    let error = &answer["detect"]["error"];
    assert_eq!((&error["status"], &error["type"]), (&413.into(), &"urn:unscene:problem:answer-too-large".into()));
    assert!(error["detail"].as_str().unwrap().contains("application/x-ndjson"), "{error}");
    assert_eq!(server.metric("unscene_decode_seconds_count{model=\"tiny\"}"), 1.0);
    assert_eq!(server.metric("unscene_decode_seconds_count{model=\"crowd\"}"), 0.0);
    // When nothing is left, the request has failed.
    server.post("/v1/predict?tasks=detect&detect.threshold=0", &video).assert_problem(413, "more than 250000 boxes");
    server.assert_unharmed();
}

#[test]
fn a_bad_video_is_the_fault_of_no_task() {
    let server = all();
    for (body, status, words) in [
        (b"".to_vec(), 400, "empty"),
        (b"This is a letter.".to_vec(), 415, "the uploaded video"),
        (read("audio.m4a"), 422, "video stream"),
        // Large enough for a file, whose path is nobody's business.
        (b"not a video ".repeat(1 << 19), 415, "the uploaded video"),
    ] {
        server.post("/v1/predict", &body).assert_problem(status, words);
    }
    server.assert_unharmed();
    // Found when most of it has been looked at.
    with(&["--max-frames", "39"]).post("/v1/predict", &read("red.mp4")).assert_problem(413, "39");
}

#[test]
fn mistakes_of_a_client_are_named() {
    let server = all();
    let video = read("red.mp4");
    for (query, status, words) in [
        ("tasks=dance", 400, "`tasks` is `dance`; give classify, localize and detect"),
        ("tasks=classify&detect.every=2", 400, "a parameter of detect is given and `tasks` does not ask for it"),
        ("detect.threshold=2", 400, "detect: `threshold` is `2`"),
        ("threshold=1", 400, "unknown parameter `threshold`; known are tasks, classify.model"),
        ("classify.model=detector", 400, "the model `detector` was made to detect"),
        ("localize.model=huge", 404, "no model named `huge` is loaded"),
        ("classify.explain=cam", 400, "export its bundle with --maps"),
    ] {
        server.post(&format!("/v1/predict?{query}"), &video).assert_problem(status, words);
    }
    let form: [(&str, &[u8]); 3] = [("tasks", b"localize"), ("detect.tubes", b"1"), ("video", &video)];
    server.post_form("/v1/predict", &form).assert_problem(400, "`tasks` does not ask for it");
    server.post_form("/v1/predict", &[("top_k", b"1"), ("video", &video)]).assert_problem(400, "a field `top_k`");
    let server = TestServer::start(&[]);
    for query in ["tasks=classify,detect", "detect.every=2"] {
        server.post(&format!("/v1/predict?{query}"), &video).assert_problem(404, "no model that can detect is loaded");
    }
}

#[test]
fn work_that_nobody_waits_for_ends() {
    with(&["--request-timeout-s", "0.3"]).post("/v1/predict", &read("long.mp4")).assert_problem(504, "0.3 s");
    let server = with(&["--queue", "0", "--max-videos", "1"]);
    let video = read("long.mp4");
    let mut stream = server.connect();
    let head = head("POST", "/v1/predict", &[]) + &format!("Content-Length: {}\r\n\r\n", video.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&video).unwrap();
    server.wait_for_metric("unscene_open_videos", 1.0);
    drop(stream);
    server.wait_for_metric("unscene_cancelled_total", 1.0);
    server.wait_for_metric("unscene_open_videos", 0.0);
    for model in ["tiny", "localizer", "detector"] {
        assert_eq!(server.metric(&format!("unscene_clips_total{{model=\"{model}\"}}")), 0.0, "{model} ran to its end");
    }
    server.assert_unharmed();
}
