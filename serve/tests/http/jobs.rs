//! Work that outlives its request, and the process that it was given to.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde_json::{Value, json};
use unscene_serve::{Service, StartError};

use crate::client::{PROGRAM, Response, TestServer, fixture, head, options, padded, read, send, wait_until};
use crate::faults::Program;

/// A service with jobs in a folder.
fn start(folder: &Path, flags: &[&str]) -> TestServer {
    TestServer::start(&[&["--jobs", folder.to_str().unwrap()], flags].concat())
}

fn submit(server: &TestServer, query: &str, video: &str) -> String {
    let accepted = server.post(&format!("/v1/jobs{query}"), &read(video));
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(accepted.header("location"), Some(format!("/v1/jobs/{id}").as_str()));
    id
}

/// The job when it is in that state.
fn when(server: &TestServer, id: &str, state: &str) -> Value {
    let job = || server.get(&format!("/v1/jobs/{id}")).json();
    wait_until(&format!("the job is {state}"), || job()["state"] == state);
    job()
}

fn uploads(folder: &Path) -> usize {
    fs::read_dir(folder.join("uploads")).unwrap().count()
}

#[test]
fn a_job_gives_what_a_request_would_have_got() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let query = "?tasks=classify&classify.top_k=2&classify.clips=true";
    let id = submit(&server, query, "halves.mp4");
    let job = when(&server, &id, "done");
    assert_eq!((&job["parameters"], &job["attempts"]), (&json!(query[1..]), &json!(1)));
    let (created, ended) = (job["created_s"].as_f64().unwrap(), job["ended_s"].as_f64().unwrap());
    assert!(created > 1.7e9 && ended >= created, "{job}");
    let timeless = |mut answer: Value| {
        answer["classify"].as_object_mut().unwrap().remove("timing").expect("a timing");
        answer
    };
    let answer = server.post(&format!("/v1/predict{query}"), &read("halves.mp4")).json();
    assert_eq!(timeless(job["result"].clone()), timeless(answer));
    assert_eq!(uploads(folder.path()), 0, "the video of a job that has ended is gone");
    // A form says the same.
    let parts: [(&str, &[u8]); 2] = [("classify.top_k", b"1"), ("video", &read("red.mp4"))];
    let accepted = server.post_form("/v1/jobs?tasks=classify", &parts).json();
    assert_eq!(accepted["parameters"], "tasks=classify&classify.top_k=1");
    let job = when(&server, accepted["id"].as_str().unwrap(), "done");
    assert_eq!(job["result"]["classify"]["predictions"].as_array().unwrap().len(), 1);
    assert_eq!(server.metric("unscene_jobs_total{state=\"done\"}"), 2.0);
}

#[test]
fn jobs_are_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let ids = ["red.mp4", "blue.mp4", "halves.mp4"].map(|video| submit(&server, "", video));
    ids.iter().for_each(|id| drop(when(&server, id, "done")));
    let listed = |query: &str| -> Vec<String> {
        let list = server.get(&format!("/v1/jobs{query}"));
        assert_eq!(list.status, 200, "{}", list.text());
        let list = list.json();
        let jobs = list["jobs"].as_array().unwrap().iter();
        jobs.inspect(|job| assert!(job.get("result").is_none()))
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed(""), [&*ids[2], &*ids[1], &*ids[0]]);
    assert_eq!(listed("?limit=1"), [&*ids[2]]);
    assert_eq!(listed(&format!("?before={}&state=done", ids[2])), [&*ids[1], &*ids[0]]);
    assert!(listed("?state=failed").is_empty());
    for (query, words) in
        [("?state=lost", "`state` is `lost`; give queued"), ("?limit=0", "`limit` is 0"), ("?page=2", "page")]
    {
        server.get(&format!("/v1/jobs{query}")).assert_problem(400, words);
    }
    let path = format!("/v1/jobs/{}", ids[0]);
    assert_eq!(server.send("DELETE", &path, &[], &[]).status, 204);
    server.get(&path).assert_problem(404, "no job");
    server.send("DELETE", &path, &[], &[]).assert_problem(404, "no job");
    assert_eq!(listed(""), [&*ids[2], &*ids[1]]);
    server.send("PUT", &path, &[], &[]).assert_problem(405, "use GET, DELETE");
}

