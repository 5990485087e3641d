//! Jobs whose video is somewhere else, and places that must not be reached.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Mutex, mpsc};

use actix_web::rt::System;
use serde_json::Value;

use unscene_serve::Service;

use crate::client::{PROGRAM, TestServer, fixture, read, send, wait_until};
use crate::faults::Program;

/// Answers to paths; tells of each request's first line.
fn web(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let _the_test_has_ended = sender.send(path.clone());
            answer(&path, &mut stream);
        }
    });
    (address, receiver)
}

fn give(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    // The service may have heard enough.
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// A host with videos, and with redirects to what the path says.
fn videos() -> (SocketAddr, mpsc::Receiver<String>) {
    web(|path, stream| match path.split_once("/to?") {
        Some((_, target)) => give(stream, "302 Found", &format!("Location: {target}\r\n"), b""),
        None if path.contains("red.mp4") => give(stream, "200 OK", "", &read("red.mp4")),
        None if path == "/words" => give(stream, "200 OK", "", &b"no video at all".repeat(9)),
        None if path == "/cut" => {
            give(stream, "200 OK", "Content-Type: video/mp4\r\nTransfer-Encoding: chunked\r\nX-", &[])
        }
        None if path == "/large" => give(stream, "200 OK", "", &vec![0; 2 << 20]),
        None if path == "/round" => give(stream, "302 Found", "Location: /round\r\n", b""),
        None => give(stream, "404 Not Found", "", b"nothing here"),
    })
}

fn start(folder: &Path, flags: &[&str]) -> TestServer {
    TestServer::start(&[&["--jobs", folder.to_str().unwrap()], flags].concat())
}

fn submit(server: &TestServer, url: &str) -> String {
    let accepted = server.send("POST", &format!("/v1/jobs?tasks=classify&url={url}"), &[], &[]);
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let job = accepted.json();
    assert_eq!((job["url"].as_str(), job["parameters"].as_str()), (Some(url), Some("tasks=classify")));
    job["id"].as_str().unwrap().to_owned()
}

fn ended(server: &TestServer, id: &str) -> Value {
    let job = || server.get(&format!("/v1/jobs/{id}")).json();
    wait_until("the job has ended", || ["done", "failed"].contains(&job()["state"].as_str().unwrap()));
    job()
}

/// Fails unless the video of a URL is fetched and looked at.
fn assert_fetched(server: &TestServer, url: &str) {
    let job = ended(server, &submit(server, url));
    assert_eq!(job["result"]["classify"]["predictions"][0]["label"], "red", "{job}");
}

/// Fails unless a job of that URL fails, and says so.
fn assert_fails(server: &TestServer, url: &str, kind: &str, words: &str) {
    let job = ended(server, &submit(server, url));
    assert_eq!(job["error"]["type"], format!("urn:unscene:problem:{kind}"), "{url}: {job}");
    assert!(job["error"]["detail"].as_str().unwrap().contains(words), "{url}: {job}");
}

fn refused(server: &TestServer, url: &str, words: &str) {
    server.send("POST", &format!("/v1/jobs?url={url}"), &[], &[]).assert_problem(400, words);
}

#[test]
fn a_video_is_fetched_from_hosts_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = videos();
    let named = format!("localhost:{}", host.port());
    let server = start(folder.path(), &["--fetch-local-host", &named, "--max-body-mib", "1"]);
    let url = |path: &str| format!("http://{named}{path}");
    assert_fetched(&server, &url("/red.mp4"));
    assert_fetched(&server, &url("/to?/red.mp4"));
    assert_fetched(&server, &url(&format!("/to?{}", url("/to?/red.mp4"))));
    assert_fails(&server, &url("/words"), "not-a-video", "not");
    assert_fails(&server, &url("/nothing"), "not-fetched", "404 Not Found");
    assert_fails(&server, &url("/large"), "too-large", "1048576");
    assert_fails(&server, &url("/round"), "not-fetched", "redirects");
    assert_fails(&server, &url("/cut"), "not-fetched", "");
    refused(&server, "ftp://localhost/red.mp4", "https://");
    refused(&server, "/red.mp4", "cannot be read");
    refused(&server, &format!("http://me:secret@{named}/red.mp4"), "password");
    refused(&server, "s3://videos/red.mp4", "--fetch-bucket");
    let both = server.post(&format!("/v1/jobs?url={}", url("/red.mp4")), &read("red.mp4"));
    both.assert_problem(400, "one of the two");
    assert!(server.get("/v1/jobs").json()["jobs"].as_array().unwrap().iter().all(|job| job["url"].is_string()));
}

