//! What a client gets when something is wrong, and that the next client does not notice.

use crate::client::{TestServer, read};

/// Posts `body` raw and as a form, expects the problem both times, and then a right answer to a right request.
fn refuses(server: &TestServer, body: &[u8], status: u16, words: &str) {
    server.post("/v1/classify", body).assert_problem(status, words);
    server.post_form("/v1/classify", &[("video", body)]).assert_problem(status, words);
    server.assert_unharmed();
}

#[test]
fn what_is_not_a_video_is_refused() {
    let server = TestServer::start(&[]);
    refuses(&server, b"", 400, "empty");
    refuses(&server, b"This is a letter, not a video.\n".repeat(40).as_slice(), 415, "the uploaded video");
    refuses(&server, &read("image.png"), 415, "the uploaded video");
    refuses(&server, &read("image.jpg"), 415, "the uploaded video");
    refuses(&server, &[0; 5000], 415, "the uploaded video");
}

#[test]
fn a_large_file_that_is_not_a_video_is_refused_by_the_name_of_the_upload() {
    let server = TestServer::start(&[]);
    refuses(&server, &b"not a video ".repeat(1 << 19), 415, "the uploaded video");
}

#[test]
fn a_playlist_cannot_open_another_file() {
    let server = TestServer::start(&[]);
    let target = crate::client::fixture("red.mp4");
    let target = target.display();
    let scripts = [
        format!("ffconcat version 1.0\nfile '{target}'\nduration 2\n"),
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{target}\n#EXT-X-ENDLIST\n"),
        format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"><Period><AdaptationSet>\
             <Representation id=\"0\"><BaseURL>file://{target}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ),
        format!("v=0\no=- 0 0 IN IP4 127.0.0.1\ns={target}\nm=video 9 RTP/AVP 96\n"),
    ];
    for script in scripts {
        refuses(&server, script.as_bytes(), 415, "the uploaded video");
    }
}

#[test]
fn media_without_a_usable_video_is_refused() {
    let server = TestServer::start(&[]);
    refuses(&server, &read("audio.m4a"), 422, "video stream");
    // The index of this file is at its end, and is what goes missing.
    let video = read("red.mp4");
    refuses(&server, &video[..video.len() / 2], 422, "the uploaded video");
}

#[test]
fn a_header_that_claims_a_huge_picture_is_refused_before_it_is_allocated() {
    let server = TestServer::start(&[]);
    // FFmpeg's raw video in AVI: the picture's size is two numbers in the header.
    refuses(&server, &huge_avi(60_000, 60_000), 413, "60000");
}

#[test]
fn each_limit_is_named() {
    let video = read("red.mp4");
    for (flag, value, words) in
        [("--max-duration-s", "1.5", "1.5"), ("--max-pixels", "3071", "3071"), ("--max-frames", "39", "39")]
    {
        let server = TestServer::start(&[flag, value]);
        server.post("/v1/classify", &video).assert_problem(413, words);
        server.post_form("/v1/classify", &[("video", &video)]).assert_problem(413, words);
        assert_eq!(server.get("/livez").status, 200);
    }
    let server = TestServer::start(&["--max-duration-s", "2.1", "--max-pixels", "3072", "--max-frames", "40"]);
    server.assert_unharmed();
}

#[test]
fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
    let server = TestServer::start(&["--max-body-mib", "1"]);
    let body = vec![7; (1 << 20) + 1];
    refuses(&server, &body, 413, "1048576 bytes");
    let mut chunked = Vec::new();
    for chunk in body.chunks(1 << 16) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut stream = server.connect();
    let head = crate::client::head("POST", "/v1/classify", &[("Transfer-Encoding", "chunked")]) + "\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let _refused = std::io::Write::write_all(&mut stream, &chunked);
    crate::client::Response::read(stream).assert_problem(413, "1048576 bytes");
    server.assert_unharmed();
}

