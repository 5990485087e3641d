//! One model, three engines: libtorch (the executor of `train`), ONNX Runtime and tract (on what `export` writes) compute
//! the same logits. The ladder goes from single operations over blocks to whole models, with random weights and random
//! running statistics, for one clip and for three. Localizers are two graphs with several outputs each, detectors one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};
use unscene_engine::{Bundle, DeviceChoice, EngineChoice, EngineOptions, Graphs, Localizer, Model};
use unscene_export::{ExportOptions, Weights, export, fold_batch_norm, relative_difference, tolerance, write_onnx};
use unscene_graph::{Graph, ParamRole};
use unscene_models::classifier::ClassifierConfig;
use unscene_models::manifest::{ClipInput, Dim, GraphFile, MANIFEST_FILE, Manifest, Precision, Task, TensorInfo};
use unscene_models::r3d::{R3dVariant, Shortcut, basic_block};
use unscene_models::rc3d::Rc3dConfig;
use unscene_models::run::RunConfig;
use unscene_models::vgg_ssd::SsdConfig;
use unscene_train::{Mode, Net, write_run};

mod operations;

use operations::{graph_of, operations};

const CLASSES: usize = 5;

/// Makes every parameter and statistic random, so that none is at a value (0, 1) that hides a mistake.
fn scramble(net: &Net) {
    tch::no_grad(|| {
        for (spec, tensor) in net.params() {
            let mut tensor = tensor.shallow_clone();
            let variance = spec.role == ParamRole::RunningStatistic && spec.name.ends_with("running_var");
            let batch_norm_weight = spec.shape.len() == 1 && spec.name.ends_with("weight");
            if variance || batch_norm_weight {
                let _ = tensor.uniform_(0.5, 1.5);
            } else if spec.shape.len() == 1 {
                let _ = tensor.uniform_(-0.5, 0.5);
            }
        }
    });
}

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().contiguous().view(-1)).unwrap()
}

/// Writes the graph with the net's weights as a bundle.
fn write_bundle(dir: &Path, net: &Net, precision: Precision) {
    let weights_path = dir.join("weights.safetensors");
    net.save(&weights_path).unwrap();
    let mut weights = Weights::read(&fs::read(&weights_path).unwrap(), net.graph(), &weights_path).unwrap();
    let graph = fold_batch_norm(net.graph().clone(), &mut weights);
    let onnx = write_onnx(&graph, &weights, precision).encode_to_vec();
    let shape = &graph.node(graph.inputs[0]).shape;
    let tensor = |name: &str, shape: &[usize]| TensorInfo {
        name: name.into(),
        shape: [Dim::Symbol("N".into())].into_iter().chain(shape.iter().map(|&size| Dim::Fixed(size))).collect(),
    };
    let manifest = Manifest {
        task: Task::Classify,
        labels: (0..CLASSES).map(|index| index.to_string()).collect(),
        input: ClipInput {
            frames: shape[1],
            height: shape[2],
            width: shape[3],
            short_side: shape[2].max(shape[3]),
            mean: [0.0; 3],
            std: [1.0; 3],
            channels: "RGB".into(),
            range: 255.0,
        },
        stride_frames: shape[1],
        fps: None,
        graphs: vec![GraphFile {
            file: "model.onnx".into(),
            sha256: Sha256::digest(&onnx).iter().map(|byte| format!("{byte:02x}")).collect(),
            inputs: vec![tensor("clip", shape)],
            outputs: vec![tensor("logits", &[CLASSES])],
        }],
        parity: BTreeMap::new(),
        precision,
        classifier: None,
        localize: None,
        detect: None,
        model: serde_json::Value::Null,
        provenance: Default::default(),
    };
    fs::write(dir.join("model.onnx"), onnx).unwrap();
    fs::write(dir.join(MANIFEST_FILE), manifest.to_json().unwrap()).unwrap();
}

