//! Whatever is uploaded, the service answers, stays what it was, and opens nothing that it was not given.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::thread;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use tempfile::TempDir;
use unscene_media::{DecodeOptions, Decoder, Frames, Limits, Source};

use crate::client::{BOUNDARY, Response, form, head, read, wait_until};
use crate::corpus::{Bait, Named, corpus, good, pointers};
use crate::faults::Program;

const SEED: u64 = 1;
/// Files that are sent at the same time.
const AT_ONCE: usize = 4;
/// After so many files the service has all the threads and processes that it will have.
const FIRST: usize = 300;

#[test]
fn more_than_two_thousand_hostile_files_do_no_harm() {
    let trap = Trap::set();
    // Within its reach, if it reaches for anything.
    let program = Program::start(
        &format!("cd '{}'", trap.folder.path().display()),
        &[
            "--max-duration-s=20",
            "--max-pixels=1000000",
            "--max-frames=200",
            "--decode-timeout-s=15",
            "--decode-memory-mib=256",
        ],
    );
    for (name, data) in good() {
        let answer = send(&program, &data, false);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    let mut files = corpus(SEED, &trap.bait);
    let mut counts = send_all(&program, files.by_ref().take(FIRST));
    let first = Held::by(&program);
    for (status, count) in send_all(&program, files) {
        *counts.entry(status).or_default() += count;
    }
    assert!(counts.values().sum::<usize>() > 2000, "{counts:?}");
    println!("answers by their status: {counts:?}");
    // It is not that all are refused for the same reason.
    assert!(
        [200, 413, 415, 422].iter().all(|status| counts.get(status).is_some_and(|count| *count >= 20)),
        "{counts:?}"
    );

    (0..AT_ONCE * 3).for_each(|_| program.assert_unharmed());
    // A thread, file or process that one in a hundred files leaves behind would be more.
    wait_until("no more is held than after the first files", || Held::by(&program).is_at_most(&first, 6));
    trap.assert_untouched();
    trap.assert_sharp();
}

/// Workers could not open a file if FFmpeg wanted to; here it could.
#[test]
fn ffmpeg_follows_no_pointer() {
    let trap = Trap::set();
    let limits = Limits { max_duration_s: 20.0, max_pixels: 1_000_000, max_frames: 200 };
    let options = DecodeOptions { limits, ..DecodeOptions::default() };
    let mut videos = 0;
    for (name, data) in pointers::files(&trap.bait) {
        let opened = Decoder::open(&Source::Bytes { name, data: data.into() }, &options);
        if let Ok(mut decoder) = opened {
            while let Ok(Some(_)) = decoder.advance() {}
            videos += 1;
        }
    }
    // Some are videos beside what they point to.
    assert!(videos > 10, "{videos}");
    trap.assert_untouched();
}

#[test]
fn the_corpus_is_the_same_each_time_and_no_file_of_it_is_there_twice() {
    let bait = Bait { file: "/nowhere/bait.mp4".into(), url: "http://127.0.0.1:9/bait.mp4".into() };
    let files: BTreeMap<String, Vec<u8>> = corpus(SEED, &bait).collect();
    assert_eq!(files.len(), corpus(SEED, &bait).count());
    assert!(corpus(SEED, &bait).all(|(name, data)| files[&name] == data));
    let changed = corpus(SEED + 1, &bait).filter(|(name, data)| files[name] != *data).count();
    assert!(changed > 1500, "{changed}");
    for container in ["mp4", "mov", "mkv", "webm", "avi", "ts"] {
        let count = files.keys().filter(|name| name.ends_with(container)).count();
        assert!(count > 100, "{count} of {container}");
    }
}

/// Sends files, some at a time, half of them in forms, and counts the answers by their status.
fn send_all(program: &Program, files: impl Iterator<Item = Named> + Send) -> BTreeMap<u16, usize> {
    let (files, counts, failed) = (Mutex::new(files.enumerate()), Mutex::new(BTreeMap::new()), Mutex::new(vec![]));
    let next = || files.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((number, (name, data))) = next() {
                    let _blamed = Blamed(&name);
                    let answer = send(program, &data, number % 2 == 0);
                    match answer.status {
                        200 => assert!(answer.json()["predictions"].is_array(), "{}", answer.text()),
                        400..500 => answer.assert_problem(answer.status, ""),
                        _ => failed.lock().unwrap().push(format!("{name}: {}", answer.text())),
                    }
                    *counts.lock().unwrap().entry(answer.status).or_default() += 1;
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
    counts.into_inner().unwrap()
}

fn send(program: &Program, data: &[u8], in_form: bool) -> Response {
    let (kind, body) = match in_form {
        true => (format!("multipart/form-data; boundary={BOUNDARY}"), form(&[("video", data)])),
        false => ("video/mp4".into(), data.to_vec()),
    };
    let mut stream = program.connect();
    let head = head("POST", "/v1/classify", &[("Content-Type", &kind)]);
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).expect("a head is read");
    stream.write_all(&body).expect("a body is read");
    Response::read(stream)
}

/// Tells which file it was.
struct Blamed<'a>(&'a str);

impl Drop for Blamed<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("it was the file {}", self.0);
        }
    }
}

/// What the service and its workers hold.
#[derive(Debug)]
struct Held {
    threads: usize,
    files: usize,
    processes: usize,
}

impl Held {
    fn by(program: &Program) -> Self {
        let entries = |path: String| fs::read_dir(path).into_iter().flatten().flatten();
        let own = format!("/proc/{}", program.child.id());
        let tasks = || entries(format!("{own}/task"));
        let workers = tasks().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let workers: String = workers.collect();
        let workers: Vec<&str> = workers.split_whitespace().collect();
        let of_workers = workers.iter().map(|worker| entries(format!("/proc/{worker}/fd")).count()).sum::<usize>();
        Self {
            threads: tasks().count(),
            files: entries(format!("{own}/fd")).count() + of_workers,
            processes: workers.len(),
        }
    }

    fn is_at_most(&self, other: &Self, more: usize) -> bool {
        self.threads <= other.threads + more
            && self.files <= other.files + more
            && self.processes <= other.processes + more
    }
}

/// A file and a port that nobody is to touch.
struct Trap {
    folder: TempDir,
    bait: Bait,
    watch: OwnedFd,
    port: TcpListener,
}

impl Trap {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bait.mp4");
        fs::write(&file, read("red.mp4")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        port.set_nonblocking(true).unwrap();
        let url = format!("http://{}/bait.mp4", port.local_addr().unwrap());
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        add_watch(&watch, folder.path(), WatchFlags::OPEN | WatchFlags::ACCESS).unwrap();
        Self { folder, bait: Bait { file, url }, watch, port }
    }

    /// Files that were opened or read since the last time.
    fn opened(&self) -> Vec<String> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.watch, &mut space);
        let mut opened = vec![];
        loop {
            match events.next() {
                Ok(event) => opened.push(format!("{:?} {:?}", event.events(), event.file_name())),
                Err(Errno::WOULDBLOCK) => return opened,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn assert_untouched(&self) {
        assert_eq!(self.opened(), Vec::<String>::new());
        assert!(self.port.accept().is_err(), "somebody connected");
    }

    /// Fails unless it would have noticed.
    fn assert_sharp(&self) {
        drop(File::open(&self.bait.file).unwrap());
        assert!(!self.opened().is_empty());
        let _connection = TcpStream::connect(self.port.local_addr().unwrap()).unwrap();
        wait_until("a connection is noticed", || self.port.accept().is_ok());
    }
}
