//! Attempts, states, pages, and files that are no database.

use std::fs;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("jobs.sqlite")).unwrap();
    (folder, store)
}

fn done() -> Result<String, String> {
    Ok("{}".to_owned())
}

fn states(store: &Store) -> Vec<(String, JobState)> {
    store.list("", None, None, 100).unwrap().into_iter().map(|job| (job.id, job.state)).collect()
}

#[test]
fn a_job_is_begun_and_ended_once() {
    let (_folder, store) = store();
    store.accept("1", "shop", "tasks=detect", 10, None).unwrap();
    store.accept("2", "", "", 20, None).unwrap();
    assert!(store.accept("2", "", "", 20, None).is_err(), "a name is taken once");
    assert_eq!(store.waiting().unwrap(), (2, 30));
    let first = store.claim().unwrap().unwrap();
    assert_eq!((first.id.as_str(), first.state, first.attempts), ("1", JobState::Running, 1));
    assert_eq!(store.claim().unwrap().unwrap().id, "2");
    assert_eq!(store.claim().unwrap(), None);
    assert!(store.end("1", 1, &done()).unwrap());
    assert!(!store.end("1", 1, &Err("{}".to_owned())).unwrap(), "it ends once");
    let ended = store.job("1").unwrap().unwrap();
    assert_eq!((ended.state, ended.result.as_deref(), ended.error), (JobState::Done, Some("{}"), None));
    store.forget("1").unwrap();
    assert_eq!(store.job("1").unwrap(), None);
}

#[test]
fn work_of_an_earlier_attempt_ends_nothing() {
    let (_folder, store) = store();
    store.accept("1", "", "", 1, None).unwrap();
    store.claim().unwrap();
    assert!(store.put_back("1", 1).unwrap());
    assert_eq!(store.job("1").unwrap().unwrap().attempts, 0);
    store.claim().unwrap();
    store.begin_again("{}").unwrap();
    store.claim().unwrap();
    assert!(!store.end("1", 1, &done()).unwrap());
    assert!(!store.put_back("1", 1).unwrap());
    assert!(store.end("1", 2, &done()).unwrap());
}

#[test]
fn what_was_at_work_is_begun_again_but_not_for_ever() {
    let (folder, store) = store();
    store.accept("1", "", "", 1, None).unwrap();
    for attempt in 1..=MOST_ATTEMPTS {
        assert_eq!(store.claim().unwrap().unwrap().attempts, attempt);
        store.begin_again("{}").unwrap();
    }
    drop(store);
    // As after `kill -9`.
    let store = Store::open(&folder.path().join("jobs.sqlite")).unwrap();
    let failed = store.job("1").unwrap().unwrap();
    assert_eq!(failed.state, JobState::Failed);
    assert_eq!(failed.error.as_deref(), Some("{}"));
}

#[test]
fn a_database_is_of_one_at_a_time() {
    let (folder, store) = store();
    let path = folder.path().join("jobs.sqlite");
    assert!(Store::open(&path).err().unwrap().to_string().contains("locked"));
    drop(store);
    Store::open(&path).unwrap();
}

#[test]
fn jobs_are_listed_by_owner_and_state_and_page_by_page() {
    let (_folder, store) = store();
    for (id, owner) in [("1", "a"), ("2", "b"), ("3", "a"), ("4", "a")] {
        store.accept(id, owner, "", 1, None).unwrap();
    }
    store.claim().unwrap();
    let ids = |owner, state, before, most| -> Vec<String> {
        store.list(owner, state, before, most).unwrap().into_iter().map(|job| job.id).collect()
    };
    assert_eq!(ids("a", None, None, 2), ["4", "3"]);
    assert_eq!(ids("a", None, Some("3"), 2), ["1"]);
    assert_eq!(ids("b", None, None, 9), ["2"]);
    assert_eq!(ids("a", Some(JobState::Queued), None, 9), ["4", "3"]);
}