#[test]
fn a_job_that_is_deleted_ends_and_frees_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let (long, waiting) = (submit(&server, "", "long.mp4"), submit(&server, "", "red.mp4"));
    wait_until("it is at work", || {
        server.get(&format!("/v1/jobs/{long}")).json()["progress"]["expected"].as_u64().is_some_and(|clips| clips > 20)
    });
    assert_eq!(server.send("DELETE", &format!("/v1/jobs/{long}"), &[], &[]).status, 204);
    when(&server, &waiting, "done");
    server.get(&format!("/v1/jobs/{long}")).assert_problem(404, "no job");
    wait_until("its video is gone", || uploads(folder.path()) == 0);
    server.wait_for_metric("unscene_open_videos", 0.0);
}

/// The events of a job: name, kind and what they tell.
fn events(answer: &Response) -> Vec<(String, String, Value)> {
    let text = answer.text();
    let events = text.split("\n\n").filter(|event| event.contains("data: "));
    let part = |event: &str, name: &str| {
        let line =
            event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {event}"));
        line.to_owned()
    };
    events
        .map(|event| {
            (part(event, "id: "), part(event, "event: "), serde_json::from_str(&part(event, "data: ")).unwrap())
        })
        .collect()
}

#[test]
fn events_tell_of_a_job_until_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let id = submit(&server, "", "red.mp4");
    let path = format!("/v1/jobs/{id}/events");
    let answer = server.get(&path);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let told = events(&answer);
    let (mark, kind, job) = told.last().unwrap();
    assert_eq!((kind.as_str(), &job["state"]), ("done", &json!("done")));
    assert_eq!(job["result"]["classify"]["predictions"][0]["label"], "red");
    // Who comes back hears of what it has not heard.
    assert_eq!(events(&server.send("GET", &path, &[("Last-Event-ID", "1-running-0")], &[])).len(), 1);
    let heard_all = server.send("GET", &path, &[("Last-Event-ID", mark)], &[]);
    assert_eq!((heard_all.status, heard_all.text().as_str()), (204, ""), "a browser does not come back");
    server.get("/v1/jobs/nothing/events").assert_problem(404, "no job `nothing`");
}

#[test]
fn what_was_seen_so_far_is_told_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let id = submit(&server, "?tasks=classify&classify.top_k=2", "long.mp4");
    let so_far = || server.get(&format!("/v1/jobs/{id}")).json()["progress"]["so_far"].clone();
    wait_until("a clip is scored", || so_far()["classify"].is_array());
    let classes = so_far()["classify"].as_array().unwrap().clone();
    assert_eq!(classes.len(), 2);
    assert!(classes[0]["score"].as_f64() >= classes[1]["score"].as_f64() && classes[0]["label"].is_string());
    let listed = server.get("/v1/jobs").json();
    assert!(listed["jobs"][0]["progress"]["clips"].is_u64() && listed["jobs"][0]["progress"].get("so_far").is_none());
    // Events tell it too, before the one that tells of the end.
    let mut stream = server.connect();
    stream.write_all((head("GET", &format!("/v1/jobs/{id}/events"), &[]) + "\r\n").as_bytes()).unwrap();
    let told =
        BufReader::new(stream).lines().map(Result::unwrap).find(|line| line.contains("\"so_far\":{\"classify\""));
    assert!(told.unwrap().starts_with("data: "));
    assert_eq!(server.send("DELETE", &format!("/v1/jobs/{id}"), &[], &[]).status, 204);
}

