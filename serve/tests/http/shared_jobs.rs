//! Two services with one queue: a PostgreSQL database, and a folder beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Response, read, send, wait_until};
use crate::database::Database;
use crate::faults::Program;

/// A service that shares its jobs.
fn start(folder: &Path, url: &str, flags: &[&str]) -> Program {
    Program::start("", &[&["--jobs", folder.to_str().unwrap(), "--jobs-db", url], flags].concat())
}

fn ask(program: &Program, method: &str, path: &str, body: &[u8]) -> Response {
    send(program.connect(), method, path, &[], body)
}

fn submit(program: &Program, video: &str) -> String {
    let accepted = ask(program, "POST", "/v1/jobs", &read(video));
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    accepted.json()["id"].as_str().unwrap().to_owned()
}

fn job(program: &Program, id: &str) -> Value {
    let told = ask(program, "GET", &format!("/v1/jobs/{id}"), &[]);
    assert_eq!(told.status, 200, "{}", told.text());
    told.json()
}

/// Waits until a job is done that another service had, or that is long.
fn wait_until_done(program: &Program, id: &str) {
    for _ in 0..3000 {
        if job(program, id)["state"] == "done" {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("it never was done: {}", job(program, id));
}

/// The value of a metric.
fn metric(program: &Program, name: &str) -> f64 {
    let metrics = ask(program, "GET", "/metrics", &[]).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// The folder of videos that belongs to the database.
fn video_folder(folder: &Path) -> PathBuf {
    folder.read_dir().unwrap().flatten().map(|entry| entry.path()).find(|path| path.is_dir()).unwrap()
}

/// Videos that are kept.
fn videos(folder: &Path) -> usize {
    video_folder(folder).read_dir().unwrap().count()
}

#[test]
fn of_two_services_one_is_killed_and_all_jobs_end_once() {
    let (database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let url = database.make("jobs");
    // The one that is killed has long videos at work by then.
    let mut first = start(folder.path(), &url, &["--jobs-at-once", "2"]);
    let long: Vec<String> = (0..2).map(|_| submit(&first, "long.mp4")).collect();
    long.iter().for_each(|id| wait_until("it is at work", || job(&first, id)["progress"]["clips"].as_u64() > Some(0)));
    let mut second = start(folder.path(), &url, &["--jobs-at-once", "2"]);
    let colours = ["red", "blue"];
    let short: Vec<String> =
        (0..20).map(|at| submit([&first, &second][at / 2 % 2], &format!("{}.mp4", colours[at % 2]))).collect();
    // Each tells of what the other does.
    wait_until("the other tells how far it is", || job(&second, &long[0])["progress"]["so_far"]["classify"].is_array());
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    long.iter().chain(&short).for_each(|id| wait_until_done(&second, id));
    for (at, id) in short.iter().enumerate() {
        assert_eq!(job(&second, id)["result"]["classify"]["predictions"][0]["label"], colours[at % 2]);
    }
    assert!(long.iter().any(|id| job(&second, id)["attempts"] == 2), "one that was at work was begun again");
    let listed = ask(&second, "GET", "/v1/jobs", &[]).json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 22, "none is lost, and none is there twice");
    assert_eq!(database.ask(&url, "SELECT COUNT(*) FROM unscene_jobs WHERE state = 'done'"), "22");
    wait_until("no video is left", || videos(folder.path()) == 0);
    second.assert_unharmed();
    second.child.kill().unwrap();
    let log = [first.log(), second.log()].concat();
    for id in long.iter().chain(&short) {
        let ends = log.iter().filter(|line| line.contains("job ended") && line.contains(id.as_str())).count();
        // The first may have been killed before it could say so.
        assert!(ends <= 1, "{id} ended {ends} times");
    }
    assert!(log.iter().filter(|line| line.contains("job ended")).count() > 10, "{log:?}");
}

#[test]
fn two_services_share_the_work_and_what_is_deleted_at_one_stops_at_the_other() {
    let (database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let url = database.make("jobs");
    let services = [0, 1].map(|_| start(folder.path(), &url, &[]));
    // Each works on one job at a time.
    let long = [0, 1].map(|_| submit(&services[0], "long.mp4"));
    long.iter().for_each(|id| wait_until("it is at work", || job(&services[0], id)["state"] == "running"));
    let at_work = |at: usize| metric(&services[at], "unscene_admitted_requests");
    [0, 1].iter().for_each(|at| wait_until("each has one", || at_work(*at) == 1.0));
    for id in &long {
        assert_eq!(ask(&services[0], "DELETE", &format!("/v1/jobs/{id}"), &[]).status, 204);
        ask(&services[1], "GET", &format!("/v1/jobs/{id}"), &[]).assert_problem(404, "no job");
    }
    [0, 1].iter().for_each(|at| wait_until("it stops at both", || at_work(*at) == 0.0));
    let next = [0, 1].map(|at| submit(&services[at], "blue.mp4"));
    next.iter().for_each(|id| wait_until_done(&services[0], id));
    wait_until("no video is left", || videos(folder.path()) == 0);
    services.iter().for_each(Program::assert_unharmed);
}

#[test]
fn an_upload_may_go_on_at_another_service_and_is_of_one_at_a_time() {
    let (database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let url = database.make("jobs");
    let services = [0, 1].map(|_| start(folder.path(), &url, &[]));
    let video = read("red.mp4");
    let (begin, rest) = video.split_at(1000);
    let size = video.len().to_string();
    let begun = send(services[0].connect(), "POST", "/v1/uploads", &[("Upload-Length", &size)], &[]);
    assert_eq!(begun.status, 201, "{}", begun.text());
    let path = begun.header("location").unwrap().to_owned();
    let patch = |at: usize, offset: &str, part: &[u8]| {
        let headers = [("Upload-Offset", offset), ("Content-Type", "application/offset+octet-stream")];
        send(services[at].connect(), "PATCH", &path, &headers, part)
    };
    assert_eq!(patch(0, "0", begin).status, 204);
    // Another client holds it at the first service; the second must not touch it.
    let mut slow = services[0].connect();
    let head = crate::client::head(
        "PATCH",
        &path,
        &[("Upload-Offset", "1000"), ("Content-Type", "application/offset+octet-stream")],
    );
    std::io::Write::write_all(&mut slow, format!("{head}Content-Length: {}\r\n\r\n", rest.len()).as_bytes()).unwrap();
    // What begins elsewhere would be refused with 409 if it were not held.
    wait_until("it is held", || patch(1, "999", b"x").status == 423);
    drop(slow);
    wait_until("it goes on at the second", || patch(1, "1000", rest).status == 204);
    let id = path.rsplit('/').next().unwrap();
    wait_until("it is done", || job(&services[0], id)["state"] == "done");
    assert_eq!(job(&services[0], id)["result"]["classify"]["predictions"][0]["label"], "red");
}

#[test]
fn a_database_that_is_away_costs_the_jobs_that_come_meanwhile_and_no_other() {
    let (mut database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let url = database.make("jobs");
    let services = [0, 1].map(|_| start(folder.path(), &url, &[]));
    let long = [0, 1].map(|_| submit(&services[0], "long.mp4"));
    long.iter().for_each(|id| wait_until("it is at work", || job(&services[1], id)["state"] == "running"));
    database.stop();
    for service in &services {
        ask(service, "POST", "/v1/jobs", &read("red.mp4")).assert_problem(503, "the jobs cannot be reached now");
        ask(service, "GET", &format!("/v1/jobs/{}", long[0]), &[]).assert_problem(503, "cannot be reached");
        service.assert_unharmed();
    }
    database.go_on();
    // As if it had been away for longer than jobs are held.
    database.ask(&url, "UPDATE unscene_jobs SET held_until = now() - INTERVAL '1 second' WHERE state = 'running'");
    let short = submit(&services[0], "red.mp4");
    for id in [&long[0], &long[1], &short] {
        wait_until_done(&services[1], id);
        assert_eq!(job(&services[1], id)["attempts"], 1, "what was at work went on meanwhile");
    }
    // A job whose service could not hear that it was written has its video, and is done.
    let listed = ask(&services[0], "GET", "/v1/jobs", &[]).json();
    assert!(listed["jobs"].as_array().unwrap().iter().all(|job| job["state"] == "done"), "{listed}");
}

#[test]
fn a_service_that_lost_the_folder_takes_no_jobs_until_it_is_back() {
    let (database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let url = database.make("jobs");
    let service = start(folder.path(), &url, &[]);
    let long = submit(&service, "long.mp4");
    wait_until("it is at work", || job(&service, &long)["state"] == "running");
    let waiting = submit(&service, "red.mp4");
    // As when a shared file system goes and comes back.
    let [here, away] = [video_folder(folder.path()), folder.path().join("away")];
    fs::rename(&here, &away).unwrap();
    assert_eq!(ask(&service, "DELETE", &format!("/v1/jobs/{long}"), &[]).status, 204);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(job(&service, &waiting)["state"], "queued");
    assert_eq!(ask(&service, "POST", "/v1/jobs", &read("red.mp4")).status, 503);
    fs::rename(&away, &here).unwrap();
    wait_until_done(&service, &waiting);
}

#[test]
fn the_database_is_spoken_to_in_secret_if_its_certificate_is_trusted() {
    let (mut database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let plain = database.make("jobs");
    let url = plain.replace("127.0.0.1", "localhost").replace("disable", "require");
    let authority = database.certify();
    database.stop();
    database.go_on();
    let flags = ["--jobs", folder.path().to_str().unwrap(), "--jobs-db", &url];
    let service = Program::start(&format!("export SSL_CERT_FILE={}", authority.display()), &flags);
    let id = submit(&service, "red.mp4");
    wait_until("it is done", || job(&service, &id)["state"] == "done");
    let secret = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'unscene'";
    assert_eq!(database.ask(&plain, secret), "t");
}
