//! Both engines on small graphs with known answers.

use std::fs;
use std::path::PathBuf;

use unscene_engine::{Bundle, DeviceChoice, EngineChoice, EngineError, EngineOptions, Graphs, Model};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load(bundle: &str, engine: EngineChoice) -> Model {
    let options = EngineOptions { engine, device: DeviceChoice::Cpu, threads: 2, ..Default::default() };
    Model::load(&Bundle::open(fixture(bundle)).unwrap(), &options).unwrap()
}

/// The formula of `make_bundles.py`.
fn input(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn reference(bundle: &str) -> Vec<f32> {
    let rows: Vec<Vec<f32>> =
        serde_json::from_str(&fs::read_to_string(fixture(bundle).join("reference.json")).unwrap()).unwrap();
    rows.concat()
}

/// Largest difference, divided by the largest expected value.
fn relative(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn both_engines_agree_with_torch() {
    let engines = [EngineChoice::Ort, EngineChoice::Tract];
    let cases = engines.into_iter().flat_map(|engine| [("conv", engine, 1e-5), ("conv16", engine, 5e-3)]);
    for (bundle, engine, tolerance) in cases {
        let model = load(bundle, engine);
        let clip = model.graphs().manifest().input.len();
        let found = model.run_raw(&input(3 * clip), 3).unwrap();
        let difference = relative(&found, &reference(bundle));
        assert!(difference <= tolerance, "{bundle} on {}: {difference}", model.graphs().engine_name());
    }
}

#[test]
fn a_batch_gives_what_its_clips_give_alone() {
    for engine in [EngineChoice::Ort, EngineChoice::Tract] {
        let model = load("conv", engine);
        let clip = model.graphs().manifest().input.len();
        let input = input(5 * clip);
        let alone: Vec<f32> = input.chunks(clip).flat_map(|clip| model.run_raw(clip, 1).unwrap()).collect();
        let difference = relative(&model.run_raw(&input, 5).unwrap(), &alone);
        assert!(difference <= 1e-6, "{}: {difference}", model.graphs().engine_name());
    }
}

#[test]
fn threads_that_do_not_divide_by_what_runs_side_by_side_change_nothing() {
    let bundle = Bundle::open(fixture("conv")).unwrap();
    let with = |threads: usize, batch: usize| {
        let (engine, device) = (EngineChoice::Ort, DeviceChoice::Cpu);
        Model::load(&bundle, &EngineOptions { engine, device, threads, batch, ..Default::default() }).unwrap()
    };
    let one = with(1, 1);
    let clip = one.graphs().manifest().input.len();
    let input = input(9 * clip);
    let expected: Vec<f32> = input.chunks(clip).flat_map(|clip| one.run_raw(clip, 1).unwrap()).collect();
    let classes = expected.len() / 9;
    for threads in [1, 2, 5, 6, 7] {
        // One to four sessions, of one thread or two; and rows that they cannot share equally, one at a time.
        let model = with(threads, 9);
        for rows in 1..=9 {
            let found = model.run_raw(&input[..rows * clip], rows).unwrap();
            let difference = relative(&found, &expected[..rows * classes]);
            assert!(difference <= 1e-6, "{threads} threads, {rows} rows: {difference}");
        }
    }
}

#[test]
fn the_model_says_what_runs_it() {
    let tract = load("pool", EngineChoice::Tract);
    assert!(tract.graphs().engine_name().starts_with("tract 0."), "{}", tract.graphs().engine_name());
    assert_eq!(tract.graphs().device_name(), "cpu");
    let ort = load("pool", EngineChoice::Ort);
    assert!(ort.graphs().engine_name().starts_with("onnxruntime 1."), "{}", ort.graphs().engine_name());
    assert_eq!((ort.graphs().device_name(), ort.graphs().name()), ("cpu", "pool"));
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_not_a_fallback() {
    let bundle = Bundle::open(fixture("pool")).unwrap();
    // No machine has a 10,000th device, whatever ONNX Runtime was built with.
    for (engine, device) in [
        (EngineChoice::Tract, DeviceChoice::Cuda(0)),
        (EngineChoice::Ort, DeviceChoice::Cuda(9999)),
        (EngineChoice::Auto, DeviceChoice::TensorRt(9999)),
    ] {
        let options = EngineOptions { engine, device, ..Default::default() };
        let error = Model::load(&bundle, &options).err().expect("an error");
        assert!(matches!(error, EngineError::Unavailable { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("device {device} is not available: ")), "{error}");
    }
}

#[test]
fn a_wrong_input_length_is_an_error() {
    let error = load("pool", EngineChoice::Tract).run_raw(&[0.0; 7], 1).unwrap_err();
    assert_eq!(error.to_string(), "input: found 7 values for 1 clips, expected at least one clip, 1152 values each");
}

#[test]
fn a_damaged_bundle_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Bundle::open(dir.path()).unwrap_err().to_string();
    assert!(missing.contains("manifest.json") && missing.contains("unscene export"), "{missing}");

    for file in ["manifest.json", "model.onnx"] {
        fs::copy(fixture("pool").join(file), dir.path().join(file)).unwrap();
    }
    Bundle::open(dir.path()).unwrap();
    fs::write(dir.path().join("model.onnx"), b"not the model").unwrap();
    let changed = Bundle::open(dir.path()).unwrap_err().to_string();
    assert!(changed.contains("model.onnx: sha256 is ") && changed.contains("export the bundle again"), "{changed}");

    fs::remove_file(dir.path().join("model.onnx")).unwrap();
    assert!(Bundle::open(dir.path()).unwrap_err().to_string().contains("cannot read "));
    fs::write(dir.path().join("manifest.json"), "{}").unwrap();
    assert!(Bundle::open(dir.path()).unwrap_err().to_string().contains("missing field"));
}

#[test]
fn a_batch_that_memory_may_not_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["model.onnx", "manifest.json"] {
        fs::copy(fixture("pool").join(file), dir.path().join(file)).unwrap();
    }
    let mut bundle = Bundle::open(dir.path()).unwrap();
    let load = |bundle: &Bundle, batch: usize| {
        let options =
            EngineOptions { engine: EngineChoice::Tract, device: DeviceChoice::Cpu, batch, ..Default::default() };
        Graphs::load(bundle, &options).err().map(|error| error.to_string())
    };
    assert_eq!(load(&bundle, 1025).unwrap(), "batch: found 1025, expected 0 (automatic) to 1024");
    assert_eq!(load(&bundle, 1024), None);
    // A buffer of 768 frames of 112 x 112 is as large as 48 clips of 16.
    (bundle.manifest.input.frames, bundle.manifest.input.height, bundle.manifest.input.width) = (768, 112, 112);
    assert_eq!(load(&bundle, 22).unwrap(), "batch: found 22, expected 0 (automatic) to 21");
}
