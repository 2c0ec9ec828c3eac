//! Tests of the pool's private parts.

mod elastic;
#[cfg(target_os = "linux")]
mod naps;
mod queues;
mod shield;
mod spares;
mod spots;
mod wakes;
