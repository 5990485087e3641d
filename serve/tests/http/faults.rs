//! What the world does to a service: it is told to stop while it is busy, its disk is full, it has no file descriptors left, its
//! clients dribble. Here it is the program itself that runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{PROGRAM, Response, TestServer, fixture, head, padded, read};

/// The program, and where it listens; ended when dropped.
pub struct Program {
    pub child: Child,
    pub addr: SocketAddr,
    log: Option<JoinHandle<Vec<String>>>,
}

impl Program {
    /// Starts it after a shell has run a command, such as one that limits it.
    pub fn start(before: &str, flags: &[&str]) -> Self {
        let script = format!("{before}\nexec \"$0\" \"$@\"");
        let bundle = fixture("tiny");
        let mut child = Command::new("bash")
            .args(["-c", &script, PROGRAM, "--bundle"])
            .arg(&bundle)
            .args(["--addr", "127.0.0.1:0", "--device", "cpu", "--reload-every-s", "0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let addr = log.by_ref().find_map(|line| {
            let line = line.expect("a log is text");
            line.split_once("listening on http://").map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned())
        });
        // It would wait for a full pipe.
        let log = thread::spawn(move || log.map_while(Result::ok).collect());
        Self { child, addr: addr.expect("it listens").parse().expect("an address"), log: Some(log) }
    }

    /// What it has said since it listens, when it has ended.
    pub fn log(&mut self) -> Vec<String> {
        self.log.take().expect("it is asked for once").join().unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    fn ask(&self, body: &[u8]) -> Option<(u16, String)> {
        ask(self.addr, body)
    }

    pub fn assert_unharmed(&self) {
        let (status, answer) = self.ask(&read("red.mp4")).expect("it answers");
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains("\"label\":\"red\""), "{answer}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nobody_needs_to_read_the_log() {
    // Whoever reads it leaves once the service listens.
    let mut program = Program::start("exec 2> >(sed '/listening on/q' >&2)", &[]);
    (0..3).for_each(|_| program.assert_unharmed());
    kill_process(Pid::from_child(&program.child), Signal::TERM).unwrap();
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_to_stop_in_full_load_leaves_no_accepted_request_without_an_answer() {
    let mut program = Program::start("", &["--max-videos", "2", "--queue", "30"]);
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (video, addr) = (read("red.mp4"), program.addr);
    let status = thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // Until it is gone. What is begun is ended: with an answer, or before anything was taken.
                while let Some((status, answer)) = ask(addr, &video) {
                    match status {
                        200 => answered.fetch_add(1, Ordering::Relaxed),
                        503 => refused.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{answer}"),
                    };
                    assert!(answer.ends_with('}'), "half an answer: {answer}");
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 20 {
            thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&program.child), Signal::TERM).unwrap();
        program.child.wait().unwrap()
    });
    assert!(status.success(), "{status}");
    // A client takes a connection that is closed without a word for one that was not accepted; the service knows better.
    let log = program.log();
    let dropped: Vec<_> = log.iter().filter(|line| line.contains("dropped")).collect();
    assert!(dropped.is_empty(), "{dropped:?}");
    let told = log.iter().filter(|line| line.contains("path=/v1/classify status=200")).count();
    assert_eq!(told, answered.into_inner(), "each answer has come");
}

/// What came of a request. One whose connection is refused, or closed before there was an answer, was not accepted: `None`.
fn ask(addr: SocketAddr, video: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let head = head("POST", "/v1/classify", &[]) + &format!("Content-Length: {}\r\n\r\n", video.len());
    stream.write_all(head.as_bytes()).ok()?;
    let _refused = stream.write_all(video);
    let mut answer = vec![];
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(read.is_ok() || answer.is_empty(), "half an answer: {answer}");
    Some((answer.split(' ').nth(1)?.parse().expect("a status"), answer))
}

#[test]
fn a_full_disk_costs_the_uploads_that_need_it() {
    // No file may be larger than 5 MiB, as if there was no more room.
    let program = Program::start("trap '' XFSZ; ulimit -f 5120", &[]);
    let large = padded(8);
    for _ in 0..3 {
        let (status, answer) = program.ask(&large).expect("an answer");
        assert_eq!(status, 503, "{answer}");
        assert!(
            answer.contains("no room for the upload") && answer.to_lowercase().contains("retry-after: 10"),
            "{answer}"
        );
        assert!(!answer.contains("/tmp"), "{answer}");
        program.assert_unharmed();
    }
}

#[test]
fn a_service_without_file_descriptors_goes_on_when_it_has_some_again() {
    let program = Program::start("ulimit -n 64", &[]);
    program.assert_unharmed();
    // More connections than it may have: those beyond wait to be taken.
    let idle: Vec<TcpStream> = (0..120).map(|_| program.connect()).collect();
    thread::sleep(Duration::from_millis(300));
    drop(idle);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match program.ask(&read("red.mp4")) {
            Some((200, _)) => break,
            // While the last ones are closed there may still be none.
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
    program.assert_unharmed();
}

#[test]
fn a_client_that_dribbles_is_cut_off_at_its_time() {
    let server = TestServer::start(&["--request-timeout-s", "0.5"]);
    let mut stream = server.connect();
    let head = head("POST", "/v1/classify", &[]) + "Content-Length: 100000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let begun = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let dribble = thread::spawn(move || {
        // Until nobody takes it.
        while writer.write_all(b"x").is_ok() && begun.elapsed() < Duration::from_secs(100) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    Response::read(stream.try_clone().unwrap()).assert_problem(504, "0.5 s");
    let _closed = stream.shutdown(std::net::Shutdown::Both);
    dribble.join().unwrap();
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    server.assert_unharmed();
}
