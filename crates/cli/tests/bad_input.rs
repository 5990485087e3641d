//! Input that cannot be used: exit code 2, one line that names the thing and says what to do, and nothing left behind.

mod common;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use common::{SMALL, bundle, init, run, video};

/// Runs a command on input that is bad: it must say so on one line, with every one of `parts`, and end with 2.
fn refused<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, parts: &[&str]) {
    let ended = run(args);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.out, "");
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    assert!(ended.err.starts_with("error: "), "{}", ended.err);
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} is not in: {}", ended.err);
    }
}

fn import(weights: &Path, labels: &Path, out: &Path) -> Vec<OsString> {
    let args = [OsStr::new("import")].into_iter().chain(SMALL.map(OsStr::new)).chain([
        "--weights".as_ref(),
        weights.as_os_str(),
        "--labels".as_ref(),
        labels.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ]);
    args.map(OsStr::to_os_string).collect()
}

#[test]
fn videos_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path());
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let whole = std::fs::read(video("h264.mp4")).unwrap();
    let secret = video("h264.mp4");
    let secret = std::fs::canonicalize(secret).unwrap();
    let playlist =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{}\n#EXT-X-ENDLIST\n", secret.display());
    let concat = format!("ffconcat version 1.0\nfile '{}'\n", secret.display());
    for (path, parts) in [
        (write("empty.mp4", b""), vec!["empty.mp4", "empty"]),
        (write("text.mp4", b"this is not a video\n"), vec!["text.mp4"]),
        (write("cut.mp4", &whole[..whole.len() / 2]), vec!["cut.mp4"]),
        (write("list.m3u8", playlist.as_bytes()), vec!["list.m3u8"]),
        (write("list.ffconcat", concat.as_bytes()), vec!["list.ffconcat"]),
        (video("audio.mp4"), vec!["audio.mp4", "no video"]),
        (video("picture.png"), vec!["picture.png"]),
        (video("huge.mp4"), vec!["huge.mp4", "60000"]),
        (folder.path().join("nowhere.mp4"), vec!["nowhere.mp4", "No such file"]),
        (folder.path().to_path_buf(), vec!["not a regular file"]),
    ] {
        refused(["predict".as_ref(), "--bundle".as_ref(), bundle.as_os_str(), path.as_os_str()], &parts);
    }
}

#[test]
fn one_bad_video_among_others_is_named_and_the_others_are_classified() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path());
    let (good, bad) = (video("h264.mp4"), video("audio.mp4"));
    let ended = run(["predict".as_ref(), "--bundle".as_ref(), bundle.as_os_str(), bad.as_os_str(), good.as_os_str()]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.out.contains("h264.mp4 (5 clips"), "{ended:?}");
    let errors: Vec<&str> = ended.err.lines().collect();
    assert_eq!(errors.len(), 2, "{ended:?}");
    assert!(errors[0].contains("audio.mp4"), "{ended:?}");
    assert!(errors[1].contains("1 of 2 videos could not be used") && errors[1].contains("audio.mp4"), "{ended:?}");
}

#[test]
fn a_damaged_video_is_classified_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path());
    let path = folder.path().join("cut.mp4");
    let whole = std::fs::read(video("faststart.mp4")).unwrap();
    std::fs::write(&path, &whole[..whole.len() * 8 / 10]).unwrap();
    let ended = run(["predict".as_ref(), "--bundle".as_ref(), bundle.as_os_str(), path.as_os_str()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.err.starts_with("warning: ") && ended.err.contains("cut.mp4") && ended.err.contains("damaged"),
        "{ended:?}"
    );
}

#[test]
fn bundles_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let video = video("h264.mp4");
    let predict = |bundle: &Path, parts: &[&str]| {
        refused(["predict".as_ref(), "--bundle".as_ref(), bundle.as_os_str(), video.as_os_str()], parts);
    };
    predict(&folder.path().join("nowhere"), &["nowhere", "unscene export"]);
    predict(folder.path(), &["manifest.json", "unscene export"]);
    let bundle = bundle(folder.path());
    let model = std::fs::read(bundle.join("model.onnx")).unwrap();
    std::fs::write(bundle.join("model.onnx"), &model[..model.len() / 2]).unwrap();
    predict(&bundle, &["model.onnx", "sha256"]);
    std::fs::write(bundle.join("manifest.json"), "{").unwrap();
    predict(&bundle, &["manifest.json"]);
}

