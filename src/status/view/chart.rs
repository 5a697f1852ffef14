//! Lines over the last hour as SVG. Pure; the result holds numbers and fixed words only, and needs no escaping. No `style`
//! attributes: the pages' policy forbids them.

use std::fmt::Write as _;

use crate::words::grouped;

pub(in crate::status) const MINUTES: usize = 60;
const DRAWN_MINUTES: f64 = 60.0;
/// The size of a large chart's drawing, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// The same of a line in a table.
const SPARK_WIDTH: f64 = 120.0;
const SPARK_HEIGHT: f64 = 24.0;

/// A value for each minute of the last hour, the oldest first; `None` where nothing is known.
pub(in crate::status) type Hour = [Option<f64>; MINUTES];

/// A line that fits a table's row.
pub(in crate::status) fn sparkline(hour: &Hour, what: &str) -> String {
    drawn(hour, (SPARK_WIDTH, SPARK_HEIGHT), "spark", &label(hour, what))
}

/// A chart with its scale.
pub(in crate::status) fn chart(hour: &Hour, what: &str) -> String {
    let mut svg = drawn(hour, (WIDTH, HEIGHT), "chart", &label(hour, what));
    let most = grouped(whole(highest(hour)));
    write!(
        svg,
        "<p class=\"scale\"><span>60 min ago</span> <span>highest: {most}</span> <span>now</span></p>"
    )
    .ok();
    svg
}

/// What the drawing shows, for those who do not see it.
fn label(hour: &Hour, what: &str) -> String {
    let known: Vec<f64> = hour.iter().flatten().copied().collect();
    let Some(last) = known.last() else { return format!("{what}: nothing known of the last hour") };
    format!(
        "{what} in the last hour, by the minute: highest {}, last {}",
        grouped(whole(highest(hour))),
        grouped(whole(*last))
    )
}

fn highest(hour: &Hour) -> f64 {
    hour.iter().flatten().copied().fold(0.0, f64::max)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, cut to what u64 holds")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// One line for each unbroken stretch of known minutes, over an area; a lone minute is a short line.
fn drawn(hour: &Hour, (width, height): (f64, f64), class: &str, label: &str) -> String {
    let top = highest(hour).max(1.0);
    let step = width / DRAWN_MINUTES;
    let y = |value: f64| height - 1.0 - value.clamp(0.0, top) / top * (height - 2.0);
    let mut svg = format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\" \
         preserveAspectRatio=\"none\">"
    );
    let mut stretch: Vec<(f64, f64)> = Vec::new();
    let ends = hour.iter().copied().chain([None]).zip(0_u32..);
    for (value, minute) in ends {
        match value.filter(|value| value.is_finite()) {
            Some(value) => {
                let left = f64::from(minute) * step;
                stretch.extend([(left, y(value)), (left + step, y(value))]);
            }
            None => draw_stretch(&mut svg, &std::mem::take(&mut stretch), height),
        }
    }
    svg.push_str("</svg>");
    svg
}

fn draw_stretch(svg: &mut String, points: &[(f64, f64)], height: f64) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let mut line = String::new();
    for (x, y) in points {
        write!(line, "{x:.1},{y:.1} ").ok();
    }
    let line = line.trim_end();
    write!(
        svg,
        "<polygon class=\"area\" points=\"{:.1},{height:.1} {line} {:.1},{height:.1}\"/>\
         <polyline class=\"line\" points=\"{line}\" vector-effect=\"non-scaling-stroke\"/>",
        first.0, last.0
    )
    .ok();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_breaks_the_line_and_the_highest_value_reaches_the_top() {
        let mut hour: Hour = [None; MINUTES];
        (hour[0], hour[1], hour[59]) = (Some(5.0), Some(10.0), Some(0.0));
        insta::assert_snapshot!(sparkline(&hour, "Delivered"), @r#"<svg class="spark" viewBox="0 0 120 24" role="img" aria-label="Delivered in the last hour, by the minute: highest 10, last 0" preserveAspectRatio="none"><polygon class="area" points="0.0,24.0 0.0,12.0 2.0,12.0 2.0,1.0 4.0,1.0 4.0,24.0"/><polyline class="line" points="0.0,12.0 2.0,12.0 2.0,1.0 4.0,1.0" vector-effect="non-scaling-stroke"/><polygon class="area" points="118.0,24.0 118.0,23.0 120.0,23.0 120.0,24.0"/><polyline class="line" points="118.0,23.0 120.0,23.0" vector-effect="non-scaling-stroke"/></svg>"#);
    }

    #[test]
    fn an_hour_of_which_nothing_is_known_says_so() {
        let svg = chart(&[None; MINUTES], "Waiting");
        assert!(svg.contains("Waiting: nothing known") && !svg.contains("polyline"), "{svg}");
    }

    proptest! {
        #[test]
        fn every_point_is_within_the_drawing(values in prop::collection::vec(prop::option::of(any::<f64>()), MINUTES)) {
            let hour: Hour = values.try_into().unwrap();
            let svg = sparkline(&hour, "Any");
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("style="), "{}", svg);
            for points in svg.split("points=\"").skip(1) {
                for point in points.split('"').next().unwrap().split(' ') {
                    let (x, y) = point.split_once(',').unwrap();
                    let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                    prop_assert!((0.0..=SPARK_WIDTH).contains(&x) && (0.0..=SPARK_HEIGHT).contains(&y));
                }
            }
        }
    }
}
