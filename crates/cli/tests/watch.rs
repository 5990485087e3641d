//! `unscene predict --watch`: videos that appear in a folder.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::command;
use common::service::{Service, fixture, interrupt, padded, wait_until};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The label of a result that was kept, once it is there.
fn kept(result: &Path) -> String {
    wait_until(&format!("{} is there", result.display()), || result.exists());
    let answer: Value = serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap();
    answer["predictions"][0]["label"].as_str().unwrap().to_owned()
}

/// The command at work; it does not outlive a test that fails.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ended = (self.0.kill(), self.0.wait());
    }
}

fn watch(from: &[&str], folder: &Path, out: &Path) -> Watching {
    let args = ["predict", "--json", "--watch", text(folder), "--out", text(out)];
    Watching(command(args.iter().chain(from)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Ends it, and gives the files that it looked at, and what it said about others.
fn end(mut watching: Watching) -> (Vec<String>, String) {
    let child = &mut watching.0;
    interrupt(child);
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    let name = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        Path::new(answer["file"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned()
    };
    (out.lines().map(name).collect(), err)
}

#[test]
fn videos_are_looked_at_once_when_they_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (incoming, out) = (folder.path().join("incoming"), folder.path().join("results"));
    std::fs::create_dir(&incoming).unwrap();
    let copy = |from: &str, to: &str| std::fs::copy(fixture(from), incoming.join(to)).unwrap();
    copy("red.mp4", "first.mp4");
    copy("red.mp4", ".hidden.mp4");
    copy("red.mp4", "half.mp4.part");
    std::fs::write(incoming.join("notes.txt"), "not a video").unwrap();
    let tiny = fixture("tiny");
    let bundle = ["--device", "cpu", "--bundle", text(&tiny)];
    let child = watch(&bundle, &incoming, &out);
    let result = |name: &str| out.join(format!("{name}.json"));
    assert_eq!(kept(&result("first.mp4")), "red");

    // A video that is written piece by piece is not looked at before it is whole.
    let whole = std::fs::read(padded(folder.path(), 1)).unwrap();
    let mut growing = File::create(incoming.join("growing.mp4")).unwrap();
    let mut longest = Duration::ZERO;
    for piece in whole.chunks(whole.len() / 30) {
        let written = Instant::now();
        growing.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(200));
        longest = longest.max(written.elapsed());
        // A machine that stood still for longer made it look whole.
        assert!(longest > Duration::from_secs(1) || !result("growing.mp4").exists(), "it still grows");
    }
    copy("blue.mp4", "second.mp4");
    assert_eq!([kept(&result("growing.mp4")), kept(&result("second.mp4"))], ["red", "blue"]);
    let (files, err) = end(child);
    assert_eq!(files, ["first.mp4", "growing.mp4", "second.mp4"]);
    assert!(err.lines().count() == 1 && err.contains("notes.txt: not a video"), "{err}");

    // After a restart there is only what is new.
    copy("blue.mp4", "third.mp4");
    copy("blue.mp4", "first.mp4");
    std::fs::remove_file(incoming.join("notes.txt")).unwrap();
    let child = watch(&bundle, &incoming, &out);
    assert_eq!(kept(&result("third.mp4")), "blue");
    wait_until("the other video of that name is looked at", || kept(&result("first.mp4")) == "blue");
    let (files, err) = end(child);
    assert_eq!((files.len(), err.as_str()), (2, ""), "{files:?}");
}

#[test]
fn a_service_can_look_at_them() {
    let folder = tempfile::tempdir().unwrap();
    let (incoming, out, jobs) = (folder.path().join("incoming"), folder.path().join("out"), folder.path().join("jobs"));
    std::fs::create_dir(&incoming).unwrap();
    let service = Service::of_all_tasks(&["--jobs", text(&jobs)]);
    let child = watch(&["--server", &service.url(), "--task", "classify"], &incoming, &out);
    for (name, label) in [("red", "red"), ("blue", "blue")] {
        std::fs::copy(fixture(&format!("{name}.mp4")), incoming.join(format!("{name}.mp4"))).unwrap();
        assert_eq!(kept(&out.join(format!("{name}.mp4.json"))), label);
    }
    assert_eq!(end(child), (vec!["red.mp4".to_owned(), "blue.mp4".to_owned()], String::new()));
    assert_eq!(service.jobs(), 0);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let tiny = fixture("tiny");
    let ended = common::run(["predict", "--bundle", text(&tiny), "--watch", "/no/such/folder"]);
    assert!(ended.code == Some(2) && ended.err.contains("--watch: cannot read /no/such/folder"), "{ended:?}");
}
