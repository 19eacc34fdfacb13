//! Plots in SVG: a measured cost over a count, the count on a logarithmic scale and the cost from zero.

use super::chart::COLOURS;
use std::fmt::Write as _;

/// One plot, with a line for each series.
#[derive(Debug)]
pub(crate) struct Plot {
    /// What stands above it.
    pub(crate) title: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// What was measured at each count.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// Count and cost, by rising count.
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 34.0;
const LINE: f64 = 16.0;
/// Room under the axis: its numbers, and a name for each of so many series.
const BOTTOM: f64 = 28.0 + 4.0 * LINE;
const COLUMNS: usize = 2;
const GRID: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Where a plot's values stand.
struct Scale {
    decades_from: f64,
    decades: f64,
    highest: f64,
}

impl Scale {
    fn of(plot: &Plot) -> Self {
        let points = || plot.lines.iter().flat_map(|line| &line.points);
        let counts = || points().map(|point| point.0.max(1.0).log10());
        let from = counts().fold(f64::INFINITY, f64::min);
        let to = counts().fold(f64::NEG_INFINITY, f64::max);
        let highest = points().map(|point| point.1).fold(0.0, f64::max);
        Self {
            decades_from: from,
            decades: (to - from).max(1e-9),
            highest: rounded_up(highest),
        }
    }

    fn place(&self, (count, cost): (f64, f64)) -> (f64, f64) {
        let along = (count.max(1.0).log10() - self.decades_from) / self.decades;
        let x = LEFT + along * (WIDTH - LEFT - RIGHT);
        (x, Self::height(cost / self.highest))
    }

    fn height(part: f64) -> f64 {
        TOP + (1.0 - part) * (HEIGHT - TOP - BOTTOM)
    }
}

/// To 1, 2 or 5 of some power of ten, or half as much again.
fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

/// A whole SVG document.
pub(crate) fn svg(plots: &[Plot]) -> String {
    let mut drawn = String::new();
    let (mut x, mut y) = (0.0, 0.0);
    for (number, plot) in plots.iter().enumerate() {
        // Writing to a text does not fail.
        writeln!(
            drawn,
            r#"<g transform="translate({x} {y})">{}</g>"#,
            draw(plot)
        )
        .ok();
        if number % COLUMNS == COLUMNS - 1 {
            (x, y) = (0.0, y + HEIGHT);
        } else {
            x += WIDTH;
        }
    }
    let height = if x > 0.0 { y + HEIGHT } else { y };
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>
{drawn}</svg>
"##,
        WIDTH * 2.0,
    )
}

fn draw(plot: &Plot) -> String {
    let scale = Scale::of(plot);
    let mut text = format!(
        r#"<text x="{LEFT}" y="20" font-size="13">{}</text>"#,
        plot.title
    );
    for part in GRID {
        let (y, end, cost) = (Scale::height(part), WIDTH - RIGHT, part * scale.highest);
        write!(
            text,
            r##"<line x1="{LEFT}" y1="{y:.1}" x2="{end}" y2="{y:.1}" stroke="#dddddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{cost}</text>"##,
            LEFT - 6.0,
            y + 4.0,
        )
        .ok();
    }
    let counts = plot.lines.first().map(|line| line.points.as_slice());
    for (count, _) in counts.unwrap_or_default() {
        let (x, y) = scale.place((*count, 0.0));
        write!(
            text,
            r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{count}</text>"#,
            y + 15.0
        )
        .ok();
    }
    for (number, (line, colour)) in plot.lines.iter().zip(COLOURS).enumerate() {
        draw_line(&mut text, line, (&scale, colour, number));
    }
    text
}

fn draw_line(text: &mut String, line: &Line, (scale, colour, number): (&Scale, &str, usize)) {
    let places = line.points.iter().map(|point| scale.place(*point));
    let mut path = String::new();
    for (x, y) in places {
        write!(path, "{x:.1},{y:.1} ").ok();
        write!(
            text,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#
        )
        .ok();
    }
    // A series has its name under the axis, below the one before.
    let row = (0..number).fold(HEIGHT - BOTTOM + 34.0, |y, _| y + LINE);
    write!(
        text,
        r#"<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/><rect x="{LEFT}" y="{:.1}" width="10" height="10" fill="{colour}"/><text x="{:.1}" y="{row:.1}">{}</text>"#,
        row - 9.0,
        LEFT + 16.0,
        line.name,
    )
    .ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_that_is_not_below_the_highest_value() {
        let cases = [
            (0.13, 0.15),
            (1.0, 1.0),
            (110.0, 150.0),
            (1_600.0, 2_000.0),
            (9_000.0, 10_000.0),
        ];
        for (highest, end) in cases {
            let given = rounded_up(highest);
            assert!((given - end).abs() < end * 1e-9, "{highest}: {given}");
        }
    }

    #[test]
    fn every_series_is_a_line_of_its_plot() {
        let line = |name| Line {
            name,
            points: vec![(10.0, 5.0), (1_000.0, 6.0)],
        };
        let plot = Plot {
            title: "a plot",
            lines: vec![line("one"), line("other")],
        };
        let text = svg(&[plot]);
        assert_eq!(text.matches("<polyline").count(), 2);
        assert!(text.contains("a plot") && text.contains("other"));
    }
}
