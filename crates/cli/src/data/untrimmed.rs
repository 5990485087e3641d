//! `unscene data check` of untrimmed videos.

use std::io::Write;

use anyhow::Result;
use comfy_table::{Table, presets};
use unscene_data::untrimmed::{
    Untrimmed, UntrimmedCheck, UntrimmedReport, UntrimmedSpec, check_untrimmed, untrimmed_to_check,
};

use super::{CheckArgs, Found, aligned, names, shown, tell, watched};

/// Looks at a dataset for localization.
pub fn check(spec: &UntrimmedSpec, args: &CheckArgs) -> Result<()> {
    let mut untrimmed = spec.load()?;
    args.dataset.check_parts(untrimmed.parts.iter().map(|part| part.name.as_str()))?;
    if !args.dataset.parts.is_empty() {
        untrimmed.parts.retain(|part| args.dataset.parts.contains(&part.name));
    }
    let &CheckArgs { sample, workers, max_failed, skip_bad, .. } = args;
    let options = UntrimmedCheck { sample, workers, max_failed, skip_bad, ..UntrimmedCheck::default() };
    let of = untrimmed_to_check(&untrimmed, &options);
    let report = watched(of, |control| check_untrimmed(&mut untrimmed, &options, control))?;
    let (parts, problems) = (&report.parts, &report.problems);
    let found = Found { labels: &untrimmed.labels, parts, skipped: &untrimmed.skipped, problems };
    tell(args, &found, spec.videos.as_ref(), |out| print(out, &untrimmed, &report))
}

fn print(out: &mut impl Write, untrimmed: &Untrimmed, report: &UntrimmedReport) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["part", "videos", "found", "unreadable", "hours", "actions", "ambiguous", "buffers"]);
    for part in &report.parts {
        let actions: usize = part.per_label.iter().map(|count| count.segments).sum();
        table.add_row([
            part.name.clone(),
            part.videos.to_string(),
            part.found.to_string(),
            part.unreadable.len().to_string(),
            format!("{:.1}", part.hours),
            actions.to_string(),
            part.ambiguous.to_string(),
            part.buffers.to_string(),
        ]);
    }
    let mut labels = Table::new();
    labels.load_style(presets::ASCII_MARKDOWN);
    labels.set_header(["label"].into_iter().chain(report.parts.iter().map(|part| part.name.as_str())));
    for (at, label) in untrimmed.labels.iter().enumerate() {
        let counts = report.parts.iter().map(|part| part.per_label[at].segments.to_string());
        labels.add_row([label.clone()].into_iter().chain(counts));
    }
    aligned(out, [table, labels])?;
    for part in &report.parts {
        let unreadable = part.unreadable.iter().map(|failure| format!("{}: {}", failure.id, failure.reason));
        names(out, &part.name, "missing", &part.missing)?;
        names(out, &part.name, "unreadable", &unreadable.collect::<Vec<_>>())?;
        names(out, &part.name, "left out", &part.skipped.iter().map(shown).collect::<Vec<_>>())?;
    }
    names(out, "annotation", "left out", &untrimmed.skipped.iter().map(shown).collect::<Vec<_>>())?;
    let skipped = untrimmed.skipped.len() + report.parts.iter().map(|part| part.skipped.len()).sum::<usize>();
    if skipped > 0 {
        writeln!(out, "{skipped} annotations cannot be right and are left out")?;
    }
    Ok(())
}
