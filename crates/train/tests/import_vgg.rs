//! VGG-16 and SSD out of files as other people have them, small ones.

mod common;

use std::path::Path;

use common::{difference, parameter, values, write_tensors};
use unscene_models::classifier::ClassifierConfig;
use unscene_models::run::{RunConfig, RunFolder, RunModel};
use unscene_models::vgg_ssd::SsdConfig;
use unscene_train::{ImportReport, Net, import_run, read_weights};

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// 1/32 of the channels: 2 in the first layer, 16 in the last, 32 in fc7.
const WIDTH: f64 = 0.03125;

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("action {index}")).collect()
}

fn classifier() -> ClassifierConfig {
    ClassifierConfig { width: WIDTH, size: 64, ..ClassifierConfig::new("vgg16-ssd".parse().unwrap(), 3) }
}

fn detector() -> SsdConfig {
    SsdConfig { width: WIDTH, size: 64, ..SsdConfig::new(3) }
}

fn tensor(name: &str, shape: &[usize]) -> (String, Vec<usize>, Vec<f32>) {
    (name.into(), shape.to_vec(), parameter(name, shape))
}

/// torchvision's `vgg16`, narrow: the classifier is 128 wide, where that of full width is 4096 wide.
fn torchvision() -> Tensors {
    let mut tensors = vec![];
    let mut before = 3;
    for (layer, channels) in
        [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28].into_iter().zip([2, 2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16, 16])
    {
        tensors.push(tensor(&format!("features.{layer}.weight"), &[channels, before, 3, 3]));
        tensors.push(tensor(&format!("features.{layer}.bias"), &[channels]));
        before = channels;
    }
    for (layer, outputs, inputs) in [(0, 128, 16 * 49), (3, 128, 128), (6, 1000, 128)] {
        tensors.push(tensor(&format!("classifier.{layer}.weight"), &[outputs, inputs]));
        tensors.push(tensor(&format!("classifier.{layer}.bias"), &[outputs]));
    }
    tensors
}

/// Imports tensors; gives the report, the run's config and its weights in a net.
fn import(model: impl Into<RunModel>, tensors: &Tensors) -> Result<(ImportReport, RunConfig, Net), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.safetensors");
    write_tensors(&path, tensors);
    let run = RunFolder::new(folder.path().join("run"));
    match import_run(model, &path, labels(3), &run.dir) {
        Err(error) => {
            assert!(!Path::new(&run.dir).exists());
            Err(error.to_string())
        }
        Ok(report) => {
            let config = run.read_config().unwrap();
            let weights = read_weights(&run.weights_path()).unwrap();
            let net = Net::from_weights(config.model.graph().unwrap(), &weights).unwrap();
            Ok((report, config, net))
        }
    }
}

fn of<'a>(tensors: &'a Tensors, name: &str) -> &'a [f32] {
    &tensors.iter().find(|(found, ..)| found == name).unwrap().2
}

#[test]
fn torchvisions_vgg16_becomes_the_backbone() {
    let tensors = torchvision();
    let (report, config, net) = import(classifier(), &tensors).unwrap();
    assert_eq!(report.heads, ["classifier.6.bias", "classifier.6.weight"]);
    assert_eq!(report.new, ["fc.weight", "fc.bias"]);
    let reduced = [
        "vgg.31.bias: 32 of 128",
        "vgg.31.weight: 32 x 16 x 3 x 3 of 128 x 784",
        "vgg.33.bias: 32 of 128",
        "vgg.33.weight: 32 x 32 x 1 x 1 of 128 x 128",
    ];
    assert_eq!(report.reduced, reduced);
    assert_eq!((config.input.mean, config.input.range), ([0.485, 0.456, 0.406], 1.0));
    assert_eq!(net.values("vgg.28.weight").unwrap(), of(&tensors, "features.28.weight"));
    assert_eq!(net.values("vgg.0.bias").unwrap(), of(&tensors, "features.0.bias"));

    let (fc6, fc7) = (of(&tensors, "classifier.0.weight"), of(&tensors, "classifier.3.weight"));
    let (found6, found7) = (net.values("vgg.31.weight").unwrap(), net.values("vgg.33.weight").unwrap());
    for filter in 0..32 {
        for channel in 0..16 {
            for (y, x) in [(0, 0), (0, 1), (1, 2), (2, 0), (2, 2)] {
                let found = found6[((filter * 16 + channel) * 3 + y) * 3 + x];
                assert_eq!(found, fc6[4 * filter * 784 + channel * 49 + 3 * y * 7 + 3 * x]);
            }
        }
        for channel in 0..32 {
            assert_eq!(found7[filter * 32 + channel], fc7[4 * filter * 128 + 4 * channel]);
        }
        assert_eq!(net.values("vgg.31.bias").unwrap()[filter], of(&tensors, "classifier.0.bias")[4 * filter]);
    }
}

