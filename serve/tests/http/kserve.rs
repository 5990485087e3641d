//! The Open Inference Protocol, against what videos give and what clients do wrong. `make check-api` has NVIDIA's client speak it.

use serde_json::{Value, json};

use crate::client::{Response, TestServer, wait_until};

const LOCALIZER: &str = "../../../crates/engine/tests/fixtures/localizer";

const JSON: (&str, &str) = ("Content-Type", "application/json");
const LENGTH: &str = "Inference-Header-Content-Length";

/// The name, sides and number of values of the one input of the graph.
fn input(server: &TestServer, graph: &str) -> (String, Vec<usize>) {
    let metadata = server.get(&format!("/v2/models/{graph}")).json();
    let input = &metadata["inputs"][0];
    assert_eq!(
        (&metadata["versions"], &input["datatype"], &input["shape"][0]),
        (&json!(["1"]), &json!("FP32"), &json!(-1))
    );
    let sides = input["shape"].as_array().unwrap()[1..].iter().map(|side| side.as_u64().unwrap() as usize);
    (input["name"].as_str().unwrap().to_owned(), sides.collect())
}

/// Rows that differ.
fn rows(sides: &[usize], rows: usize) -> Vec<f32> {
    let len: usize = sides.iter().product();
    (0..rows * len).map(|at| ((at * 7 + at / len) % 19) as f32 / 19.0 - 0.4).collect()
}

fn request(name: &str, sides: &[usize], count: usize, data: &[f32]) -> Value {
    let shape: Vec<usize> = [count].iter().chain(sides).copied().collect();
    json!({ "id": "seven", "inputs": [{ "name": name, "datatype": "FP32", "shape": shape, "data": data }] })
}

