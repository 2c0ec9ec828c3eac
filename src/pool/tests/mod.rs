//! Tests of the pool's private parts.

mod elastic;
mod shield;
mod spares;
mod spots;
mod wakes;
