//! `unscene predict --server`: a service instead of a bundle.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use common::service::{Cutting, Service, fixture, interrupt, padded, wait_until};
use common::{Ended, colors, command, done, localizer, run};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A line of `--json`, without the times that it took.
fn untimed(line: &str) -> Value {
    let mut answer: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(answer.as_object_mut().unwrap().remove("timing").is_some(), "{answer}");
    answer
}

#[test]
fn a_service_says_what_its_bundles_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (red, halves, colored) = (fixture("red.mp4"), fixture("halves.mp4"), path("colors.mp4"));
    colors(Path::new(&colored));
    let (jobs, timeline, overlay) = (path("jobs"), path("timeline.svg"), path("overlay.mp4"));
    let (tiny, detector, localizer) = (fixture("tiny"), fixture("detector"), localizer());
    let classify = ["--top-k", "2", "--clips", "--stride-frames", "2", text(&red), text(&halves)];
    let localize = ["--threshold", "0.2", "--tiou-nms", "0.4", "--max-segments", "7", &colored];
    let detect = ["--threshold", "0.5", "--every", "3", text(&halves)];
    let with_jobs = Service::of_all_tasks(&["--jobs", &jobs]);
    let without = Service::of_all_tasks(&[]);
    for (task, bundle, args, picture) in [
        ("classify", &tiny, &classify[..], None),
        ("localize", &localizer, &localize[..], Some(("--timeline", &timeline))),
        ("detect", &detector, &detect[..], Some(("--overlay", &overlay))),
    ] {
        let json = |from: &[&str]| -> Vec<Value> {
            done([&["predict", "--json"], from, args].concat()).lines().map(untimed).collect()
        };
        // Pictures are drawn here.
        let table = |from: &[&str]| {
            let drawn = picture.map_or(vec![], |(option, file)| vec![option, file]);
            let told = done([&["predict"], from, args, &drawn].concat());
            (told, picture.map(|(_, file)| std::fs::read(file).unwrap()))
        };
        let here = ["--device", "cpu", "--bundle", text(bundle)];
        let (answers, shown) = (json(&here), table(&here));
        for service in [&with_jobs, &without] {
            let (url, name) = (service.url() + "/", bundle.file_name().unwrap().to_str().unwrap());
            assert_eq!(json(&["--server", &url, "--task", task]), answers);
            let (told, drawn) = table(&["--server", &url, "--model", name]);
            assert_eq!(told, shown.0);
            assert!(drawn == shown.1, "the picture of {task} is another");
        }
    }
    assert_eq!(with_jobs.jobs(), 0, "what was answered is forgotten");
    let ended = run(["predict", "--server", &without.url(), text(&red)]);
    let words = "loaded are tiny (classify), detector (detect), localizer (localize)";
    assert!(ended.code == Some(2) && ended.err.contains(words), "{ended:?}");
}

#[test]
fn an_upload_that_breaks_goes_on_from_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (video, jobs) = (padded(folder.path(), 96), folder.path().join("jobs"));
    let service = Service::start(&["--bundle", text(&fixture("tiny")), "--jobs", text(&jobs)]);
    let way = Cutting::before(&service, &[24 << 20, 64 << 20]);
    let answer = done(["predict", "--json", "--server", &format!("http://{}", way.address), text(&video)]);
    assert_eq!(untimed(&answer)["predictions"][0]["label"], "red");
    assert_eq!(way.cuts.load(Ordering::SeqCst), 2);
    // From the start each time, it would have been these and what went before.
    let (passed, begun_anew) = (way.passed.load(Ordering::SeqCst), (96 + 24 + 40) << 20);
    assert!(passed < begun_anew, "{passed} bytes");
    assert_eq!(service.jobs(), 0);
}

#[test]
fn what_a_service_refuses_is_told_of_in_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let (long, red, large) = (fixture("long.mp4"), fixture("red.mp4"), padded(folder.path(), 64));
    let (jobs, none) = (folder.path().join("jobs"), folder.path().join("none.mp4"));
    let base = ["--bundle", text(&fixture("tiny")), "--max-frames", "100", "--max-body-mib", "80"].map(str::to_owned);
    for flags in [&["--jobs", text(&jobs)][..], &[]] {
        let service = Service::start(&[&base.each_ref().map(String::as_str)[..], flags].concat());
        let url = service.url();
        let ask = |args: &[&str]| run([&["predict", "--json", "--server", &url], args].concat());
        let refused = |ended: &Ended, words: &[&str]| {
            let is_one_line = ended.err.lines().count() == 1;
            assert!(
                ended.code == Some(2) && is_one_line && words.iter().all(|word| ended.err.contains(word)),
                "{ended:?}"
            );
        };
        refused(&ask(&[text(&long)]), &["long.mp4: ", "the number of frames", &format!("(status 413 of {url})")]);
        // Others go on.
        let ended = ask(&[text(&long), text(&fixture("image.png")), text(&none), text(&red)]);
        assert!(ended.code == Some(2) && untimed(&ended.out)["file"] == text(&red), "{ended:?}");
        for words in ["the number of frames", "image.png: not a video", "none.mp4: No such file", "3 of 4 videos"] {
            assert!(ended.err.contains(words), "{words}: {ended:?}");
        }
        // Also where the answer comes before the end of the upload.
        refused(&ask(&["--top-k", "7000", text(&large)]), &["`top_k` is `7000`; give a whole number", "status 400"]);
        refused(
            &ask(&["--model", "other", text(&red)]),
            &[&url, "no model is named other; loaded are tiny (classify)"],
        );
        refused(&ask(&["--threshold", "0.5", text(&red)]), &["--threshold is not for", &url, "made to classify"]);
        if flags.is_empty() {
            let small = Service::start(&["--bundle", text(&fixture("tiny")), "--max-body-mib", "1"]);
            let ended = run(["predict", "--server", &small.url(), text(&large)]);
            refused(&ended, &["padded.mp4: the video has ", "takes 1048576", "--max-body-mib"]);
        } else {
            assert_eq!(service.jobs(), 0, "what failed is forgotten");
        }
    }
}

