//! What both databases do alike: attempts, states, pages; and databases that are none, damaged, or elsewhere.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::sqlite::JOBS;
use super::*;

#[path = "../../../tests/http/database.rs"]
mod database;

use database::Database;

/// Runs the tests of this file that both databases must pass, with each: `store` is opened again whenever it is asked for.
macro_rules! alike {
    ($($name:ident),+ $(,)?) => {
        mod of_sqlite {
            $(#[test]
            fn $name() {
                super::$name(&super::Stores::of_sqlite());
            })+
        }

        #[test]
        fn postgres_does_the_same() {
            let database = Database::start();
            $($name(&Stores::of_postgres(&database, stringify!($name)));)+
        }
    };
}

alike!(
    a_job_is_begun_and_ended_once,
    work_of_an_earlier_attempt_ends_nothing,
    what_was_at_work_is_begun_again_but_not_for_ever,
    jobs_are_listed_by_owner_and_state_and_page_by_page,
    old_and_large_results_go,
    an_upload_becomes_a_job_once_and_counts_until_then,
    jobs_are_claimed_in_the_order_in_which_they_were_complete,
);

/// A database that can be opened, and its services end.
struct Stores<'a> {
    folder: TempDir,
    shared: Option<(&'a Database, String)>,
}

impl<'a> Stores<'a> {
    fn of_sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), shared: None }
    }

    fn of_postgres(database: &'a Database, name: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), shared: Some((database, database.make(name))) }
    }

    fn open(&self) -> Box<dyn Store> {
        match &self.shared {
            Some((_, url)) => Box::new(Postgres::open(url, self.folder.path()).unwrap().0),
            None => Box::new(Sqlite::open(&self.folder.path().join("jobs.sqlite")).unwrap()),
        }
    }

    /// Has what is at work begin again, as when the services that work on it have ended long ago.
    fn begin_again(&self, store: &dyn Store) -> Vec<String> {
        if let Some((database, url)) = &self.shared {
            assert!(store.begin_again("{}").unwrap().is_empty(), "it is held");
            database.ask(url, "UPDATE unscene_jobs SET held_until = now() - INTERVAL '1 second'");
        }
        store.begin_again("{}").unwrap()
    }
}

/// The names of uploads that are to be forgotten.
fn expired(store: &dyn Store) -> Vec<String> {
    let uploads = store.uploads().unwrap().into_iter().filter(Partial::is_expired);
    let mut names: Vec<String> = uploads.map(|upload| upload.id).collect();
    names.sort();
    names
}

fn done() -> Result<String, String> {
    Ok("{}".to_owned())
}

fn states(store: &dyn Store) -> Vec<(String, JobState)> {
    store.list("", None, None, 100).unwrap().into_iter().map(|job| (job.id, job.state)).collect()
}