#[test]
fn weights_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    init(&path("run"));
    let weights = path("run").join("weights.safetensors");
    std::fs::write(path("three"), "a\nb\nc\n").unwrap();
    std::fs::write(path("four"), "a\nb\nc\nd\n").unwrap();
    std::fs::write(path("gap"), "a\n\nc\n").unwrap();
    std::fs::write(path("text.pth"), "not weights, whatever its name says\n").unwrap();
    let out = path("out");
    refused(
        import(&weights, &path("four"), &out),
        &[
            "there are 4 labels, and the checkpoint has 3 outputs",
            "2 misshapen: fc.weight (3 x 64, expected 4 x 64), fc.bias (3, expected 4)",
        ],
    );
    refused(import(&weights, &path("gap"), &out), &["gap", "line 2 is empty"]);
    refused(import(&weights, &path("nowhere"), &out), &["nowhere"]);
    std::fs::write(path("twice"), "a\nb\na\n").unwrap();
    refused(import(&weights, &path("twice"), &out), &["twice", "lines 1 and 3 are both \"a\""]);
    refused(import(&weights, &weights, &out), &["weights.safetensors", "UTF-8"]);
    refused(import(&path("text.pth"), &path("three"), &out), &["text.pth", "neither a PyTorch checkpoint nor"]);
    refused(import(&path("nowhere.pth"), &path("three"), &out), &["nowhere.pth"]);
    refused(import(&weights, &path("three"), &path("run")), &["run", "choose another folder"]);
    let deeper =
        ["import", "--arch", "r3d18-hara", "--width", "0.125", "--frames", "8", "--size", "32"].map(OsStr::new);
    let (labels, other) = (path("three"), [OsStr::new("--weights"), weights.as_os_str(), "--labels".as_ref()]);
    let args = deeper.into_iter().chain(other).chain([labels.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    refused(args, &["missing: layer1.1.conv1.weight (8 x 8 x 3 x 3 x 3), ", "choose the architecture"]);
    assert!(!out.exists());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn runs_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let export = |run: &Path, parts: &[&str]| {
        let out = path("out");
        refused(
            [
                "export".as_ref(),
                "--onnx".as_ref(),
                "--run".as_ref(),
                run.as_os_str(),
                "--out".as_ref(),
                out.as_os_str(),
            ],
            parts,
        );
        assert!(!out.exists());
    };
    export(&path("nowhere"), &["nowhere", "unscene pretrain", "--resume"]);
    init(&path("run"));
    let config = std::fs::read_to_string(path("run").join("config.json")).unwrap();
    for (from, to, parts) in [
        ("\"fps\": null", "\"fps\": 1e9", ["config.json", "`fps` is 1000000000"]),
        ("\"channels\"", "\"chanels\"", ["config.json", "unknown field `chanels`"]),
        ("\"short_side\": 32", "\"short_side\": 8", ["config.json", "`input.short_side` is 8"]),
    ] {
        assert!(config.contains(from), "{from} in {config}");
        std::fs::write(path("run").join("config.json"), config.replacen(from, to, 1)).unwrap();
        export(&path("run"), &parts);
    }
    std::fs::write(path("run").join("config.json"), config).unwrap();
    std::fs::remove_file(path("run").join("weights.safetensors")).unwrap();
    export(&path("run"), &["weights.safetensors"]);
}

#[test]
fn folders_of_the_other_kind_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path());
    let (run, video, out) = (folder.path().join("run"), video("h264.mp4"), folder.path().join("out"));
    refused(
        ["predict".as_ref(), "--bundle".as_ref(), run.as_os_str(), video.as_os_str()],
        &["run: this is a run folder", "unscene export"],
    );
    refused(
        ["export".as_ref(), "--run".as_ref(), bundle.as_os_str(), "--out".as_ref(), out.as_os_str()],
        &["bundle: this is a bundle"],
    );
}

#[test]
fn stage_names_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    let stage = |more: &[&str], parts: &[&str]| {
        let out = folder.path().to_str().unwrap();
        refused(["stage", "--preset", "tiny", "--out", out].iter().chain(more), parts);
    };
    stage(&[], &["is not empty", "--out"]);
    stage(&["--bias", "1.5"], &["bias is 1.5", "from 0 to 1"]);
    stage(&["--train", "0"], &["train is 0"]);
    stage(&["--untrimmed"], &["is not empty", "--out"]);
    stage(&["--untrimmed", "--bias", "1.5"], &["bias is 1.5", "from 0 to 1"]);
}

#[test]
fn arguments_that_make_no_sense() {
    for (args, part) in [
        (vec!["init", "--arch", "r3d99", "--classes", "2", "--out", "x"], "r3d18"),
        (vec!["init", "--arch", "r3d10-hara", "--out", "x"], "--classes"),
        (vec!["predict", "--bundle", "x", "--device", "gpu", "y.mp4"], "cuda:N"),
        (vec!["predict", "--bundle", "x", "--crops", "ten", "y.mp4"], "center or three"),
        (vec!["predict", "--bundle", "x", "--top-k", "0", "y.mp4"], "--top-k"),
        (vec!["stage", "--out", "x", "--preset", "huge"], "tiny, demo or full"),
        (vec!["predict", "--bundle", "x"], "VIDEO"),
        (vec!["serve"], "--bundle"),
        (vec!["dance"], "dance"),
    ] {
        let ended = run(&args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{args:?}: {ended:?}");
    }
}
