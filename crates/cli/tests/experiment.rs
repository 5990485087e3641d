//! An experiment from its file to tables: what is missing is done, and what is there is not done again.

mod common;

use std::path::Path;

use common::{done, run};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const FORM: &str = "'model.width=0.05', 'model.size=32', 'batch=8', 'fit.epochs=1', 'fit.schedule.epochs=[1]'";

/// Two variants, two seeds, three targets of a tiny set.
fn experiment(folder: &Path) -> std::path::PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let target = |name: &str, part: &str| {
        format!(
            "[[target]]\nname = '{name}'\ngroup = 'stage'\ndata = {{ format = 'csv', annotations = 'stage' }}\nval_part = 'val'\n\
             test_part = '{part}'\nscenes = 'scenes.sqlite'\n"
        )
    };
    let targets = ["iid", "val", "train"].map(|part| target(&format!("on-{part}"), part)).concat();
    let file = folder.join("tiny.toml");
    let of = |name: &str| examples.join(name).display().to_string();
    let text = format!(
        "title = 'Tiny & small'
        seeds = [0, 1]
        prepare = [
            {{ run = ['stage', '--preset', 'tiny', '--bias', '0.5', '--train', '20', '--val', '10', '--test', '20', '--out', 'stage'], makes = 'stage/stage.json' }},
            {{ run = ['annotate', 'truth', '--stage', 'stage', '--scenes', 'scenes.sqlite', '--people', 'people.sqlite'], makes = 'people.sqlite' }},
        ]
        [pretrain]
        config = '{}'
        set = [\"data.annotations='stage'\", {FORM}]
        [finetune]
        config = '{}'
        from_layer = 'layer4'
        set = ['batch=8', 'fit.epochs=1', 'fit.schedule.epochs=[1]']
        [[variant]]
        name = 'baseline'
        [[variant]]
        name = 'debiased'
        title = 'with an adversary'
        set = [\"adversary=[{{name='scene', cache='scenes.sqlite'}}]\"]
        {targets}
        [[table]]
        title = 'Transfer'
        variants = ['baseline', 'debiased']
        columns = ['on-iid', 'stage']
        [figure]
        baseline = 'baseline'
        debiased = 'debiased'
        [energy]
        variants = ['debiased']
        data = {{ format = 'csv', annotations = 'stage' }}
        part = 'swapped'
        people = 'people.sqlite'
        ",
        of("pretrain_stage.toml"),
        of("finetune_stage.toml"),
    );
    std::fs::write(&file, text.replace("\n        ", "\n")).unwrap();
    file
}

#[test]
fn an_experiment_is_run_resumed_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path());
    let work = folder.path().join("work");
    let args = ["experiment", text(&file), "--work", text(&work)];
    let plan = done(args.iter().chain(&["--dry-run"]));
    // 2 prepared, 3 biases, 2 variants x 2 seeds x (1 + 3 transfers + 3 tests), 2 energies.
    assert_eq!(plan.lines().count(), 2 + 3 + 4 * 7 + 2, "{plan}");
    assert!(plan.contains("unscene finetune classify --from pretrain/debiased-1 --from-layer layer4"), "{plan}");

    let ended = run(args.iter().chain(&["--jobs", "2"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let results = work.join("results");
    for name in
        ["tables.md", "tables.csv", "results.csv", "results.json", "figure4.svg", "index.html", "experiment.toml"]
    {
        assert!(results.join(name).is_file(), "{name}");
    }
    let found: Value = serde_json::from_str(&std::fs::read_to_string(results.join("results.json")).unwrap()).unwrap();
    assert_eq!(found["scores"].as_array().unwrap().len(), 12);
    // The group's column is the average of its targets, by hand.
    let scores = found["scores"].as_array().unwrap();
    let mean = |is: &dyn Fn(&Value) -> bool| {
        let values: Vec<f64> = scores.iter().filter(|one| is(one)).map(|one| one["top1"].as_f64().unwrap()).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let row = &found["tables"][0]["rows"][1];
    let debiased = mean(&|one| one["variant"] == "debiased");
    assert!((row["cells"][1]["mean"].as_f64().unwrap() - debiased).abs() < 1e-9, "{row}");
    let on_iid = mean(&|one| one["variant"] == "debiased" && one["target"] == "on-iid");
    assert!((row["cells"][0]["mean"].as_f64().unwrap() - on_iid).abs() < 1e-9, "{row}");
    assert_eq!((&row["cells"][1]["seeds"], &scores[0]["videos"]), (&2.into(), &20.into()));
    assert_eq!(found["energies"]["debiased"].as_array().unwrap().len(), 2);
    let table = std::fs::read_to_string(results.join("tables.md")).unwrap();
    assert!(table.contains("| with an adversary |") && table.contains("over 2 seeds"), "{table}");
    assert!(table.contains("People cover ") && table.contains("tiny.toml --jobs 2` (unscene "), "{table}");
    // What a spreadsheet needs: each cell with its deviation and the number of seeds.
    let cells = std::fs::read_to_string(results.join("tables.csv")).unwrap();
    let cell = cells.lines().find(|line| line.starts_with("Transfer,debiased,stage,")).unwrap();
    let values: Vec<f64> = cell.split(',').skip(3).map(|value| value.parse().unwrap()).collect();
    assert!((values[0] - debiased).abs() < 1e-9 && values[2] == 2.0, "{cells}");
    assert_eq!(cells.lines().count(), 1 + 4 + 1, "{cells}");
    let page = std::fs::read_to_string(results.join("index.html")).unwrap();
    assert!(page.contains("Tiny &amp; small") && page.contains("<svg"), "{page}");

    // Nothing is left; what is taken away is made again, and nothing else.
    assert_eq!(done(args.iter().chain(&["--dry-run"])), "");
    std::fs::remove_file(work.join("eval/on-iid/baseline-0.json")).unwrap();
    let left = done(args.iter().chain(&["--dry-run"]));
    assert_eq!(left, "unscene eval classify --run finetune/on-iid/baseline-0 --part iid --json\n");
    let again = run(args.iter().chain(&["--out", text(&folder.path().join("again"))]));
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(again.err.lines().count(), 1, "one step: {again:?}");
    for name in ["results.json", "tables.md"] {
        let [first, second] = [&results, &folder.path().join("again")].map(|dir| {
            let text = std::fs::read_to_string(dir.join(name)).unwrap();
            // But for the command and the time.
            text.lines().filter(|line| !line.starts_with("Made by ")).map(String::from).collect::<Vec<_>>()
        });
        assert!(first == second, "{name}");
    }

    // Other settings do not pass for these.
    let changed = std::fs::read_to_string(&file).unwrap().replace("model.size=32", "model.size=48");
    std::fs::write(&file, changed).unwrap();
    let refused = run(args);
    assert!(refused.code == Some(2) && refused.err.contains("made with other settings"), "{refused:?}");
}

#[test]
fn a_step_that_fails_is_named_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path());
    let good = std::fs::read_to_string(&file).unwrap();
    let work = folder.path().join("work");
    let write = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        std::fs::write(&file, good.replacen(from, to, 1)).unwrap();
        run(["experiment", text(&file), "--work", text(&work)])
    };
    for (from, to, part) in [
        (
            "variants = ['baseline', 'debiased']",
            "variants = ['base']",
            "there is no variant \"base\"; there are baseline",
        ),
        ("columns = ['on-iid'", "columns = ['ucf'", "no target or group \"ucf\""),
        ("name = 'on-iid'", "name = 'a/b'", "its name becomes a folder"),
        ("name = 'on-iid'", "name = 'on-val'", "stands there twice"),
        ("seeds = [0, 1]", "seeds = []", "needs seeds"),
        ("title = 'Tiny", "titel = 'Tiny", "unknown field `titel`"),
    ] {
        let ended = write(from, to);
        assert!(ended.code == Some(2) && ended.err.contains(part), "{to}: {ended:?}");
    }
    // The adversary's cache is not there: its chains fail, the baseline's do not.
    let ended = write("cache='scenes.sqlite'", "cache='nowhere.sqlite'");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("2 of 35 steps failed") && ended.err.contains("nowhere.sqlite"), "{ended:?}");
    let table = std::fs::read_to_string(work.join("results/tables.md")).unwrap();
    assert!(table.contains("| with an adversary | - | - |") && table.contains("| baseline | "), "{table}");
}
