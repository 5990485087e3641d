//! What a client gets when everything is right.

use base64::Engine as _;
use unscene_draw::tiny_skia::Pixmap;

use crate::client::{TestServer, padded, read};

#[test]
fn a_raw_body_is_classified() {
    let server = TestServer::start(&[]);
    for (video, label) in [("red.mp4", "red"), ("blue.mp4", "blue")] {
        let response = server.post("/v1/classify", &read(video));
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        assert_eq!(answer["model"], "tiny");
        assert_eq!(answer["device"], "cpu");
        assert_eq!(answer["video"]["width"], 64);
        assert_eq!(answer["video"]["height"], 48);
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 3, "three labels, although top_k is 5");
        assert_eq!(predictions[0]["label"], label);
        let total: f64 = predictions.iter().map(|one| one["score"].as_f64().unwrap()).sum();
        assert!((total - 1.0).abs() < 1e-5, "scores are probabilities: {total}");
    }
}

#[test]
fn a_form_is_classified_like_a_raw_body() {
    let server = TestServer::start(&[]);
    let video = read("red.mp4");
    let raw = server.post("/v1/classify?top_k=2&stride_frames=8&clips=true&model=tiny", &video).json();
    let form = server.post_form(
        "/v1/classify",
        &[("top_k", b"2"), ("video", &video), ("stride_frames", b"8"), ("clips", b"true"), ("model", b"tiny")],
    );
    assert_eq!(form.status, 200, "{}", form.text());
    assert_eq!(form.json()["predictions"], raw["predictions"]);
    assert_eq!(form.json()["clips"], raw["clips"]);
    assert_eq!(raw["predictions"].as_array().unwrap().len(), 2);
}

#[test]
fn clips_come_with_their_times_when_asked_for() {
    let server = TestServer::start(&[]);
    let video = read("red.mp4");
    let without = server.post("/v1/classify", &video).json();
    assert!(without.get("clips").is_none_or(|clips| clips.is_null()));
    let with = server.post("/v1/classify?clips=true", &video).json();
    let clips = with["clips"].as_array().unwrap();
    // 40 frames at 20 per second: two whole clips of 16 and a part of one.
    let starts: Vec<f64> = clips.iter().map(|clip| clip["start_s"].as_f64().unwrap()).collect();
    assert_eq!(starts.len(), 3);
    for (start, expected) in starts.iter().zip([0.0, 0.8, 1.6]) {
        assert!((start - expected).abs() < 1e-3, "{starts:?}");
    }
    assert_eq!(clips[0]["predictions"][0]["label"], "red");
}

#[test]
fn a_large_upload_goes_through_a_file() {
    let server = TestServer::start(&[]);
    let video = padded(6);
    let raw = server.post("/v1/classify", &video);
    assert_eq!(raw.status, 200, "{}", raw.text());
    assert_eq!(raw.json()["predictions"][0]["label"], "red");
    let form = server.post_form("/v1/classify", &[("video", &video)]);
    assert_eq!(form.json()["predictions"], raw.json()["predictions"]);
}

#[test]
fn the_models_and_what_runs_them_are_listed() {
    let server = TestServer::start(&["--max-body-mib", "7"]);
    let answer = server.get("/v1/models").json();
    let model = &answer["models"][0];
    assert_eq!(model["name"], "tiny");
    assert_eq!(model["default"], true);
    assert_eq!(model["task"], "classify");
    assert_eq!(model["device"], "cpu");
    assert_eq!(model["labels"], serde_json::json!(["red", "green", "blue"]));
    assert_eq!(answer["limits"]["max_body_bytes"], 7 << 20);
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["models"][0]["engine"], model["engine"]);
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn every_engine_gives_the_same_answer() {
    let video = read("red.mp4");
    let [first, second] = ["ort", "tract"].map(|engine| {
        let server = TestServer::start(&["--engine", engine]);
        let answer = server.post("/v1/classify", &video).json();
        (answer["engine"].as_str().unwrap().to_owned(), answer["predictions"][0]["score"].as_f64().unwrap())
    });
    assert_ne!(first.0, second.0, "the answer names the engine that ran");
    assert!((first.1 - second.1).abs() < 1e-5, "{first:?} {second:?}");
}

