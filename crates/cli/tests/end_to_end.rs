//! From weights to predictions with the command alone, on a real video.

mod common;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use common::{SMALL, bundle, command, done, init, video};
use serde_json::Value;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_model_is_made_exported_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run"), folder.path().join("bundle"));
    assert!(init(&run).contains("r3d10-hara to classify, 3 classes"));
    let exported = done([
        "export".as_ref(),
        "--onnx".as_ref(),
        "--json".as_ref(),
        "--run".as_ref(),
        run.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ]);
    for engine in ["ort-cpu", "tract"] {
        assert!(parsed(&exported)["parity"][engine].as_f64().unwrap() <= 1e-5, "{exported}");
    }

    // 40 frames: five clips of 8.
    let file = video("h264.mp4");
    let scores = ["ort", "tract"].map(|engine| {
        let answer = done([
            "predict".as_ref(),
            "--json".as_ref(),
            "--clips".as_ref(),
            "--engine".as_ref(),
            OsStr::new(engine),
            "--device".as_ref(),
            "cpu".as_ref(),
            "--bundle".as_ref(),
            out.as_os_str(),
            file.as_os_str(),
        ]);
        let answer = parsed(&answer);
        assert_eq!(answer["file"], file.to_str().unwrap());
        assert!(answer["engine"].as_str().unwrap().to_lowercase().contains(if engine == "ort" {
            "onnx"
        } else {
            "tract"
        }));
        assert_eq!((&answer["video"]["frames"], &answer["video"]["clips"]), (&40.into(), &5.into()), "{answer}");
        assert_eq!(answer["clips"].as_array().unwrap().len(), 5);
        let mut scores: Vec<_> = answer["predictions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p["label"].as_str().unwrap().to_string(), p["score"].as_f64().unwrap()))
            .collect();
        scores.sort_by(|a, b| a.0.cmp(&b.0));
        scores
    });
    assert_eq!(
        scores[0].iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(),
        ["class_0", "class_1", "class_2"]
    );
    for (ort, tract) in scores[0].iter().zip(&scores[1]) {
        assert!((ort.1 - tract.1).abs() < 1e-5, "{scores:?}");
    }

    let table = done([
        "predict".as_ref(),
        "--top-k".as_ref(),
        "2".as_ref(),
        "--crops".as_ref(),
        "three".as_ref(),
        "--bundle".as_ref(),
        out.as_os_str(),
        file.as_os_str(),
    ]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("(5 clips, ") && table.contains(" %  class_"), "{table}");
}

#[test]
fn weights_are_imported_under_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (run, again, labels) =
        (folder.path().join("run"), folder.path().join("again"), folder.path().join("labels.txt"));
    init(&run);
    std::fs::write(&labels, "walk\nrun\nfall\n").unwrap();
    let weights = run.join("weights.safetensors");
    let args = [OsStr::new("import")].into_iter().chain(SMALL.map(OsStr::new)).chain([
        "--weights".as_ref(),
        weights.as_os_str(),
        "--labels".as_ref(),
        labels.as_os_str(),
        "--out".as_ref(),
        again.as_os_str(),
        "--json".as_ref(),
    ]);
    let report = parsed(&done(args));
    assert_eq!(report["imported"]["format"], "safetensors");
    assert_eq!(std::fs::read(&weights).unwrap(), std::fs::read(again.join("weights.safetensors")).unwrap());
    let config = parsed(&std::fs::read_to_string(again.join("config.json")).unwrap());
    assert_eq!(config["labels"], serde_json::json!(["walk", "run", "fall"]));
}

