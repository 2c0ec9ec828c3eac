//! Tests of the pool's private parts.

mod elastic;
mod queues;
mod shield;
mod spares;
mod spots;
mod wakes;
