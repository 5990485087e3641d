//! The results as one page without links to other files.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use unscene_eval::Correlation;

use super::results::{Results, Rows, shown};
use super::spec::Spec;
use crate::report::STYLE;

/// Tables and the figure.
pub fn page(results: &Results, spec: &Spec, figure: Option<&(Correlation, String)>) -> Markup {
    let seeds = spec.seeds.len();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (spec.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (spec.title) }
                @if !spec.about.is_empty() { p { (spec.about) } }
                p { "Top-1 in percent, mean ± standard deviation over " (seeds) " seeds." }
                @for Rows { table, rows } in &results.tables(spec) {
                    h2 { (table.title) }
                    @if !table.about.is_empty() { p { (table.about) } }
                    table {
                        thead { tr { th {} @for column in &table.columns { th.number { (column) } } } }
                        tbody {
                            @for (variant, cells) in rows {
                                tr {
                                    td { (variant.title()) }
                                    @for cell in cells { td.number { (shown(*cell, seeds)) } }
                                }
                            }
                        }
                    }
                }
                @if let Some((relation, svg)) = figure {
                    h2 { "Improvement by debiasing over scene representation bias" }
                    p {
                        "Each point is a dataset: how far its scenes give its actions away, and what debiasing brings. Pearson's rho is "
                        (format!("{:.3}", relation.rho)) ", p " (format!("{:.3}", relation.p_value)) ", n " (relation.n) "."
                    }
                    figure { (PreEscaped(svg)) }
                }
                @if spec.energy.is_some() {
                    h2 { "Where the pretrained models look" }
                    p {
                        "Share of the class activation map's energy that lies on people, in percent."
                        @if let Some(covered) = results.covered { " People cover " (format!("{:.1}", covered * 100.0)) " % of the picture." }
                    }
                    table {
                        tbody {
                            @for (variant, cell) in results.energy_rows(spec) {
                                tr { td { (variant.title()) } td.number { (shown(cell, seeds)) } }
                            }
                        }
                    }
                }
                p { (results.made) }
            }
        }
    }
}
