//! The window's own icon set: strokes in a box of 16 × 16, drawn with the painter in the text's colour.
//!
//! One style: round joins, 1.4 points wide, two units of air at the rim.

use std::f32::consts::TAU;

use egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, pos2};

/// What an icon stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icon {
    Logo,
    Open,
    Export,
    Undo,
    Redo,
    Single,
    Divider,
    SideBySide,
    Difference,
    Fit,
    ActualSize,
    ZoomIn,
    ZoomOut,
    Region,
    Rectangle,
    Lasso,
    Polygon,
    Grow,
    Shrink,
    Brush,
    Eraser,
    Invert,
    Solo,
    Without,
    Regenerate,
    Remove,
    Close,
    More,
    Plus,
    Minus,
    Check,
    Lock,
    Unlock,
    Dice,
    Run,
    Stop,
    Bell,
    Help,
    Settings,
    Copy,
    Eye,
    Warning,
    Info,
    Up,
    Down,
    ChevronRight,
    PanelLeft,
    Search,
    Restore,
    Wand,
    Model,
    Grid,
    Features,
    Splats,
    Link,
    Unlink,
    Pointer,
    EyeOff,
    Becomes,
}

enum Stroked {
    Line(&'static [(f32, f32)]),
    Closed(&'static [(f32, f32)]),
    /// A filled shape without dents.
    Full(&'static [(f32, f32)]),
    Circle(f32, f32, f32),
    Dot(f32, f32, f32),
    /// Centre, radius, from and to in turns clockwise from the right.
    Arc(f32, f32, f32, f32, f32),
}

use Stroked::{Arc, Circle, Closed, Dot, Full, Line};

const FRAME: &[(f32, f32)] = &[(2.5, 3.5), (13.5, 3.5), (13.5, 12.5), (2.5, 12.5)];

fn strokes(icon: Icon) -> &'static [Stroked] {
    match icon {
        Icon::Logo => &[
            Closed(&[(8.0, 1.8), (13.6, 4.9), (13.6, 11.1), (8.0, 14.2), (2.4, 11.1), (2.4, 4.9)]),
            Line(&[(2.6, 5.0), (8.0, 8.0), (13.4, 5.0)]),
            Line(&[(8.0, 8.0), (8.0, 14.0)]),
        ],
        Icon::Open => {
            &[Line(&[(2.5, 12.5), (2.5, 3.5), (6.5, 3.5), (8.0, 5.5), (13.5, 5.5), (13.5, 12.5), (2.5, 12.5)])]
        }
        Icon::Export => &[
            Line(&[(2.5, 10.0), (2.5, 13.0), (13.5, 13.0), (13.5, 10.0)]),
            Line(&[(8.0, 10.0), (8.0, 2.5)]),
            Line(&[(4.8, 5.5), (8.0, 2.5), (11.2, 5.5)]),
        ],
        Icon::Undo => &[
            Line(&[(6.0, 2.8), (2.8, 6.0), (6.0, 9.2)]),
            Line(&[(2.8, 6.0), (9.5, 6.0)]),
            Arc(9.5, 9.5, 3.5, -0.25, 0.25),
            Line(&[(9.5, 13.0), (6.5, 13.0)]),
        ],
        Icon::Redo => &[
            Line(&[(10.0, 2.8), (13.2, 6.0), (10.0, 9.2)]),
            Line(&[(13.2, 6.0), (6.5, 6.0)]),
            Arc(6.5, 9.5, 3.5, 0.25, 0.75),
            Line(&[(6.5, 13.0), (9.5, 13.0)]),
        ],
        Icon::Single => &[Closed(FRAME)],
        Icon::Divider => &[Closed(FRAME), Line(&[(8.0, 1.5), (8.0, 14.5)])],
        Icon::SideBySide => &[
            Closed(&[(1.8, 3.5), (6.8, 3.5), (6.8, 12.5), (1.8, 12.5)]),
            Closed(&[(9.2, 3.5), (14.2, 3.5), (14.2, 12.5), (9.2, 12.5)]),
        ],
        Icon::Difference => &[Circle(6.0, 8.0, 3.8), Circle(10.0, 8.0, 3.8)],
        Icon::Fit => &[
            Line(&[(2.5, 5.8), (2.5, 2.5), (5.8, 2.5)]),
            Line(&[(10.2, 2.5), (13.5, 2.5), (13.5, 5.8)]),
            Line(&[(13.5, 10.2), (13.5, 13.5), (10.2, 13.5)]),
            Line(&[(5.8, 13.5), (2.5, 13.5), (2.5, 10.2)]),
        ],
        Icon::ActualSize => &[
            Line(&[(2.4, 4.8), (4.2, 3.5), (4.2, 12.5)]),
            Line(&[(10.4, 4.8), (12.2, 3.5), (12.2, 12.5)]),
            Dot(7.9, 6.3, 0.9),
            Dot(7.9, 10.3, 0.9),
        ],
        Icon::ZoomIn => &[
            Circle(7.0, 7.0, 4.3),
            Line(&[(10.2, 10.2), (13.5, 13.5)]),
            Line(&[(7.0, 5.0), (7.0, 9.0)]),
            Line(&[(5.0, 7.0), (9.0, 7.0)]),
        ],
        Icon::ZoomOut => &[Circle(7.0, 7.0, 4.3), Line(&[(10.2, 10.2), (13.5, 13.5)]), Line(&[(5.0, 7.0), (9.0, 7.0)])],
        Icon::Region => &[
            Line(&[(2.5, 5.5), (2.5, 2.5), (5.5, 2.5)]),
            Line(&[(10.5, 2.5), (13.5, 2.5), (13.5, 5.5)]),
            Line(&[(13.5, 10.5), (13.5, 13.5), (10.5, 13.5)]),
            Line(&[(5.5, 13.5), (2.5, 13.5), (2.5, 10.5)]),
            Circle(8.0, 8.0, 2.4),
        ],
        Icon::Rectangle => {
            &[Closed(FRAME), Dot(2.5, 3.5, 1.3), Dot(13.5, 3.5, 1.3), Dot(13.5, 12.5, 1.3), Dot(2.5, 12.5, 1.3)]
        }
        Icon::Lasso => &[
            Closed(&[
                (8.0, 2.6),
                (11.8, 3.6),
                (13.6, 6.2),
                (12.4, 8.8),
                (8.6, 10.2),
                (4.6, 9.6),
                (2.6, 7.2),
                (3.6, 4.2),
            ]),
            Line(&[(5.2, 9.8), (4.2, 11.4), (5.4, 12.4), (4.8, 14.0)]),
        ],
        Icon::Polygon => &[
            Closed(&[(3.0, 5.0), (9.0, 2.8), (13.2, 7.4), (10.6, 13.0), (4.2, 12.0)]),
            Dot(3.0, 5.0, 1.4),
            Dot(9.0, 2.8, 1.4),
            Dot(13.2, 7.4, 1.4),
            Dot(10.6, 13.0, 1.4),
            Dot(4.2, 12.0, 1.4),
        ],
        Icon::Grow => &[
            Circle(8.0, 8.0, 2.6),
            Line(&[(8.0, 4.0), (8.0, 1.6)]),
            Line(&[(8.0, 12.0), (8.0, 14.4)]),
            Line(&[(4.0, 8.0), (1.6, 8.0)]),
            Line(&[(12.0, 8.0), (14.4, 8.0)]),
            Line(&[(6.6, 2.8), (8.0, 1.4), (9.4, 2.8)]),
            Line(&[(6.6, 13.2), (8.0, 14.6), (9.4, 13.2)]),
            Line(&[(2.8, 6.6), (1.4, 8.0), (2.8, 9.4)]),
            Line(&[(13.2, 6.6), (14.6, 8.0), (13.2, 9.4)]),
        ],
        Icon::Shrink => &[
            Circle(8.0, 8.0, 2.0),
            Line(&[(8.0, 1.4), (8.0, 4.2)]),
            Line(&[(8.0, 14.6), (8.0, 11.8)]),
            Line(&[(1.4, 8.0), (4.2, 8.0)]),
            Line(&[(14.6, 8.0), (11.8, 8.0)]),
            Line(&[(6.6, 3.0), (8.0, 4.4), (9.4, 3.0)]),
            Line(&[(6.6, 13.0), (8.0, 11.6), (9.4, 13.0)]),
            Line(&[(3.0, 6.6), (4.4, 8.0), (3.0, 9.4)]),
            Line(&[(13.0, 6.6), (11.6, 8.0), (13.0, 9.4)]),
        ],
        Icon::Brush => &[
            Line(&[(13.2, 2.8), (7.6, 8.6)]),
            Closed(&[(7.6, 8.6), (8.4, 10.8), (6.8, 13.0), (2.6, 13.4), (4.0, 11.8), (4.4, 9.6)]),
        ],
        Icon::Eraser => &[
            Closed(&[(9.4, 2.8), (13.4, 6.8), (7.4, 12.8), (3.4, 8.8)]),
            Line(&[(6.4, 5.8), (10.4, 9.8)]),
            Line(&[(7.0, 13.4), (13.4, 13.4)]),
        ],
        Icon::Invert => &[
            Circle(8.0, 8.0, 5.5),
            Line(&[(8.0, 2.5), (8.0, 13.5)]),
            Line(&[(10.2, 3.4), (10.2, 12.6)]),
            Line(&[(12.2, 5.2), (12.2, 10.8)]),
        ],
        Icon::Solo => &[Circle(8.0, 8.0, 5.6), Dot(8.0, 8.0, 2.4)],
        Icon::Without => &[Circle(8.0, 8.0, 5.6), Line(&[(4.1, 11.9), (11.9, 4.1)])],
        Icon::Regenerate => &[Arc(8.0, 8.0, 5.0, 0.08, 0.92), Line(&[(13.6, 2.6), (13.2, 5.6), (10.2, 5.4)])],
        Icon::Remove => &[
            Line(&[(3.0, 4.5), (13.0, 4.5)]),
            Line(&[(6.0, 4.3), (6.4, 2.5), (9.6, 2.5), (10.0, 4.3)]),
            Line(&[(4.2, 4.7), (4.9, 13.5), (11.1, 13.5), (11.8, 4.7)]),
        ],
        Icon::Close => &[Line(&[(4.0, 4.0), (12.0, 12.0)]), Line(&[(12.0, 4.0), (4.0, 12.0)])],
        Icon::More => &[Dot(3.5, 8.0, 1.2), Dot(8.0, 8.0, 1.2), Dot(12.5, 8.0, 1.2)],
        Icon::Plus => &[Line(&[(8.0, 3.0), (8.0, 13.0)]), Line(&[(3.0, 8.0), (13.0, 8.0)])],
        Icon::Minus => &[Line(&[(3.0, 8.0), (13.0, 8.0)])],
        Icon::Check => &[Line(&[(3.0, 8.5), (6.5, 12.0), (13.0, 4.5)])],
        Icon::Lock => &[
            Closed(&[(3.5, 7.5), (12.5, 7.5), (12.5, 13.5), (3.5, 13.5)]),
            Arc(8.0, 6.0, 2.8, 0.5, 1.0),
            Line(&[(5.2, 6.0), (5.2, 7.5)]),
            Line(&[(10.8, 6.0), (10.8, 7.5)]),
        ],
        Icon::Unlock => &[
            Closed(&[(3.5, 7.5), (12.5, 7.5), (12.5, 13.5), (3.5, 13.5)]),
            Arc(8.0, 5.0, 2.8, 0.5, 1.0),
            Line(&[(5.2, 5.0), (5.2, 7.5)]),
        ],
        Icon::Dice => &[
            Closed(&[(3.0, 3.0), (13.0, 3.0), (13.0, 13.0), (3.0, 13.0)]),
            Dot(5.8, 5.8, 1.0),
            Dot(10.2, 5.8, 1.0),
            Dot(8.0, 8.0, 1.0),
            Dot(5.8, 10.2, 1.0),
            Dot(10.2, 10.2, 1.0),
        ],
        Icon::Run => &[Closed(&[(4.5, 2.8), (13.0, 8.0), (4.5, 13.2)])],
        Icon::Stop => &[Full(&[(4.0, 4.0), (12.0, 4.0), (12.0, 12.0), (4.0, 12.0)])],
        Icon::Bell => &[
            Line(&[
                (2.8, 11.5),
                (4.2, 9.8),
                (4.2, 6.6),
                (5.4, 3.8),
                (8.0, 2.6),
                (10.6, 3.8),
                (11.8, 6.6),
                (11.8, 9.8),
                (13.2, 11.5),
                (2.8, 11.5),
            ]),
            Line(&[(6.6, 13.5), (9.4, 13.5)]),
        ],
        Icon::Help => &[
            Circle(8.0, 8.0, 5.8),
            Arc(8.0, 6.5, 1.7, 0.55, 1.2),
            Line(&[(8.5, 8.0), (8.0, 8.6), (8.0, 9.5)]),
            Dot(8.0, 11.3, 0.8),
        ],
        Icon::Settings => &[
            Line(&[(2.5, 4.5), (13.5, 4.5)]),
            Line(&[(2.5, 11.5), (13.5, 11.5)]),
            Dot(6.0, 4.5, 2.0),
            Dot(10.5, 11.5, 2.0),
        ],
        Icon::Copy => &[
            Closed(&[(5.5, 5.5), (13.5, 5.5), (13.5, 13.5), (5.5, 13.5)]),
            Line(&[(3.5, 10.5), (2.5, 10.5), (2.5, 2.5), (10.5, 2.5), (10.5, 3.5)]),
        ],
        Icon::Eye => &[
            Closed(&[
                (1.8, 8.0),
                (4.6, 4.8),
                (8.0, 3.8),
                (11.4, 4.8),
                (14.2, 8.0),
                (11.4, 11.2),
                (8.0, 12.2),
                (4.6, 11.2),
            ]),
            Circle(8.0, 8.0, 2.0),
        ],
        Icon::Warning => {
            &[Closed(&[(8.0, 2.2), (14.2, 13.2), (1.8, 13.2)]), Line(&[(8.0, 6.2), (8.0, 9.4)]), Dot(8.0, 11.3, 0.8)]
        }
        Icon::Info => &[Circle(8.0, 8.0, 5.8), Line(&[(8.0, 7.4), (8.0, 11.2)]), Dot(8.0, 5.1, 0.8)],
        Icon::Up => &[Line(&[(3.5, 9.8), (8.0, 5.3), (12.5, 9.8)])],
        Icon::Down => &[Line(&[(3.5, 6.2), (8.0, 10.7), (12.5, 6.2)])],
        Icon::ChevronRight => &[Line(&[(6.2, 3.5), (10.7, 8.0), (6.2, 12.5)])],
        Icon::PanelLeft => &[Closed(FRAME), Line(&[(6.3, 3.5), (6.3, 12.5)])],
        Icon::Search => &[Circle(7.0, 7.0, 4.3), Line(&[(10.2, 10.2), (13.5, 13.5)])],
        Icon::Restore => &[
            Arc(8.2, 8.0, 5.2, -0.38, 0.42),
            Line(&[(2.2, 3.4), (4.4, 4.6), (6.4, 2.8)]),
            Line(&[(8.2, 5.0), (8.2, 8.2), (10.4, 9.6)]),
        ],
        Icon::Wand => &[
            Line(&[(2.8, 13.2), (9.4, 6.6)]),
            Line(&[(11.5, 1.8), (11.5, 5.2)]),
            Line(&[(9.8, 3.5), (13.2, 3.5)]),
            Line(&[(13.3, 8.2), (13.3, 10.6)]),
            Line(&[(12.1, 9.4), (14.5, 9.4)]),
            Line(&[(5.3, 3.6), (5.3, 6.0)]),
            Line(&[(4.1, 4.8), (6.5, 4.8)]),
        ],
        Icon::Model => &[
            Closed(&[(8.0, 2.2), (13.6, 5.2), (8.0, 8.2), (2.4, 5.2)]),
            Line(&[(2.4, 8.2), (8.0, 11.2), (13.6, 8.2)]),
            Line(&[(2.4, 11.0), (8.0, 14.0), (13.6, 11.0)]),
        ],
        Icon::Features => &[
            Closed(FRAME),
            Line(&[(2.5, 8.0), (13.5, 8.0)]),
            Line(&[(6.2, 3.5), (6.2, 12.5)]),
            Line(&[(9.8, 3.5), (9.8, 12.5)]),
            Dot(8.0, 5.8, 1.1),
            Dot(4.4, 10.2, 1.1),
        ],
        Icon::Splats => &[Circle(6.0, 9.6, 3.6), Circle(10.6, 6.0, 3.0), Dot(11.8, 11.8, 1.4), Dot(4.2, 3.8, 1.2)],
        Icon::Link => &[
            Line(&[(6.6, 9.4), (9.4, 6.6)]),
            Line(&[(7.4, 5.0), (9.2, 3.2), (11.0, 2.8), (13.2, 5.0), (12.8, 6.8), (11.0, 8.6)]),
            Line(&[(8.6, 11.0), (6.8, 12.8), (5.0, 13.2), (2.8, 11.0), (3.2, 9.2), (5.0, 7.4)]),
        ],
        Icon::Unlink => &[
            Line(&[(8.4, 4.0), (9.2, 3.2), (11.0, 2.8), (13.2, 5.0), (12.8, 6.8), (12.0, 7.6)]),
            Line(&[(7.6, 12.0), (6.8, 12.8), (5.0, 13.2), (2.8, 11.0), (3.2, 9.2), (4.0, 8.4)]),
            Line(&[(3.0, 3.0), (5.0, 5.0)]),
            Line(&[(11.0, 11.0), (13.0, 13.0)]),
        ],
        Icon::Becomes => &[Line(&[(2.0, 8.0), (14.0, 8.0)]), Line(&[(9.8, 3.8), (14.0, 8.0), (9.8, 12.2)])],
        Icon::Pointer => &[Closed(&[(3.6, 2.4), (12.6, 8.0), (8.6, 8.9), (6.6, 13.2)])],
        Icon::EyeOff => &[
            Closed(&[
                (1.8, 8.0),
                (4.6, 4.8),
                (8.0, 3.8),
                (11.4, 4.8),
                (14.2, 8.0),
                (11.4, 11.2),
                (8.0, 12.2),
                (4.6, 11.2),
            ]),
            Line(&[(3.2, 13.2), (12.8, 2.8)]),
        ],
        Icon::Grid => &[
            Closed(&[(2.5, 2.5), (7.0, 2.5), (7.0, 7.0), (2.5, 7.0)]),
            Closed(&[(9.0, 2.5), (13.5, 2.5), (13.5, 7.0), (9.0, 7.0)]),
            Closed(&[(2.5, 9.0), (7.0, 9.0), (7.0, 13.5), (2.5, 13.5)]),
            Closed(&[(9.0, 9.0), (13.5, 9.0), (13.5, 13.5), (9.0, 13.5)]),
        ],
    }
}

/// Draws `icon` into the middle of `rect`, `side` points wide.
pub(crate) fn paint(painter: &Painter, rect: Rect, side: f32, icon: Icon, colour: Color32) {
    let scale = side / 16.0;
    let origin = rect.center() - egui::Vec2::splat(side / 2.0);
    let at = |(x, y): (f32, f32)| -> Pos2 { pos2(origin.x + x * scale, origin.y + y * scale) };
    let stroke = Stroke::new(1.4 * scale.max(0.8), colour);
    for part in strokes(icon) {
        painter.add(match part {
            Line(points) => Shape::line(points.iter().copied().map(at).collect(), stroke),
            Closed(points) => Shape::closed_line(points.iter().copied().map(at).collect(), stroke),
            Full(points) => Shape::convex_polygon(points.iter().copied().map(at).collect(), colour, Stroke::NONE),
            Circle(x, y, r) => Shape::circle_stroke(at((*x, *y)), r * scale, stroke),
            Dot(x, y, r) => Shape::circle_filled(at((*x, *y)), r * scale, colour),
            Arc(x, y, r, from, to) => {
                let count = 3 + ((to - from).abs() * 24.0) as usize;
                let points = (0..=count)
                    .map(|i| {
                        let turn = (from + (to - from) * i as f32 / count as f32) * TAU;
                        at((x + r * turn.cos(), y + r * turn.sin()))
                    })
                    .collect();
                Shape::line(points, stroke)
            }
        });
    }
}
