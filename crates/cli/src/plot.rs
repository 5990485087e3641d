//! Plots as SVG.

use anyhow::Result;
use plotters::prelude::*;

/// A point with a name beside it.
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub name: String,
}

/// Points, named, with the line that fits them best; percent up.
pub fn scatter(points: &[Point], heading: &str, x_name: &str, y_name: &str) -> Result<String> {
    let range = |of: fn(&Point) -> f64| {
        let (low, high) = points
            .iter()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let margin = ((high - low) * 0.15).max(1e-3);
        low - margin..high + margin
    };
    let (xs, ys) = (range(|point| point.x), range(|point| point.y * 100.0));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (640, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(heading, ("sans-serif", 16))
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(xs.clone(), ys.clone())?;
        let line = TRANSPARENT;
        chart
            .configure_mesh()
            .x_desc(x_name)
            .y_desc(y_name)
            .x_label_formatter(&|x| format!("{x:.1}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(line)
            .draw()?;
        if let Some((slope, start)) = fit(points) {
            let at = |x: f64| (x, (start + slope * x) * 100.0);
            chart.draw_series(LineSeries::new([at(xs.start), at(xs.end)], RGBColor(0xbb, 0xbb, 0xbb)))?;
        }
        let colour = RGBColor(0x1f, 0x6f, 0xb4);
        chart.draw_series(points.iter().map(|point| {
            EmptyElement::at((point.x, point.y * 100.0))
                + Circle::new((0, 0), 4, colour.filled())
                + Text::new(point.name.clone(), (7, -6), ("sans-serif", 12))
        }))?;
        area.present()?;
    }
    Ok(svg)
}

/// Slope and start of the least-squares line; none where all lie above one another.
fn fit(points: &[Point]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.x / n, y + point.y / n));
    let (xy, xx) = points
        .iter()
        .fold((0.0, 0.0), |(xy, xx), point| (xy + (point.x - x) * (point.y - y), xx + (point.x - x).powi(2)));
    (xx > 0.0).then(|| (xy / xx, y - xy / xx * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_named_and_fitted() {
        let point = |x, y, name: &str| Point { x, y, name: name.into() };
        let points = [point(1.0, 0.3, "a<b"), point(2.0, 0.2, "c"), point(3.0, 0.1, "d")];
        let (slope, start) = fit(&points).unwrap();
        assert!((slope + 0.1).abs() < 1e-12 && (start - 0.4).abs() < 1e-12);
        assert!(fit(&points[..1]).is_none());
        let svg = scatter(&points, "h", "x", "y").unwrap();
        assert!(svg.contains("<circle") && svg.contains("a&lt;b") && svg.contains("<polyline"), "{svg}");
        scatter(&points[..1], "h", "x", "y").unwrap();
    }
}