fn a_job_is_begun_and_ended_once(stores: &Stores<'_>) {
    let store = stores.open();
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

fn work_of_an_earlier_attempt_ends_nothing(stores: &Stores<'_>) {
    let store = stores.open();
    store.accept("1", "", "", 1, None).unwrap();
    store.claim().unwrap();
    assert!(store.put_back("1", 1).unwrap());
    assert_eq!(store.job("1").unwrap().unwrap().attempts, 0);
    store.claim().unwrap();
    assert!(stores.begin_again(&*store).is_empty());
    store.claim().unwrap();
    assert!(!store.end("1", 1, &done()).unwrap());
    assert!(!store.put_back("1", 1).unwrap());
    assert!(store.end("1", 2, &done()).unwrap());
}

fn what_was_at_work_is_begun_again_but_not_for_ever(stores: &Stores<'_>) {
    let mut store = stores.open();
    store.accept("1", "", "", 1, None).unwrap();
    for attempt in 1..=MOST_ATTEMPTS {
        assert_eq!(store.claim().unwrap().unwrap().attempts, attempt);
        // As after `kill -9`.
        drop(store);
        store = stores.open();
        assert_eq!(store.unended().unwrap(), HashSet::from(["1".to_owned()]));
        assert_eq!(stores.begin_again(&*store), if attempt == MOST_ATTEMPTS { vec!["1"] } else { vec![] });
    }
    let failed = store.job("1").unwrap().unwrap();
    assert_eq!((failed.state, failed.error.as_deref()), (JobState::Failed, Some("{}")));
    assert!(store.unended().unwrap().is_empty());
}

#[test]
fn a_file_is_of_one_service_at_a_time() {
    let stores = Stores::of_sqlite();
    let store = stores.open();
    let path = stores.folder.path().join("jobs.sqlite");
    assert!(Sqlite::is_in_use(&Sqlite::open(&path).err().unwrap()));
    drop(store);
    Sqlite::open(&path).unwrap();
}

fn jobs_are_listed_by_owner_and_state_and_page_by_page(stores: &Stores<'_>) {
    let store = stores.open();
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

fn old_and_large_results_go(stores: &Stores<'_>) {
    let store = stores.open();
    for id in ["1", "2", "3", "4"] {
        store.accept(id, "", "", 1, None).unwrap();
    }
    for id in ["1", "2", "3"] {
        store.claim().unwrap();
        store.end(id, 1, &Ok("x".repeat(100))).unwrap();
    }
    assert_eq!(store.tidy(Duration::from_secs(60), 1000).unwrap(), 0);
    assert_eq!(store.tidy(Duration::from_secs(60), 250).unwrap(), 1);
    assert!(store.list("", None, None, 9).unwrap().iter().all(|job| job.result.is_none()), "lists leave it out");
    assert_eq!(states(&*store).iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["4", "3", "2"]);
    assert_eq!(store.tidy(Duration::ZERO, 1000).unwrap(), 2);
    assert_eq!(states(&*store), [("4".to_owned(), JobState::Queued)]);
}

#[test]
fn a_file_that_is_no_database_or_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.sqlite");
    fs::write(&path, "once upon a time".repeat(100)).unwrap();
    assert!(Sqlite::open(&path).is_err());
    fs::remove_file(&path).unwrap();
    let store = Sqlite::open(&path).unwrap();
    for id in 0..200 {
        store.accept(&format!("{id:03}"), "", &"x".repeat(200), 1, None).unwrap();
    }
    store.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xAB);
    fs::write(&path, bytes).unwrap();
    assert!(Sqlite::open(&path).is_err());
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(StoreError::Version { found: 7, known: 2 })));
}

fn an_upload_becomes_a_job_once_and_counts_until_then(stores: &Stores<'_>) {
    let store = stores.open();
    let upload = Partial::new("1".into(), "shop".into(), "tasks=detect".into(), 7, "filename YQ==".into());
    store.begin_upload(&upload).unwrap();
    assert_eq!(store.upload("1").unwrap().unwrap(), upload);
    assert_eq!((store.waiting().unwrap(), store.uploads().unwrap()), ((1, 7), vec![upload.clone()]));
    assert!(expired(&*store).is_empty(), "it has just begun");
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
    assert_eq!(expired(&*store), ["3", "5"]);
    store.note_part("5").unwrap();
    assert_eq!(expired(&*store), ["3"]);
    store.forget_upload("3").unwrap();
    assert!(expired(&*store).is_empty());
}

fn jobs_are_claimed_in_the_order_in_which_they_were_complete(stores: &Stores<'_>) {
    let store = stores.open();
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
    drop(Sqlite::open(&path).unwrap());
    let store = Sqlite::open(&path).unwrap();
    let job = store.job("1").unwrap().unwrap();
    assert_eq!((job.bytes, job.url, store.uploads().unwrap()), (5, None, vec![]));
}

