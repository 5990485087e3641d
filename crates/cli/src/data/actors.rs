//! `unscene data check` of actors.

use std::io::Write;

use anyhow::Result;
use comfy_table::{Table, presets};
use unscene_data::actors::{ActorCheck, ActorReport, ActorSpec, Actors, actors_to_check, check_actors};

use super::{CheckArgs, Found, aligned, names, shown, tell, watched};

/// Looks at a dataset for detection.
pub fn check(spec: &ActorSpec, args: &CheckArgs) -> Result<()> {
    let mut actors = spec.load()?;
    args.dataset.check_parts(actors.parts.iter().map(|part| part.name.as_str()))?;
    if !args.dataset.parts.is_empty() {
        actors.parts.retain(|part| args.dataset.parts.contains(&part.name));
    }
    let &CheckArgs { sample, workers, max_failed, .. } = args;
    let options = ActorCheck { sample, workers, max_failed };
    let of = actors_to_check(&actors, &options);
    let report = watched(of, |control| check_actors(&actors, &options, control))?;
    let (parts, problems) = (&report.parts, &report.problems);
    let found = Found { labels: &actors.labels, parts, skipped: &actors.skipped, problems };
    tell(args, &found, spec.videos.as_ref(), |out| print(out, &actors, &report))
}

fn print(out: &mut impl Write, actors: &Actors, report: &ActorReport) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["part", "videos", "found", "read", "unreadable", "frames with actors", "actors", "boxes"]);
    for part in &report.parts {
        let (tubes, boxes) =
            part.per_label.iter().fold((0, 0), |(tubes, boxes), count| (tubes + count.tubes, boxes + count.boxes));
        let counts = [part.videos, part.found, part.read, part.unreadable.len(), part.frames, tubes, boxes];
        table.add_row([part.name.clone()].into_iter().chain(counts.map(|count| count.to_string())));
    }
    let mut labels = Table::new();
    labels.load_style(presets::ASCII_MARKDOWN);
    labels.set_header(["actors of"].into_iter().chain(report.parts.iter().map(|part| part.name.as_str())));
    for (at, label) in actors.labels.iter().enumerate() {
        let counts = report.parts.iter().map(|part| part.per_label[at].tubes.to_string());
        labels.add_row([label.clone()].into_iter().chain(counts));
    }
    aligned(out, [table, labels])?;
    for part in &report.parts {
        let unreadable = part.unreadable.iter().map(|failure| format!("{}: {}", failure.id, failure.reason));
        names(out, &part.name, "missing", &part.missing)?;
        names(out, &part.name, "unreadable", &unreadable.collect::<Vec<_>>())?;
    }
    names(out, "annotation", "left out", &actors.skipped.iter().map(shown).collect::<Vec<_>>())?;
    if !actors.skipped.is_empty() {
        writeln!(
            out,
            "{} annotations cannot be right; boxes that reach out are cut, others left out",
            actors.skipped.len()
        )?;
    }
    Ok(())
}
