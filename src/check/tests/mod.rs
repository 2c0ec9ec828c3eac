//! Whole runs on virtual workers and on real ones.

mod failures;
mod joins;
mod parallel;
mod program;
mod property;
mod sequential;
mod shapes;
mod steps;
