//! Two services with one queue: a PostgreSQL database, and a folder beside it.

use std::path::Path;

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

/// Jobs that a service has ended itself.
fn done(program: &Program) -> f64 {
    let metrics = ask(program, "GET", "/metrics", &[]).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("unscene_jobs_total{state=\"done\"} "));
    line.map_or(0.0, |count| count.parse().unwrap())
}

/// Videos that are kept.
fn videos(folder: &Path) -> usize {
    let of_database = folder.read_dir().unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    of_database.path().read_dir().unwrap().count()
}

#[test]
fn of_two_services_one_is_killed_and_all_jobs_end_once() {
    let (database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let url = database.make("jobs");
    // The one that is killed has long videos at work by then.
    let mut first = start(folder.path(), &url, &["--jobs-at-once", "3"]);
    let long: Vec<String> = (0..3).map(|_| submit(&first, "long.mp4")).collect();
    long.iter().for_each(|id| wait_until("it is at work", || job(&first, id)["progress"]["clips"].as_u64() > Some(0)));
    let mut second = start(folder.path(), &url, &["--jobs-at-once", "2"]);
    let colours = ["red", "blue"];
    let short: Vec<String> =
        (0..20).map(|at| submit([&first, &second][at / 2 % 2], &format!("{}.mp4", colours[at % 2]))).collect();
    // Each tells of what the other does.
    wait_until("the other tells how far it is", || job(&second, &long[0])["progress"]["so_far"]["classify"].is_array());
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    for id in long.iter().chain(&short) {
        wait_until("it is done", || job(&second, id)["state"] == "done");
    }
    for (at, id) in short.iter().enumerate() {
        assert_eq!(job(&second, id)["result"]["classify"]["predictions"][0]["label"], colours[at % 2]);
    }
    assert!(long.iter().any(|id| job(&second, id)["attempts"] == 2), "one that was at work was begun again");
    let listed = ask(&second, "GET", "/v1/jobs", &[]).json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 23, "none is lost, and none is there twice");
    assert_eq!(database.ask(&url, "SELECT COUNT(*) FROM unscene_jobs WHERE state = 'done'"), "23");
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
    let ids: Vec<String> = (0..12).map(|_| submit(&services[0], "red.mp4")).collect();
    ids.iter().for_each(|id| wait_until("it is done", || job(&services[1], id)["state"] == "done"));
    wait_until("it is counted", || services.iter().map(done).sum::<f64>() == 12.0);
    // Each has one at work; one after the other is deleted, at the service that has it or at the other.
    let long = [0, 1].map(|_| submit(&services[0], "long.mp4"));
    long.iter().for_each(|id| wait_until("it is at work", || job(&services[0], id)["state"] == "running"));
    for id in &long {
        assert_eq!(ask(&services[0], "DELETE", &format!("/v1/jobs/{id}"), &[]).status, 204);
        ask(&services[1], "GET", &format!("/v1/jobs/{id}"), &[]).assert_problem(404, "no job");
    }
    let next = [0, 1].map(|at| submit(&services[at], "blue.mp4"));
    next.iter().for_each(|id| wait_until("it is done", || job(&services[0], id)["state"] == "done"));
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
    wait_until("it is held", || patch(1, "1000", rest).status == 423);
    drop(slow);
    wait_until("it goes on at the second", || patch(1, "1000", rest).status == 204);
    let id = path.rsplit('/').next().unwrap();
    wait_until("it is done", || job(&services[0], id)["state"] == "done");
    assert_eq!(job(&services[0], id)["result"]["classify"]["predictions"][0]["label"], "red");
}

#[test]
fn a_database_that_is_away_costs_the_jobs_that_come_meanwhile() {
    let (mut database, folder) = (Database::start(), tempfile::tempdir().unwrap());
    let url = database.make("jobs");
    let service = start(folder.path(), &url, &[]);
    let long = submit(&service, "long.mp4");
    wait_until("it is at work", || job(&service, &long)["state"] == "running");
    database.stop();
    ask(&service, "POST", "/v1/jobs", &read("red.mp4")).assert_problem(503, "the database of jobs does not answer");
    ask(&service, "GET", &format!("/v1/jobs/{long}"), &[]).assert_problem(503, "does not answer");
    service.assert_unharmed();
    database.go_on();
    let short = submit(&service, "red.mp4");
    for id in [&long, &short] {
        wait_until("it is done", || job(&service, id)["state"] == "done");
    }
    assert_eq!(job(&service, &long)["attempts"], 1, "what was at work went on meanwhile");
    wait_until("no video is left", || videos(folder.path()) == 0);
}
