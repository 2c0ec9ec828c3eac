//! Tests of the pool's private parts.

mod compensators;
mod elastic;
#[cfg(target_os = "linux")]
mod naps;
mod queues;
mod shield;
mod spots;
mod wakes;