/// Asserts that both engines give libtorch's logits for one clip and for three.
fn assert_parity(name: &str, graph: Graph, precision: Precision) {
    tch::manual_seed(1);
    let net = Net::init(graph, 7);
    scramble(&net);
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path(), &net, precision);
    let bundle = Bundle::open(dir.path()).unwrap();
    for engine in [EngineChoice::Ort, EngineChoice::Tract] {
        let options = EngineOptions { engine, device: DeviceChoice::Cpu, ..Default::default() };
        let model = Model::load(&bundle, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        for clips in [1, 3] {
            let shape: Vec<i64> =
                [clips].into_iter().chain(net.graph().nodes[0].shape.iter().map(|&size| size as i64)).collect();
            let input = Tensor::randn(&shape[..], (Kind::Float, tch::Device::Cpu));
            let expected = values(&tch::no_grad(|| net.forward(&input, Mode::Eval)).unwrap()[0]);
            let found = model.run_raw(&values(&input), clips as usize).unwrap();
            let difference = relative_difference(&found, &expected);
            println!("{name:28} {engine:5} {clips} {difference:.1e}");
            assert!(
                difference <= tolerance(precision),
                "{name} in {engine}, {clips} clips: {difference:e} of the largest logit"
            );
        }
    }
}

#[test]
fn every_operation() {
    for (name, graph) in operations() {
        assert_parity(name, graph, Precision::Fp32);
    }
}

#[test]
fn every_operation_in_half_precision() {
    for (name, graph) in operations() {
        assert_parity(name, graph, Precision::Fp16);
    }
}

fn blocks() -> Vec<(String, Graph)> {
    let variants = [R3dVariant::Hara(Shortcut::A), R3dVariant::Hara(Shortcut::B), R3dVariant::Torchvision];
    let forms = variants.into_iter().flat_map(|variant| [(3, 1), (6, 1), (6, 2)].map(|form| (variant, form)));
    let block = |(variant, (channels, stride))| {
        let graph = graph_of(|g, x| basic_block(g, variant, x, channels, stride));
        (format!("{variant:?} {channels} /{stride}"), graph)
    };
    forms.map(block).collect()
}

#[test]
fn every_block() {
    for (name, graph) in blocks() {
        assert_parity(&name, graph, Precision::Fp32);
    }
}

#[test]
fn every_block_in_half_precision() {
    for (name, graph) in blocks() {
        assert_parity(&name, graph, Precision::Fp16);
    }
}

/// Of single frames.
#[test]
fn vgg16_names_actions_too() {
    for (arch, size, precision) in [
        ("vgg16-ssd", 300, Precision::Fp32),
        ("vgg16-ssd", 75, Precision::Fp32),
        ("vgg16-ssd", 64, Precision::Fp16),
        ("vgg16bn-ssd", 75, Precision::Fp32),
    ] {
        assert_parity(arch, small(arch, 1, size).graph().unwrap(), precision);
    }
}

fn small(arch: &str, frames: usize, size: usize) -> ClassifierConfig {
    ClassifierConfig { width: 0.125, frames, size, ..ClassifierConfig::new(arch.parse().unwrap(), CLASSES) }
}

#[test]
fn whole_models() {
    for depth in [10, 18, 34] {
        for variant in ["hara", "hara-b", "torchvision"] {
            for (frames, size) in [(16, 32), (5, 37)] {
                let arch = format!("r3d{depth}-{variant}");
                let graph = small(&arch, frames, size).graph().unwrap();
                assert_parity(&format!("{arch} {frames}x{size}"), graph, Precision::Fp32);
            }
        }
    }
}

#[test]
fn whole_models_in_half_precision() {
    for arch in ["r3d18-hara", "r3d18-hara-b", "r3d18-torchvision"] {
        assert_parity(arch, small(arch, 8, 32).graph().unwrap(), Precision::Fp16);
    }
}

fn small_localizer(arch: &str) -> Rc3dConfig {
    let anchors = vec![1.0, 2.0, 4.0];
    Rc3dConfig { width: 0.125, frames: 32, size: 32, anchors, ..Rc3dConfig::new(arch.parse().unwrap(), CLASSES) }
}