#[test]
fn graph_prints_the_size_that_torchvision_reports() {
    let table = done(["graph", "--arch", "r3d18-torchvision"]);
    assert!(table.lines().last().unwrap().starts_with("33.4 M (33371472) parameters, 40696.6 M ("), "{table}");
    assert!(table.lines().any(|line| line.split_whitespace().next() == Some("layer4.1.conv2.0")), "{table}");
    let graph = parsed(&done(["graph", "--arch", "r3d10-hara", "--classes", "7", "--json"]));
    assert!(graph["nodes"].as_array().unwrap().len() > 20);
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let mut child = command(["graph", "--arch", "r3d34-hara", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds is still to come when the reader goes.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn every_command_explains_every_flag() {
    let help = done(["--help"]);
    for name in ["graph", "init", "import", "export", "predict", "serve"] {
        assert!(help.contains(name), "{help}");
        let help = done([name, "--help"]);
        // A flag without a description ends its line; with one, words follow on it or on the next.
        let lines: Vec<&str> = help.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("--")) {
            let described =
                line.trim().contains("  ") || lines.get(index + 1).is_some_and(|next| next.starts_with("          "));
            assert!(described, "{name}: {line}");
        }
    }
}

/// The service under the command: ready, a prediction, and an orderly end on Ctrl-C and on SIGTERM.
#[test]
fn a_bundle_is_served_until_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path());
    for signal in ["INT", "TERM"] {
        let mut child = command([
            "serve".as_ref(),
            "--addr".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--bundle".as_ref(),
            bundle.as_os_str(),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = log
            .find_map(|line| {
                line.unwrap()
                    .split_once("listening on http://")
                    .map(|(_, address)| address.split_whitespace().next().unwrap().to_string())
            })
            .expect("the service says where it listens");
        let body = std::fs::read(video("vp9.webm")).unwrap();
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /v1/classify?top_k=1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(parsed(body)["predictions"].as_array().unwrap().len(), 1);

        let killed = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        log.for_each(drop);
        assert_eq!(child.wait().unwrap().code(), Some(0), "after SIG{signal}");
    }
}

#[test]
fn ctrl_c_keeps_what_is_done_and_says_how_much_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path());
    let file = video("h264.mp4");
    // Far more than is done before the signal comes.
    let files = std::iter::repeat_n(file.as_os_str(), 2000);
    let mut child = command(
        ["predict".as_ref(), "--json".as_ref(), "--bundle".as_ref(), bundle.as_os_str()].into_iter().chain(files),
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answers = vec![out.next().unwrap().unwrap()];
    assert!(
        std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success()
    );
    answers.extend(out.map(Result::unwrap));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    for answer in &answers {
        assert_eq!(parsed(answer)["predictions"].as_array().unwrap().len(), 3);
    }
    let message = format!("error: interrupted: {} of 2000 videos are done\n", answers.len());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), message);
}

#[test]
fn an_interrupted_export_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // Large enough that it takes a while to check.
    done(["init", "--arch", "r3d18-hara", "--classes", "3", "--out", run.to_str().unwrap()]);
    for signal in ["INT", "TERM"] {
        let out = folder.path().join("bundle");
        let mut child =
            command(["export".as_ref(), "--run".as_ref(), run.as_os_str(), "--out".as_ref(), out.as_os_str()])
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
        let hidden = || {
            let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            entries.filter(|name| name.to_string_lossy().starts_with('.')).count()
        };
        while hidden() == 0 {
            assert!(child.try_wait().unwrap().is_none(), "the export ended before it wrote anything");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let killed = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130), "after SIG{signal}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("what was half written is gone"), "{ended:?}");
        assert_eq!(hidden(), 0);
        assert!(!out.exists());
    }
}

#[test]
fn a_stage_is_rendered_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("stage");
    let text = done(["stage", "--preset", "tiny", "--test", "0", "--seed", "3", "--out", out.to_str().unwrap()]);
    assert!(text.contains("30 videos") && text.contains("contact_sheet.png"), "{text}");
    assert!(out.join("stage.json").is_file());

    let out = folder.path().join("untrimmed");
    let text = done(["stage", "--untrimmed", "--preset", "tiny", "--test", "0", "--out", out.to_str().unwrap()]);
    assert!(text.contains("6 videos") && text.contains("actions") && text.contains("contact_sheet.png"), "{text}");
    assert!(out.join("stage.json").is_file() && out.join("annotations_thumos/detclasslist.txt").is_file());
}
