//! Hundreds of requests, one in five of them hostile, to the program itself: every good one is answered, and in the end it has no
//! more threads, open files and memory than before. `make soak` does the same with thousands, and more kinds of both.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::client::{BOUNDARY, form, head, read, wait_until};
use crate::faults::Program;

const REQUESTS: usize = 400;
/// After so many it has all that it keeps.
const WARM: usize = 100;
const CLIENTS: usize = 4;
/// Of an upload, padded.
const BODY: usize = 256 << 10;
/// What the allocator may keep more of in the end than when it was warm. If only each hostile request after that left its upload
/// behind, it would be 60 times 256 KiB.
const MOST_GROWTH_KIB: u64 = 12 << 10;
/// Processes that decode: one for each video that is open, and one that looks at headers. Each is one open file, from when it is needed.
const WORKERS: usize = 3;

#[test]
fn good_requests_among_hostile_ones_are_answered_and_nothing_is_left_of_either() {
    let program = Program::start("", &["--max-videos", "2", "--max-decodes", "1"]);
    program.assert_unharmed();
    let first = Usage::of(&program);
    ask_all(program.addr, 0..WARM);
    let warm = Usage::of(&program);
    ask_all(program.addr, WARM..REQUESTS);
    // Threads that wait for work end after ten seconds.
    wait_until("there are as many threads as after the first request", || Usage::of(&program).threads <= first.threads);
    wait_until("there are as many open files", || Usage::of(&program).files < first.files + WORKERS);
    let last = Usage::of(&program);
    let growth = last.resident_kib.saturating_sub(warm.resident_kib);
    assert!(growth < MOST_GROWTH_KIB, "{growth} KiB more than when it was warm: {warm:?}, {last:?}");
    program.assert_unharmed();
}

/// What a process has.
#[derive(Debug)]
struct Usage {
    threads: usize,
    files: usize,
    resident_kib: u64,
}

impl Usage {
    fn of(program: &Program) -> Self {
        let folder = format!("/proc/{}", program.child.id());
        let count = |what: &str| fs::read_dir(format!("{folder}/{what}")).expect("it runs").count();
        let status = fs::read_to_string(format!("{folder}/status")).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        let resident_kib = resident.trim().trim_end_matches("kB").trim().parse().expect("a number");
        Self { threads: count("task"), files: count("fd"), resident_kib }
    }
}

/// Makes these requests, several at a time.
fn ask_all(addr: SocketAddr, numbers: Range<usize>) {
    let next = AtomicUsize::new(numbers.start);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        number if number >= numbers.end => break,
                        number if number.is_multiple_of(5) => harm(addr, number / 5),
                        number => ask(addr, number),
                    }
                }
            });
        }
    });
}

/// A good request.
fn ask(addr: SocketAddr, number: usize) {
    let colour = ["red", "blue"][number % 2];
    let video =
        if number.is_multiple_of(3) { read(&format!("{colour}.mp4")) } else { padded(&format!("{colour}.mp4")) };
    let form_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let answer = match number % 4 {
        0 => post(addr, "/v1/classify?clips=true", &[("Content-Type", &form_type)], &form(&[("video", &video)])),
        1 => post(addr, "/v1/classify?stride_frames=4", &[], &video),
        _ => post(addr, "/v1/classify", &[], &video),
    };
    let answer = answer.unwrap_or_else(|| panic!("request {number} has no answer"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "request {number}: {answer}");
    let best = answer.find("\"label\":\"").map(|at| &answer[at + 9..]).expect("a label");
    assert!(best.starts_with(colour), "request {number} of {colour}: {answer}");
}

/// A hostile one.
fn harm(addr: SocketAddr, number: usize) {
    let video = padded("red.mp4");
    let long = read("long.mp4");
    let path = "/v1/classify";
    let form_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let (answer, expected) = match number % 10 {
        0 => (post(addr, path, &[], &vec![7; BODY]), "415"),
        // The index of this file, which is at its end, goes missing.
        1 => (post(addr, path, &[], &read("red.mp4")[..1300]), "422"),
        2 => (post(addr, path, &[], &read("image.png")), "415"),
        3 => (post(addr, "/v1/classify?top_k=many", &[], &video), "400"),
        4 => (post(addr, path, &[("Content-Type", &form_type)], &form(&[("video", &video), ("video", &video)])), "400"),
        5 => (say(addr, &[(head("BREW", path, &[]) + "\r\n").as_bytes()]), "405"),
        6 => (say(addr, &[b"\x16\x03\x01 is not how it begins\r\n\r\n"]), "400"),
        7 => (dribble(addr), "504"),
        8 => return leave(addr, video.len(), &video[..BODY / 2]),
        _ => return leave(addr, long.len(), &long),
    };
    let answer = answer.unwrap_or_else(|| panic!("hostile request {number} has no answer"));
    assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "hostile request {number}: {answer}");
}

/// A video with a box at its end that players pass over.
fn padded(name: &str) -> Vec<u8> {
    let mut video = read(name);
    video.extend_from_slice(&u32::try_from(BODY).expect("a size").to_be_bytes());
    video.extend_from_slice(b"free");
    video.resize(video.len() + BODY - 8, 0);
    video
}

/// The answer to these bytes, if there is one.
fn say(addr: SocketAddr, parts: &[&[u8]]) -> Option<String> {
    let mut stream = connect(addr);
    for part in parts {
        // It may refuse before it has read it all; its answer is what counts.
        let _refused = stream.write_all(part);
    }
    answer(stream)
}

fn answer(mut stream: TcpStream) -> Option<String> {
    let mut answer = vec![];
    let _closed = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout can be set");
    stream
}

fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<String> {
    let head = head("POST", path, headers) + &format!("Content-Length: {}\r\n\r\n", body.len());
    say(addr, &[head.as_bytes(), body])
}

/// Is slower than it says that it will wait.
fn dribble(addr: SocketAddr) -> Option<String> {
    let mut stream = connect(addr);
    let head = head("POST", "/v1/classify", &[("X-Request-Timeout-S", "0.3")]) + "Content-Length: 100000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("a head is read");
    stream.write_all(&[1; 1000]).expect("a body is read");
    answer(stream)
}

/// Goes away after it has announced a body of that length and sent some of it.
fn leave(addr: SocketAddr, announced: usize, body: &[u8]) {
    let mut stream = connect(addr);
    let head = head("POST", "/v1/classify", &[]) + &format!("Content-Length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a head is read");
    stream.write_all(body).expect("a body is read");
    thread::sleep(Duration::from_millis(50));
    stream.shutdown(Shutdown::Both).expect("a connection can be closed");
}
