//! What the work folder holds, as tables.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use unscene_eval::{Correlation, deviation, mean};

use super::spec::{Spec, TableSpec, Target, Variant};
use super::{page, plan};
use crate::bias::{Transfer, figure, relate};
use crate::files;

/// A transfer that is measured.
#[derive(Debug, Clone, Serialize)]
pub struct Score {
    pub variant: String,
    pub seed: u64,
    pub target: String,
    pub group: String,
    /// Share of the videos whose action is named.
    pub top1: f64,
    pub videos: u64,
    pub skipped: u64,
}

/// All that is measured.
pub struct Results {
    pub scores: Vec<Score>,
    /// B_scene and its standard deviation, by target.
    pub biases: BTreeMap<String, (f64, f64)>,
    /// Share of the map on people, by variant, one for each seed.
    pub energies: BTreeMap<String, Vec<f64>>,
    /// Share of the picture that people cover in the same videos: what a map that knows nothing of them has.
    pub covered: Option<f64>,
    /// How they came about, in a line.
    pub made: String,
}

/// A mean over seeds; nothing where nothing is measured.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub mean: f64,
    pub deviation: f64,
    pub seeds: usize,
}

/// A table with its cells: variants by columns.
pub struct Rows<'a> {
    pub table: &'a TableSpec,
    pub rows: Vec<(&'a Variant, Vec<Option<Cell>>)>,
}

fn cell(values: &[f64]) -> Option<Cell> {
    (!values.is_empty()).then(|| Cell { mean: mean(values), deviation: deviation(values), seeds: values.len() })
}

/// A cell in percent; the number of seeds where it is not the expected one.
pub fn shown(cell: Option<Cell>, seeds: usize) -> String {
    let Some(Cell { mean, deviation, seeds: found }) = cell else { return "-".into() };
    let mut text = format!("{:.1} ± {:.1}", mean * 100.0, deviation * 100.0);
    if found != seeds {
        let _ = write!(text, " (n = {found})");
    }
    text
}

fn read(path: &Path) -> Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(name)?;
    Ok(Some(serde_json::from_str(&text).with_context(name)?))
}

impl Results {
    /// Reads what is there; `made` says how that came about.
    pub fn read(spec: &Spec, work: &Path, made: String) -> Result<Self> {
        let (biases, energies) = (BTreeMap::new(), BTreeMap::new());
        let mut results = Results { scores: vec![], biases, energies, covered: None, made };
        for target in &spec.targets {
            let path = work.join(plan::bias(target));
            if let Some(found) = read(&path)? {
                let number =
                    |name: &str| found[name].as_f64().with_context(|| format!("{}: no {name}", path.display()));
                results.biases.insert(target.name.clone(), (number("bias")?, number("bias_std")?));
            }
            for (variant, &seed) in
                spec.variants.iter().flat_map(|variant| spec.seeds.iter().map(move |seed| (variant, seed)))
            {
                let path = work.join(plan::score(variant, seed, target));
                let Some(found) = read(&path)? else { continue };
                let run = found["runs"][0].clone();
                let top1 = run["top1"].as_f64().with_context(|| format!("{}: no runs.0.top1", path.display()))?;
                let [videos, skipped] = ["videos", "skipped"].map(|name| run[name].as_u64().unwrap_or(0));
                let (variant, group) = (variant.name.clone(), target.group().to_string());
                results.scores.push(Score { variant, seed, target: target.name.clone(), group, top1, videos, skipped });
            }
        }
        for variant in spec.energy.iter().flat_map(|energy| &energy.variants).filter_map(|name| spec.variant(name)) {
            for &seed in &spec.seeds {
                let path = work.join(plan::energy(variant, seed));
                if let Some(found) = read(&path)? {
                    let share = found["models"][0]["energy"].as_f64();
                    let share = share.with_context(|| format!("{}: no models.0.energy", path.display()))?;
                    results.energies.entry(variant.name.clone()).or_default().push(share);
                    results.covered = results.covered.or(found["models"][0]["covered"].as_f64());
                }
            }
        }
        Ok(results)
    }

