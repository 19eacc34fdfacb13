//! Bars in SVG, on a logarithmic scale: how many times better than the first broker each other is.

use super::Measured;
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
/// Where the bars begin, and how much room their numbers have at the end.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 60.0;
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;
/// The scale begins at a tenth, and what is worse stands there too.
const LEAST: f64 = 0.1;
/// Of the brokers that are compared with the first, by their order.
pub(super) const COLOURS: [&str; 4] = ["#1f6f8b", "#8fc1d4", "#c9c9c9", "#e0a458"];

/// A whole SVG document.
pub(crate) fn svg(measured: &Measured, brokers: &[&str]) -> String {
    let Some((first, others)) = brokers.split_first() else {
        return String::new();
    };
    let ratios = measured.rows.iter().flat_map(|row| {
        let of = |broker: &&str| measured.ratio(*row, broker, first);
        others.iter().filter_map(of).collect::<Vec<_>>()
    });
    let scale = (WIDTH - LEFT - RIGHT) / decades(ratios.fold(1.0, f64::max));
    let (mut bars, mut y) = (String::new(), TOP);
    for row in &measured.rows {
        // Writing to a text does not fail.
        let label = format!("{}, {}", row.0, row.1.name());
        let middle = y + BAR;
        let at = LEFT - 8.0;
        writeln!(
            bars,
            r#"<text x="{at}" y="{middle}" text-anchor="end">{label}</text>"#
        )
        .ok();
        for (broker, colour) in others.iter().zip(COLOURS) {
            if let Some(ratio) = measured.ratio(*row, broker, first) {
                bar(&mut bars, y, ratio, (scale, colour));
            }
            y += BAR;
        }
        y += GAP;
    }
    let (one, bottom) = (LEFT + decades(1.0) * scale, y);
    let legend = legend(first, others);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
{legend}{bars}<line x1="{one}" y1="{TOP}" x2="{one}" y2="{bottom}" stroke="#b03a2e"/>
</svg>
"##,
        height = bottom + GAP,
    )
}

/// Decades from the beginning of the scale.
fn decades(ratio: f64) -> f64 {
    (ratio.max(LEAST) / LEAST).log10()
}

/// From the line at 1 to the right where it is better, to the left where it is worse.
fn bar(bars: &mut String, y: f64, ratio: f64, (scale, colour): (f64, &str)) {
    let (one, end) = (decades(1.0), decades(ratio));
    let (from, to) = (LEFT + one.min(end) * scale, LEFT + one.max(end) * scale);
    let (width, height) = (to - from, BAR - 1.0);
    let (text, base) = (to + 4.0, y + height - 2.0);
    writeln!(
        bars,
        r#"<rect x="{from:.1}" y="{y}" width="{width:.1}" height="{height}" fill="{colour}"/><text x="{text:.1}" y="{base}">{ratio:.2}</text>"#
    )
    .ok();
}

fn legend(first: &str, others: &[&str]) -> String {
    let mut text = format!(
        "<text x=\"20\" y=\"22\">How many times better than {first} (the line), each decade as wide: more per CPU second, less memory, sooner</text>\n"
    );
    let mut x = 20.0;
    for (broker, colour) in others.iter().zip(COLOURS) {
        let at = x + 18.0;
        writeln!(
            text,
            r#"<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/><text x="{at}" y="45">{broker}</text>"#
        )
        .ok();
        x += 190.0;
    }
    text
}
