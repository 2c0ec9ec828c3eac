//! Loops of a pool over numbers and slices.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use millstream::Pool;

use crate::account::{Account, Item};
use crate::dice::Dice;
use crate::world::{Trap, World, trap};

pub(crate) fn loops(world: &World, account: &'static Account, dice: &mut Dice) {
    let most = dice.pick(&[5, 200, 5000]);
    let n = dice.long(0, most);
    let trapped = if n > 0 && dice.once_in(4) { Some(dice.long(0, n - 1)) } else { None };
    let at = |x: u64| if trapped == Some(x) { trap() } else { account.item(3 * x) };
    let which = dice.from(0, 3);
    let work = |pool: &Pool| match which {
        0 => {
            let sum = AtomicU64::new(0);
            pool.for_each(0..n, |x| _ = sum.fetch_add(at(x).value(), Ordering::Relaxed));
            vec![account.item(sum.into_inner())]
        }
        1 => {
            let mut items: Vec<Item> = (0..n).map(|x| account.item(x)).collect();
            pool.for_each_mut(&mut items, |x, item| *item = at(x as u64));
            items
        }
        2 => pool.map_collect(0..n, at),
        _ => pool.aggregate(
            0..n,
            Vec::new,
            |mut all, x| {
                all.push(at(x));
                all
            },
            |mut left, right| {
                left.extend(right);
                left
            },
        ),
    };
    match catch_unwind(AssertUnwindSafe(|| world.handle.with(work))) {
        Ok(Ok(items)) => {
            let sum = (0..n).map(|x| 3 * x).sum::<u64>();
            let is_right = if which == 0 {
                items[0].value() == sum
            } else {
                items.iter().map(Item::value).eq((0..n).map(|x| 3 * x))
            };
            assert!(is_right, "loop {which}: {items:?}");
            assert_eq!(trapped, None);
        }
        Ok(Err(_)) => assert!(world.is_closing(), "the pool is closed"),
        Err(panic) if panic.is::<Trap>() && trapped.is_some() => {}
        Err(panic) => resume_unwind(panic),
    }
}