/// The share of red in the left and right half of a picture, as hot as the map made it.
fn redness(png: &[u8]) -> [f64; 2] {
    let picture = Pixmap::decode_png(png).unwrap();
    assert_eq!((picture.width(), picture.height()), (224, 224));
    let share = |left: u32| {
        let mut sums = [0.0; 3];
        for (x, y) in (0..100).flat_map(|x| (0..224).map(move |y| (left + x, y))) {
            let pixel = picture.pixel(x, y).unwrap();
            let channels = [pixel.red(), pixel.green(), pixel.blue()];
            sums.iter_mut().zip(channels).for_each(|(sum, channel)| *sum += f64::from(channel));
        }
        sums[0] / sums.iter().sum::<f64>()
    };
    [share(0), share(124)]
}

#[test]
fn an_answer_is_explained_when_asked_for() {
    let video = read("halves.mp4");
    for engine in ["ort", "tract"] {
        let server = TestServer::start_with("maps", &["--engine", engine]);
        assert_eq!(server.get("/v1/models").json()["models"][0]["explain"], serde_json::json!(["cam"]));
        let plain = server.post("/v1/classify", &video).json();
        assert!(plain.get("explanations").is_none());
        let answer = server.post("/v1/classify?explain=cam&top_k=2", &video).json();
        let explanations = answer["explanations"].as_array().unwrap();
        assert_eq!(explanations.len(), 2, "{answer}");
        // Red speaks for red on the left, where the picture is red, and not on the right; blue the other way round.
        for one in explanations {
            assert!(answer["predictions"].as_array().unwrap().iter().any(|best| best["label"] == one["label"]));
            assert!(one["frame_s"].as_f64().unwrap() < one["end_s"].as_f64().unwrap());
            let png = base64::engine::general_purpose::STANDARD.decode(one["png"].as_str().unwrap()).unwrap();
            let [left, right] = redness(&png);
            match one["label"].as_str().unwrap() {
                "red" => assert!(left > 0.7 && right < 0.2, "red: {left} {right}"),
                "blue" => assert!(left > 0.9 && right > 0.3, "blue: {left} {right}"),
                other => panic!("{other} is not in the picture"),
            }
        }
        // The picture of the best class alone.
        let picture = server.send("POST", "/v1/classify?explain=cam", &[("Accept", "image/png")], &video);
        let png = base64::engine::general_purpose::STANDARD.decode(explanations[0]["png"].as_str().unwrap()).unwrap();
        assert_eq!((picture.status, &picture.body), (200, &png));
    }
    let server = TestServer::start(&[]);
    server.post("/v1/classify?explain=cam", &video).assert_problem(400, "export its bundle with --maps");
}

#[test]
fn what_happened_is_counted() {
    let server = TestServer::start(&[]);
    let video = read("red.mp4");
    server.post("/v1/classify", &video);
    server.get("/nowhere/at/all");
    assert_eq!(server.metric("unscene_requests_total{route=\"/v1/classify\",status=\"200\"}"), 1.0);
    assert_eq!(server.metric("unscene_requests_total{route=\"unmatched\",status=\"404\"}"), 1.0);
    assert_eq!(server.metric("unscene_clips_total{model=\"tiny\"}"), 3.0);
    assert_eq!(server.metric("unscene_received_bytes_total"), video.len() as f64);
    assert_eq!(server.metric("unscene_decode_seconds_count{model=\"tiny\"}"), 1.0);
    assert_eq!(server.metric("unscene_inference_seconds_count{model=\"tiny\"}"), 1.0);
    assert_eq!(server.metric("unscene_queue_depth{model=\"tiny\"}"), 0.0);
    assert_eq!(server.metric("unscene_admitted_requests"), 0.0);
    assert_eq!(server.metric("unscene_cancelled_total"), 0.0);
}

#[test]
fn an_answer_with_too_many_predictions_is_refused_before_the_video_ends() {
    let server = TestServer::start_with("many", &[]);
    // 6,000 clips of 1,000 classes each, were it looked at to its end.
    let long = read("long.mp4");
    let response = server.post("/v1/classify?clips=true&stride_frames=1&top_k=1000", &long);
    response.assert_problem(413, "more than 250000 predictions of clips");
    response.assert_problem(413, "lower `top_k`");
    let run = server.metric("unscene_batch_clips_sum{model=\"many\"}");
    assert!((250.0..1000.0).contains(&run), "{run} clips were run");
    // A short video may be asked as much.
    let answer = server.post("/v1/classify?clips=true&stride_frames=1&top_k=1000", &read("red.mp4"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let clips = answer["clips"].as_array().unwrap();
    assert_eq!(clips.len(), 40, "one begins with each of its frames");
    assert!(clips.iter().all(|clip| clip["predictions"].as_array().unwrap().len() == 1000));
}
