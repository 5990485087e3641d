//! Models that come, change and go while the service runs.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use unscene_serve::Service;

use crate::client::{PROGRAM, TestServer, fixture, options, read, wait_until};

/// So many models may be loaded again at once: as `RELOADS` of the service, which is its own.
const RELOADS: usize = 4;

/// A folder of bundles.
struct Bundles(TempDir);

impl Bundles {
    fn with(names: &[&str]) -> Self {
        let bundles = Self(tempfile::tempdir().unwrap());
        names.iter().for_each(|name| bundles.put(name, name));
        bundles
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a copy of a fixture's bundle there under a name, as `unscene export` does.
    fn put(&self, bundle: &str, name: &str) {
        let made = self.path(&format!(".{name}.partial"));
        copy(&fixture(bundle), &made);
        let old = self.path(".old");
        let was_there = fs::rename(self.path(name), &old).is_ok();
        fs::rename(made, self.path(name)).unwrap();
        if was_there {
            fs::remove_dir_all(old).unwrap();
        }
    }

    fn remove(&self, name: &str) {
        fs::rename(self.path(name), self.path(".old")).unwrap();
        fs::remove_dir_all(self.path(".old")).unwrap();
    }

    /// A server of these that looks every 20 ms.
    fn serve(&self) -> TestServer {
        let server = TestServer::begin(&["--models", self.0.path().to_str().unwrap(), "--reload-every-s", "0.02"]);
        server.wait_until_started();
        server
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The models that are served, and those that could not be loaded.
fn names(server: &TestServer) -> (Vec<String>, Vec<String>) {
    let answer = server.get("/v1/models").json();
    let names = |list: &str| {
        let models = answer[list].as_array().unwrap().iter();
        models.map(|model| model["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    (names("models"), names("not_loaded"))
}

fn wait_for(server: &TestServer, served: &[&str], not_loaded: &[&str]) {
    for _ in 0..3000 {
        let (found, broken) = names(server);
        if found == served && broken == not_loaded {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{served:?} and {not_loaded:?} were never served; there is {:?}", names(server));
}

fn model(server: &TestServer, name: &str) -> Value {
    let answer = server.get("/v1/models").json();
    answer["models"].as_array().unwrap().iter().find(|model| model["name"] == name).expect("it is served").clone()
}

#[test]
fn bundles_of_a_folder_are_served_as_they_come_and_go() {
    let bundles = Bundles::with(&["tiny"]);
    let server = bundles.serve();
    assert_eq!(names(&server).0, ["tiny"]);
    server.assert_unharmed();
    bundles.put("detector", "actors");
    wait_for(&server, &["actors", "tiny"], &[]);
    assert_eq!(server.post("/v1/detect", &read("red.mp4")).status, 200);
    // A second model of a task: the first in the order of names is the default.
    bundles.put("tiny", "another");
    wait_for(&server, &["actors", "another", "tiny"], &[]);
    assert_eq!(server.post("/v1/classify", &read("red.mp4")).json()["model"], "another");
    assert_eq!(server.post("/v1/classify?model=tiny", &read("red.mp4")).json()["model"], "tiny");
    bundles.remove("another");
    wait_for(&server, &["actors", "tiny"], &[]);
    bundles.remove("actors");
    bundles.remove("tiny");
    wait_for(&server, &[], &[]);
    server.get("/readyz").assert_problem(503, "no bundle is loaded");
    server.post("/v1/classify", &read("red.mp4")).assert_problem(404, "loaded are none");
    assert_eq!(server.get("/livez").status, 200);
    bundles.put("tiny", "tiny");
    wait_for(&server, &["tiny"], &[]);
    server.assert_unharmed();
}

#[test]
fn a_broken_bundle_leaves_the_old_one_serving_and_says_why() {
    let bundles = Bundles::with(&["tiny"]);
    let server = bundles.serve();
    fs::write(bundles.path("tiny").join("model.onnx"), b"not a graph").unwrap();
    // The manifest says what it was: nothing has changed until somebody asks.
    let reload = || server.send("POST", "/v1/models/tiny/reload", &[], &[]);
    let refused = reload();
    refused.assert_problem(422, "what was served before is served still: tiny/model.onnx");
    assert!(!refused.text().contains("/tiny"), "{}", refused.text());
    wait_for(&server, &["tiny"], &["tiny"]);
    server.assert_unharmed();
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.metric("unscene_model_loads_total{model=\"tiny\",result=\"failed\"}"), 1.0);
    let why = server.get("/v1/models").json()["not_loaded"][0]["error"].to_string();
    assert!(why.contains("tiny/model.onnx: sha256 is") && !why.contains("/tiny"), "{why}");
    // One that comes broken is found without asking, is told of once, and does not disturb the others.
    fs::create_dir(bundles.path("new")).unwrap();
    fs::write(bundles.path("new/manifest.json"), b"{}").unwrap();
    wait_for(&server, &["tiny"], &["new", "tiny"]);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(server.metric("unscene_model_loads_total{model=\"new\",result=\"failed\"}"), 1.0);
    bundles.put("tiny", "tiny");
    assert_eq!(reload().status, 200);
    bundles.put("tiny", "new");
    wait_for(&server, &["new", "tiny"], &[]);
    // One that goes is forgotten.
    fs::create_dir(bundles.path("bad")).unwrap();
    fs::write(bundles.path("bad/manifest.json"), b"{}").unwrap();
    wait_for(&server, &["new", "tiny"], &["bad"]);
    bundles.remove("bad");
    wait_for(&server, &["new", "tiny"], &[]);
    server.send("POST", "/v1/models/nobody/reload", &[], &[]).assert_problem(404, "nobody");
}

#[test]
fn models_are_exchanged_under_load_without_losing_a_request() {
    let bundles = Bundles::with(&["tiny"]);
    let server = bundles.serve();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    server.assert_unharmed();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for turn in 0..10 {
            let before = model(&server, "tiny")["loaded_s"].as_f64().unwrap();
            let so_far = answered.load(Ordering::Relaxed);
            // By asking, and by a changed bundle.
            if turn % 2 == 0 {
                assert_eq!(server.send("POST", "/v1/models/tiny/reload", &[], &[]).status, 200);
            } else {
                let other = if turn % 4 == 1 { "maps" } else { "tiny" };
                bundles.put(other, "tiny");
            }
            wait_until("it is exchanged", || model(&server, "tiny")["loaded_s"].as_f64().unwrap() > before);
            // Requests that began before it, and one that began with it.
            wait_until("requests are answered", || answered.load(Ordering::Relaxed) >= so_far + 6);
        }
        stop.store(true, Ordering::Relaxed);
    });
    server.wait_for_metric("unscene_open_videos", 0.0);
}

#[test]
fn a_default_can_be_named_and_must_be_there() {
    let bundles = Bundles::with(&["tiny", "maps"]);
    let folder = bundles.0.path().to_str().unwrap().to_owned();
    let server = TestServer::begin(&["--models", &folder, "--default", "tiny"]);
    server.wait_until_started();
    assert_eq!(server.post("/v1/classify", &read("red.mp4")).json()["model"], "tiny");
    let defaults = [model(&server, "tiny")["default"].clone(), model(&server, "maps")["default"].clone()];
    assert_eq!(defaults, [true, false]);
}

#[test]
fn no_other_model_takes_the_place_of_a_default_in_silence() {
    let bundles = Bundles::with(&["tiny", "maps"]);
    let folder = bundles.0.path().to_str().unwrap().to_owned();
    let flags = ["--models", &folder, "--default", "tiny", "--reload-every-s", "0.02"];
    let server = TestServer::begin(&flags);
    server.wait_until_started();
    bundles.remove("tiny");
    wait_until("it is gone", || server.get("/v1/models").json()["models"].as_array().unwrap().len() == 1);
    server.post("/v1/classify", &read("red.mp4")).assert_problem(503, "the default model `tiny` is not there any more");
    assert_eq!(server.post("/v1/classify?model=maps", &read("red.mp4")).status, 200);
    bundles.put("tiny", "tiny");
    wait_until("it is back", || server.post("/v1/classify", &read("red.mp4")).status == 200);
    server.shut_down();
    // One that is broken from the beginning is told of at once.
    fs::write(bundles.path("tiny").join("model.onnx"), b"no model").unwrap();
    let options = options(&[&flags[..], &["--addr", "127.0.0.1:0", "--decode-program", PROGRAM]].concat()).unwrap();
    let begin = async { Service::start(options).unwrap().serve().await };
    let error = actix_web::rt::System::new().block_on(begin).unwrap_err();
    assert!(error.to_string().starts_with("--default tiny: its bundle cannot be loaded: "), "{error}");
}

#[test]
fn while_models_are_loaded_the_service_lives_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("tiny");
    copy(&fixture("tiny"), &bundle);
    let manifest = bundle.join("manifest.json");
    let text = fs::read(&manifest).unwrap();
    // Whoever reads the manifest waits until it is written.
    fs::remove_file(&manifest).unwrap();
    assert!(Command::new("mkfifo").arg(&manifest).status().unwrap().success());
    let server = TestServer::begin(&["--bundle", bundle.to_str().unwrap(), "--reload-every-s", "0"]);
    assert_eq!(server.get("/livez").status, 200);
    for probe in ["/readyz", "/startupz"] {
        server.get(probe).assert_problem(503, "loading");
    }
    let refused = server.post("/v1/classify", &read("red.mp4"));
    refused.assert_problem(503, "loading");
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    fs::write(&manifest, &text).unwrap();
    server.wait_until_started();
    assert_eq!(server.get("/readyz").status, 200);
    server.assert_unharmed();
}

#[test]
fn reloads_beyond_a_few_at_once_are_refused_and_the_others_end_well() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, held) = (folder.path().join("tiny"), folder.path().join("held"));
    copy(&fixture("tiny"), &bundle);
    let manifest = bundle.join("manifest.json");
    let server = TestServer::begin(&["--bundle", bundle.to_str().unwrap(), "--reload-every-s", "0"]);
    server.wait_until_started();
    // Whoever reads the manifest waits until there is something to read.
    assert!(Command::new("mkfifo").arg(&held).status().unwrap().success());
    fs::rename(&manifest, folder.path().join("whole")).unwrap();
    fs::hard_link(&held, &manifest).unwrap();
    thread::scope(|scope| {
        let ask = || server.send("POST", "/v1/models/tiny/reload", &[], &[]);
        let (answered, answers) = mpsc::channel();
        let asking: Vec<_> = (0..=RELOADS)
            .map(|_| {
                let answered = answered.clone();
                scope.spawn(move || answered.send(ask()).unwrap())
            })
            .collect();
        drop(answered);
        // Those that go on cannot end.
        let refused = answers.recv_timeout(Duration::from_secs(60)).expect("one is refused at once");
        refused.assert_problem(409, "loaded again");
        server.assert_unharmed();
        fs::rename(folder.path().join("whole"), &manifest).unwrap();
        // The one that may be reading already is told the same; opened for both, a pipe needs nobody at its other end.
        let mut pipe = OpenOptions::new().read(true).write(true).open(&held).unwrap();
        pipe.write_all(&fs::read(&manifest).unwrap()).unwrap();
        drop(pipe);
        asking.into_iter().for_each(|one| one.join().unwrap());
        let rest: Vec<u16> = answers.try_iter().map(|answer| answer.status).collect();
        assert_eq!(rest, [200; RELOADS]);
    });
    server.assert_unharmed();
}