fn infer(server: &TestServer, graph: &str, request: &Value) -> Response {
    server.send("POST", &format!("/v2/models/{graph}/infer"), &[JSON], request.to_string().as_bytes())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn values(output: &Value) -> Vec<f32> {
    output["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

#[test]
fn the_service_and_its_graphs_tell_what_they_are() {
    let server = TestServer::start(&[]);
    assert_eq!(server.get("/v2").json()["extensions"], json!(["binary_tensor_data"]));
    assert_eq!(server.get("/v2/health/live").json()["live"], true);
    assert_eq!(server.get("/v2/health/ready").json()["ready"], true);
    assert_eq!(server.get("/v2/models/tiny/ready").json(), json!({ "name": "tiny", "ready": true }));
    let metadata = server.get("/v2/models/tiny/versions/1");
    assert_eq!(metadata.json(), server.get("/v2/models/tiny").json());
    for path in ["/v2/models/none", "/v2/models/tiny/versions/2/ready", "/v2/nothing"] {
        let problem = server.get(path);
        problem.assert_problem(404, if path.ends_with("nothing") { "nothing is served" } else { "`tiny` (version 1)" });
        assert_eq!(problem.json()["error"], problem.json()["detail"]);
    }
    let wrong = server.get("/v2/models/tiny/infer");
    wrong.assert_problem(405, "use POST");
    assert!(wrong.json()["error"].is_string());
}

#[test]
fn rows_give_the_same_alone_together_and_as_bytes() {
    let server = TestServer::start(&["--max-batch", "2"]);
    let (name, sides) = input(&server, "tiny");
    let (count, len) = (5, sides.iter().product::<usize>());
    let data = rows(&sides, count);
    let together = infer(&server, "tiny", &request(&name, &sides, count, &data));
    assert_eq!(together.status, 200, "{}", together.text());
    let together = together.json();
    assert_eq!(
        (&together["id"], &together["model_name"], &together["model_version"]),
        (&json!("seven"), &json!("tiny"), &json!("1"))
    );
    let output = &together["outputs"][0];
    let classes = output["shape"][1].as_u64().unwrap() as usize;
    assert_eq!(output["shape"], json!([count, classes]));
    let whole = values(output);
    for (row, expected) in data.chunks(len).zip(whole.chunks(classes)) {
        let alone = infer(&server, "tiny", &request(&name, &sides, 1, row)).json();
        let alone = values(&alone["outputs"][0]);
        assert!(alone.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-5), "{alone:?} {expected:?}");
    }
    // As bytes both ways; lists in lists are the same as one.
    let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut head = request(&name, &sides, count, &[]);
    let tensor = head["inputs"][0].as_object_mut().unwrap();
    tensor.remove("data");
    tensor.insert("parameters".into(), json!({ "binary_data_size": bytes.len() }));
    head["parameters"] = json!({ "binary_data_output": true });
    let head = head.to_string();
    let length = head.len().to_string();
    let body = [head.as_bytes(), &bytes].concat();
    let answer = server.send("POST", "/v2/models/tiny/versions/1/infer", &[(LENGTH, &length)], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json_len: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
    let told: Value = serde_json::from_slice(&answer.body[..json_len]).unwrap();
    assert_eq!(told["outputs"][0]["parameters"]["binary_data_size"], 4 * whole.len());
    assert_eq!(floats(&answer.body[json_len..]), whole);
    let mut nested = request(&name, &sides, count, &[]);
    nested["inputs"][0]["data"] =
        json!(data.chunks(len).map(|row| row.chunks(7).collect::<Vec<_>>()).collect::<Vec<_>>());
    assert_eq!(values(&infer(&server, "tiny", &nested).json()["outputs"][0]), whole);
    assert!(server.metric("unscene_clips_total{model=\"tiny\"}") >= 15.0);
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let server = TestServer::start(&["--max-body-mib", "8"]);
    let (name, sides) = input(&server, "tiny");
    let data = rows(&sides, 1);
    let good = request(&name, &sides, 1, &data);
    let with = |path: &[&str], value: Value| {
        let mut request = good.clone();
        let mut at = &mut request;
        for part in path {
            at = if let Ok(index) = part.parse::<usize>() { &mut at[index] } else { &mut at[*part] };
        }
        *at = value;
        request
    };
    let cases = [
        (with(&["inputs"], json!([])), "0 inputs are given; give one"),
        (with(&["inputs", "0", "name"], json!("picture")), "the input is `picture`; give `"),
        (with(&["inputs", "0", "datatype"], json!("INT64")), "datatype `INT64`; give FP32"),
        (with(&["inputs", "0", "shape"], json!([1, 3])), "has the shape [1, 3]; give [-1, 3"),
        (with(&["inputs", "0", "shape", "0"], json!(0)), "at least one row"),
        (with(&["inputs", "0", "shape", "0"], json!(2)), "for 2 rows of"),
        (with(&["inputs", "0", "shape", "0"], json!(u64::MAX)), "rows of"),
        (with(&["inputs", "0", "shape", "0"], json!(-1)), "cannot be read"),
        (with(&["inputs", "0", "data"], json!("0.5")), "cannot be read"),
        (with(&["inputs", "0", "data", "3"], json!(1e300)), "no finite numbers"),
        (with(&["inputs", "0", "data"], Value::Null), "no `data` and no `binary_data_size`"),
        (with(&["inputs", "0", "parameters"], json!({ "binary_data_size": 4 })), "give them once"),
        (with(&["outputs"], json!([{ "name": "dance" }])), "no output `dance`; there are `logits`"),
        (with(&["outputs"], json!([{ "name": "logits" }, { "name": "logits" }])), "asked for twice"),
        (with(&["outputs"], json!([{ "name": "logits", "parameters": { "binary_data": 1 } }])), "cannot be read"),
        (
            with(&["outputs"], json!([{ "name": "logits", "parameters": { "classification": 3 } }])),
            "`classification` are not known",
        ),
        (with(&["outputs"], json!(vec![json!({ "name": "logits" }); 65])), "a list of 64 at most"),
        (with(&["id"], json!("x".repeat(257))), "more than 256 bytes"),
        (with(&["inputs", "0", "data"], json!(vec![3e38; sides.iter().product()])), "gives no finite numbers"),
        (json!([]), "cannot be read"),
    ];
    for (request, words) in cases {
        let answer = infer(&server, "tiny", &request);
        answer.assert_problem(400, words);
        assert_eq!(answer.json()["error"], answer.json()["detail"]);
    }
    let path = "/v2/models/tiny/infer";
    let text = good.to_string();
    for (header, body, status, words) in [
        ((LENGTH, "many"), text.as_bytes(), 400, "give a number"),
        ((LENGTH, "99999999"), text.as_bytes(), 400, "fewer than"),
        ((LENGTH, "10"), text.as_bytes(), 400, "cannot be read"),
        (("Content-Encoding", "gzip"), text.as_bytes(), 415, "without compression"),
        (JSON, b"".as_slice(), 400, "cannot be read"),
        (JSON, &[b'['; 100_000], 400, "cannot be read"),
        (JSON, &vec![b' '; 9 << 20], 413, "8388608 bytes"),
    ] {
        server.send("POST", path, &[header], body).assert_problem(status, words);
    }
    assert_eq!(infer(&server, "tiny", &good).status, 200);
    server.assert_unharmed();
}

#[test]
fn tensors_are_counted_and_have_a_deadline() {
    let server = TestServer::start(&["--queue-clips", "2"]);
    let (name, sides) = input(&server, "tiny");
    // What a request may have itself is not bounded by what may be before it.
    assert_eq!(infer(&server, "tiny", &request(&name, &sides, 4, &rows(&sides, 4))).status, 200);
    let late = server.send(
        "POST",
        "/v2/models/tiny/infer",
        &[JSON, ("X-Request-Timeout-S", "0.000001")],
        request(&name, &sides, 1, &rows(&sides, 1)).to_string().as_bytes(),
    );
    late.assert_problem(504, "not answered within");
    server.wait_for_metric("unscene_admitted_requests", 0.0);
    // Which is told after a tenth of a second of work.
    wait_until("their rate is known", || {
        let answer = infer(&server, "tiny", &request(&name, &sides, 64, &rows(&sides, 64)));
        answer.status == 200 && server.metric("unscene_clips_per_second") > 0.0
    });
}

#[test]
fn both_graphs_of_a_localizer_are_there() {
    let server = TestServer::start_with(LOCALIZER, &[]);
    for graph in ["proposal", "head"] {
        let graph = format!("localizer.{graph}");
        let (name, sides) = input(&server, &graph);
        let answer = infer(&server, &graph, &request(&name, &sides, 3, &rows(&sides, 3)));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert!(answer["outputs"].as_array().unwrap().iter().all(|output| output["shape"][0] == 3), "{answer}");
    }
    server.get("/v2/models/localizer").assert_problem(404, "`localizer.proposal` (version 1)");
}
