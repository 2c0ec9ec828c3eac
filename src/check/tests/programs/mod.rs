//! Random programs against what they mean to iterators.

mod accounts;
mod bombs;
#[cfg(feature = "check")]
mod explored;
mod items;
mod outside;
mod parallel;
mod program;
mod proofs;
mod property;
mod sequential;
mod table;