/// `vgg16_bn`: BatchNorm behind each convolution, which counts as a layer.
#[test]
fn torchvisions_vgg16_bn_becomes_the_backbone_with_batch_norm() {
    let mut model = classifier();
    model.arch = "vgg16bn-ssd".parse().unwrap();
    let layers = model.graph().unwrap().params.into_iter();
    let is_feature = |name: &str| {
        let number =
            name.strip_prefix("vgg.").and_then(|rest| rest.split_once('.')).map(|(layer, _)| layer.parse::<usize>());
        number.is_some_and(|layer| layer.is_ok_and(|layer| layer < 44))
    };
    let features = layers.filter(|spec| is_feature(&spec.name));
    let mut tensors: Tensors =
        features.map(|spec| tensor(&spec.name.replacen("vgg.", "features.", 1), &spec.shape)).collect();
    assert_eq!(tensors.len(), 13 * 6);
    tensors.extend(torchvision().into_iter().filter(|(name, ..)| name.starts_with("classifier.")));
    let (report, _, net) = import(model, &tensors).unwrap();
    assert_eq!((report.new, report.heads.len()), (vec!["fc.weight".to_string(), "fc.bias".to_string()], 2));
    assert!(
        report.reduced.iter().any(|line| line == "vgg.44.weight: 32 x 16 x 3 x 3 of 128 x 784"),
        "{:?}",
        report.reduced
    );
    assert_eq!(net.values("vgg.41.running_var").unwrap(), of(&tensors, "features.41.running_var"));
    assert_eq!(net.values("vgg.46.bias").unwrap()[1], of(&tensors, "classifier.3.bias")[4]);
    // It does not fit a network without BatchNorm, and that is said.
    let message = import(classifier(), &tensors).unwrap_err();
    assert!(message.contains("vgg.1.weight"), "{message}");
}

#[test]
fn a_backbone_also_begins_a_detector() {
    let (report, config, net) = import(detector(), &torchvision()).unwrap();
    let heads = ["L2Norm", "extras.", "loc.", "conf."];
    assert!(report.new.iter().all(|name| heads.iter().any(|head| name.starts_with(head))), "{:?}", report.new);
    // One scale, and weights and biases: of 64 pixels, four layers behind fc7 and four maps are left.
    assert_eq!(report.new.len(), 1 + 2 * (2 * 2 + 4 + 4), "{:?}", report.new);
    assert_eq!(config.input.range, 1.0);
    // A sixteenth of the 512 channels: each as large as there, where together they have 20.
    assert_eq!(net.values("L2Norm.weight").unwrap(), [20.0 / 32f32.sqrt(); 16]);
    assert!(net.values("conf.0.weight").unwrap().iter().any(|value| *value != 0.0));
}

/// `vgg16_reducedfc.pth`: the layers of `vgg` by their numbers, and no more.
#[test]
fn reducedfc_becomes_the_backbone() {
    let graph = classifier().graph().unwrap();
    let layers = graph.params.iter().filter_map(|spec| Some((spec.name.strip_prefix("vgg.")?, &spec.shape)));
    let tensors: Tensors = layers.map(|(name, shape)| tensor(name, shape)).collect();
    assert_eq!(tensors.len(), 30);
    let (report, config, net) = import(classifier(), &tensors).unwrap();
    assert_eq!((report.new, report.reduced), (vec!["fc.weight".to_string(), "fc.bias".to_string()], vec![]));
    assert_eq!(net.values("vgg.31.weight").unwrap(), of(&tensors, "31.weight"));
    // RGB, as ssd.pytorch feeds it.
    assert_eq!((config.input.mean, config.input.std, config.input.range), ([123.0, 117.0, 104.0], [1.0; 3], 255.0));
}

#[test]
fn a_trained_ssd_is_taken_as_it_is() {
    let graph = detector().graph().unwrap();
    let tensors: Tensors = graph.params.iter().map(|spec| tensor(&spec.name, &spec.shape)).collect();
    let (report, config, net) = import(detector(), &tensors).unwrap();
    assert_eq!((report.tensors, report.new.len(), report.heads.len()), (graph.params.len(), 0, 0));
    assert_eq!((config.input.mean, config.input.range), ([123.0, 117.0, 104.0], 255.0));
    assert_eq!(config.model, detector().into());
    for (spec, found) in net.params() {
        let expected: Vec<f64> = of(&tensors, &spec.name).iter().map(|&value| value.into()).collect();
        assert_eq!(difference(&values(found), &expected), 0.0, "{}", spec.name);
    }
}

#[test]
fn every_tensor_that_does_not_fit_is_named() {
    let mut tensors = torchvision();
    tensors.retain(|(name, ..)| name != "features.5.bias");
    tensors.push(tensor("scene.weight", &[2]));
    // Not filters of 7 x 7.
    tensors.iter_mut().filter(|(name, ..)| name == "classifier.0.weight").for_each(|one| {
        *one = tensor("classifier.0.weight", &[128, 100]);
    });
    let error = import(classifier(), &tensors).unwrap_err();
    for part in ["2 missing: vgg.5.bias (4), vgg.31.weight (32 x 16 x 3 x 3)", "2 extra: ", "scene.weight (2)"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(error.contains("classifier.0.weight (128 x 100)"), "{error}");

    let graph = SsdConfig { classes: 5, ..detector() }.graph().unwrap();
    let tensors: Tensors = graph.params.iter().map(|spec| tensor(&spec.name, &spec.shape)).collect();
    let error = import(detector(), &tensors).unwrap_err();
    assert!(error.contains("8 misshapen: ") && error.contains("conf.0.bias (24, expected 16)"), "{error}");
}
