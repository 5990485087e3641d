//! A server on port 0 with the bundle `tiny`, and an HTTP client of a few lines that can misbehave where a well-made
//! one cannot.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;
use unscene_serve::{ServeOptions, Service, StopHandle};

/// The form boundary of [`form`].
pub const BOUNDARY: &str = "----boundary-of-the-tests";

/// The program of the service, which decodes: tests cannot be workers themselves.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_unscene-serve");

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: ServeOptions,
}

/// The red video, made longer by so many mebibytes: MP4 readers skip what follows the last box when it is a `free` box.
pub fn padded(mib: u32) -> Vec<u8> {
    let (mut video, padding) = (read("red.mp4"), mib << 20);
    video.extend_from_slice(&padding.to_be_bytes());
    video.extend_from_slice(b"free");
    video.resize(video.len() + padding as usize - 8, 0);
    video
}

/// Waits until something is so; fails after a time that only a broken server needs.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came about that {what}");
}

/// The settings that flags give.
pub fn options(flags: &[&str]) -> Result<ServeOptions, clap::Error> {
    Ok(Cli::try_parse_from(["test"].iter().chain(flags))?.options)
}

/// A running server; it stops when dropped.
pub struct TestServer {
    pub addr: SocketAddr,
    pub stop: StopHandle,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// Starts a server with the bundle `tiny` and further flags.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_with("tiny", flags)
    }

    /// Starts a server with another bundle.
    pub fn start_with(bundle: &str, flags: &[&str]) -> Self {
        let bundle = fixture(bundle);
        let bundle = ["--bundle", bundle.to_str().expect("a path in UTF-8")];
        let server = Self::begin(&[&bundle, flags].concat());
        server.wait_until_started();
        server
    }

    /// Starts a server and does not wait until its models are loaded.
    pub fn begin(flags: &[&str]) -> Self {
        let base = ["--addr", "127.0.0.1:0", "--device", "cpu", "--decode-program", PROGRAM];
        let options = options(&[&base, flags].concat()).expect("flags that there are");
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let service = Service::start(options).expect("the service starts");
                sender.send((service.addr(), service.stop_handle())).expect("the test waits");
                service.serve().await.expect("the service ends well");
            });
        });
        let (addr, stop) = receiver.recv().expect("the service starts");
        Self { addr, stop, thread: Some(thread) }
    }

    /// Waits until the models are loaded.
    pub fn wait_until_started(&self) {
        wait_until("the models are loaded", || self.get("/startupz").status == 200);
    }

    /// Stops the server as a signal would, and waits until it has ended.
    pub fn shut_down(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let stop = self.stop.clone();
            actix_web::rt::System::new().block_on(async move { stop.stop().await });
            thread.join().expect("the server's thread ends well");
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout can be set");
        stream
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], &[])
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Response {
        self.send("POST", path, &[("Content-Type", "video/mp4")], body)
    }

    pub fn post_form(&self, path: &str, parts: &[(&str, &[u8])]) -> Response {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send("POST", path, &[("Content-Type", &kind)], &form(parts))
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        send(self.connect(), method, path, headers, body)
    }

    /// Asks for an answer in lines.
    pub fn post_for_lines(&self, path: &str, body: &[u8]) -> Lines {
        let mut stream = self.connect();
        let head = head("POST", path, &[("Accept", "application/x-ndjson")]);
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).expect("a head is read");
        stream.write_all(body).expect("a body is read");
        Lines::of(stream)
    }

    /// The value of a metric, by its name with labels; 0 when it is not there yet.
    pub fn metric(&self, name: &str) -> f64 {
        let response = self.get("/metrics");
        let text = String::from_utf8(response.body).expect("metrics are text");
        let prefix = format!("{name} ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Waits until a metric has a value; fails after a time that only a broken server needs.
    pub fn wait_for_metric(&self, name: &str, value: f64) {
        for _ in 0..3000 {
            if self.metric(name) == value {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{name} never became {value}; it is {}", self.metric(name));
    }

    /// Fails unless the server classifies the red video as red.
    pub fn assert_unharmed(&self) {
        let response = self.post("/v1/classify", &read("red.mp4"));
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["predictions"][0]["label"], "red");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// Sends a request, and reads its answer.
pub fn send(mut stream: TcpStream, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let head = head(method, path, headers) + &format!("Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).expect("the server reads the head");
    // The server may refuse a body before it has read it all; its answer is what counts.
    let _refused = stream.write_all(body);
    Response::read(stream)
}

/// A request's first lines, without the blank one.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// A multipart body.
pub fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, data) in parts {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// An answer.
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// Reads until the server closes.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut data = Vec::new();
        if let Err(error) = stream.read_to_end(&mut data) {
            assert!(!data.is_empty(), "no answer: {error}");
        }
        let end = data.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(data[..end].to_vec()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: data[end + 4..].to_vec() }
    }

    /// What is answered, without the times that it took.
    pub fn untimed(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        let mut answer = self.json();
        assert!(answer.as_object_mut().expect("an object").remove("timing").is_some(), "{answer}");
        answer
    }

    /// A header's value, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Fails unless the answer is a problem document of that status whose detail contains `words`.
    pub fn assert_problem(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:unscene:problem:")));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        let detail = problem["detail"].as_str().expect("a problem has a detail");
        assert!(detail.contains(words), "`{detail}` does not say `{words}`");
        assert!(!detail.contains("/proc/"), "`{detail}` names a path of the server");
    }
}

/// An answer that is read line by line, as it comes.
pub struct Lines {
    pub head: String,
    stream: BufReader<TcpStream>,
    /// What has come of the next lines.
    begun: Vec<u8>,
}

impl Lines {
    fn of(stream: TcpStream) -> Self {
        let (mut stream, mut head) = (BufReader::new(stream), String::new());
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).expect("a head is text") > 0, "half a head: {head}");
        }
        Self { head: head.to_ascii_lowercase(), stream, begun: vec![] }
    }

    /// The next chunk of the body; false at its end.
    fn read_chunk(&mut self) -> bool {
        let mut size = String::new();
        self.stream.read_line(&mut size).expect("a chunk has a size");
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("the answer broke off: {size:?}"));
        let end = self.begun.len() + size;
        self.begun.resize(end + 2, 0);
        self.stream.read_exact(&mut self.begun[end - size..]).expect("a chunk is whole");
        self.begun.truncate(end);
        size > 0
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
                let rest = self.begun.split_off(end + 1);
                let line = std::mem::replace(&mut self.begun, rest);
                return Some(String::from_utf8(line).expect("a line is text"));
            }
            if !self.read_chunk() {
                assert!(self.begun.is_empty(), "half a line: {}", String::from_utf8_lossy(&self.begun));
                return None;
            }
        }
    }
}
