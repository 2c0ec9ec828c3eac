//! What windows by time mean, in plain lists.

use super::super::items::mix;
use crate::{Windowed, Windows};

/// The time of an item.
pub(super) fn time(value: i64) -> u64 {
    value.rem_euclid(37).unsigned_abs()
}

/// Its key.
pub(super) fn key(value: i64) -> i64 {
    value.rem_euclid(2)
}

/// Lengths for windows of fixed places: length, step, lateness.
fn fixed_of(k: i64) -> [u64; 3] {
    let k = k.unsigned_abs();
    [2 * k + 3, k, 2 * k]
}

pub(super) fn fixed(k: i64) -> Windows {
    let [length, step, lateness] = fixed_of(k);
    Windows::sliding(length, step).lateness(lateness)
}

pub(super) fn pauses(k: i64) -> Windows {
    Windows::sessions(k.unsigned_abs()).lateness(2 * k.unsigned_abs())
}

/// What is made of a window, or of a late item with this value.
pub(super) fn number<T>(made: &Windowed<i64, i64, T>, value: impl Fn(&T) -> i64) -> i64 {
    match made {
        Windowed::Closed { key, time, value } => {
            [time.start, time.end].iter().fold(mix(*key, *value), |sum, time| mix(sum, time.cast_signed()))
        }
        Windowed::Late(key, item) => mix(*key, value(item)),
    }
}

/// An open window: end, start, number, key, value.
type Open = (u64, u64, usize, i64, i64);

fn close(open: &mut Vec<Open>, until: u64, made: &mut Vec<i64>) {
    open.sort_unstable();
    let closed = open.extract_if(.., |window| window.0 <= until);
    made.extend(closed.map(|(end, start, _, key, value)| {
        let made: Windowed<i64, i64, i64> = Windowed::Closed { key, time: start..end, value };
        number(&made, |late| *late)
    }));
}

/// All items, one after the other. `add` adds one to the windows that are open, and says whether it is late.
fn each(items: &[i64], lateness: u64, mut add: impl FnMut(&mut Vec<Open>, u64, usize, i64) -> bool) -> Vec<i64> {
    let (mut open, mut made, mut watermark) = (Vec::new(), Vec::new(), 0);
    for (number, item) in items.iter().enumerate() {
        if add(&mut open, watermark, number, *item) {
            made.push(mix(key(*item), *item));
        }
        watermark = watermark.max(time(*item).saturating_sub(lateness));
        close(&mut open, watermark, &mut made);
    }
    close(&mut open, u64::MAX, &mut made);
    made
}

pub(super) fn expected_fixed(items: &[i64], k: i64) -> Vec<i64> {
    let [length, step, lateness] = fixed_of(k);
    each(items, lateness, |open, watermark, number, item| {
        let at = time(item);
        // The latest window first, as it is opened first.
        let starts: Vec<u64> = (0..=at).rev().filter(|start| start % step == 0 && at < start + length).collect();
        let can: Vec<u64> = starts.iter().copied().filter(|start| start + length > watermark).collect();
        for (place, start) in can.iter().enumerate() {
            match open.iter_mut().find(|window| (window.1, window.3) == (*start, key(item))) {
                Some(window) => window.4 = mix(window.4, item),
                None => open.push((start + length, *start, number * 100 + place, key(item), mix(7, item))),
            }
        }
        !starts.is_empty() && can.is_empty()
    })
}

pub(super) fn expected_sessions(items: &[i64], k: i64) -> Vec<i64> {
    let gap = k.unsigned_abs();
    each(items, 2 * gap, |open, watermark, number, item| {
        let (at, end) = (time(item), time(item) + gap);
        let touches = |window: &mut Open| window.3 == key(item) && window.1 < end && at < window.0;
        let mut touched: Vec<Open> = open.extract_if(.., touches).collect();
        if touched.is_empty() && end <= watermark {
            return true;
        }
        touched.sort_unstable_by_key(|window| window.1);
        let value = touched.iter().map(|window| window.4).reduce(mix).unwrap_or(7);
        let least = touched.iter().map(|window| window.2).min().unwrap_or(number * 100);
        let start = touched.iter().map(|window| window.1).fold(at, u64::min);
        let end = touched.iter().map(|window| window.0).fold(end, u64::max);
        open.push((end, start, least, key(item), mix(value, item)));
        false
    })
}