fn write_localizer(run: &Path, arch: &str) -> Net {
    let model = small_localizer(arch);
    let net = Net::init(model.graph().unwrap(), 5);
    scramble(&net);
    let labels = (0..CLASSES).map(|index| format!("class {index}")).collect();
    let config = RunConfig { fps: Some(25.0), ..RunConfig::new(model, labels, Default::default()) };
    write_run(run, &config, &net).unwrap();
    net
}

/// Asserts that both engines give libtorch's outputs of every graph of a bundle, for one row and for three.
fn assert_every_output(model: &str, net: &Net, bundle: &Bundle, precision: Precision) {
    for engine in [EngineChoice::Ort, EngineChoice::Tract] {
        let options = EngineOptions { engine, device: DeviceChoice::Cpu, ..Default::default() };
        let graphs = Graphs::load(bundle, &options).unwrap();
        for rows in [1, 3] {
            for (index, file) in bundle.manifest.graphs.iter().enumerate() {
                let name = file.inputs[0].name.as_str();
                let node = net.graph().nodes.iter().find(|node| node.name == name).unwrap();
                let shape: Vec<i64> = [rows].into_iter().chain(node.shape.iter().map(|&s| s as i64)).collect();
                let input = Tensor::randn(&shape[..], (Kind::Float, tch::Device::Cpu));
                let outputs: Vec<&str> = file.outputs.iter().map(|output| output.name.as_str()).collect();
                let expected = tch::no_grad(|| net.compute(&[(name, &input)], &outputs, Mode::Eval)).unwrap();
                let found = graphs.run(index, &values(&input), rows as usize).unwrap();
                for ((found, expected), name) in found.iter().zip(&expected).zip(outputs) {
                    let difference = relative_difference(found, &values(expected));
                    println!("{model:18} {name:15} {engine:5} {rows} {difference:.1e}");
                    assert!(difference <= tolerance(precision), "{model} {name} in {engine}: {difference:e}");
                }
            }
        }
    }
}

/// Both graphs of a localizer, every output, for one row and for three.
#[test]
fn localizers() {
    tch::manual_seed(2);
    for (arch, precision) in [
        ("r3d10-hara", Precision::Fp32),
        ("r3d18-hara-b", Precision::Fp32),
        ("r3d18-torchvision", Precision::Fp32),
        ("r3d18-hara", Precision::Fp16),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (run, out) = (dir.path().join("run"), dir.path().join("bundle"));
        let net = write_localizer(&run, arch);
        let done = export(&run, &out, &ExportOptions { precision, ..Default::default() }).unwrap();
        assert_eq!(done.parity.keys().collect::<Vec<_>>(), ["ort-cpu", "tract"]);
        let bundle = Bundle::open(&out).unwrap();
        assert_every_output(arch, &net, &bundle, precision);
    }
}

#[test]
fn a_localizers_bundle_says_what_comes_between_its_graphs() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (dir.path().join("run"), dir.path().join("bundle"));
    write_localizer(&run, "r3d10-hara");
    for (option, options) in [
        ("--maps", ExportOptions { maps: true, ..Default::default() }),
        ("--features", ExportOptions { features: true, ..Default::default() }),
    ] {
        let error = export(&run, &out, &options).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().starts_with(option), "{error}");
        assert!(!out.exists());
    }
    export(&run, &out, &ExportOptions::default()).unwrap();
    let bundle = Bundle::open(&out).unwrap();
    let localize = bundle.manifest.localize.as_ref().unwrap();
    let model = small_localizer("r3d10-hara");
    assert_eq!((&localize.anchors, localize.step_frames, localize.rule), (&model.anchors, 8, model.rule));
    let files: Vec<&str> = bundle.manifest.graphs.iter().map(|graph| graph.file.as_str()).collect();
    assert_eq!(files, ["proposal.onnx", "head.onnx"]);

    let engine = EngineOptions { device: DeviceChoice::Cpu, ..Default::default() };
    let error = Model::load(&bundle, &engine).err().unwrap().to_string();
    assert!(error.contains("made to localize and cannot classify") && error.contains("/v1/localize"), "{error}");
    assert_eq!(Localizer::load(&bundle, &engine).unwrap().graphs().manifest().labels.len(), CLASSES);
}

