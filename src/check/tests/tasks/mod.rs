//! Random programs of tasks over data, with loops, branches, homes, data that is taken, and streams between them,
//! against the same program run by a loop.
//!
//! | what | where |
//! |---|---|
//! | values that notice who has them, and whether they are dropped once | [`values`] |
//! | programs, and how they are drawn | [`program`] |
//! | what a program means | [`sequential`] |
//! | the same as a graph | [`parallel`] |
//! | what must hold of the two | [`property`] |
//! | groups that are broken behind a long task | [`broken`] |
//! | groups that wait for one with a long task | [`loose`] |
//! | readers of a whole vector whose parts others write | [`wholes`] |

mod broken;
mod loose;
mod parallel;
mod program;
mod property;
mod sequential;
mod values;
mod wholes;

use values::mix;