    /// A variant on a column: for each seed the average over its targets, of seeds that have them all.
    fn cell(&self, spec: &Spec, variant: &str, targets: &[&Target]) -> Option<Cell> {
        let of_seed = |seed: &u64| -> Option<f64> {
            let score = |target: &&Target| {
                let is =
                    |score: &&Score| score.variant == variant && score.seed == *seed && score.target == target.name;
                self.scores.iter().find(is).map(|score| score.top1)
            };
            let scores: Vec<f64> = targets.iter().map(score).collect::<Option<_>>()?;
            Some(mean(&scores))
        };
        cell(&spec.seeds.iter().filter_map(of_seed).collect::<Vec<_>>())
    }

    /// The tables.
    pub fn tables<'a>(&self, spec: &'a Spec) -> Vec<Rows<'a>> {
        let row = |table: &TableSpec, variant: &'a Variant| {
            let columns = table.columns.iter().map(|column| spec.column(column));
            (variant, columns.map(|targets| self.cell(spec, &variant.name, &targets)).collect())
        };
        let rows = |table: &'a TableSpec| {
            let variants = table.variants.iter().filter_map(|name| spec.variant(name));
            Rows { table, rows: variants.map(|variant| row(table, variant)).collect() }
        };
        spec.tables.iter().map(rows).collect()
    }

    /// Bias and improvement of every target that has both.
    pub fn transfers(&self, spec: &Spec) -> Vec<Transfer> {
        let Some(pair) = &spec.figure else { return vec![] };
        let transfer = |target: &Target| {
            let accuracy = |variant: &str| Some(self.cell(spec, variant, &[target])?.mean);
            let baseline = accuracy(&pair.baseline).filter(|accuracy| *accuracy > 0.0)?;
            let (bias, _) = *self.biases.get(&target.name)?;
            Some(Transfer { dataset: target.name.clone(), bias, baseline, debiased: accuracy(&pair.debiased)? })
        };
        spec.targets.iter().filter_map(transfer).collect()
    }

    /// Figure 4 and its numbers, where there are enough targets.
    pub fn figure(&self, spec: &Spec) -> Result<Option<(Correlation, String)>> {
        let transfers = self.transfers(spec);
        match relate(&transfers) {
            Ok(relation) => Ok(Some((relation, figure(&transfers, &relation)?))),
            // Too few are there yet.
            Err(_) => Ok(None),
        }
    }

    /// Where pretrained models look: variant and share.
    pub fn energy_rows<'a>(&self, spec: &'a Spec) -> Vec<(&'a Variant, Option<Cell>)> {
        let variants = spec.energy.iter().flat_map(|energy| &energy.variants).filter_map(|name| spec.variant(name));
        let share = |variant: &Variant| self.energies.get(&variant.name).and_then(|shares| cell(shares));
        variants.map(|variant| (variant, share(variant))).collect()
    }

    /// The tables for people.
    pub fn markdown(&self, spec: &Spec) -> String {
        let mut text = format!("# {}\n\n", spec.title);
        if !spec.about.is_empty() {
            text += &format!("{}\n\n", spec.about.trim());
        }
        text += &format!("Top-1 in percent, mean ± standard deviation over {} seeds.\n", spec.seeds.len());
        for Rows { table, rows } in self.tables(spec) {
            text += &format!("\n## {}\n\n", table.title);
            if !table.about.is_empty() {
                text += &format!("{}\n\n", table.about.trim());
            }
            text += &format!("| | {} |\n|---|{}\n", table.columns.join(" | "), "---:|".repeat(table.columns.len()));
            for (variant, cells) in rows {
                let cells: Vec<String> = cells.into_iter().map(|cell| shown(cell, spec.seeds.len())).collect();
                text += &format!("| {} | {} |\n", variant.title(), cells.join(" | "));
            }
        }
        let transfers = self.transfers(spec);
        if !transfers.is_empty() {
            text += "\n## Improvement by debiasing over scene representation bias\n\n";
            text += "| target | B_scene | baseline % | debiased % | improvement % |\n|---|---:|---:|---:|---:|\n";
            for transfer in &transfers {
                let deviation = self.biases.get(&transfer.dataset).map_or(0.0, |(_, deviation)| *deviation);
                let [baseline, debiased] = [transfer.baseline, transfer.debiased].map(|share| share * 100.0);
                let (name, bias, more) = (&transfer.dataset, transfer.bias, transfer.improvement() * 100.0);
                text +=
                    &format!("| {name} | {bias:.2} ± {deviation:.2} | {baseline:.1} | {debiased:.1} | {more:+.1} |\n");
            }
            if let Ok(relation) = relate(&transfers) {
                let Correlation { n, rho, p_value } = relation;
                text += &format!("\nPearson's rho = {rho:.3}, p = {p_value:.3}, n = {n}; see figure4.svg.\n");
            }
        }
        if spec.energy.is_some() {
            text += "\n## Share of the class activation map's energy on people\n\n| | % |\n|---|---:|\n";
            for (variant, cell) in self.energy_rows(spec) {
                text += &format!("| {} | {} |\n", variant.title(), shown(cell, spec.seeds.len()));
            }
            if let Some(covered) = self.covered {
                text += &format!("\nPeople cover {:.1} % of the picture.\n", covered * 100.0);
            }
        }
        text + &format!("\n{}\n", self.made)
    }

    /// The cells of all tables: mean, standard deviation and number of seeds, a line each.
    fn cells(&self, spec: &Spec) -> Result<Vec<u8>> {
        let mut lines = csv::Writer::from_writer(vec![]);
        lines.write_record(["table", "variant", "column", "mean", "deviation", "seeds"])?;
        let mut write = |table: &str, variant: &Variant, column: &str, cell: Option<Cell>| -> Result<()> {
            let Some(Cell { mean, deviation, seeds }) = cell else { return Ok(()) };
            let [mean, deviation] = [mean, deviation].map(|share| share.to_string());
            Ok(lines.write_record([table, &variant.name, column, &mean, &deviation, &seeds.to_string()])?)
        };
        for Rows { table, rows } in self.tables(spec) {
            for (variant, cells) in rows {
                for (column, cell) in table.columns.iter().zip(cells) {
                    write(&table.title, variant, column, cell)?;
                }
            }
        }
        for (variant, cell) in self.energy_rows(spec) {
            write("Share of the class activation map's energy on people", variant, "energy", cell)?;
        }
        lines.into_inner().context("a table in memory")
    }

    /// Everything for programs.
    pub fn json(&self, spec: &Spec) -> Value {
        let cells = |cell: &Option<Cell>| {
            cell.map(|cell| json!({"mean": cell.mean, "deviation": cell.deviation, "seeds": cell.seeds}))
        };
        let tables: Vec<Value> = self
            .tables(spec)
            .iter()
            .map(|Rows { table, rows }| {
                let rows: Vec<Value> = rows
                    .iter()
                    .map(|(variant, found)| json!({"variant": variant.name, "cells": found.iter().map(cells).collect::<Vec<_>>()}))
                    .collect();
                json!({"title": table.title, "columns": table.columns, "rows": rows})
            })
            .collect();
        let transfers = self.transfers(spec);
        json!({
            "title": spec.title, "seeds": spec.seeds, "scores": self.scores, "biases": self.biases, "tables": tables,
            "transfers": transfers, "pearson": relate(&transfers).ok(), "energies": self.energies,
            "covered": self.covered,
        })
    }

    /// Writes everything into a folder, and the experiment's file beside it.
    pub fn write(&self, spec: &Spec, text: &str, out: &Path) -> Result<()> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let mut table = csv::Writer::from_writer(vec![]);
        for score in &self.scores {
            table.serialize(score)?;
        }
        let figure = self.figure(spec)?;
        files::whole(&out.join("results.csv"), &table.into_inner().context("a table in memory")?)?;
        files::whole(&out.join("tables.csv"), &self.cells(spec)?)?;
        files::whole(&out.join("results.json"), format!("{:#}\n", self.json(spec)).as_bytes())?;
        files::whole(&out.join("tables.md"), self.markdown(spec).as_bytes())?;
        if let Some((_, svg)) = &figure {
            files::whole(&out.join("figure4.svg"), svg.as_bytes())?;
        }
        files::whole(&out.join("experiment.toml"), text.as_bytes())?;
        files::whole(&out.join("index.html"), page::page(self, spec, figure.as_ref()).into_string().as_bytes())
    }
}
