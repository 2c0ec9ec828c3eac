//! What the threads of a world do, each shape a function: it draws something, does it on the pool of the world, and fails
//! if the answer is not the sequential one, nor an error that must or may come.

mod forks;
mod loops;
mod ops;
mod outside;
mod pools;
mod scopes;
mod streams;
mod tasks;

use crate::account::Account;
use crate::dice::Dice;
use crate::world::World;

/// All that is made of the account's items must be dropped when it returns.
pub(crate) type Shape = fn(&World, &'static Account, &mut Dice);

pub(crate) const SHAPES: &[(&str, Shape)] = &[
    ("streams", streams::streams),
    ("runs at once", streams::runs_at_once),
    ("tasks", tasks::tasks),
    ("joins", forks::joins),
    ("blocking", forks::blocking),
    ("scopes", scopes::scopes),
    ("spawns", scopes::spawns),
    ("broadcasts", scopes::broadcasts),
    ("loops", loops::loops),
    ("outside", outside::outside),
    ("pools", pools::pools),
    ("a pool that drops itself", pools::drops_itself),
];