/// Every output of a detector, for one row and for three, of frames with all maps and with fewer.
#[test]
fn detectors() {
    tch::manual_seed(3);
    for (size, batch_norm, precision) in [
        (300, false, Precision::Fp32),
        (96, false, Precision::Fp32),
        (96, true, Precision::Fp32),
        (96, false, Precision::Fp16),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (run, out) = (dir.path().join("run"), dir.path().join("bundle"));
        let model = SsdConfig { width: 0.125, size, batch_norm, ..SsdConfig::new(CLASSES) };
        let net = Net::init(model.graph().unwrap(), 5);
        scramble(&net);
        let labels = (0..CLASSES).map(|index| format!("class {index}")).collect();
        write_run(&run, &RunConfig::new(model, labels, Default::default()), &net).unwrap();
        let options = ExportOptions { maps: true, ..Default::default() };
        let error = export(&run, &out, &options).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().starts_with("--maps"), "{error}");
        export(&run, &out, &ExportOptions { precision, ..Default::default() }).unwrap();
        let bundle = Bundle::open(&out).unwrap();
        assert_eq!(bundle.manifest.task, Task::Detect);
        assert_every_output(&format!("ssd {size}"), &net, &bundle, precision);
    }
}

/// As wide as it is used; sums over thousands of values round more than those of narrow models.
#[test]
fn a_whole_model_of_full_width_in_both_precisions() {
    for precision in [Precision::Fp32, Precision::Fp16] {
        let config = ClassifierConfig { width: 1.0, ..small("r3d18-hara", 8, 32) };
        assert_parity("r3d18-hara full width", config.graph().unwrap(), precision);
    }
}

/// The way people go: a run folder written by `train`, exported, opened by the engine.
#[test]
fn a_run_becomes_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let model = small("r3d10-hara", 8, 32);
    let net = Net::init(model.graph().unwrap(), 3);
    let labels = (0..CLASSES).map(|index| format!("class {index}")).collect();
    let run = dir.path().join("run");
    write_run(&run, &RunConfig::new(model, labels, Default::default()), &net).unwrap();

    for (name, precision) in [("single", Precision::Fp32), ("half", Precision::Fp16)] {
        let out = dir.path().join(name);
        // Features and maps beside the logits, in one of them.
        let more = name == "half";
        let options = ExportOptions { precision, features: more, maps: more, force: false };
        let done = export(&run, &out, &options).unwrap();
        assert_eq!(done.parity.keys().collect::<Vec<_>>(), ["ort-cpu", "tract"]);
        let bundle = Bundle::open(&out).unwrap();
        assert_eq!(bundle.manifest.labels[1], "class 1");
        assert_eq!(bundle.manifest.precision, precision);
        assert_eq!(bundle.manifest.parity, done.parity);
        assert!(export(&run, &out, &options).unwrap_err().to_string().contains("--force"));
        export(&run, &out, &ExportOptions { force: true, ..options }).unwrap();
    }
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["half", "run", "single"], "nothing half-made is left");
}

/// A reference that does not belong to the weights cannot vouch for them.
#[test]
fn changed_weights_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = small("r3d10-hara", 8, 32);
    let net = Net::init(model.graph().unwrap(), 3);
    let labels = (0..CLASSES).map(|index| format!("class {index}")).collect();
    let run = dir.path().join("run");
    write_run(&run, &RunConfig::new(model.clone(), labels, Default::default()), &net).unwrap();
    Net::init(model.graph().unwrap(), 4).save(&run.join("weights.safetensors")).unwrap();
    let error = export(&run, &dir.path().join("bundle"), &ExportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("was computed from other weights"), "{error}");
    assert!(error.is_bad_input());
    assert!(!dir.path().join("bundle").exists());
}