#[test]
fn what_only_the_service_can_reach_is_not_reached() {
    let folder = tempfile::tempdir().unwrap();
    // Somebody within, who must hear of nothing.
    let (within, heard) = web(|_, stream| give(stream, "200 OK", "", &read("red.mp4")));
    let (port, all) = (within.port(), ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]);
    let flags = all.map(|host| ["--fetch-host".to_owned(), format!("{host}:{port}")]).concat();
    let (host, _) = videos();
    let outside = format!("localhost:{}", host.port());
    let more = [
        ["--fetch-local-host", outside.as_str()],
        ["--fetch-host", "169.254.169.254"],
        ["--fetch-host", "10.0.0.1"],
        ["--fetch-host", "[fd00:ec2::254]"],
        ["--fetch-host", "[fe80::1]"],
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.concat()).collect();
    let server = start(folder.path(), &flags);
    // Even hosts that are named: addresses at once, names when they are looked up.
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"] {
        refused(&server, &format!("http://{host}:{port}/red.mp4"), "private, local");
    }
    for host in ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "[fe80::1]"] {
        refused(&server, &format!("http://{host}/latest/meta-data"), "private, local");
    }
    let named = format!("http://localhost:{port}/red.mp4");
    // A name is looked at when it is looked up.
    let other = start(&folder.path().join("other"), &["--fetch-host", &format!("localhost:{port}")]);
    assert_fails(&other, &named, "not-fetched", "private, local");
    let both = ["--jobs", "x", "--fetch-host", "localhost:1", "--fetch-local-host", "localhost:2"];
    // A service that fetches nothing says so.
    let nowhere = start(&folder.path().join("nowhere"), &[]);
    refused(&nowhere, &named, "has named no place to fetch from");
    let bundle = fixture("tiny");
    let flags = [&both[..], &["--bundle", bundle.to_str().unwrap(), "--decode-program", PROGRAM]].concat();
    let without_jobs = crate::client::options(&flags[2..]).err().unwrap().to_string();
    assert!(without_jobs.contains("--jobs"), "{without_jobs}");
    let jobs = folder.path().join("both");
    let flags = [&["--jobs", jobs.to_str().unwrap()], &flags[2..]].concat();
    let options = crate::client::options(&flags).unwrap();
    let refused_start = System::new().block_on(async { Service::start(options).err().expect("one cannot be both") });
    let refused_start = refused_start.to_string();
    assert!(refused_start.contains("localhost is named by --fetch-host and by --fetch-local-host"), "{refused_start}");
    // Others are refused by name, whatever they lead to.
    for url in ["http://localhost/red.mp4", "http://example.org/red.mp4", "https://localhost.example.org/a"] {
        refused(&server, url, "--fetch-host");
    }
    // So are redirects.
    for target in [
        format!("http://127.0.0.1:{port}/red.mp4"),
        format!("http://[::1]:{port}/red.mp4"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://example.org/red.mp4".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://example.org".to_owned(),
    ] {
        let url = format!("http://{outside}/to?{target}");
        assert_fails(&server, &url, "not-fetched", "redirects to another URL");
    }
    assert!(heard.try_recv().is_err(), "somebody within was asked");
    let flags = ["--jobs", folder.path().to_str().unwrap(), "--fetch-host", "http://example.org/"];
    let wrong = crate::client::options(&flags).err().unwrap().to_string();
    assert!(wrong.contains("no host"), "{wrong}");
}

