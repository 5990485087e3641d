//! The script of `make demo`, with a program in the place of `unscene`.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

#[test]
fn ctrl_c_waits_for_the_snapshot_of_what_is_running() {
    let folder = tempfile::tempdir().unwrap();
    let [program, begun, saved] = ["unscene", "begun", "saved"].map(|name| folder.path().join(name));
    // As a training does: told to stop, it takes its time to save.
    let script = format!(
        "#!/bin/sh\ntrap 'sleep 2; touch {}; exit 130' INT\ntouch {}\nwhile :; do sleep 0.05; done\n",
        saved.display(),
        begun.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/demo.py");
    // Where tests run in the background, SIGINT is ignored by whatever they start, unless it is told otherwise.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=INT", "python3"])
        .arg(demo)
        .arg(&program)
        .arg(folder.path().join("demo"))
        .process_group(0);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !begun.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "the demo did not begin within two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    // As a terminal does: everything in the foreground is told.
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(saved.exists(), "it was not waited for");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("call it again to go on"), "{ended:?}");
}

#[test]
fn in_a_terminal_the_service_stays_until_ctrl_c_and_elsewhere_it_ends() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked = Command::new("python3")
        .arg(here.join("tests/demo_terminal.py"))
        .args([here.join("../../scripts"), env!("CARGO_BIN_EXE_unscene").into()])
        .args([here.join("../../serve/tests/fixtures/tiny"), here.join("../../serve/tests/fixtures/red.mp4")])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
