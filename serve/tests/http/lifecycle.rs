//! Clients that leave, a service that is full, and a service that stops.

use std::io::Write;
use std::net::Shutdown;

use crate::client::{Response, TestServer, head, read, wait_until};

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
    let server = TestServer::start(&["--queue", "0", "--max-videos", "1"]);
    let stream = unfinished(&server, &[1; 100_000], 10_000_000);
    server.wait_for_metric("unscene_admitted_requests", 1.0);
    stream.shutdown(Shutdown::Both).unwrap();
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    server.assert_unharmed();
}

#[test]
fn a_client_that_leaves_during_the_work_stops_the_work() {
    let server = TestServer::start(&["--queue", "0", "--max-videos", "1"]);
    let video = read("long.mp4");
    let stream = unfinished(&server, &video, video.len());
    server.wait_for_metric("unscene_open_videos", 1.0);
    drop(stream);
    server.wait_for_metric("unscene_cancelled_total", 1.0);
    server.wait_for_metric("unscene_open_videos", 0.0);
    assert_eq!(server.metric("unscene_clips_total{model=\"tiny\"}"), 0.0, "the work did not run to its end");
    server.assert_unharmed();
}

#[test]
fn a_full_service_refuses_at_once_and_says_when_to_come_back() {
    let server = TestServer::start(&["--queue", "1", "--max-videos", "1"]);
    let uploads = [unfinished(&server, b"a", 1000), unfinished(&server, b"b", 1000)];
    server.wait_for_metric("unscene_admitted_requests", 2.0);
    let response = server.post("/v1/classify", &read("red.mp4"));
    response.assert_problem(429, "full");
    assert!(response.head.contains("retry-after: 1"), "{}", response.head);
    assert_eq!(server.metric("unscene_rejected_total{reason=\"too-many-requests\"}"), 1.0);
    // Tensors stand in the same line.
    let tensors = server.send("POST", "/v2/models/tiny/infer", &[], b"{}");
    tensors.assert_problem(429, "full");
    assert!(tensors.header("retry-after") == Some("1") && tensors.json()["error"].is_string(), "{}", tensors.text());
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
    server.wait_for_metric("unscene_open_videos", 0.0);
    let stream = unfinished(&server, b"slow", 1000);
    Response::read(stream).assert_problem(504, "0.3 s");
}

#[test]
fn requests_at_the_same_time_each_get_their_own_answer() {
    let server = TestServer::start(&["--max-videos", "2"]);
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
    for (method, path) in
        [("GET", "/v2/health/ready"), ("GET", "/v2/models/tiny/ready"), ("POST", "/v2/models/tiny/infer")]
    {
        server.send(method, path, &[], &[]).assert_problem(503, "shutting down");
    }
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_eq!(server.get("/livez").status, 200);
    stream.write_all(rest).unwrap();
    let response = Response::read(stream);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.json()["predictions"][0]["label"], "red");
    stopper.join().unwrap();
    server.shut_down();
}

#[test]
fn a_request_can_ask_for_less_time_and_for_no_more() {
    let server = TestServer::start(&["--request-timeout-s", "30"]);
    let post = |seconds: &str, video: &str| {
        server.send("POST", "/v1/classify", &[("X-Request-Timeout-S", seconds)], &read(video))
    };
    post("0.3", "long.mp4").assert_problem(504, "0.3 s");
    server.wait_for_metric("unscene_open_videos", 0.0);
    assert_eq!(post("1e6", "red.mp4").status, 200);
    for wrong in ["0", "-1", "soon", "nan", "inf"] {
        post(wrong, "red.mp4").assert_problem(400, "x-request-timeout-s");
    }
    assert_eq!(server.metric("unscene_rejected_total{reason=\"timeout\"}"), 1.0);
}

#[test]
fn a_long_video_leaves_room_for_short_ones_and_not_for_another() {
    // One frame is decoded at a time, in turns.
    let server = TestServer::start(&["--queue-clips", "20", "--max-decodes", "1", "--max-videos", "4"]);
    let long = read("long.mp4");
    let stream = unfinished(&server, &long, long.len());
    wait_until("its clips are known", || server.metric("unscene_clips_left") > 20.0);
    // Of the long one, no more clips come before this than it has itself.
    server.assert_unharmed();
    assert_eq!(server.metric("unscene_open_videos"), 1.0, "the long one is not at its end");
    let refused = server.post("/v1/classify", &long);
    refused.assert_problem(429, "clips of other requests come before this one, and at most 20 may");
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert_eq!(server.metric("unscene_rejected_total{reason=\"too-many-clips\"}"), 1.0);
    drop(stream);
    server.wait_for_metric("unscene_clips_left", 0.0);
    server.assert_unharmed();
}