#[test]
fn who_is_no_service_is_named() {
    let red = fixture("red.mp4");
    let ask = |url: &str| run(["predict", "--server", url, text(&red)]);
    let ended = ask("127.0.0.1:8080");
    assert!(
        ended.code == Some(2) && ended.err.contains("expected an address such as http://127.0.0.1:8080"),
        "{ended:?}"
    );
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = ask(&format!("http://{free}"));
    assert!(
        ended.code == Some(1) && ended.err.contains(&format!("http://{free} does not answer: Connection")),
        "{ended:?}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (client, answer) in listener.incoming().zip([
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nwhat",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        ]) {
            let mut client = client.unwrap();
            let _read = client.read(&mut [0; 4096]).unwrap();
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    for words in ["no explanation of `unscene serve`", "expected the answer of `unscene serve`"] {
        let ended = ask(&other);
        assert!(ended.code == Some(2) && ended.err.contains(words) && ended.err.contains(&other), "{ended:?}");
    }
}

#[test]
fn a_key_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, file) = (folder.path().join("keys.toml"), folder.path().join("key.txt"));
    // Of "sesame".
    let hash = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272";
    std::fs::write(&keys, format!("[[key]]\nname = \"shop\"\nsha256 = \"{hash}\"\nscopes = [\"predict\"]\n")).unwrap();
    std::fs::write(&file, "sesame\n").unwrap();
    let jobs = folder.path().join("jobs");
    let service =
        Service::start(&["--bundle", text(&fixture("tiny")), "--api-keys", text(&keys), "--jobs", text(&jobs)]);
    let (url, red) = (service.url(), fixture("red.mp4"));
    let args = ["predict", "--server", &url, text(&red)];
    let ended = run(args);
    assert!(
        ended.code == Some(2) && ended.err.contains("--api-key-file FILE or the variable UNSCENE_API_KEY"),
        "{ended:?}"
    );
    assert!(done([&args[..], &["--api-key-file", text(&file)]].concat()).contains("red"));
    let by_variable = command(args).env("UNSCENE_API_KEY", "sesame").output().unwrap();
    assert_eq!(by_variable.status.code(), Some(0), "{by_variable:?}");
}

#[test]
fn ctrl_c_leaves_nothing_at_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = folder.path().join("jobs");
    let service = Service::start(&["--bundle", text(&fixture("tiny")), "--jobs", text(&jobs)]);
    let (url, red, long) = (service.url(), fixture("red.mp4"), fixture("long.mp4"));
    let mut child = command(["predict", "--json", "--server", &url, text(&red), text(&long)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(untimed(&out.next().unwrap().unwrap())["file"], text(&red));
    wait_until("the service is at work", || service.jobs() == 1);
    interrupt(&child);
    assert_eq!(out.count(), 0);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "error: interrupted: 1 of 2 videos are done\n");
    assert_eq!(ended.status.code(), Some(130));
    assert_eq!(service.jobs(), 0);
    wait_until("the video is forgotten", || std::fs::read_dir(jobs.join("uploads")).unwrap().count() == 0);
}

#[test]
fn options_of_the_other_way_are_refused() {
    let (red, tiny) = (fixture("red.mp4"), fixture("tiny"));
    let (video, bundle, url) = (text(&red), text(&tiny), "http://127.0.0.1:1");
    for (args, words) in [
        (vec![video], "--bundle <BUNDLE>|--server <URL>"),
        (vec!["--bundle", bundle, "--server", url, video], "cannot be used with '--server <URL>'"),
        (vec!["--server", url, "--engine", "tract", video], "--engine <ENGINE>"),
        (vec!["--server", url, "--device", "cpu", video], "--device <DEVICE>"),
        (vec!["--server", url, "--threads", "1", video], "--threads <THREADS>"),
        (vec!["--server", url, "--crops", "three", video], "--crops <CROPS>"),
        (vec!["--bundle", bundle, "--task", "classify", video], "--task <TASK>"),
        (vec!["--bundle", bundle, "--model", "tiny", video], "--model <NAME>"),
        (vec!["--server", url, "--task", "dance", video], "expected classify, localize or detect"),
        (vec!["--bundle", bundle, "--watch", ".", video], "--watch"),
        (vec!["--bundle", bundle, "--watch", ".", "--timeline", "a.svg"], "--timeline"),
        (vec!["--bundle", bundle, "--out", "results", video], "'--out <DIR>' cannot be used with"),
        (vec!["--bundle", bundle], "<VIDEO>"),
    ] {
        let ended = run(["predict"].into_iter().chain(args));
        assert!(ended.code == Some(2) && ended.err.contains(words), "{words}: {ended:?}");
    }
}