#[test]
fn a_job_that_fetches_goes_on_after_a_restart_and_ends_when_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    // Gives nothing the first time, and does not hang up either.
    let unanswered = Mutex::new(vec![]);
    let (host, heard) = web(move |_, stream| {
        let mut unanswered = unanswered.lock().unwrap();
        if unanswered.is_empty() {
            unanswered.push(stream.try_clone().unwrap());
        } else {
            give(stream, "200 OK", "", &read("red.mp4"));
        }
    });
    let named = format!("127.0.0.1:{}", host.port());
    let flags = ["--fetch-local-host", named.as_str()];
    let server = start(folder.path(), &flags);
    let id = submit(&server, &format!("http://{named}/red.mp4"));
    heard.recv().unwrap();
    server.shut_down();
    let server = start(folder.path(), &flags);
    assert_eq!(ended(&server, &id)["result"]["classify"]["predictions"][0]["label"], "red");

    let unanswered = Mutex::new(vec![]);
    let (silent, heard) = web(move |_, stream| unanswered.lock().unwrap().push(stream.try_clone().unwrap()));
    let named = format!("127.0.0.1:{}", silent.port());
    let server = start(&folder.path().join("silent"), &["--fetch-local-host", &named]);
    let id = submit(&server, &format!("http://{named}/red.mp4"));
    heard.recv().unwrap();
    assert_eq!(server.get(&format!("/v1/jobs/{id}")).json()["state"], "running");
    assert_eq!(server.send("DELETE", &format!("/v1/jobs/{id}"), &[], &[]).status, 204);
    // The next one has its turn.
    let next = server.post("/v1/jobs", &read("red.mp4")).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(ended(&server, &next)["state"], "done");
}

#[test]
fn an_object_is_fetched_from_a_bucket_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (store, heard) = web(|path, stream| {
        let is_signed = path.contains("X-Amz-Signature=") && path.contains("X-Amz-Credential=reader%2F");
        match path.split('?').next() {
            Some("/videos/a%20day/red.mp4") if is_signed => give(stream, "200 OK", "", &read("red.mp4")),
            _ => give(stream, "403 Forbidden", "", b""),
        }
    });
    let settings = format!(
        "export AWS_ACCESS_KEY_ID=reader AWS_SECRET_ACCESS_KEY=secret AWS_ENDPOINT_URL_S3=http://127.0.0.1:{}",
        store.port()
    );
    let program = Program::start(&settings, &["--jobs", folder.path().to_str().unwrap(), "--fetch-bucket", "videos"]);
    let post = |url: &str| send(program.connect(), "POST", &format!("/v1/jobs?tasks=classify&url={url}"), &[], &[]);
    let ended = |url: &str| {
        let accepted = post(url);
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        let path = format!("/v1/jobs/{}", accepted.json()["id"].as_str().unwrap());
        let job = || send(program.connect(), "GET", &path, &[], &[]).json();
        wait_until("the job has ended", || ["done", "failed"].contains(&job()["state"].as_str().unwrap()));
        job()
    };
    let job = ended("s3://videos/a%2520day/red.mp4");
    assert_eq!(job["result"]["classify"]["predictions"][0]["label"], "red", "{job}");
    assert!(heard.recv().unwrap().starts_with("/videos/a%20day/red.mp4?X-Amz-"));
    assert_eq!(ended("s3://videos/other.mp4")["error"]["type"], "urn:unscene:problem:not-fetched");
    let more = [
        "s3://videos/red.mp4?versionId=1",
        "s3://me@videos/red.mp4",
        "s3://videos:9/red.mp4",
        "s3://videos/red.mp4%23a",
    ];
    for url in ["s3://others/red.mp4", "s3://videos", "s3://videos/", "s3:///red.mp4"].into_iter().chain(more) {
        post(url).assert_problem(400, "`url`");
    }
    // The store itself is no host that a URL may name.
    post(&format!("http://127.0.0.1:{}/videos/red.mp4", store.port())).assert_problem(400, "--fetch-host");
}