#[test]
fn what_cannot_be_a_job_is_refused_at_once_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--jobs-max-mib", "1"]);
    let words = b"this is no video, however long one looks at it".repeat(10);
    server.post("/v1/jobs", &words).assert_problem(415, "not");
    server.post("/v1/jobs", b"").assert_problem(400, "empty");
    server.post("/v1/jobs?tasks=dance", &read("red.mp4")).assert_problem(400, "tasks");
    server.post("/v1/jobs?tasks=detect", &read("red.mp4")).assert_problem(404, "no model that can detect");
    server.post("/v1/jobs", &padded(2)).assert_problem(413, "the videos of all jobs may take 1048576");
    assert_eq!(uploads(folder.path()), 0);
    assert_eq!(server.get("/v1/jobs").json()["jobs"], json!([]));
    let without = TestServer::start(&[]);
    without.post("/v1/jobs", &read("red.mp4")).assert_problem(404, "--jobs DIR");
}

#[test]
fn videos_that_wait_take_no_more_space_than_they_may() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--jobs-max-mib", "3"]);
    let long = submit(&server, "", "long.mp4");
    when(&server, &long, "running");
    assert_eq!(server.post("/v1/jobs", &padded(2)).status, 202);
    server.post("/v1/jobs", &padded(2)).assert_problem(503, "all the space");
    server.wait_for_metric("unscene_jobs_waiting", 2.0);
    assert!(server.metric("unscene_jobs_waiting_bytes") > 2.0 * 1_048_576.0);
    assert_eq!(uploads(folder.path()), 2);
}

#[test]
fn a_shutdown_does_not_wait_for_jobs_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]);
    let (long, short) = (submit(&server, "", "long.mp4"), submit(&server, "", "blue.mp4"));
    when(&server, &long, "running");
    server.shut_down();
    assert_eq!(uploads(folder.path()), 2);
    let server = start(folder.path(), &["--jobs-at-once", "2"]);
    let job = when(&server, &short, "done");
    assert_eq!(job["result"]["classify"]["predictions"][0]["label"], "blue");
    let job = when(&server, &long, "running");
    assert_eq!(job["attempts"], 1, "a shutdown is no failure of the job");
}

#[test]
fn twenty_jobs_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--jobs", folder.path().to_str().unwrap(), "--jobs-at-once", "3"];
    let mut program = Program::start("", &flags);
    let colours = ["red", "blue"];
    let submit = |at: usize| {
        let video = read(&format!("{}.mp4", colours[at % 2]));
        let accepted = send(program.connect(), "POST", "/v1/jobs", &[], &video);
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        accepted.json()["id"].as_str().unwrap().to_owned()
    };
    let ids: Vec<String> = (0..20).map(submit).collect();
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let program = Program::start("", &flags);
    for (at, id) in ids.iter().enumerate() {
        let job = || send(program.connect(), "GET", &format!("/v1/jobs/{id}"), &[], &[]).json();
        wait_until("it is done", || job()["state"] == "done");
        assert_eq!(job()["result"]["classify"]["predictions"][0]["label"], colours[at % 2]);
    }
    let listed = send(program.connect(), "GET", "/v1/jobs", &[], &[]).json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 20, "none is lost, and none is there twice");
    wait_until("no video is left", || uploads(folder.path()) == 0);
}

#[test]
fn a_full_disk_costs_the_jobs_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    // No file may be larger than 5 MiB, as if there was no more room.
    let program = Program::start("trap '' XFSZ; ulimit -f 5120", &["--jobs", folder.path().to_str().unwrap()]);
    let post = |video: &[u8]| send(program.connect(), "POST", "/v1/jobs", &[], video);
    let first = post(&read("red.mp4")).json()["id"].as_str().unwrap().to_owned();
    post(&padded(8)).assert_problem(503, "no room");
    let job = || send(program.connect(), "GET", &format!("/v1/jobs/{first}"), &[], &[]).json();
    wait_until("the accepted one is done", || job()["state"] == "done");
    wait_until("nothing of the other is left", || uploads(folder.path()) == 0);
}

