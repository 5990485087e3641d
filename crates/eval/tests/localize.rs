//! What the official evaluations say, of a small set that is here and of THUMOS14 where it is there.

use std::path::{Path, PathBuf};

use serde_json::Value;
use unscene_data::untrimmed::{Untrimmed, UntrimmedFormat, UntrimmedSpec};
use unscene_eval::localize::{
    Known, LocalizeOptions, LocalizeReport, Protocol, SegmentDetection, evaluate, proposal_recall,
};

fn load(format: UntrimmedFormat, annotations: PathBuf) -> Untrimmed {
    UntrimmedSpec { format, annotations, videos: None, skip_bad: false }.load().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A file of the small set; `make.py` beside it says what each is.
fn small(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/localization").join(name)
}

fn scored(dataset: &Untrimmed, detections: &Path, protocol: Protocol, nms_offset: Option<f64>) -> LocalizeReport {
    let part = dataset.part("test").unwrap();
    let found: Vec<SegmentDetection> = Known::new(dataset, part).detections(detections, false).unwrap().kept;
    evaluate(part, &dataset.labels, &found, LocalizeOptions { protocol, nms_offset }).unwrap().report
}

#[test]
fn each_class_is_as_precise_as_the_official_programs_say() {
    let thumos = load(UntrimmedFormat::Thumos14, small("annotation_test"));
    let activitynet = load(UntrimmedFormat::Activitynet, small("annotations.json"));
    let expected = json(&small("expected.json"));
    for (name, dataset, detections, protocol, nms_offset) in [
        ("thumos14", &thumos, "detections.txt", Protocol::Thumos14, None),
        ("thumos14_nms", &thumos, "detections.txt", Protocol::Thumos14, Some(0.1)),
        ("activitynet", &activitynet, "detections.json", Protocol::ActivityNet, None),
        // Formats and protocols are not bound to each other.
        ("activitynet", &thumos, "detections.json", Protocol::ActivityNet, None),
    ] {
        let report = scored(dataset, &small(detections), protocol, nms_offset);
        let expected = expected[name].as_object().unwrap();
        assert_eq!((report.classes.len(), report.reversed), (expected.len(), 1), "{name}");
        let mut mean = 0.0;
        for class in &report.classes {
            let ap = class.ap.as_ref().unwrap();
            for (&(tiou, ap), threshold) in ap.0.iter().zip(protocol.thresholds()) {
                let official = expected[&class.label][threshold.to_string()].as_f64().unwrap();
                assert!((ap - official).abs() < 1e-9, "{name}, {} at {tiou}: {ap}, not {official}", class.label);
                mean += official / (expected.len() * protocol.thresholds().len()) as f64;
            }
        }
        assert!((report.average_map - mean).abs() < 1e-9, "{name}: {}, not {mean}", report.average_map);
    }
}

#[test]
fn proposals_are_recalled_as_the_official_program_says() {
    let dataset = load(UntrimmedFormat::Activitynet, small("annotations.json"));
    let part = dataset.part("test").unwrap();
    let found = Known::new(&dataset, part).proposals(&small("proposals.json"), false).unwrap();
    for (most, expected) in json(&small("expected.json"))["proposals"].as_object().unwrap() {
        let report = proposal_recall(part, &found.kept, most.parse().unwrap()).unwrap();
        let points = expected["curve"].as_array().unwrap();
        assert_eq!(report.curve.len(), points.len());
        for (point, official) in report.curve.iter().zip(points) {
            let pairs = [(point.per_video, &official[0]), (point.recall, &official[1])];
            let is_same = pairs.iter().all(|(own, official)| (own - official.as_f64().unwrap()).abs() < 1e-9);
            assert!(is_same, "at most {most}: {point:?}, not {official}");
        }
        assert!((report.auc - expected["auc"].as_f64().unwrap()).abs() < 1e-9, "at most {most}: {}", report.auc);
    }
}

#[test]
fn thumos14_has_the_number_of_the_official_kit() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let oracle = shared.join("oracles/thumos14");
    if !oracle.is_dir() {
        eprintln!("not tested: {} is missing", oracle.display());
        return;
    }
    let dataset = load(UntrimmedFormat::Thumos14, shared.join("formats/thumos14/annotation_test"));
    let expected = json(&oracle.join("expected.json"));
    let report = scored(&dataset, &oracle.join("detections.txt"), Protocol::Thumos14, None);
    let official = expected["mAP"].as_object().unwrap();
    assert_eq!(official.len(), report.map.0.len());
    for (tiou, own) in &report.map.0 {
        let official = official[&tiou.to_string()].as_f64().unwrap();
        assert!((own - official).abs() < 1e-4, "at {tiou}: {own}, not {official}");
    }
    let official = expected["AP_at_0.5"].as_array().unwrap();
    assert_eq!(official.len(), report.classes.len());
    for (class, official) in report.classes.iter().zip(official) {
        let own = class.ap.as_ref().unwrap().get(0.5).unwrap();
        let official = official.as_f64().unwrap();
        assert!((own - official).abs() < 1e-4, "{}: {own}, not {official}", class.label);
    }
}
