//! Predictions by a service. Videos go through the resumable uploads of its jobs where it has those, and otherwise as the body of a
//! request that is answered with the result.

mod job;
mod link;
mod upload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use unscene_engine::EngineError;
use unscene_media::{Limits, Source, probe};
use unscene_models::manifest::Task;
use ureq::http::header::CONTENT_TYPE;

use super::bar::Bar;
use link::{Link, Patience, SILENCE};
use upload::Video;

pub use link::ServerError;

/// The variable with an API key.
const KEY: &str = "UNSCENE_API_KEY";

/// Where predictions are made, if not here.
#[derive(Args)]
#[command(next_help_heading = "With a server")]
pub struct ServerArgs {
    /// Address of an `unscene serve` that predicts instead of a bundle here, such as http://127.0.0.1:8080
    #[arg(long = "server", value_name = "URL")]
    pub url: Option<String>,
    /// classify, localize or detect [default: what all models of the server do]
    #[arg(long, conflicts_with = "bundle", value_parser = task_named)]
    task: Option<Task>,
    /// Name of the server's model [default: the one of the task]
    #[arg(long, value_name = "NAME", conflicts_with = "bundle")]
    model: Option<String>,
    /// File with the API key; without it, the variable UNSCENE_API_KEY
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    api_key_file: Option<PathBuf>,
    /// PEM file of the certificates to trust, instead of the public ones, of a server with one of its own
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    server_ca: Option<PathBuf>,
}

fn task_named(text: &str) -> Result<Task, String> {
    let found = [Task::Classify, Task::Localize, Task::Detect].into_iter().find(|task| task.to_string() == text);
    found.ok_or_else(|| "expected classify, localize or detect".to_owned())
}

/// Parameters of a task's own route.
pub type Query = Vec<(&'static str, String)>;

/// What `GET /v1/models` answers, as far as it is looked at.
#[derive(Deserialize)]
struct ModelList {
    models: Vec<ModelInfo>,
    jobs: bool,
    limits: RequestLimits,
}

#[derive(Deserialize)]
struct ModelInfo {
    name: String,
    task: Task,
}

#[derive(Deserialize)]
struct RequestLimits {
    max_body_bytes: u64,
    request_timeout_s: f64,
}

/// A service, and what it is asked to do.
pub struct Server {
    link: Link,
    /// What it does.
    pub task: Task,
    /// Which of its models, if one was named.
    model: Option<String>,
    has_jobs: bool,
    limits: RequestLimits,
}

impl Server {
    /// Asks the service at an address what it has.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, the service is not there or lets nobody in, or it has not what is asked for.
    pub fn connect(url: &str, args: &ServerArgs) -> Result<Self> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let key = match &args.api_key_file {
            Some(path) => {
                let text = String::from_utf8(read(path)?);
                Some(text.with_context(|| format!("{}: an API key is text", path.display()))?)
            }
            None => std::env::var(KEY).ok(),
        };
        let key = key.as_deref().map(str::trim).filter(|key| !key.is_empty());
        let certificates = args.server_ca.as_ref().map(read).transpose()?;
        let link = Link::new(url, key, certificates.as_deref())?;
        let list: ModelList = link.json(link.send(link.request("GET", "/v1/models"), (), SILENCE)?)?;
        let task = choose(&list.models, args.task, args.model.as_deref())
            .map_err(|reason| anyhow::anyhow!("{}: {reason}", link.url()))?;
        Ok(Self { link, task, model: args.model.clone(), has_jobs: list.jobs, limits: list.limits })
    }

    /// Its model in words.
    pub fn name(&self) -> String {
        let model = self.model.as_ref().map_or_else(String::new, |name| format!(" {name}"));
        format!("the model{model} of {}", self.link.url())
    }

    /// What the service says of a video; `query` is of its task's own route.
    ///
    /// # Errors
    ///
    /// When the file is no video, the service refuses it or cannot be reached for a while, and after Ctrl-C.
    pub fn ask<A: DeserializeOwned>(&self, path: &Path, mut query: Query) -> Result<A> {
        // What is no video is not sent; the limits are the service's own.
        let unbounded = Limits { max_duration_s: f64::INFINITY, max_pixels: u64::MAX, max_frames: u64::MAX };
        probe(&Source::Path(path.to_path_buf()), &unbounded).map_err(EngineError::from)?;
        let video = Video::of(path)?;
        query.extend(self.model.clone().map(|model| ("model", model)));
        let mut bar = Bar::new(path);
        let answer = match self.has_jobs {
            true => self.by_job(&video, query, &mut bar),
            false => self.at_once(&video, query, &mut bar),
        };
        // Other errors say which file they are about.
        answer.map_err(|error| match error.is::<ServerError>() {
            true => error.context(path.display().to_string()),
            false => error,
        })
    }

    fn by_job<A: DeserializeOwned>(&self, video: &Video, query: Query, bar: &mut Bar) -> Result<A> {
        let task = self.task;
        let longer = query.into_iter().map(|(name, value)| (format!("{task}.{name}"), value));
        let query = encode([("tasks".to_owned(), task.to_string())].into_iter().chain(longer));
        let upload = upload::announce(&self.link, &query, video, bar)?;
        let job = upload::resumable(&self.link, &upload, video, bar);
        let job = job.inspect_err(|_| upload::forget(&self.link, &upload))?;
        let answer = job::follow(&self.link, &job, task, bar);
        // Nobody else asks for it, whatever came of it.
        self.link.forget(self.link.request("DELETE", &job));
        answer
    }

    fn at_once<A: DeserializeOwned>(&self, video: &Video, query: Query, bar: &mut Bar) -> Result<A> {
        let (bytes, most) = (video.bytes, self.limits.max_body_bytes);
        if bytes > most {
            bail!(ServerError::TooLarge { url: self.link.url().to_owned(), bytes, most });
        }
        let route = format!("/v1/{}?{}", self.task, encode(query));
        let request = || self.link.request("POST", &route).header(CONTENT_TYPE, "application/octet-stream");
        let silence =
            SILENCE.saturating_add(Duration::try_from_secs_f64(self.limits.request_timeout_s).unwrap_or_default());
        let mut patience = Patience::default();
        loop {
            let answer =
                video.send(&self.link, request(), 0, silence, bar).and_then(|response| self.link.json(response));
            match answer {
                Err(error) if matches!(error.downcast_ref(), Some(ServerError::Unreachable { .. })) => {
                    // A service that refuses a video before it has it all hangs up, and its reason is lost. Of no video it says
                    // that it is empty, if there is no other.
                    let reason = self.link.send(request(), &[] as &[u8], SILENCE).err();
                    let reason = reason.filter(|reason| !is_bad_upload(reason));
                    patience.wait(reason.unwrap_or(error), bar)?;
                }
                Err(error) => patience.wait(error, bar)?,
                answer => return answer,
            }
        }
    }
}

