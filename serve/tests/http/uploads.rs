//! Videos in parts, by the tus protocol.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Response, TestServer, head, padded, read, send, wait_until};
use crate::faults::Program;

const PART: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const VERSION: (&str, &str) = ("Tus-Resumable", "1.0.0");

fn start(folder: &Path, flags: &[&str]) -> TestServer {
    TestServer::start(&[&["--jobs", folder.to_str().unwrap()], flags].concat())
}

/// What speaks with a service.
type Ask<'a> = &'a dyn Fn(&str, &str, &[(&str, &str)], &[u8]) -> Response;

/// Begins an upload; its path.
fn create(ask: Ask, query: &str, bytes: usize) -> String {
    let length = bytes.to_string();
    let begun = ask("POST", &format!("/v1/uploads{query}"), &[VERSION, ("Upload-Length", &length)], &[]);
    assert_eq!((begun.status, begun.header("tus-resumable")), (201, Some("1.0.0")), "{}", begun.text());
    assert!(begun.header("upload-expires").unwrap().ends_with("gmt"), "{}", begun.head);
    begun.header("location").unwrap().to_owned()
}

fn append(ask: Ask, path: &str, offset: usize, part: &[u8]) -> Response {
    ask("PATCH", path, &[VERSION, PART, ("Upload-Offset", &offset.to_string())], part)
}

fn offset(ask: Ask, path: &str) -> usize {
    let found = ask("HEAD", path, &[VERSION], &[]);
    assert_eq!((found.status, found.header("cache-control")), (200, Some("no-store")), "{}", found.head);
    found.header("upload-offset").unwrap().parse().unwrap()
}

fn when_done(ask: Ask, path: &str) -> Value {
    let job = || ask("GET", path, &[], &[]).json();
    wait_until("the job is done", || job()["state"] == "done");
    job()
}

fn uploads(folder: &Path) -> usize {
    fs::read_dir(folder.join("uploads")).unwrap().count()
}

#[test]
fn a_video_that_comes_in_parts_is_a_job_when_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let ask: Ask = &|method, path, headers, body| server.send(method, path, headers, body);
    let video = read("halves.mp4");
    let query = "?tasks=classify&classify.top_k=2";
    let path = create(ask, query, video.len());
    let middle = video.len() / 2;
    let answer = append(ask, &path, 0, &video[..middle]);
    assert_eq!((answer.status, answer.header("upload-offset")), (204, Some(middle.to_string().as_str())));
    assert_eq!(offset(ask, &path), middle);
    // Only the next part is taken, and no more than there is to be.
    append(ask, &path, 0, &video).assert_problem(409, &format!("{middle} have come"));
    append(ask, &path, middle, &[&video[middle..], b"more"].concat()).assert_problem(400, "lacks");
    assert_eq!(offset(ask, &path), middle);
    let answer = append(ask, &path, middle, &video[middle..]);
    assert_eq!((answer.status, answer.header("upload-offset")), (204, Some(video.len().to_string().as_str())));
    let job = path.replace("uploads", "jobs");
    assert_eq!(answer.header("content-location"), Some(job.as_str()));
    let done = when_done(ask, &job);
    assert_eq!((&done["parameters"], &done["bytes"]), (&json!(query[1..]), &json!(video.len())));
    let whole = server.post("/v1/predict?tasks=classify&classify.top_k=2", &video).json();
    assert_eq!(done["result"]["classify"]["predictions"], whole["classify"]["predictions"]);
    // Who did not hear the last answer can ask again.
    assert_eq!(offset(ask, &path), video.len());
    assert_eq!(append(ask, &path, video.len(), b"").header("content-location"), Some(job.as_str()));
    ask("DELETE", &path, &[VERSION], &[]).assert_problem(404, "no upload");
    assert_eq!(server.metric("unscene_jobs_total{state=\"accepted\"}"), 1.0);
    assert_eq!(uploads(folder.path()), 0);
}

