//! The curves of detections and proposals, as one SVG.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use unscene_eval::localize::{LocalizeReport, PrecisionRecall, ProposalReport};

const WIDTH_PX: u32 = 560;
const HEIGHT_PX: u32 = 420;
const INK: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const PALE: RGBColor = RGBColor(0xbb, 0xbb, 0xbb);

/// Precision over recall, of each class and their mean; beside it the recall of the proposals, where there are any.
pub fn draw(report: &LocalizeReport, curves: &[PrecisionRecall]) -> Result<String> {
    let panels = 1 + u32::from(report.proposals.is_some());
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH_PX * panels, HEIGHT_PX)).into_drawing_area();
        area.fill(&WHITE)?;
        let panels = area.split_evenly((1, panels as usize));
        precision(&panels[0], report, curves)?;
        if let (Some(panel), Some(proposals)) = (panels.get(1), &report.proposals) {
            recall(panel, proposals)?;
        }
        area.present()?;
    }
    Ok(svg)
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn precision(panel: &Panel, report: &LocalizeReport, curves: &[PrecisionRecall]) -> Result<()> {
    let map = report.map.get(0.5).unwrap_or_default() * 100.0;
    let heading = format!("{}, tIoU 0.5: mAP {map:.1} %", report.protocol);
    let mean = PrecisionRecall::mean(curves);
    let pale = curves.iter().map(|curve| curve.points.clone()).collect();
    panel_of(panel, &heading, ("recall, each class and their mean", 1.0), "precision", pale, mean)
}

fn recall(panel: &Panel, report: &ProposalReport) -> Result<()> {
    let heading = format!("average recall at tIoU 0.5 to 0.95: area {:.1} %", report.auc * 100.0);
    let points: Vec<(f64, f64)> = report.curve.iter().map(|point| (point.per_video, point.recall)).collect();
    let most = points.last().map_or(1.0, |point| point.0);
    panel_of(panel, &heading, ("proposals per video", most), "average recall", vec![], points)
}

/// A curve, and paler ones behind it; percent up.
fn panel_of(
    panel: &Panel,
    heading: &str,
    (x_name, x_end): (&str, f64),
    y_name: &str,
    pale: Vec<Vec<(f64, f64)>>,
    curve: Vec<(f64, f64)>,
) -> Result<()> {
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .caption(heading, ("sans-serif", 16))
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..x_end, 0.0..100.0)?;
    let is_share = x_end <= 1.0;
    chart
        .configure_mesh()
        .x_desc(x_name)
        .y_desc(format!("{y_name}, %"))
        .x_label_formatter(&|x| if is_share { format!("{x:.1}") } else { format!("{x:.0}") })
        .y_label_formatter(&|y| format!("{y:.0}"))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let percent = |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x, y * 100.0));
    for points in pale {
        chart.draw_series(LineSeries::new(percent(points), PALE))?;
    }
    chart.draw_series(LineSeries::new(percent(curve), INK.stroke_width(2)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use unscene_eval::localize::{ByTiou, ProposalPoint, Protocol};

    use super::*;

    #[test]
    fn curves_are_drawn_side_by_side() {
        let mut report = LocalizeReport {
            protocol: Protocol::Thumos14,
            nms_offset: None,
            part: "test".into(),
            videos: 1,
            actions: 2,
            detections: 3,
            reversed: 0,
            skipped: 0,
            map: ByTiou(vec![(0.5, 0.25)]),
            average_map: 0.25,
            classes: vec![],
            proposals: None,
        };
        let points = vec![(0.5, 1.0), (1.0, 0.5)];
        let curves = ["bow", "wave"].map(|label| PrecisionRecall { label: label.into(), points: points.clone() });
        let lines = |svg: &str| svg.matches("<polyline").count();
        let alone = draw(&report, &curves).unwrap();
        assert!(alone.contains("mAP 25.0 %") && !alone.contains("average recall"), "{alone}");
        let curve = vec![ProposalPoint { per_video: 1.0, recall: 0.5 }, ProposalPoint { per_video: 2.0, recall: 0.75 }];
        let proposals = ProposalReport { videos: 1, actions: 2, proposals: 2, skipped: 0, auc: 0.3, curve };
        report.proposals = Some(proposals);
        let both = draw(&report, &curves).unwrap();
        assert!(both.contains("area 30.0 %") && lines(&both) > lines(&alone), "{both}");
        // Without a curve there is still a picture.
        draw(&report, &[]).unwrap();
    }
}
