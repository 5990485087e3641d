//! Traces, as a collector gets them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use crate::client::{head, read};
use crate::faults::Program;

/// Takes what is sent until its channel is dropped: the first lines of a request, and its body.
fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || take(stream.unwrap(), &sender));
        }
    });
    (address, receiver)
}

/// Answers the requests of a connection.
fn take(mut stream: TcpStream, sender: &mpsc::Sender<(String, Vec<u8>)>) {
    let mut data = vec![];
    let mut some = [0; 4096];
    loop {
        let read = stream.read(&mut some).unwrap_or(0);
        if read == 0 {
            return;
        }
        data.extend_from_slice(&some[..read]);
        let Some(end) = data.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(data[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
        if data.len() < end + 4 + length {
            continue;
        }
        let rest = data.split_off(end + 4 + length);
        let _the_test_has_ended = sender.send((head, data.split_off(end + 4)));
        data = rest;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    }
}

fn has(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_request_is_a_span_of_its_clients_trace_and_the_last_are_sent_at_the_end() {
    let (address, received) = collector();
    let mut service = Program::start("", &["--otlp-endpoint", &format!("http://{address}")]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let video = read("red.mp4");
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let length = video.len().to_string();
    let lines = head("POST", "/v1/classify", &[("traceparent", &parent), ("Content-Length", &length)]);
    let mut stream = service.connect();
    stream.write_all(format!("{lines}\r\n").as_bytes()).unwrap();
    stream.write_all(&video).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // What is not sent yet is sent before it ends.
    let pid = rustix::process::Pid::from_child(&service.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    let mut all = vec![];
    // It has ended, so that everything it sent has been answered.
    while let Ok((head, body)) = received.try_recv() {
        assert!(head.starts_with("post /v1/traces "), "{head}");
        all.extend(body);
    }
    let trace: Vec<u8> =
        (0..trace.len()).step_by(2).map(|at| u8::from_str_radix(&trace[at..at + 2], 16).unwrap()).collect();
    assert!(has(&all, &trace), "the trace of the client");
    for part in [
        "unscene",
        "POST /v1/classify",
        "upload",
        "look at the header",
        "wait for a slot",
        "decode and infer",
        "inference_s",
    ] {
        assert!(has(&all, part.as_bytes()), "{part}");
    }
}

#[test]
fn an_address_that_is_none_is_refused() {
    for (given, words) in
        [("collector:4318", "is no address for traces"), ("https://collector", "is no address for traces")]
    {
        let error = crate::client::options(&["--bundle", "x", "--otlp-endpoint", given]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let options = crate::client::options(&["--bundle", "x", "--otlp-endpoint", "http://collector:4318/"]).unwrap();
    assert_eq!(options.otlp_endpoint.as_deref(), Some("http://collector:4318/v1/traces"));
}