#[test]
fn a_broken_connection_costs_nothing_that_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let ask: Ask = &|method, path, headers, body| server.send(method, path, headers, body);
    let video = padded(4);
    let path = create(ask, "", video.len());
    let mut broken = server.connect();
    let lines = head("PATCH", &path, &[VERSION, PART, ("Upload-Offset", "0")]);
    broken.write_all(format!("{lines}Content-Length: {}\r\n\r\n", video.len()).as_bytes()).unwrap();
    broken.write_all(&video[..3 << 20]).unwrap();
    wait_until("most of it has come", || offset(ask, &path) >= 2 << 20);
    append(ask, &path, offset(ask, &path), b"").assert_problem(423, "comes already");
    ask("DELETE", &path, &[VERSION], &[]).assert_problem(423, "comes already");
    drop(broken);
    wait_until("the rest of what was sent is written", || offset(ask, &path) == 3 << 20);
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    let came = offset(ask, &path);
    let kept = fs::read(folder.path().join(path.replace("/v1/", "") + ".part")).unwrap();
    assert!(kept == video[..came], "what is kept is what was sent");
    assert_eq!(append(ask, &path, came, &video[came..]).status, 204);
    let done = when_done(ask, &path.replace("uploads", "jobs"));
    assert_eq!(done["result"]["classify"]["predictions"][0]["label"], "red");
}

#[test]
fn what_has_come_is_kept_when_the_time_of_a_request_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--request-timeout-s", "1"]);
    let ask: Ask = &|method, path, headers, body| server.send(method, path, headers, body);
    let video = read("halves.mp4");
    let path = create(ask, "", video.len());
    let mut slow = server.connect();
    let lines = head("PATCH", &path, &[VERSION, PART, ("Upload-Offset", "0")]);
    slow.write_all(format!("{lines}Content-Length: {}\r\n\r\n", video.len()).as_bytes()).unwrap();
    slow.write_all(&video[..1000]).unwrap();
    Response::read(slow).assert_problem(504, "1 s");
    assert_eq!(offset(ask, &path), 1000);
    // A client that may only POST.
    let post = |method, offset: &str, body| {
        let headers = [VERSION, PART, ("Upload-Offset", offset), ("X-HTTP-Method-Override", method)];
        ask("POST", &path, &headers, body)
    };
    assert_eq!(post("PATCH", "1000", &video[1000..1500]).status, 204);
    assert_eq!(offset(ask, &path), 1500);
    assert_eq!(post("DELETE", "", &[]).status, 204);
    ask("POST", &path, &[], &[]).assert_problem(405, "HEAD, PATCH, DELETE");
    assert_eq!(uploads(folder.path()), 0);
}

#[test]
fn an_upload_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--jobs", folder.path().to_str().unwrap()];
    let mut program = Program::start("", &flags);
    let video = read("blue.mp4");
    let ask = |stream: TcpStream, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        send(stream, method, path, headers, body)
    };
    let before: Ask = &|method, path, headers, body| ask(program.connect(), method, path, headers, body);
    let path = create(before, "", video.len());
    assert_eq!(append(before, &path, 0, &video[..1000]).status, 204);
    // One that is complete and has not become a job yet, as if the end had come between the two.
    let other = create(before, "", video.len());
    let file = folder.path().join(other.replace("/v1/", "") + ".part");
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    fs::write(&file, &video).unwrap();
    let program = Program::start("", &flags);
    let after: Ask = &|method, path, headers, body| ask(program.connect(), method, path, headers, body);
    assert_eq!(offset(after, &path), 1000);
    assert_eq!(append(after, &path, 1000, &video[1000..]).status, 204);
    assert_eq!(offset(after, &other), video.len());
    for path in [path, other] {
        let done = when_done(after, &path.replace("uploads", "jobs"));
        assert_eq!(done["result"]["classify"]["predictions"][0]["label"], "blue");
    }
    wait_until("no video is left", || uploads(folder.path()) == 0);
}