#[test]
fn a_wrong_form_is_refused() {
    let server = TestServer::start(&[]);
    let video = read("red.mp4");
    server.post_form("/v1/classify", &[("file", &video)]).assert_problem(400, "`file`");
    server.post_form("/v1/classify", &[("top_k", b"1")]).assert_problem(400, "no field `video`");
    server.post_form("/v1/classify", &[("video", &video), ("video", &video)]).assert_problem(400, "more than one");
    server.post_form("/v1/classify", &[("video", &video), ("top_k", b"0")]).assert_problem(400, "`top_k`");
    server.post_form("/v1/classify", &[("top_k", &[b'1'; 5000])]).assert_problem(400, "`top_k`");
    let no_boundary = server.send("POST", "/v1/classify", &[("Content-Type", "multipart/form-data")], &video);
    no_boundary.assert_problem(400, "multipart");
    let not_a_form = [("Content-Type", "multipart/form-data; boundary=x")];
    server.send("POST", "/v1/classify", &not_a_form, b"hello").assert_problem(400, "multipart");
    server.assert_unharmed();
}

#[test]
fn a_wrong_query_is_refused() {
    let server = TestServer::start(&[]);
    let video = read("red.mp4");
    for (query, status, words) in [
        ("model=huge", 404, "no model named `huge` is loaded; loaded are `tiny`"),
        ("topk=3", 400, "`topk`"),
        ("top_k=many", 400, "`many`"),
        ("top_k=0", 400, "`top_k`"),
        ("stride_frames=0", 400, "`stride_frames`"),
        ("clips=perhaps", 400, "`perhaps`"),
        ("top_k=1&top_k=2", 400, "more than once"),
    ] {
        server.post(&format!("/v1/classify?{query}"), &video).assert_problem(status, words);
    }
    server.post_form("/v1/classify", &[("model", b"huge"), ("video", &video)]).assert_problem(404, "`huge`");
    server.assert_unharmed();
}

#[test]
fn a_wrong_path_or_method_is_refused() {
    let server = TestServer::start(&[]);
    server.get("/v2/classify").assert_problem(404, "/v2/classify");
    let response = server.get("/v1/classify");
    response.assert_problem(405, "POST");
    assert!(response.head.contains("allow: post"), "{}", response.head);
    let response = server.post("/readyz", b"");
    response.assert_problem(405, "GET");
    assert!(response.head.contains("allow: get"), "{}", response.head);
}

/// An AVI file of one uncompressed frame that claims `width` x `height`.
fn huge_avi(width: u32, height: u32) -> Vec<u8> {
    fn chunk(id: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut out = id.to_vec();
        out.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
        out.extend_from_slice(data);
        if data.len() % 2 == 1 {
            out.push(0);
        }
        out
    }
    fn list(kind: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
        chunk(b"LIST", &[kind.to_vec(), parts.concat()].concat())
    }
    let words = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    // AVIMAINHEADER, AVISTREAMHEADER and BITMAPINFOHEADER: 25 frames per second, ten frames, Motion JPEG.
    let main = words(&[40_000, 0, 0, 0x10, 10, 0, 1, 0, width, height, 0, 0, 0, 0]);
    let stream = [b"vidsMJPG".to_vec(), words(&[0, 0, 0, 1, 25, 0, 10, 0, 0, 0, 0, 0])].concat();
    let format = [words(&[40, width, height]), vec![1, 0, 24, 0], b"MJPG".to_vec(), words(&[0, 0, 0, 0, 0])].concat();
    let header =
        list(b"hdrl", &[chunk(b"avih", &main), list(b"strl", &[chunk(b"strh", &stream), chunk(b"strf", &format)])]);
    let movie = list(b"movi", &(0..10).map(|_| chunk(b"00dc", &[0xff, 0xd8, 0xff, 0xd9])).collect::<Vec<_>>());
    chunk(b"RIFF", &[b"AVI ".to_vec(), header, movie].concat())
}

#[test]
fn a_compressed_body_and_a_wrong_timeout_are_named() {
    let server = TestServer::start(&[]);
    let ask = |header| server.send("POST", "/v1/classify", &[header], &read("red.mp4"));
    ask(("Content-Encoding", "gzip"))
        .assert_problem(415, "the header content-encoding is `gzip`; send the body without");
    assert_eq!(ask(("Content-Encoding", "identity")).status, 200);
    let wrong = ask(("X-Request-Timeout-S", "0"));
    wrong.assert_problem(
        400,
        "x-request-timeout-s: 0 is out of range: give a number of seconds above 0 and at most a year",
    );
}