#[test]
fn long_videos_leave_a_slot_for_short_ones() {
    let server = TestServer::start(&["--max-decodes", "1", "--max-videos", "4", "--queue-clips", "100000"]);
    let long = read("long.mp4");
    let streams: Vec<_> = (0..6).map(|_| unfinished(&server, &long, long.len())).collect();
    server.wait_for_metric("unscene_open_videos", 3.0);
    server.wait_for_metric("unscene_admitted_requests", 6.0);
    // The others wait: the fourth slot is not for them.
    server.assert_unharmed();
    assert_eq!(server.metric("unscene_open_videos"), 3.0, "none of the long ones is at its end");
    assert_eq!(server.metric("unscene_wait_seconds_count"), 4.0);
    drop(streams);
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    // Waits that were given up count, too.
    assert_eq!(server.metric("unscene_wait_seconds_count"), 7.0);
}

#[test]
fn videos_share_batches_that_are_never_larger_than_allowed() {
    // Clips wait for each other, so that some of them meet; the answers are those of clips alone.
    let server = TestServer::start(&["--max-batch", "4", "--max-wait-ms", "500", "--max-videos", "8"]);
    let alone = TestServer::start(&[]);
    let video = |at: usize| read(["red.mp4", "blue.mp4", "halves.mp4"][at % 3]);
    let expected: Vec<_> = (0..3).map(|at| alone.post("/v1/classify?clips=true", &video(at)).untimed()).collect();
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (server, expected) = (&server, &expected);
            scope.spawn(move || {
                let found = server.post("/v1/classify?clips=true", &video(at)).untimed();
                assert_eq!(found, expected[at % 3]);
            });
        }
    });
    let clips = server.metric("unscene_clips_total{model=\"tiny\"}");
    let batches = server.metric("unscene_batch_clips_count{model=\"tiny\"}");
    let bucket = |le: usize| server.metric(&format!("unscene_batch_clips_bucket{{model=\"tiny\",le=\"{le}\"}}"));
    assert_eq!(server.metric("unscene_batch_clips_sum{model=\"tiny\"}"), clips);
    assert!(batches < clips, "{clips} clips in {batches} batches");
    assert_eq!(bucket(4), batches, "no batch is larger than 4");
}

/// The decoding processes that may have so much memory: those of other tests have another.
fn workers(memory_mib: &str) -> Vec<u32> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let own = std::process::id();
    let is_worker = |process: &u32| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        read("status").lines().any(|line| line.split_whitespace().eq(["PPid:", &own.to_string()]))
            && read("cmdline").ends_with(&format!("decoding-worker\0{memory_mib}\0"))
    };
    processes.filter(is_worker).collect()
}

#[test]
fn a_decoding_process_that_dies_costs_one_request() {
    let server = TestServer::start(&["--decode-memory-mib", "513"]);
    let video = read("long.mp4");
    let stream = unfinished(&server, &video, video.len());
    server.wait_for_metric("unscene_open_videos", 1.0);
    wait_until("the work has begun", || server.metric("unscene_batch_clips_count{model=\"tiny\"}") > 0.0);
    // It is at work now.
    let processes = workers("513");
    assert!(!processes.is_empty(), "videos are decoded in other processes");
    for process in processes {
        let process = rustix::process::Pid::from_raw(process as i32).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    }
    Response::read(stream)
        .assert_problem(422, "the uploaded video: the file cannot be decoded: its process was ended by signal 9");
    assert!(server.metric("unscene_worker_deaths_total") >= 1.0);
    server.assert_unharmed();
}

#[test]
fn a_program_that_cannot_decode_is_an_error_at_the_start() {
    for program in ["/nowhere", "/bin/true", "/bin/cat"] {
        let flags = ["--bundle", "x", "--addr", "127.0.0.1:0", "--decode-program", program];
        let options = crate::client::options(&flags).unwrap();
        let error = unscene_serve::Service::start(options).err().unwrap().to_string();
        assert!(error.contains("a process to decode in cannot be started"), "{program}: {error}");
    }
}
