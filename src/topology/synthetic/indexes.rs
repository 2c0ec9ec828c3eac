//! Deals out numbers to the parts of a level, as an attribute `indexes=` says.
//!
//! * `0,2,1,3` lists the numbers.
//! * `2*2:1*2` counts with interleaved loops. In a loop `step*count`, the number grows with every `step` parts, `count`
//!   times, and then starts again. The first loop counts fastest. A loop over the parts that the others leave may be
//!   missing.
//! * `package:pu` does the same. A level stands for the step and count of its parts.

use super::super::CpuSet;
use super::spec::{Spec, kind};

struct Loop {
    step: usize,
    count: usize,
}

/// The numbers of `total` parts, all different. Without an attribute they count up from 0.
///
/// # Errors
/// What is wrong with the attribute.
pub(super) fn numbers(indexes: Option<&str>, spec: &Spec, total: usize) -> Result<Vec<usize>, String> {
    let Some(text) = indexes else { return Ok((0..total).collect()) };
    let wrong = |what: &str| format!("'indexes={text}': {what}");
    let numbers = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b',') {
        let numbers: Option<Vec<usize>> =
            text.split(',').map(|number| number.parse().ok().filter(|number| *number < CpuSet::MAX)).collect();
        numbers.ok_or_else(|| wrong(&format!("there is no number, or one that is not below {}", CpuSet::MAX)))?
    } else {
        let starts_with_number = text.starts_with(|c: char| c.is_ascii_digit());
        let loops = if starts_with_number { loops_of_numbers(text) } else { loops_of_levels(text, spec, total) };
        interleaved(loops.map_err(|what| wrong(&what))?, total).map_err(|what| wrong(&what))?
    };
    if numbers.len() != total {
        return Err(wrong(&format!("{} numbers for {total} parts", numbers.len())));
    }
    let different: CpuSet = numbers.iter().copied().collect();
    if different.len() < total {
        return Err(wrong("a number is given twice"));
    }
    Ok(numbers)
}

/// Reads loops such as `2*2:1*2`.
fn loops_of_numbers(text: &str) -> Result<Vec<Loop>, String> {
    let one = |part: &str| {
        let (step, count) = part.split_once('*')?;
        let positive = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        Some(Loop { step: positive(step)?, count: positive(count)? })
    };
    text.split(':').map(|part| one(part).ok_or_else(|| format!("'{part}' is no loop such as 2*4"))).collect()
}

/// Reads loops such as `package:pu`.
fn loops_of_levels(text: &str, spec: &Spec, total: usize) -> Result<Vec<Loop>, String> {
    let mut levels = Vec::new();
    for name in text.split(':') {
        let of_name = kind(name).and_then(|kind| spec.levels.iter().position(|level| level.kind == kind));
        let level = of_name.ok_or_else(|| format!("there is no level '{name}'"))?;
        if levels.contains(&level) {
            return Err(format!("'{name}' is given twice"));
        }
        if !total.is_multiple_of(spec.levels[level].width) {
            return Err(format!("there are more parts of '{name}', or they are divided otherwise"));
        }
        levels.push(level);
    }
    let one = |&level: &usize| {
        let width = spec.levels[level].width;
        let around = levels.iter().filter(|other| **other < level).max().map_or(1, |around| spec.levels[*around].width);
        Loop { step: total / width, count: width / around }
    };
    Ok(levels.iter().map(one).collect())
}

fn interleaved(mut loops: Vec<Loop>, total: usize) -> Result<Vec<usize>, String> {
    let product = loops.iter().try_fold(1_usize, |product, one| product.checked_mul(one.count));
    let missing = product.filter(|product| total.is_multiple_of(*product)).map(|product| total / product);
    let finest = loops.iter().map(|one| one.step).min();
    match missing {
        Some(1) => {}
        Some(missing) if Some(missing) == finest => loops.push(Loop { step: 1, count: missing }),
        _ => return Err(format!("the loops do not count {total} parts")),
    }
    let number = |place: usize| {
        let count = |(sum, factor): (usize, usize), one: &Loop| {
            (sum + place / one.step % one.count * factor, factor * one.count)
        };
        loops.iter().fold((0, 1), count).0
    };
    Ok((0..total).map(number).collect())
}
