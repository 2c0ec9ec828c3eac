//! Whole runs on virtual workers and on real ones.

mod elastic;
mod failures;
mod fairness;
mod joins;
mod loops;
mod nodes;
mod parallel;
mod program;
mod property;
mod sequential;
mod shapes;
mod spares;
mod steps;
