//! `unscene data check` of untrimmed videos.

use std::io::Write;

use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;
use unscene_data::untrimmed::{
    Untrimmed, UntrimmedCheck, UntrimmedReport, UntrimmedSpec, check_untrimmed, untrimmed_to_check,
};

use super::{CheckArgs, names, progress, shown};
use crate::interrupt;

/// Looks at a dataset for localization.
pub fn check(spec: &UntrimmedSpec, args: &CheckArgs) -> Result<()> {
    let mut untrimmed = spec.load()?;
    args.dataset.check_parts(untrimmed.parts.iter().map(|part| part.name.as_str()))?;
    if !args.dataset.parts.is_empty() {
        untrimmed.parts.retain(|part| args.dataset.parts.contains(&part.name));
    }
    let &CheckArgs { sample, workers, max_failed, skip_bad, .. } = args;
    let options = UntrimmedCheck { sample, workers, max_failed, skip_bad, ..UntrimmedCheck::default() };
    interrupt::listen()?;
    let of = untrimmed_to_check(&untrimmed, &options);
    let bar = progress(of);
    let report = check_untrimmed(&mut untrimmed, &options, &|done| {
        bar.set_position(done as u64);
        interrupt::control()
    });
    let done = bar.position() as usize;
    bar.finish_and_clear();
    if interrupt::control().is_break() {
        return Err(crate::failure::Interrupted { done, of, what: "videos" }.into());
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let (parts, problems, skipped) = (&report.parts, &report.problems, &untrimmed.skipped);
        let result = json!({"labels": untrimmed.labels, "parts": parts, "skipped": skipped, "problems": problems});
        writeln!(out, "{result:#}")?;
    } else {
        print(&mut out, &untrimmed, &report)?;
        if spec.videos.is_none() {
            writeln!(out, "only the annotations were looked at; name the folder of the videos with --videos")?;
        }
    }
    match report.problems.is_empty() {
        true => Ok(()),
        false => bail!("training would fail: {}", report.problems.join("; ")),
    }
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
    for table in [&mut table, &mut labels] {
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        writeln!(out, "{table}")?;
    }
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