#[test]
fn services_that_share_a_database_share_each_job_out_once() {
    let database = Database::start();
    let stores = Stores::of_postgres(&database, "shared");
    // Together, as they may be started.
    let services: Vec<_> = std::thread::scope(|scope| {
        let opened: Vec<_> = (0..4).map(|_| scope.spawn(|| stores.open())).collect();
        opened.into_iter().map(|opened| opened.join().unwrap()).collect()
    });
    for id in 0..100 {
        services[0].accept(&format!("{id:02}"), "", "", 1, None).unwrap();
    }
    let claim_all = |store: &dyn Store| -> Vec<String> {
        std::iter::from_fn(|| store.claim().unwrap())
            .inspect(|job| assert_eq!(job.attempts, 1))
            .map(|job| job.id)
            .collect()
    };
    let claimed: Vec<Vec<String>> = std::thread::scope(|scope| {
        let claimed: Vec<_> = services.iter().map(|store| scope.spawn(|| claim_all(&**store))).collect();
        claimed.into_iter().map(|claimed| claimed.join().unwrap()).collect()
    });
    let mut all = claimed.concat();
    all.sort();
    assert_eq!(all, (0..100).map(|id| format!("{id:02}")).collect::<Vec<_>>());
    // One that is told to go on is not begun again, and one that is not is; whoever had it before hears of that.
    let [kept, lost, found, ended] = [0, 1, 2, 3].map(|at| all[at].as_str());
    database
        .ask(&stores.shared.as_ref().unwrap().1, "UPDATE unscene_jobs SET held_until = now() - INTERVAL '1 second'");
    assert!(services[1].keep(kept, 1, Some("{\"clips\":3}")).unwrap());
    assert_eq!(services[2].job(kept).unwrap().unwrap().progress.as_deref(), Some("{\"clips\":3}"));
    assert!(services[2].begin_again("{}").unwrap().is_empty());
    let again = services[3].claim().unwrap().unwrap();
    let again_kept = services[2].job(kept).unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.attempts, again.progress, again_kept.attempts), (lost, 2, None, 1));
    assert!(!services[1].keep(lost, 1, None).unwrap());
    assert!(!services[1].put_back(lost, 1).unwrap());
    assert!(!services[1].end(lost, 1, &done()).unwrap());
    assert!(services[3].end(lost, 2, &done()).unwrap());
    // What was taken for lost and not begun again is had again, or ended, by whoever had it.
    assert!(services[1].keep(found, 1, None).unwrap());
    assert_eq!(services[2].job(found).unwrap().unwrap().state, JobState::Running);
    assert_eq!(services[2].job(ended).unwrap().unwrap().state, JobState::Queued);
    assert!(services[1].end(ended, 1, &done()).unwrap());
    assert!(!services[2].end(ended, 1, &done()).unwrap());
    assert!(services[1].end(kept, 1, &done()).unwrap());
}

#[test]
fn a_database_that_breaks_off_is_found_again() {
    let mut database = Database::start();
    let url = database.make("jobs");
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Postgres::open(&url, folder.path()).unwrap();
    store.accept("1", "", "", 1, None).unwrap();
    database.stop();
    assert!(matches!(store.job("1"), Err(StoreError::Unreachable(_))));
    database.go_on();
    assert_eq!(store.job("1").unwrap().unwrap().id, "1");
}

#[test]
fn a_shared_database_that_cannot_be_used_is_refused_with_the_way_out() {
    let mut database = Database::start();
    let url = database.make("jobs");
    let refused = |url: &str, folder: &Path| Postgres::open(url, folder).err().expect("it is refused").to_string();
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(refused(&url.replace("jobs?", "others?"), ours.path()).contains("\"others\" does not exist"));
    assert!(refused(&url.replace("disable", "require"), ours.path()).contains("server does not support TLS"));
    assert!(refused("postgres://unscene@127.0.0.1:1/jobs", ours.path()).contains("refused"));
    assert!(refused("mysql://unscene", ours.path()).contains("give postgres://"));
    let (_, made) = Postgres::open(&url, ours.path()).unwrap();
    assert!(made.is_dir() && made.parent() == Some(ours.path()));
    assert_eq!(Postgres::open(&url, ours.path()).unwrap().1, made);
    let elsewhere = refused(&url, theirs.path());
    assert!(
        elsewhere.contains(made.file_name().unwrap().to_str().unwrap()) && elsewhere.contains("all services"),
        "{elsewhere}"
    );
    let folders = || ours.path().read_dir().unwrap().count();
    let before = folders();
    let full = database.make("full");
    database.ask(&full, "CREATE TABLE unscene_uploads ()");
    assert!(refused(&full, ours.path()).contains("\"unscene_uploads\" already exists"));
    assert_eq!(folders(), before, "what is refused leaves nothing");
    database.ask(&url, "UPDATE unscene_tables SET version = 7");
    assert!(refused(&url, ours.path()).contains("its version is 7, and this program knows 1"));
    database.certify();
    database.stop();
    database.go_on();
    let distrusted = refused(&url.replace("disable", "require").replace("127.0.0.1", "localhost"), ours.path());
    assert!(distrusted.contains("UnknownIssuer") && distrusted.contains("SSL_CERT_FILE"), "{distrusted}");
    // Whatever is wrong with a URL, its password is not told.
    for (wrong, place) in [
        ("postgres://unscene:se@cret@db.example.org:5433/jobs?sslmode=verify-full", "db.example.org:5433/jobs"),
        ("postgresql+ssl://unscene:secret@db.example.org/jobs?sslmode=require", "--jobs-db"),
        ("\"postgres://unscene:secret@db.example.org/jobs\"", "--jobs-db"),
        ("postgres://unscene:secret.example.org:5433/jobs", "--jobs-db"),
    ] {
        assert_eq!(Postgres::place(wrong), place);
        assert!(!refused(wrong, ours.path()).contains("cret"), "{}", refused(wrong, ours.path()));
    }
}
