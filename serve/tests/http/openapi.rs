//! The description, held against real answers: nothing undescribed is answered. `make check-api` has schemathesis test the rest.

use serde_json::Value;

use crate::client::{Response, TestServer, fixture, read, wait_until};

const LOCALIZER: &str = "../../../crates/engine/tests/fixtures/localizer";

/// The schema at a reference, or itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}")),
        None => schema,
    }
}

/// What is wrong with a value: a member that is not described, one that is missing, a value of another type.
fn problems(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(document, schema);
    for kind in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[kind].as_array() {
            let all: Vec<_> = choices.iter().map(|choice| problems(document, choice, value, at)).collect();
            return if all.iter().any(Vec::is_empty) { vec![] } else { all.concat() };
        }
    }
    let parts: Vec<&Value> = match schema["allOf"].as_array() {
        Some(parts) => parts.iter().map(|part| resolved(document, part)).collect(),
        None => vec![schema],
    };
    match value {
        Value::Object(members) => {
            let mut found = vec![];
            for (name, member) in members {
                let at = format!("{at}.{name}");
                let described = parts.iter().find_map(|part| part["properties"].get(name));
                let others =
                    parts.iter().find_map(|part| part.get("additionalProperties").filter(|other| other.is_object()));
                match described.or(others) {
                    Some(schema) => found.extend(problems(document, schema, member, &at)),
                    None => found.push(format!("{at} is not described")),
                }
            }
            let required =
                parts.iter().filter_map(|part| part["required"].as_array()).flatten().filter_map(Value::as_str);
            found
                .extend(required.filter(|name| !members.contains_key(*name)).map(|name| format!("{at} has no {name}")));
            found
        }
        Value::Array(items) => {
            let each = items.iter().enumerate();
            each.flat_map(|(index, item)| problems(document, &schema["items"], item, &format!("{at}[{index}]")))
                .collect()
        }
        single => {
            let kind = match single {
                Value::String(_) => vec!["string"],
                Value::Bool(_) => vec!["boolean"],
                Value::Null => vec!["null"],
                Value::Number(number) if number.is_f64() => vec!["number"],
                _ => vec!["number", "integer"],
            };
            let types = &schema["type"];
            let fits = |name: &&str| {
                types == *name || types.as_array().is_some_and(|types| types.iter().any(|one| one == *name))
            };
            if kind.iter().any(fits) { vec![] } else { vec![format!("{at} is {single}, described as {types}")] }
        }
    }
}

/// Fails unless an answer is as the description of its route says.
fn check(document: &Value, method: &str, path: &str, answer: &Response) {
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    check_value(document, (method, path, answer.status, kind), &answer.json());
}

fn check_value(document: &Value, (method, path, status, kind): (&str, &str, u16, &str), value: &Value) {
    let content = &document["paths"][path][method]["responses"][status.to_string()]["content"][kind];
    assert!(content.is_object(), "{method} {path} is not described to answer {status} with {kind}");
    let found = problems(document, &content["schema"], value, path);
    assert!(found.is_empty(), "{found:#?}\n{value:#}");
}

#[test]
fn real_answers_are_as_described() {
    let more = ["detector", "maps", LOCALIZER].map(fixture);
    let flags: Vec<&str> = more.iter().flat_map(|bundle| ["--bundle", bundle.to_str().unwrap()]).collect();
    let jobs = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[&flags[..], &["--jobs", jobs.path().to_str().unwrap()]].concat());
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let video = read("red.mp4");
    let post = |path: &str, headers: &[(&str, &str)]| {
        let answer = server.send("POST", path, headers, &video);
        check(&document, "post", path.split('?').next().unwrap(), &answer);
        answer.status
    };
    assert_eq!(post("/v1/classify?clips=true", &[]), 200);
    assert_eq!(post("/v1/classify?model=maps&explain=cam", &[]), 200);
    assert_eq!(post("/v1/localize", &[]), 200);
    assert_eq!(post("/v1/detect?tubes=true&threshold=0", &[]), 200);
    let lines = server.post_for_lines("/v1/detect?tubes=true", &video);
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap();
        check_value(&document, ("post", "/v1/detect", 200, "application/x-ndjson"), &line);
    }
    assert_eq!(post("/v1/predict", &[]), 200);
    assert_eq!(post("/v1/classify?top_k=0", &[]), 400);
    assert_eq!(post("/v1/classify?model=none", &[]), 404);
    assert_eq!(post("/v1/classify", &[("Accept", "text/html")]), 406);
    for path in ["/v1/models", "/livez", "/readyz", "/startupz", "/v2", "/v2/health/live", "/v2/health/ready"] {
        check(&document, "get", path, &server.get(path));
    }
    for (path, pattern) in
        [("/v2/models/tiny", "/v2/models/{name}"), ("/v2/models/none/ready", "/v2/models/{name}/ready")]
    {
        check(&document, "get", pattern, &server.get(path));
    }
    let tensor = |values: usize| {
        let text = serde_json::json!({ "inputs": [{
            "name": "clip", "datatype": "FP32", "shape": [1, 3, 16, 16, 16], "data": vec![0.5; values],
        }] });
        server.send("POST", "/v2/models/tiny/infer", &[], text.to_string().as_bytes())
    };
    for (values, status) in [(3 * 16 * 16 * 16, 200), (7, 400)] {
        let answer = tensor(values);
        assert_eq!(answer.status, status);
        check(&document, "post", "/v2/models/{name}/infer", &answer);
    }
    assert_eq!(post("/v1/jobs?tasks=classify,detect", &[]), 202);
    assert_eq!(post("/v1/jobs?tasks=none", &[]), 400);
    let list = server.get("/v1/jobs");
    check(&document, "get", "/v1/jobs", &list);
    let path = format!("/v1/jobs/{}", list.json()["jobs"][0]["id"].as_str().unwrap());
    wait_until("the job is done", || {
        let job = server.get(&path);
        check(&document, "get", "/v1/jobs/{id}", &job);
        job.json()["state"] == "done"
    });
    assert_eq!(server.send("DELETE", &path, &[], &[]).status, 204);
    check(&document, "delete", "/v1/jobs/{id}", &server.send("DELETE", &path, &[], &[]));
    check(&document, "post", "/v1/models/{name}/reload", &server.post("/v1/models/tiny/reload", &[]));
}

#[test]
fn a_wrong_answer_would_be_seen() {
    let document = serde_json::json!({ "components": { "schemas": { "A": {
        "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" }, "b": { "type": ["string", "null"] } }
    } } } });
    let schema = serde_json::json!({ "$ref": "#/components/schemas/A" });
    let found = |value: Value| problems(&document, &schema, &value, "");
    assert!(found(serde_json::json!({ "a": 1, "b": null })).is_empty());
    assert_eq!(found(serde_json::json!({ "a": 1.5 })), [".a is 1.5, described as \"integer\""]);
    assert_eq!(found(serde_json::json!({ "b": "" })), [" has no a"]);
    assert_eq!(found(serde_json::json!({ "a": 1, "c": 1 })), [".c is not described"]);
}
