//! Real video from a folder in UCF101's layout: trained on, measured, exported, served.
//!
//! The videos lie beside the project and are no part of it. Where they are not, the test says so and ends.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{command, done, run};
use serde_json::Value;
use unscene_media::{DecodeOptions, Decoder, EncodeOptions, Encoder, Source, View};

/// Width and height of the clips that are cut.
const SIZE: (u32, u32) = (128, 96);
const FPS: u32 = 10;
/// Frames of each, and how many of a video.
const FRAMES: usize = 12;
const CLIPS: usize = 4;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Cuts a video into `v_CLASS_g01_c01.avi` and so on, as UCF101 is made of longer ones.
fn cut(video: &Path, class: &str, videos: &Path) {
    let folder = videos.join(class);
    std::fs::create_dir_all(&folder).unwrap();
    let view = View::Resize { width: SIZE.0, height: SIZE.1 };
    let options = DecodeOptions { view, ..DecodeOptions::default() };
    let mut decoder = Decoder::open(&Source::from(video), &options).unwrap();
    let mut rgb = vec![0; decoder.frame_bytes()];
    for clip in 1..=CLIPS {
        let options = EncodeOptions { width: SIZE.0, height: SIZE.1, fps: FPS, crf: 23, keyframe_every: 12 };
        let mut encoder = Encoder::create(&folder.join(format!("v_{class}_g01_c{clip:02}.avi")), &options).unwrap();
        for _ in 0..FRAMES {
            assert!(decoder.next_frame(&mut rgb).unwrap().is_some(), "{} is too short", video.display());
            encoder.write(&rgb).unwrap();
        }
        encoder.finish().unwrap();
    }
}

/// UCF101's lists: the last clip of each class is the test.
fn list(classes: &[&str], lists: &Path) {
    std::fs::create_dir_all(lists).unwrap();
    let numbered = classes.iter().zip(1..);
    let index: String = numbered.clone().map(|(class, number)| format!("{number} {class}\n")).collect();
    std::fs::write(lists.join("classInd.txt"), index).unwrap();
    let line = |class: &str, clip: usize| format!("{class}/v_{class}_g01_c{clip:02}.avi");
    let train: String = numbered
        .flat_map(|(class, number)| (1..CLIPS).map(move |clip| format!("{} {number}\n", line(class, clip))))
        .collect();
    std::fs::write(lists.join("trainlist01.txt"), train).unwrap();
    let test: String = classes.iter().map(|class| line(class, CLIPS) + "\n").collect();
    std::fs::write(lists.join("testlist01.txt"), test).unwrap();
}

#[test]
fn real_video_is_learned_measured_exported_and_served() {
    let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/videos");
    let sources: Vec<(PathBuf, &str)> =
        [("people.mp4", "Walking"), ("arm_wrestling.mp4", "ArmWrestling"), ("clip.avi", "Clip")]
            .map(|(file, class)| (there.join(file), class))
            .to_vec();
    if let Some((missing, _)) = sources.iter().find(|(file, _)| !file.is_file()) {
        eprintln!("not tested: {} is not there", missing.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (videos, lists, run_dir, bundle) = (path("videos"), path("lists"), path("run"), path("bundle"));
    sources.iter().for_each(|(file, class)| cut(file, class, &videos));
    list(&["Walking", "ArmWrestling", "Clip"], &lists);

    let settings = [
        "data.format=ucf101".to_string(),
        format!("data.annotations={:?}", text(&lists)),
        format!("data.videos={:?}", text(&videos)),
        "val_part=test".into(),
        "batch=3".into(),
        "fit.epochs=12".into(),
        "fit.sgd.lr=0.01".into(),
        "model.arch=r3d10-hara".into(),
        "model.width=0.25".into(),
        "model.frames=8".into(),
        "model.size=48".into(),
        "augmentation.scales=[1.0]".into(),
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let train = ["finetune", "classify", "--preset", "paper", "--out", text(&run_dir), "--json"];
    done(train.into_iter().chain(settings));

    let measured = |args: &[&str]| -> Value {
        serde_json::from_str(&done([&["eval", "classify", "--json"], args].concat())).unwrap()
    };
    let by_run = measured(&["--run", text(&run_dir)]);
    assert_eq!((&by_run["runs"][0]["videos"], &by_run["runs"][0]["skipped"]), (&3.into(), &0.into()));
    // What it was trained on, which shows that something was learned: three scenes that have nothing in common.
    let memory = run(["eval", "classify", "--run", text(&run_dir), "--part", "train", "--json"]);
    let memory: Value = serde_json::from_str(&memory.out).unwrap();
    assert!(memory["mean"]["top1"]["mean"].as_f64().unwrap() > 0.8, "{memory}");
    done(["export", "--onnx", "--maps", "--run", text(&run_dir), "--out", text(&bundle)]);
    let by_bundle = measured(&["--bundle", text(&bundle)]);
    let [a, b] = [&by_run, &by_bundle].map(|found| found["runs"][0]["entropy"].as_f64().unwrap());
    assert!((a - b).abs() < 1e-5 && by_bundle["mean"] == by_run["mean"], "{a} {b}");

    let mut server =
        command(["serve", "--addr", "127.0.0.1:0", "--bundle", text(&bundle)]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let address = log
        .find_map(|line| {
            let (_, address) =
                line.unwrap().split_once("listening on http://").map(|(a, b)| (a.to_string(), b.to_string()))?;
            Some(address.split_whitespace().next().unwrap().to_string())
        })
        .expect("the service says where it listens");
    for (file, _) in &sources {
        let predicted: Value =
            serde_json::from_str(&done(["predict", "--bundle", text(&bundle), text(file), "--json"])).unwrap();
        let body = std::fs::read(file).unwrap();
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /v1/classify?top_k=1&explain=cam HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let answer: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(answer["predictions"][0]["label"], predicted["predictions"][0]["label"], "{}", file.display());
        assert!(answer["explanations"][0]["png"].as_str().unwrap().len() > 1000);
    }
    server.kill().unwrap();
    server.wait().unwrap();
}
