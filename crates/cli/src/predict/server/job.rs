//! Follows a job by its server-sent events.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use unscene_models::manifest::Task;

use super::super::bar::{Bar, Unit};
use super::link::{Link, Patience, Problem, SILENCE};

/// Longest event: several times the largest answer.
const MAX_EVENT: u64 = 1 << 30;

/// What an event tells.
#[derive(Deserialize)]
struct Job<A> {
    state: State,
    progress: Option<Progress>,
    /// By the names of tasks.
    result: Option<BTreeMap<String, A>>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Queued,
    Running,
    Done,
    Failed,
}

#[derive(Clone, Copy, Deserialize)]
struct Progress {
    clips: u64,
    expected: u64,
}

/// Waits until a job has ended, over as many connections as it takes, and gives the answer of its task.
///
/// # Errors
///
/// What the job failed of; as [`Link::send`], when nothing is heard for a while.
pub fn follow<A: DeserializeOwned>(link: &Link, job: &str, task: Task, bar: &mut Bar) -> Result<A> {
    let mut patience = Patience::default();
    let mut last = String::new();
    loop {
        let before = last.clone();
        let heard = listen(link, job, task, &mut last, bar);
        if last != before {
            patience = Patience::default();
        }
        match heard {
            Ok(Some(end)) => return end,
            // The service ends, and its successor goes on with the job.
            Ok(None) => patience.wait(link.lost(std::io::ErrorKind::UnexpectedEof.into()), bar)?,
            Err(error) => patience.wait(error, bar)?,
        }
    }
}

/// Hears events from the one after `last` on, and how the job ended; nothing when they end before it does.
fn listen<A: DeserializeOwned>(
    link: &Link,
    job: &str,
    task: Task,
    last: &mut String,
    bar: &mut Bar,
) -> Result<Option<Result<A>>> {
    let mut request = link.request("GET", &format!("{job}/events"));
    if !last.is_empty() {
        request = request.header("Last-Event-ID", last.as_str());
    }
    let response = link.send(request, (), SILENCE)?;
    let mut events = BufReader::new(response.into_body().into_reader());
    while let Some(Event { id, data }) = next(&mut events).map_err(|error| link.lost(error))? {
        let told: Job<A> = serde_json::from_str(&data).map_err(|error| link.foreign(error.to_string()))?;
        *last = id;
        match (told.state, told.progress) {
            (State::Queued, _) => bar.wait("waits for its turn"),
            (State::Running, None) => bar.wait("begins"),
            (State::Running, Some(Progress { clips, expected })) => {
                bar.set(Unit::Clips, clips, Some(expected.max(clips)));
            }
            (State::Done, _) => {
                let answer = told.result.and_then(|mut answers| answers.remove(&task.to_string()));
                return Ok(Some(answer.ok_or_else(|| link.foreign(format!("a job without an answer to {task}")))));
            }
            (State::Failed, _) => {
                let nothing = || link.foreign("a job that failed and does not say why".to_owned());
                return Ok(Some(Err(told.error.map_or_else(nothing, |problem| link.problem(problem)))));
            }
        }
    }
    Ok(None)
}

/// A server-sent event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: String,
    data: String,
}

/// The next event; none at the end, where half a one is none.
fn next(lines: &mut impl BufRead) -> io::Result<Option<Event>> {
    let mut event = Event::default();
    loop {
        let mut line = String::new();
        if io::Read::take(&mut *lines, MAX_EVENT).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end_matches(['\r', '\n']).split_once(": ") {
            Some(("id", text)) => event.id = text.to_owned(),
            Some(("data", text)) => event.data = text.to_owned(),
            // Its name says nothing more, and what begins with a colon is a sign of life.
            Some(_) => {}
            None if event.data.is_empty() => {}
            None => return Ok(Some(event)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whole() {
        let text = "id: 1-running-0\nevent: running\ndata: {\"a\": 1}\n\n: still there\n\nid: 2\r\ndata: {}\r\n\r\nid: 3\ndata: {";
        let mut lines = text.as_bytes();
        let mut heard = || next(&mut lines).unwrap();
        let event = |id: &str, data: &str| Some(Event { id: id.into(), data: data.into() });
        assert_eq!(heard(), event("1-running-0", "{\"a\": 1}"));
        assert_eq!(heard(), event("2", "{}"));
        assert_eq!(heard(), None);
    }
}
