//! The service under the command, and a way to it that breaks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{command, localizer};

/// A file of the service's own tests.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../serve/tests/fixtures").join(name)
}

/// The red video in a folder, made longer by so many mebibytes: MP4 readers skip what follows the last box when it is a `free` box.
pub fn padded(folder: &Path, mib: u32) -> PathBuf {
    let (mut video, padding) = (std::fs::read(fixture("red.mp4")).unwrap(), mib << 20);
    video.extend_from_slice(&padding.to_be_bytes());
    video.extend_from_slice(b"free");
    video.resize(video.len() + padding as usize - 8, 0);
    let path = folder.join("padded.mp4");
    std::fs::write(&path, video).unwrap();
    path
}

/// Waits until something is so; fails after a time that only something broken needs.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("it never came about that {what}");
}

/// Ends a program as Ctrl-C would.
pub fn interrupt(child: &Child) {
    let kill = std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

/// A running service; it stops when dropped.
pub struct Service {
    child: Child,
    /// Such as `127.0.0.1:40000`.
    pub address: String,
}

impl Service {
    /// Serves `tiny`, which classifies, `detector` and `localizer`.
    pub fn of_all_tasks(flags: &[&str]) -> Self {
        let bundles = [fixture("tiny"), fixture("detector"), localizer()];
        let bundles = bundles.iter().flat_map(|bundle| ["--bundle", bundle.to_str().unwrap()]);
        Self::start(&bundles.chain(flags.iter().copied()).collect::<Vec<_>>())
    }

    /// Serves what flags say, and waits until it does.
    pub fn start(flags: &[&str]) -> Self {
        let base = ["serve", "--addr", "127.0.0.1:0", "--device", "cpu"];
        let mut child = command(base.iter().chain(flags)).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = |line: String| {
            let (_, address) = line.split_once("listening on http://")?;
            Some(address.split_whitespace().next()?.to_owned())
        };
        let address = log.find_map(address).expect("the service says where it listens");
        // It would wait for somebody to read.
        thread::spawn(move || log.for_each(drop));
        let service = Self { child, address };
        wait_until("the models are loaded", || ureq::get(format!("{}/startupz", service.url())).call().is_ok());
        service
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many jobs it knows of.
    pub fn jobs(&self) -> usize {
        let mut answer = ureq::get(format!("{}/v1/jobs", self.url())).call().unwrap();
        let list: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        list["jobs"].as_array().unwrap().len()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        interrupt(&self.child);
        let _ended = self.child.wait();
    }
}

/// Passes connections on to a service, and cuts those over which a number of bytes have gone to it, for each number of a list.
pub struct Cutting {
    pub address: SocketAddr,
    /// Bytes that have gone to the service, over all connections.
    pub passed: Arc<AtomicUsize>,
    /// Connections that were cut.
    pub cuts: Arc<AtomicUsize>,
}

impl Cutting {
    pub fn before(service: &Service, at: &'static [usize]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cutting = Self { address: listener.local_addr().unwrap(), passed: Arc::default(), cuts: Arc::default() };
        let (target, passed, cuts) = (service.address.clone(), cutting.passed.clone(), cutting.cuts.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&target) else { return };
                let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || {
                    let _ended = std::io::copy(&mut answers, &mut back);
                    let _closed = back.shutdown(Shutdown::Both);
                });
                let (passed, cuts) = (passed.clone(), cuts.clone());
                thread::spawn(move || pass(client, server, at, &passed, &cuts));
            }
        });
        cutting
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, at: &[usize], passed: &AtomicUsize, cuts: &AtomicUsize) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let so_far = passed.fetch_add(read, Ordering::SeqCst) + read;
        if at.get(cuts.load(Ordering::SeqCst)).is_some_and(|at| so_far > *at) {
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _closed = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}