/// Whether the service says only that a video is empty.
fn is_bad_upload(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(ServerError::Refused { problem: Some(problem), .. }) => problem.r#type.ends_with(":bad-upload"),
        _ => false,
    }
}

fn encode(pairs: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// What is to be done: what is asked for, what the named model does, or the only thing that there is a model for.
fn choose(models: &[ModelInfo], task: Option<Task>, model: Option<&str>) -> Result<Task, String> {
    let listed = || {
        let names: Vec<_> = models.iter().map(|model| format!("{} ({})", model.name, model.task)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    if let Some(name) = model {
        let found = models.iter().find(|model| model.name == name);
        let found = found.ok_or_else(|| format!("no model is named {name}; loaded are {}", listed()))?.task;
        return match task.filter(|task| *task != found) {
            Some(task) => {
                Err(format!("the model {name} was made to {found}, and --task is {task}; leave one of them out"))
            }
            None => Ok(found),
        };
    }
    let tasks: Vec<Task> = models.iter().map(|model| model.task).collect();
    match (task, &tasks[..]) {
        (Some(task), _) if tasks.contains(&task) => Ok(task),
        (Some(task), _) => Err(format!("no model can {task}; loaded are {}", listed())),
        (None, [first, rest @ ..]) if rest.iter().all(|task| task == first) => Ok(*first),
        (None, []) => Err("no model is loaded; GET /readyz says why".to_owned()),
        (None, _) => {
            Err(format!("there are models of several tasks; choose with --task or --model: loaded are {}", listed()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_is_what_there_is_a_model_for() {
        let model = |name: &str, task| ModelInfo { name: name.into(), task };
        let (one, other) = (model("one", Task::Classify), model("other", Task::Classify));
        let boxes = model("boxes", Task::Detect);
        assert_eq!(choose(&[one, other], None, None), Ok(Task::Classify));
        let both = [model("one", Task::Classify), boxes];
        assert_eq!(choose(&both, Some(Task::Detect), None), Ok(Task::Detect));
        assert_eq!(choose(&both, None, Some("boxes")), Ok(Task::Detect));
        for (models, task, name, words) in [
            (&both[..], None, None, "choose with --task or --model: loaded are one (classify), boxes (detect)"),
            (&both, Some(Task::Localize), None, "no model can localize; loaded are one (classify)"),
            (&both, None, Some("two"), "no model is named two; loaded are one"),
            (&both, Some(Task::Classify), Some("boxes"), "boxes was made to detect, and --task is classify"),
            (&[], None, None, "no model is loaded"),
        ] {
            let error = choose(models, task, name).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