#[test]
fn old_and_large_results_go() {
    let (_folder, store) = store();
    for id in ["1", "2", "3", "4"] {
        store.accept(id, "", "", 1, None).unwrap();
    }
    for id in ["1", "2", "3"] {
        store.claim().unwrap();
        store.end(id, 1, &Ok("x".repeat(100))).unwrap();
    }
    assert_eq!(store.tidy(Duration::from_secs(60), 1000).unwrap(), 0);
    assert_eq!(store.tidy(Duration::from_secs(60), 250).unwrap(), 1);
    assert_eq!(states(&store).iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["4", "3", "2"]);
    assert_eq!(store.tidy(Duration::ZERO, 1000).unwrap(), 2);
    assert_eq!(states(&store), [("4".to_owned(), JobState::Queued)]);
}

#[test]
fn a_file_that_is_no_database_or_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.sqlite");
    fs::write(&path, "once upon a time".repeat(100)).unwrap();
    assert!(Store::open(&path).is_err());
    fs::remove_file(&path).unwrap();
    let store = Store::open(&path).unwrap();
    for id in 0..200 {
        store.accept(&format!("{id:03}"), "", &"x".repeat(200), 1, None).unwrap();
    }
    store.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xAB);
    fs::write(&path, bytes).unwrap();
    assert!(Store::open(&path).is_err());
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Version(7))));
}

#[test]
fn an_upload_becomes_a_job_once_and_counts_until_then() {
    let (_folder, store) = store();
    let upload = Partial::new("1".into(), "shop".into(), "tasks=detect".into(), 7, "filename YQ==".into());
    store.begin_upload(&upload).unwrap();
    assert_eq!(store.upload("1").unwrap().unwrap(), upload);
    assert_eq!((store.waiting().unwrap(), store.uploads().unwrap()), ((1, 7), vec!["1".to_owned()]));
    assert!(store.expired_uploads().unwrap().is_empty(), "it has just begun");
    let job = store.accept_upload("1").unwrap().unwrap();
    assert_eq!((job.owner.as_str(), job.parameters.as_str(), job.bytes), ("shop", "tasks=detect", 7));
    assert_eq!(store.accept_upload("1").unwrap(), None);
    assert_eq!((store.upload("1").unwrap(), store.waiting().unwrap()), (None, (1, 7)));
    // One of which nothing comes is kept for a day, and for minutes if nothing has come at all.
    let of = |id: &str, hours: f64, has_come| Partial {
        id: id.into(),
        changed_s: now_s() - hours * 3600.0,
        has_come,
        ..upload.clone()
    };
    for (id, hours, has_come) in [("3", 25.0, true), ("4", 23.0, true), ("5", 0.2, false), ("6", 0.1, false)] {
        store.begin_upload(&of(id, hours, has_come)).unwrap();
    }
    assert_eq!(store.expired_uploads().unwrap(), ["3", "5"]);
    store.note_part("5").unwrap();
    assert_eq!(store.expired_uploads().unwrap(), ["3"]);
    store.forget_upload("3").unwrap();
    assert!(store.expired_uploads().unwrap().is_empty());
}

#[test]
fn jobs_are_claimed_in_the_order_in_which_they_were_complete() {
    let (_folder, store) = store();
    store.begin_upload(&Partial::new("1".into(), String::new(), String::new(), 1, String::new())).unwrap();
    store.accept("2", "", "", 1, None).unwrap();
    store.accept_upload("1").unwrap();
    assert_eq!([store.claim(), store.claim()].map(|job| job.unwrap().unwrap().id), ["2", "1"]);
}

#[test]
fn a_database_of_the_first_version_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(&format!("{JOBS};PRAGMA user_version = 1")).unwrap();
    connection
        .execute(
            "INSERT INTO jobs (id, owner, parameters, bytes, state, created_s) VALUES ('1', '', '', 5, 'queued', 1)",
            [],
        )
        .unwrap();
    drop(connection);
    drop(Store::open(&path).unwrap());
    let store = Store::open(&path).unwrap();
    let job = store.job("1").unwrap().unwrap();
    assert_eq!((job.bytes, job.url, store.uploads().unwrap()), (5, None, vec![]));
}
