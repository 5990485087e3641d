//! Tables for people.

use comfy_table::{CellAlignment, Table, presets};

/// A table whose first column is words and whose others are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A share as a percentage with one decimal, without the sign.
pub fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}
