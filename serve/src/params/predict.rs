//! The parameters of several tasks at once.

use unscene_models::manifest::Task;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Required, Schema};

use super::{ClassifyParams, DetectParams, LocalizeParams, Params, once, unknown};
use crate::error::{ApiError, shorten};

/// What a client of `/v1/predict` may ask for.
#[derive(Debug, Default, PartialEq)]
pub struct PredictParams {
    /// What to do; all that there is a model for when absent.
    pub tasks: Option<Vec<Task>>,
    /// How to classify, if anything is said about it.
    pub classify: Option<ClassifyParams>,
    /// How to localize.
    pub localize: Option<LocalizeParams>,
    /// How to detect.
    pub detect: Option<DetectParams>,
}

impl Params for PredictParams {
    /// `tasks`, and those of each task after its name and a dot.
    const NAMES: &'static [&'static str] = &[
        "tasks",
        "classify.model",
        "classify.top_k",
        "classify.stride_frames",
        "classify.clips",
        "classify.explain",
        "localize.model",
        "localize.threshold",
        "localize.max_segments",
        "localize.tiou_nms",
        "localize.stride_frames",
        "detect.model",
        "detect.threshold",
        "detect.every",
        "detect.tubes",
    ];

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        if name == "tasks" {
            return once(name, &mut self.tasks, tasks(value)?);
        }
        let (task, own) = name.split_once('.').unwrap_or_default();
        let set = match task {
            "classify" => self.classify.get_or_insert_default().set(own, value),
            "localize" => self.localize.get_or_insert_default().set(own, value),
            "detect" => self.detect.get_or_insert_default().set(own, value),
            _ => return Err(unknown(name, Self::NAMES)),
        };
        set.map_err(|error| match error {
            ApiError::BadParameter(text) => ApiError::BadParameter(format!("{task}: {text}")),
            other => other,
        })
    }
}

/// `tasks`, and those of each task under their longer names.
impl IntoParams for PredictParams {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let tasks = ParameterBuilder::new()
            .name("tasks")
            .parameter_in(place().unwrap_or_default())
            .required(Required::False)
            .description(Some("classify, localize and detect, or some of them, with commas; all that there is a model for when absent."))
            .schema(Some(Schema::from(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(task_lists())))))
            .build();
        let of = |task: Task, params: Vec<Parameter>| {
            params.into_iter().map(move |mut param| {
                param.name = format!("{task}.{}", param.name);
                param
            })
        };
        let mut all = vec![tasks];
        all.extend(of(Task::Classify, ClassifyParams::into_params(&place)));
        all.extend(of(Task::Localize, LocalizeParams::into_params(&place)));
        all.extend(of(Task::Detect, DetectParams::into_params(&place)));
        all
    }
}

/// What can be asked for.
const TASKS: [Task; 3] = [Task::Classify, Task::Localize, Task::Detect];

/// Every value that `tasks` can have.
fn task_lists() -> Vec<String> {
    let mut lists: Vec<Vec<Task>> = vec![vec![]];
    let mut at = 0;
    while at < lists.len() {
        let rest = TASKS.into_iter().filter(|task| !lists[at].contains(task));
        let longer: Vec<_> = rest.map(|task| [&lists[at][..], &[task]].concat()).collect();
        lists.extend(longer);
        at += 1;
    }
    let text = |list: &Vec<Task>| list.iter().map(Task::to_string).collect::<Vec<_>>().join(",");
    lists[1..].iter().map(text).collect()
}

fn tasks(value: &str) -> Result<Vec<Task>, ApiError> {
    let named = |name: &str| TASKS.into_iter().find(|task| task.to_string() == name.trim());
    let tasks: Option<Vec<Task>> = value.split(',').map(named).collect();
    let each_once = |tasks: &Vec<Task>| (1..tasks.len()).all(|at| !tasks[..at].contains(&tasks[at]));
    tasks.filter(each_once).ok_or_else(|| {
        let value = shorten(value);
        ApiError::BadParameter(format!(
            "`tasks` is `{value}`; give classify, localize and detect, or some of them, each once, with commas"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_all_tasks() {
        let of = |task: &str, names: &[&str]| names.iter().map(|name| format!("{task}.{name}")).collect::<Vec<_>>();
        let all = [
            vec!["tasks".into()],
            of("classify", ClassifyParams::NAMES),
            of("localize", LocalizeParams::NAMES),
            of("detect", DetectParams::NAMES),
        ];
        assert_eq!(PredictParams::NAMES, all.concat());
    }

    #[test]
    fn every_list_of_tasks_that_is_described_is_read() {
        let lists = task_lists();
        assert_eq!(lists.len(), 3 + 6 + 6);
        assert!(lists.iter().all(|list| tasks(list).is_ok()), "{lists:?}");
    }

    #[test]
    fn each_task_gets_its_own() {
        let query = "tasks=detect,classify&detect.threshold=0.5&classify.model=r3d&detect.every=2&classify.top_k=3";
        let expected = PredictParams {
            tasks: Some(vec![Task::Detect, Task::Classify]),
            classify: Some(ClassifyParams { model: Some("r3d".into()), top_k: Some(3), ..Default::default() }),
            localize: None,
            detect: Some(DetectParams { threshold: Some(0.5), every: Some(2), ..Default::default() }),
        };
        assert_eq!(PredictParams::from_query(query).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (query, words) in [
            ("tasks=", "`tasks` is ``; give classify, localize and detect"),
            ("tasks=classify,dance", "`tasks` is `classify,dance`"),
            ("tasks=detect,classify,detect", "or some of them, each once"),
            ("tasks=detect&tasks=detect", "`tasks` is given more than once"),
            ("threshold=1", "unknown parameter `threshold`; known are tasks, classify.model"),
            ("dance.threshold=1", "unknown parameter `dance.threshold`"),
            ("detect.threshold=2", "detect: `threshold` is `2`; give a number from 0 to 1"),
            ("classify.threshold=1", "classify: unknown parameter `threshold`; known are model, top_k"),
            ("detect.every=1&detect.every=1", "detect: `every` is given more than once"),
        ] {
            let error = PredictParams::from_query(query).unwrap_err().to_string();
            assert!(error.contains(words), "{query}: {error}");
        }
    }
}