#[test]
fn a_disk_that_is_too_full_for_results_loses_no_accepted_job() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--jobs", folder.path().to_str().unwrap()];
    // The journal of the database grows until it is no longer allowed to.
    let mut program = Program::start("trap '' XFSZ; ulimit -f 512", &flags);
    let mut accepted = vec![];
    let refused = loop {
        let answer = send(program.connect(), "POST", "/v1/jobs", &[], &read("red.mp4"));
        if answer.status != 202 {
            break answer;
        }
        accepted.push(answer.json()["id"].as_str().unwrap().to_owned());
        assert!(accepted.len() < 1000, "the disk never was full");
    };
    refused.assert_problem(503, "the disk of the jobs is full");
    assert_eq!(refused.header("retry-after"), Some("10"));
    program.assert_unharmed();
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let program = Program::start("", &flags);
    for id in &accepted {
        let job = || send(program.connect(), "GET", &format!("/v1/jobs/{id}"), &[], &[]).json();
        wait_until("an accepted job is done", || job()["state"] == "done");
    }
    assert!(accepted.len() > 10, "{}", accepted.len());
    wait_until("no video is left", || uploads(folder.path()) == 0);
}

#[test]
fn uploads_of_jobs_are_bounded_and_timed_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &["--queue", "0", "--max-videos", "1", "--request-timeout-s", "1"]);
    let mut slow = server.connect();
    let head = head("POST", "/v1/jobs", &[]) + "Content-Length: 1000\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    server.wait_for_metric("unscene_admitted_requests", 1.0);
    server.post("/v1/jobs", &read("red.mp4")).assert_problem(429, "full");
    Response::read(slow).assert_problem(504, "1 s");
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    assert_eq!(uploads(folder.path()), 0);
    when(&server, &submit(&server, "", "red.mp4"), "done");
}

#[test]
fn a_damaged_database_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("jobs.sqlite"), "once upon a time".repeat(100)).unwrap();
    let bundle = fixture("tiny");
    let flags = ["--bundle", bundle.to_str().unwrap(), "--addr", "127.0.0.1:0", "--decode-program", PROGRAM];
    let options = options(&[&flags[..], &["--jobs", folder.path().to_str().unwrap()]].concat()).unwrap();
    let refused =
        actix_web::rt::System::new().block_on(async { Service::start(options).err().expect("it is refused") });
    assert!(matches!(refused, StartError::Jobs(_)), "{refused}");
    for words in ["jobs.sqlite", "not a database", ".recover", "move the file away"] {
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn a_job_is_of_the_key_that_it_came_with() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.toml");
    let both = ["shop", "mill"].map(|name| crate::access::key(name, name, "scopes = [\"predict\"]"));
    fs::write(&keys, both.concat()).unwrap();
    let server = start(folder.path(), &["--api-keys", keys.to_str().unwrap()]);
    let ask = |method: &str, path: &str, key: &str, body: &[u8]| {
        server.send(method, path, &[("Authorization", &format!("Bearer {key}"))], body)
    };
    let id = ask("POST", "/v1/jobs", "shop", &read("red.mp4")).json()["id"].as_str().unwrap().to_owned();
    for (method, path) in [
        ("GET", format!("/v1/jobs/{id}")),
        ("GET", format!("/v1/jobs/{id}/events")),
        ("DELETE", format!("/v1/jobs/{id}")),
    ] {
        ask(method, &path, "mill", &[]).assert_problem(404, "no job");
    }
    assert_eq!(ask("GET", "/v1/jobs", "mill", &[]).json()["jobs"], json!([]));
    assert_eq!(ask("GET", "/v1/jobs", "shop", &[]).json()["jobs"].as_array().unwrap().len(), 1);
    server.get("/v1/jobs").assert_problem(401, "API key");
}
