//! Models of both tasks side by side. The localizer finds red and lime in what is otherwise black; see the engine's tests.

use crate::client::{TestServer, fixture, read};

const LOCALIZER: &str = "../../../crates/engine/tests/fixtures/localizer";

fn both() -> TestServer {
    TestServer::start(&["--bundle", fixture(LOCALIZER).to_str().unwrap()])
}

#[test]
fn a_video_is_localized_from_a_body_and_from_a_form() {
    let server = both();
    let video = read("red.mp4");
    let raw = server.post("/v1/localize?max_segments=3&threshold=0.9&stride_frames=8&tiou_nms=0.5", &video);
    assert_eq!(raw.status, 200, "{}", raw.text());
    let answer = raw.json();
    assert_eq!(
        (&answer["model"], &answer["task"], &answer["device"]),
        (&"localizer".into(), &"localize".into(), &"cpu".into())
    );
    assert_eq!(answer["video"]["width"], 64);
    let segments = answer["segments"].as_array().unwrap();
    assert_eq!(segments.len(), 3, "{answer}");
    for one in segments {
        let number = |name: &str| one[name].as_f64().unwrap();
        assert_eq!((&one["label"], &one["index"]), (&"red".into(), &0.into()));
        assert!(number("score") >= 0.9 && number("start_s") < number("end_s") && number("end_s") <= 2.001, "{one}");
    }
    assert!(answer["timing"]["total_s"].as_f64().unwrap() > 0.0);

    let parts: [(&str, &[u8]); 6] = [
        ("max_segments", b"3"),
        ("threshold", b"0.9"),
        ("video", &video),
        ("stride_frames", b"8"),
        ("tiou_nms", b"0.5"),
        ("model", b"localizer"),
    ];
    let form = server.post_form("/v1/localize", &parts);
    assert_eq!(form.json()["segments"], answer["segments"], "{}", form.text());
    // 2 s at 10 per second are 20 frames: windows from 0 and 8; by default from 0 and 16.
    assert_eq!(server.metric("unscene_clips_total{model=\"localizer\"}"), 4.0);
    server.post("/v1/localize", &video);
    assert_eq!(server.metric("unscene_clips_total{model=\"localizer\"}"), 6.0);
    assert_eq!(server.metric("unscene_requests_total{route=\"/v1/localize\",status=\"200\"}"), 3.0);
    server.assert_unharmed();
}

#[test]
fn each_route_takes_the_models_of_its_task() {
    let server = both();
    let video = read("red.mp4");
    let models = server.get("/v1/models").json();
    let tasks: Vec<_> =
        (0..2).map(|index| (&models["models"][index]["task"], &models["models"][index]["default"])).collect();
    assert_eq!(tasks, [(&"classify".into(), &true.into()), (&"localize".into(), &true.into())]);
    assert_eq!(models["models"][1]["explain"], serde_json::json!([]));

    server
        .post("/v1/localize?model=tiny", &video)
        .assert_problem(400, "the model `tiny` was made to classify; POST /v1/classify uses it");
    server
        .post_form("/v1/classify", &[("model", b"localizer"), ("video", &video)])
        .assert_problem(400, "the model `localizer` was made to localize; POST /v1/localize uses it");
    server
        .post("/v1/localize?model=huge", &video)
        .assert_problem(404, "loaded are `tiny` (classify), `localizer` (localize)");
    server.assert_unharmed();

    let server = TestServer::start(&[]);
    server.post("/v1/localize", &video).assert_problem(404, "no model that can localize is loaded; loaded are `tiny`");
}

#[test]
fn mistakes_of_a_client_are_named() {
    let server = both();
    let video = read("red.mp4");
    for (query, words) in [
        ("threshold=2", "`threshold` is `2`; give a number from 0 to 1"),
        ("tiou_nms=x", "`tiou_nms`"),
        ("max_segments=0", "`max_segments`"),
        ("stride_frames=0", "`stride_frames`"),
        ("top_k=1", "unknown parameter `top_k`; known are model, threshold"),
    ] {
        server.post(&format!("/v1/localize?{query}"), &video).assert_problem(400, words);
    }
    server.post_form("/v1/localize", &[("top_k", b"1"), ("video", &video)]).assert_problem(400, "a field `top_k`");
    server.post("/v1/localize", b"This is a letter.").assert_problem(415, "the uploaded video");
    server.post("/v1/localize", &read("audio.m4a")).assert_problem(422, "video stream");
    assert_eq!(server.get("/v1/localize").status, 405);
    server.assert_unharmed();
}

#[test]
fn work_that_nobody_waits_for_ends() {
    let server = TestServer::start(&["--bundle", fixture(LOCALIZER).to_str().unwrap(), "--request-timeout-s", "0.3"]);
    server.post("/v1/localize", &read("long.mp4")).assert_problem(504, "0.3 s");
    // That it ends early, and not at the end of the video, is shown where windows can be counted: in the engine's tests.
    server.wait_for_metric("unscene_open_videos", 0.0);
}
