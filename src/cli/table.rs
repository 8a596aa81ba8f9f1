//! Tables for people: columns as wide as their widest cell, foreign text made harmless.

use crate::telemetry::personal::harmless;

/// A table under way.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With its head.
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// One more row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }

    /// The lines; the last cell of each is not padded.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let padded = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(padded).collect()
    }
}

/// A size in its largest unit, with one decimal below ten: `412B`, `48K`, `1.2M`.
pub(super) fn size(bytes: u64) -> String {
    let (name, tenths) = match bytes {
        0..0x400 => return format!("{bytes}B"),
        0x400..0x10_0000 => ("K", bytes.saturating_mul(10) >> 10),
        0x10_0000..0x4000_0000 => ("M", bytes.saturating_mul(10) >> 20),
        _ => ("G", bytes.saturating_mul(10) >> 30),
    };
    if tenths < 100 { format!("{}.{}{name}", tenths / 10, tenths % 10) } else { format!("{}{name}", tenths / 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["QID", "STATE", "ERROR"]);
        table.row(["01".into(), "deferred".into(), "a\nb".into()]);
        table.row(["0123".into(), "dead".into(), String::new()]);
        assert_eq!(table.lines(), ["QID   STATE     ERROR", "01    deferred  a\\nb", "0123  dead"]);
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (49_211, "48K"),
            (1_258_292, "1.2M"),
            (10_276_045, "9.8M"),
            (52_428_800, "50M"),
            (5_368_709_120, "5.0G"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