#[test]
fn what_cannot_be_an_upload_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--max-body-mib", "4", "--jobs-max-mib", "3"]);
    let ask: Ask = &|method, path, headers, body| server.send(method, path, headers, body);
    let begin = |query: &str, headers: &[(&str, &str)]| ask("POST", &format!("/v1/uploads{query}"), headers, &[]);
    begin("", &[VERSION]).assert_problem(400, "upload-length is not there");
    begin("", &[VERSION, ("Upload-Length", "many")]).assert_problem(400, "`many`");
    begin("", &[VERSION, ("Upload-Length", "0")]).assert_problem(400, "0");
    begin("", &[("Tus-Resumable", "0.2.2"), ("Upload-Length", "9")]).assert_problem(412, "speaks version 1.0.0");
    begin("", &[VERSION, ("Upload-Length", "5000000")]).assert_problem(413, "4194304 at most");
    begin("", &[VERSION, ("Upload-Length", "4000000")]).assert_problem(413, "3145728");
    begin("?tasks=dance", &[VERSION, ("Upload-Length", "9")]).assert_problem(400, "tasks");
    begin("?tasks=detect", &[VERSION, ("Upload-Length", "9")]).assert_problem(404, "no model that can detect");
    begin("?url=http://a.org", &[VERSION, ("Upload-Length", "9")]).assert_problem(400, "POST /v1/jobs");
    assert_eq!(uploads(folder.path()), 0);

    // Uploads keep the space that they are to take.
    let path = create(ask, "", 2_000_000);
    begin("", &[VERSION, ("Upload-Length", "2000000")]).assert_problem(503, "all the space");
    ask("PATCH", &path, &[VERSION, ("Upload-Offset", "0")], b"video").assert_problem(415, "offset+octet-stream");
    ask("PATCH", &path, &[VERSION, PART], b"video").assert_problem(400, "upload-offset");
    assert_eq!(ask("DELETE", &path, &[VERSION], &[]).status, 204);
    append(ask, &path, 0, b"video").assert_problem(404, "no upload");
    assert_eq!(ask("HEAD", &path, &[VERSION], &[]).status, 404);
    // What is no video is told when it is complete, and goes.
    let words = b"this is no video, however long one looks at it".repeat(10);
    let path = create(ask, "", words.len());
    append(ask, &path, 0, &words).assert_problem(415, "not");
    append(ask, &path, 0, &words).assert_problem(404, "no upload");
    assert_eq!(uploads(folder.path()), 0);
    let told = ask("OPTIONS", "/v1/uploads", &[], &[]);
    assert_eq!((told.status, told.header("tus-max-size")), (204, Some("3145728")));
    assert_eq!(told.header("tus-extension"), Some("creation,termination,expiration"));
    TestServer::start(&[]).send("OPTIONS", "/v1/uploads", &[], &[]).assert_problem(404, "--jobs DIR");
}

#[test]
fn an_upload_is_of_the_key_that_it_came_with_and_tells_what_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.toml");
    let both = ["shop", "mill"].map(|name| crate::access::key(name, name, "scopes = [\"predict\"]"));
    fs::write(&keys, both.concat()).unwrap();
    let server = start(folder.path(), &["--api-keys", keys.to_str().unwrap()]);
    let by = |key: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let key = format!("Bearer {key}");
        server.send(method, path, &[headers, &[("Authorization", key.as_str())]].concat(), body)
    };
    let metadata = ("Upload-Metadata", "filename cmVkLm1wNA==");
    let begun = by("shop", "POST", "/v1/uploads", &[VERSION, ("Upload-Length", "9"), metadata], &[]);
    let path = begun.header("location").unwrap();
    let mine = by("shop", "HEAD", path, &[VERSION], &[]);
    assert_eq!((mine.status, mine.header("upload-metadata")), (200, Some(metadata.1.to_ascii_lowercase().as_str())));
    assert_eq!(by("mill", "HEAD", path, &[VERSION], &[]).status, 404);
    let part = [VERSION, PART, ("Upload-Offset", "0")];
    by("mill", "PATCH", path, &part, b"video").assert_problem(404, "no upload");
    by("mill", "DELETE", path, &[VERSION], &[]).assert_problem(404, "no upload");
    server.send("POST", "/v1/uploads", &[VERSION, ("Upload-Length", "9")], &[]).assert_problem(401, "API key");
}
